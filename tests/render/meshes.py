"""Meshes that the rendering tests share."""

import torch


def triangle_soup(batch=2, faces=40, seed=0, dtype=torch.float64, size=0.5):
    """Random perspective triangles all in front of the camera: clip [B, 3 F, 4], faces [F, 3]."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(batch, faces, 1, 3, generator=generator, dtype=torch.float64) * 2 - 1
    corners = centres + (torch.rand(batch, faces, 3, 3, generator=generator, dtype=torch.float64) - 0.5) * 2 * size
    ndc = corners.flatten(1, 2) * torch.tensor([1.0, 1.0, 0.6], dtype=torch.float64)
    w = 0.5 + 2 * torch.rand(batch, faces * 3, 1, generator=generator, dtype=torch.float64)
    clip = torch.cat([ndc * w, w], -1).to(dtype)
    return clip, torch.arange(faces * 3).view(faces, 3)


def bumpy_sphere(batch=1, subdivisions=3, seed=0, dtype=torch.float32):
    """A closed surface with hollows and self-occlusion, roughly unit size: vertices [B, V, 3], faces [F, 3]."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    points = torch.tensor(mesh.vertices, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(batch, 6, 3, generator=generator, dtype=torch.float64) * 2.5
    radius = 1 + 0.12 * torch.sin(points @ waves.mT + 1).sum(-1)
    return (points * radius[..., None]).to(dtype) * 0.7, torch.tensor(mesh.faces, dtype=torch.int64)
