"""The compiled pose chain against its plain form: values and gradients."""

import pytest
import torch

from mfnet.flame.pose_chain import pose_chain, pose_chain_reference


def inputs(dtype: torch.dtype, scale: float, batch: int = 5, count: int = 7) -> tuple:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    columns = torch.tensor([*range(1, count), *range(count + 9, count + 18), count, count + 35])
    coefficients, pose = normal(batch, count), scale * normal(batch, 5, 3)
    pose[0] = 0
    return (
        coefficients.requires_grad_(),
        pose.requires_grad_(),
        normal(15),
        normal(count, 15),
        columns,
        [-1, 0, 1, 2, 1],
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.001, 0.3, 3.0])
def test_values_and_gradients_are_those_of_the_reference(dtype, scale):
    arguments = inputs(dtype, scale)
    compiled, plain = pose_chain(*arguments), pose_chain_reference(*arguments)
    tolerance = {"rtol": 200 * torch.finfo(dtype).eps, "atol": 200 * torch.finfo(dtype).eps}
    for one, other in zip(compiled, plain, strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(out.shape, generator=generator, dtype=torch.float64).to(dtype) for out in plain[:3]]
    results = [torch.autograd.grad(outputs[:3], arguments[:2], grads) for outputs in (compiled, plain)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def test_gradients_by_finite_differences():
    coefficients, pose, *constants = inputs(torch.float64, 0.3, batch=2)
    assert torch.autograd.gradcheck(lambda c, p: pose_chain(c, p, *constants)[:3], (coefficients, pose))


def test_results_do_not_depend_on_threads():
    arguments = inputs(torch.float32, 0.3, batch=7)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            outputs = pose_chain(*arguments)
            loss = sum(out.square().sum() for out in outputs[:3])
            results.append((*outputs, *torch.autograd.grad(loss, arguments[:2])))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
