"""The CPU kernels against nvdiffrast, on a machine with a GPU."""

import pytest
import torch

from mfnet.geometry import clip_from_orthographic
from mfnet.render import interpolate, rasterize
from mfnet.render.antialias import antialias
from tests.render.meshes import bumpy_sphere, triangle_soup

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("nvdiffrast.torch", reason="nvdiffrast is not installed (extra gpu)")
    return torch.device("cuda")


def scenes():
    vertices, faces = bumpy_sphere(4)
    yield clip_from_orthographic(vertices, torch.tensor([[0.9, 0.1, -0.05]]).expand(4, 3)), faces
    yield triangle_soup(batch=2, dtype=torch.float32)


@pytest.mark.parametrize("scene", [0, 1])
@pytest.mark.parametrize("size", [64, 224])
def test_faces_barycentrics_and_values_agree(device, scene, size):
    clip, faces = list(scenes())[scene]
    cpu, gpu = rasterize(clip, faces, size, size), rasterize(clip.to(device), faces.to(device), size, size)
    same = cpu.face_id == gpu.face_id.cpu()
    assert same.float().mean() > 0.9995
    hit = same & (cpu.face_id > 0)
    difference = (cpu.barycentrics - gpu.barycentrics.cpu()).abs()[hit]
    assert torch.quantile(difference.flatten()[:1_000_000], 0.98) < 1e-4
    torch.testing.assert_close(cpu.depth[hit], gpu.depth.cpu()[hit], atol=1e-4, rtol=1e-3)
    values = torch.rand(clip.shape[1], 5)
    pair = [interpolate(v, r, f) for v, r, f in ((values, cpu, faces), (values.cuda(), gpu, faces.cuda()))]
    assert torch.quantile((pair[0] - pair[1].cpu()).abs()[hit].flatten()[:1_000_000], 0.98) < 1e-4


@pytest.mark.parametrize("smooth", [False, True])
def test_gradients_agree(device, smooth):
    clip, faces = next(scenes())
    attributes = torch.rand(clip.shape[1], 3, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(4, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    results = []
    for place in ("cpu", "cuda"):
        inputs = [tensor.to(place).requires_grad_() for tensor in (clip.clone(), attributes.clone())]
        table = faces.to(place)
        raster = rasterize(inputs[0], table, 96, 96)
        image = interpolate(inputs[1], raster, table)
        image = antialias(image, raster, inputs[0], table) if smooth else image
        (image * weight.to(place)).sum().backward()
        results.append([tensor.grad.cpu() for tensor in inputs])
    for cpu, gpu in zip(*results, strict=True):
        cosine = torch.nn.functional.cosine_similarity(cpu.flatten(), gpu.flatten(), dim=0)
        assert cosine > (0.98 if smooth else 0.999)
