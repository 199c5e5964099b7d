"""The open head, posed and textured, for the tests of everything above the rasterizer."""

from typing import NamedTuple

import pytest
import torch

from mfnet.geometry import euler_to_matrix
from mfnet.render import ProjectedMesh, orthographic_view, uv_layout
from tests.heads import open_flame, open_head


class Head(NamedTuple):
    vertices: torch.Tensor  # [V, 3] metres, about its own middle
    faces: torch.Tensor
    uv: torch.Tensor
    uv_faces: torch.Tensor
    masks: dict[str, torch.Tensor]

    def turned(self, *yaws: float) -> torch.Tensor:
        """Vertices [B, V, 3] turned by yaws in degrees, nodding a little."""
        angles = torch.tensor(yaws).deg2rad()
        rotation = euler_to_matrix(angles, torch.full_like(angles, 0.1), torch.full_like(angles, -0.05))
        return self.vertices @ rotation.mT

    def view(self, *yaws: float, enlarged: float = 1.0) -> ProjectedMesh:
        camera = torch.tensor([[7.5 * enlarged, 0.004, -0.006]]).expand(len(yaws), 3)
        return orthographic_view(self.turned(*yaws), self.faces, camera)

    def layout(self, size: int):
        return uv_layout(self.faces, self.uv, self.uv_faces, size)


@pytest.fixture(scope="session")
def head() -> Head:
    flame = open_flame()
    vertices, face = torch.from_numpy(open_head().v_template), flame.masks["face"]
    middle = (vertices[face].amax(0) + vertices[face].amin(0)) / 2
    return Head(vertices - middle, flame.faces, *flame.uv_map, flame.masks)


def smooth_texture(size: int, seed: int = 0, cells: int = 12) -> torch.Tensor:
    """A skin-like texture [1, 3, size, size] in 0.2..0.9: coarse noise, smoothly enlarged."""
    noise = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    grown = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False)
    return 0.2 + 0.7 * grown.clamp(0, 1)
