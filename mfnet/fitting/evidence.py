"""What a fit knows of one person's photographs besides the 68 landmarks, and how much it believes them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfnet.fitting.candidates import Candidates
from mfnet.fitting.held import Rig
from mfnet.fitting.noise import TOGETHER, LandmarkNoise
from mfnet.flame import Flame
from mfnet.flame.dense import LARGEST_YAW


class MeshPoints(NamedTuple):
    """MediaPipe's 478 points in V views."""

    points: Tensor
    """[V, 478, 2] ndc of the crops; 0 where a view has none."""
    sigma: Tensor
    """[V, 478] of each coordinate, ndc; infinite: not believed."""

    @property
    def believed(self) -> Tensor:
        """[V] bool: views whose mesh takes part."""
        return self.sigma.isfinite().any(1)


class Known(NamedTuple):
    """Everything besides the landmarks themselves."""

    noise: LandmarkNoise
    """Of the 68 landmarks."""
    mesh: MeshPoints | None = None
    """In views where it is believed it stands in place of the 68 landmarks; their openings of lids and lips stay."""
    own_expressions: bool = False
    """Each view has an expression and a jaw of its own."""
    rig: Rig | None = None
    """Cameras that are held."""
    begin: Tensor | None = None
    """[n] unknowns at which the steps begin; None: at the prediction. What is believed of the start stays the same."""

    def believed_noise(self) -> LandmarkNoise:
        """The 68 landmarks' noise, infinite where the mesh stands in their place."""
        if self.mesh is None:
            return self.noise
        replaced = self.mesh.believed[:, None].to(self.noise.points.device)
        return self.noise._replace(points=torch.where(replaced, torch.inf, self.noise.points))


def mesh_points(flame: Flame, points: Tensor | None, yaw: Tensor) -> MeshPoints | None:
    """The mesh [V, 478, 2] (NaN where a view has none) of views at `yaw` [V] degrees, for a head that knows its points.

    None where no view's can be used: the head has no `dense`, or all views are turned too far.
    """
    if points is None or flame.dense is None:
        return None
    usable = points.isfinite().all((1, 2)) & (yaw.abs() <= LARGEST_YAW).to(points.device)
    if not bool(usable.any()):
        return None
    sigma = torch.from_numpy(TOGETHER * flame.dense.sigma_at(yaw.cpu().numpy()).astype(np.float32)).to(points)
    return MeshPoints(points.nan_to_num(), torch.where(usable[:, None], sigma, torch.inf))


def projected_mesh(flame: Flame, heads: Candidates) -> Tensor:
    """The 478 points of K heads in V views, [K, V, 478, 2] ndc."""
    points = (heads.vertices[:, :, flame.dense_corners] * flame.dense_weights[..., None]).sum(-2)
    return heads.project_all(points)


def mesh_errors(flame: Flame, heads: Candidates, mesh: MeshPoints) -> Tensor:
    """[K, V, 478, 2] in standard deviations; 0 in views whose mesh is not believed."""
    return (projected_mesh(flame, heads) - mesh.points) / mesh.sigma[..., None]
