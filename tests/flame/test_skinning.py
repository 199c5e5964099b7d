"""The compiled skinning against its plain form: values and gradients."""

import pytest
import torch

from mfnet.flame.skinning import BLOCK, skin, skin_reference


def inputs(count: int, batch: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(count)
    blocks = -(-count // BLOCK)
    unposed = torch.randn(blocks, batch, 3, BLOCK, generator=generator, dtype=dtype)
    transforms = torch.randn(batch, 12, 5, generator=generator, dtype=dtype)
    weights = torch.rand(blocks, 5, BLOCK, generator=generator, dtype=dtype)
    return unposed.requires_grad_(), transforms.requires_grad_(), weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("count", "batch"), [(1, 1), (BLOCK, 3), (3 * BLOCK + 7, 5)])
def test_values_and_gradients_are_those_of_the_reference(count, batch, dtype):
    unposed, transforms, weights = inputs(count, batch, dtype)
    compiled, plain = (f(unposed, transforms, weights, count) for f in (skin, skin_reference))
    scale = 50 * torch.finfo(dtype).eps
    torch.testing.assert_close(compiled, plain, rtol=scale, atol=scale)
    grad = torch.randn(compiled.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for one, other in zip(
        *(torch.autograd.grad(out, (unposed, transforms), grad) for out in (compiled, plain)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=scale, atol=scale * float(other.abs().max()))


def test_results_do_not_depend_on_threads():
    unposed, transforms, weights = inputs(2 * BLOCK, 7, torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = skin(unposed, transforms, weights, 2 * BLOCK)
            results.append((out.detach().clone(), *torch.autograd.grad(out.square().sum(), (unposed, transforms))))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_gradients_of_views_and_expanded_sums():
    unposed, transforms, weights = inputs(BLOCK + 3, 2, torch.float64)
    assert torch.autograd.gradcheck(
        lambda u, t: skin(u, t, weights, BLOCK + 3)[:, ::40, :2].sum(0), (unposed, transforms), fast_mode=True
    )
