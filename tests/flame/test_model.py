"""Decoding against the public smplx package, the contour against DECA's rule, gradients and precision."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.flame import SmplxDecoder, random_head
from mfnet.errors import InputError
from mfnet.flame import Flame, FlameOutput, load_flame, read_head, write_head
from mfnet.flame.makehuman import makehuman_head, with_mesh

TOLERANCE = {torch.float32: 1e-6, torch.float64: 2e-8}  # metres; smplx adds 1e-8 to each rotation vector


def parameters(batch: int, n_shape: int, n_expression: int, dtype=torch.float64, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def normal(width: int, scale: float) -> torch.Tensor:
        return (scale * torch.randn(batch, width, generator=generator, dtype=torch.float64)).to(dtype)

    return {
        "shape": normal(n_shape, 1),
        "expression": normal(n_expression, 0.3),
        "global_pose": normal(3, 0.6),
        "neck_pose": normal(3, 0.3),
        "jaw_pose": normal(3, 0.2),
        "eye_pose": normal(6, 0.3),
    }


def joined(values: dict) -> tuple[torch.Tensor, torch.Tensor]:
    pose = [values[name] for name in ("global_pose", "neck_pose", "jaw_pose", "eye_pose")]
    return torch.cat([values["shape"], values["expression"]], 1), torch.cat(pose, 1)


def assert_equals_smplx(head, dtype, n_shape=100, n_expression=50):
    pytest.importorskip("smplx")
    flame = Flame(head, n_shape, n_expression).to(dtype)
    smplx = SmplxDecoder(head, n_shape, n_expression, dtype)
    for seed in range(4):
        values = parameters(3, n_shape, n_expression, dtype, seed)
        if seed == 3:
            values |= {
                "neck_pose": torch.zeros_like(values["neck_pose"]),
                "eye_pose": torch.zeros_like(values["eye_pose"]),
            }
        out = flame(**values)
        vertices, joints, static = smplx(*joined(values))
        for ours, theirs in ((out.vertices, vertices), (out.joints, joints), (out.landmarks[:, 17:], static)):
            assert (ours - theirs).abs().max() < TOLERANCE[dtype]
        if seed == 3:
            left_out = flame(
                *(values[name] for name in ("shape", "expression", "global_pose")), jaw_pose=values["jaw_pose"]
            )
            assert (left_out.vertices - vertices).abs().max() < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(100, 50), (300, 100), (1, 0), (0, 3)])
def test_equals_smplx(dtype, sizes):
    assert_equals_smplx(random_head(vertices=401, faces=700, seed=3), dtype, *sizes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_smplx_on_the_shared_head(shared, dtype):
    folder = shared / "heads"
    assert_equals_smplx(read_head(folder / "ict_flame_numpy.pkl", folder / "landmark_embedding.npy"), dtype)


def test_directions_that_are_zero_are_left_out_without_effect():
    head = random_head(vertices=401, faces=700, seed=3)
    head.shapedirs[:, :, 40:300] = 0
    head.posedirs[:, :, 18:] = 0  # FLAME's eyes have no correctives
    assert len(Flame(head, 100, 50).columns) == 40 + 50 + 18
    assert_equals_smplx(head, torch.float64)


def test_float64_starts_from_the_files_precision():
    head = random_head(vertices=50, faces=80)
    weights = head.weights.astype(np.float64)
    weights /= weights.sum(1, keepdims=True)
    fine = replace(head, v_template=head.v_template.astype(np.float64) + 1e-9, weights=weights)
    zeros = {name: torch.zeros_like(value) for name, value in parameters(1, 2, 1).items()}
    double = Flame(fine, 2, 1).to(torch.float64)
    assert np.abs(double(**zeros).vertices[0].numpy() - fine.v_template).max() < 1e-15
    again = copy.deepcopy(double).float()
    assert again.template.dtype == torch.float32 and torch.equal(again.template, Flame(fine, 2, 1).template)


def tensors(out: FlameOutput) -> tuple[torch.Tensor, ...]:
    """Vertices, joints and both sets of landmarks."""
    return out.vertices, out.joints, out.landmarks, out.landmarks_full


def test_gradients_by_finite_differences():
    flame = Flame(random_head(vertices=60, faces=80), 4, 3).double()
    values = {name: value.requires_grad_() for name, value in parameters(2, 4, 3).items()}
    assert torch.autograd.gradcheck(lambda *args: tensors(flame(*args))[::2], tuple(values.values()), fast_mode=True)


def test_autocast_and_mixed_inputs_keep_the_precision():
    flame = Flame(random_head(vertices=60, faces=80), 4, 3)
    values = parameters(2, 4, 3, torch.float32)
    expected = flame(**values).vertices
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(flame(**values).vertices, expected)
    assert torch.equal(flame(**{name: value.double() for name, value in values.items()}).vertices, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_the_same():
    flame = Flame(random_head(vertices=401, faces=700), 20, 10).double()
    values = {name: value.requires_grad_() for name, value in parameters(5, 20, 10).items()}
    results = []
    for device in ("cpu", "cuda"):
        out = flame.to(device)(**{name: value.to(device) for name, value in values.items()})
        loss = sum(part.cpu().square().sum() for part in tensors(out))
        results.append(
            [part.detach().cpu() for part in tensors(out)] + list(torch.autograd.grad(loss, tuple(values.values())))
        )
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mesh", [True, False])
def test_a_part_of_the_head_decodes_to_the_same_bits(mesh):
    flame = Flame(with_mesh(makehuman_head()), 20, 10)
    extra = flame.dense_corners.flatten() if mesh else torch.tensor([7, 3000])
    chosen = torch.cat([flame.landmark_corners, extra]).unique()
    part, draw = flame.restricted(chosen), torch.Generator().manual_seed(0)
    shape, expression, pose, jaw = (torch.randn(5, n, generator=draw) for n in (20, 10, 3, 3))
    whole, own = (head(shape, expression, 0.3 * pose, jaw_pose=0.1 * jaw) for head in (flame, part))
    assert torch.equal(own.vertices, whole.vertices[:, chosen]) and torch.equal(own.joints, whole.joints)
    assert torch.equal(own.landmarks, whole.landmarks)
    assert (part.dense is not None) == mesh and flame.dense is not None and flame.faces is not None
    if mesh:
        assert torch.equal(own.vertices[:, part.dense_corners], whole.vertices[:, flame.dense_corners])


def test_gradient_at_rest_is_finite():
    flame = Flame(random_head(vertices=60, faces=80), 4, 3)
    values = {n: torch.zeros_like(v, dtype=torch.float32).requires_grad_() for n, v in parameters(2, 4, 3).items()}
    out = flame(**values)
    (out.vertices.sum() + out.landmarks.sum() + out.joints.sum()).backward()
    assert all(torch.isfinite(value.grad).all() for value in values.values())


def test_the_batch_is_independent():
    flame = Flame(random_head(vertices=401, faces=700), 20, 10).double()
    values = parameters(5, 20, 10)
    together = flame(**values)
    for i in range(5):
        alone = flame(**{name: value[i : i + 1] for name, value in values.items()})
        for one, other in zip(tensors(together), tensors(alone), strict=True):
            torch.testing.assert_close(one[i : i + 1], other, rtol=0, atol=1e-13)


def test_the_head_is_no_part_of_a_checkpoint():
    assert not Flame(random_head(vertices=60, faces=80), 4, 3).state_dict()


def test_a_head_without_uv_is_refused(head):
    with pytest.raises(InputError, match="head model has no UV"):
        _ = Flame(head, 4, 3).uv_map


def test_load_flame_takes_one_file_and_overrides(tmp_path, head):
    write_head(head, tmp_path / "head.npz")
    flame = load_flame(tmp_path / "head.npz", n_shape=10, n_expression=5)
    assert flame.content_hash == head.content_hash() and flame.uv is None
    assert set(flame.masks) == {"face", "eyes", "eyeballs", "lips", "neck"}
    assert flame.faces.dtype == torch.int64 and flame.weights.shape == (42, 5)
    faces = "".join(f"f {a}/1 {b}/2 {c}/3\n" for a, b, c in head.faces + 1)
    obj = "".join(f"v {x} {y} {z}\n" for x, y, z in head.v_template) + "vt 0 0\nvt 1 0\nvt 0 1\n" + faces
    (tmp_path / "t.obj").write_text(obj)
    flame = load_flame(tmp_path / "head.npz", template=tmp_path / "t.obj", n_shape=10, n_expression=5)
    assert flame.uv.tolist() == [[0, 0], [1, 0], [0, 1]] and flame.uv_faces.shape == (80, 3)
    bare = replace(head, landmarks=None)
    write_head(bare, tmp_path / "bare.npz")
    out = load_flame(tmp_path / "bare.npz")(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 3))
    assert out.vertices.shape == (1, 42, 3)
    for name in ("landmarks", "landmarks_full"):
        with pytest.raises(InputError, match="landmarks: the head model has none"):
            getattr(out, name)
    with pytest.raises(InputError, match=r"head.npz: n_shape is 301, but the model has 300"):
        load_flame(tmp_path / "head.npz", n_shape=301)
