"""Speed of the CPU rasterizer as ratios to its peers, interleaved so that a busy machine slows all alike.

    python -m benchmarks.render [--threads 2] [--size 224] [--batch 24] [--channels 8] [--rounds 10]

The scene: a closed bumpy surface of about 10,000 triangles that covers half of each image. Times are CPU milliseconds
an image, the least over the rounds. torch's `grid_sample` of an image of the same size is the yardstick; Warp, Open3D
and PyTorch3D are measured where they are installed. The result is printed as JSON with the machine and the
date.
"""

import argparse
import datetime
import json
import os
import platform
import time
from importlib.util import find_spec

import numpy as np
import torch
import trimesh

from mfnet.geometry import clip_from_orthographic, euler_to_matrix
from mfnet.render import interpolate, rasterize


def scene(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip positions [B, V, 4] and faces [10000, 3] of a bumpy ellipsoid, turned differently in each image."""
    mesh = trimesh.creation.uv_sphere(count=[51, 50])
    points = torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32)
    points = points * (1 + 0.05 * torch.sin(9 * points).sum(-1, keepdim=True)) * torch.tensor([0.69, 0.88, 0.73])
    yaws = torch.linspace(-1.2, 1.2, batch)
    turned = points @ euler_to_matrix(yaws, yaws * 0, yaws * 0).mT
    camera = torch.tensor([[0.97, 0.0, 0.0]]).expand(batch, 3)
    return clip_from_orthographic(turned, camera), torch.tensor(np.asarray(mesh.faces), dtype=torch.int64)


def contestants(args) -> dict:
    """Name -> function that draws (and differentiates) the whole batch once."""
    clip, faces = scene(args.batch)
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, args.size, args.size, args.channels)
    attributes = torch.rand(args.batch, clip.shape[1], args.channels, generator=generator)
    weight = torch.rand(shape, generator=generator)

    def draw():
        return interpolate(attributes, rasterize(clip, faces, args.size, args.size), faces)

    def draw_and_differentiate():
        inputs = clip.detach().requires_grad_(), attributes.detach().requires_grad_()
        raster = rasterize(inputs[0], faces, args.size, args.size)
        torch.autograd.grad(interpolate(inputs[1], raster, faces), inputs, weight)

    images = weight.permute(0, 3, 1, 2).contiguous()
    grid = torch.rand(*shape[:3], 2, generator=generator) * 2 - 1

    def sample():
        return torch.nn.functional.grid_sample(images, grid, align_corners=False)

    def sample_and_differentiate():
        inputs = images.detach().requires_grad_(), grid.detach().requires_grad_()
        out = torch.nn.functional.grid_sample(*inputs, align_corners=False)
        torch.autograd.grad(out, inputs, images)

    covered = (rasterize(clip, faces, args.size, args.size).face_id > 0).float().mean()
    print(f"# {len(faces)} faces over {covered:.2f} of the image", flush=True)
    return {
        "mfnet forward": draw,
        "mfnet forward+backward": draw_and_differentiate,
        "grid_sample forward": sample,
        "grid_sample forward+backward": sample_and_differentiate,
        **peers(clip, faces, args.size),
    }


def peers(clip: torch.Tensor, faces: torch.Tensor, size: int) -> dict:
    """The peers that are installed: each finds the nearest face and its barycentrics at every pixel, without
    attributes."""
    makers = {"open3d": _open3d, "warp": _warp, "pytorch3d": _pytorch3d}
    found = {}
    for name, make in makers.items():
        if not find_spec(name):
            continue
        try:
            found[f"{name} forward"] = make(clip, faces, size)
        except ImportError as error:
            print(f"# {name} is installed but does not load: {error}", flush=True)
    return found


def _rays(size: int) -> np.ndarray:
    """Origins and directions [size, size, 6] of the pixels of an orthographic camera that looks along +z of ndc."""
    step = (2 * np.arange(size) + 1) / size - 1
    x, y = np.meshgrid(step, -step)
    still = np.zeros_like(x)
    return np.stack([x, y, still - 1, still, still, still + 1], -1).astype(np.float32)


def _open3d(clip: torch.Tensor, faces: torch.Tensor, size: int):
    import open3d

    triangles, rays = open3d.core.Tensor(faces.numpy().astype(np.uint32)), open3d.core.Tensor(_rays(size))

    def draw():
        for image in clip:
            caster = open3d.t.geometry.RaycastingScene()
            caster.add_triangles(open3d.core.Tensor(image[:, :3].contiguous().numpy()), triangles)
            caster.cast_rays(rays)

    return draw


def _warp(clip: torch.Tensor, faces: torch.Tensor, size: int):
    from benchmarks.warp_peer import ray_caster

    return ray_caster(clip[..., :3].contiguous().numpy(), faces.numpy().astype(np.int32), _rays(size))


def _pytorch3d(clip: torch.Tensor, faces: torch.Tensor, size: int):
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    vertices = clip[:, :, :3] * torch.tensor([-1.0, 1.0, 1.0]) + torch.tensor([0.0, 0.0, 2.0])
    meshes = Meshes(vertices, faces.expand(len(clip), -1, -1))
    return lambda: rasterize_meshes(meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1)


def measure(functions: dict, rounds: int) -> dict[str, float]:
    """CPU seconds of each function, the least over `rounds`, all taking turns.

    A pause before each lets the idle threads of the one before fall asleep: OpenMP's spin for some 10 ms, which would
    count as the next one's.
    """
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        function()  # compile, load, touch memory
    for _ in range(rounds):
        for name, function in functions.items():
            time.sleep(0.05)
            start = time.process_time()
            function()
            best[name] = min(best[name], time.process_time() - start)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("threads", 2), ("size", 224), ("batch", 24), ("channels", 8), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    seconds = measure(contestants(args), args.rounds)
    milliseconds = {name: 1000 * value / args.batch for name, value in seconds.items()}
    ratios = {
        name: value / milliseconds[f"mfnet {name.split()[-1]}"]
        for name, value in milliseconds.items()
        if not name.startswith("mfnet")
    }
    report = {
        "settings": vars(args),
        "cpu_ms_per_image": {name: round(value, 3) for name, value in milliseconds.items()},
        "times_ours": {name: round(value, 2) for name, value in ratios.items()},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__}",
        "date": datetime.date.today().isoformat(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
