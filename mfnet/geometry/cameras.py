"""Cameras, and the image coordinates they lead to.

Pixels: origin at the top-left corner of the top-left pixel, x right, y down, pixel centres at +0.5. Ndc: [-1, 1] over
the image, x right, y UP. Clip space: OpenGL's, ndc = xyz / w, visible where -w <= z <= w, smaller z / w is nearer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from mfnet.io.cameras import CalibratedCamera

ORTHOGRAPHIC_DEPTH = 10.0
"""Clip space of the scaled orthography holds |s z| up to this: a head at s = 10 may be a metre deep either way."""


def project_orthographic(points: Tensor, camera: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Scaled orthography as DECA's: points [..., N, 3] in metres, camera [..., 3] = (s, tx, ty) -> [..., N, 3].

    The result is (s (x + tx), s (y + ty), s z): ndc x and y, and a depth that is LARGER the nearer the point is to the
    camera, which looks along -z. With `divisor` [..., N] (`perspective_divisor`) x and y are divided by it: a camera at
    a finite distance.
    """
    scale, shift = camera[..., None, :1], camera[..., None, 1:]
    image = scale * (points[..., :2] + shift)
    if divisor is not None:
        image = image / divisor[..., None]
    return torch.cat([image, scale * points[..., 2:]], -1)


def reference_depth(landmarks: Tensor) -> Tensor:
    """The depth [...] at which a camera's scale holds: the mean of landmarks [..., N, 3]; metres towards the camera."""
    return landmarks[..., 2].mean(-1)


def perspective_divisor(depth: Tensor, centre: Tensor, inverse_distance: Tensor | float) -> Tensor:
    """The w that a perspective camera divides image coordinates by at `depth` (metres towards it), 1 at `centre`.

    What is nearer than `centre` (the `reference_depth`) has w < 1 and looks larger, what is farther w > 1 and looks
    smaller. inverse_distance: 1 / distance of the camera from `centre`, 1/m; 0 is orthography. All broadcast.
    """
    return 1 - inverse_distance * (depth - centre)


def clip_from_orthographic(points: Tensor, camera: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Points [B, N, 3] in metres seen by cameras [B, 3] = (s, tx, ty) -> clip coordinates [B, N, 4].

    w is 1 or, with perspective, `divisor` [B, N] (`perspective_divisor`).
    """
    projected = project_orthographic(points, camera)
    depth = projected[..., 2:] / -ORTHOGRAPHIC_DEPTH
    w = torch.ones_like(depth) if divisor is None else divisor[..., None]
    return torch.cat([projected[..., :2], depth * w, w], -1)


class PinholeCamera(NamedTuple):
    """B pinhole cameras that take images of one size; OpenCV's axes: x right, y down, z forward."""

    K: Tensor
    """[B, 3, 3] intrinsics in pixels of this project: a calibration whose pixel centres are whole numbers needs 0.5
    added to cx and cy."""
    R: Tensor
    """[B, 3, 3] rotation from world to camera: x_camera = R x + t."""
    t: Tensor
    """[B, 3] in the points' unit."""
    width: int
    """Pixels, as height."""
    height: int
    near: float
    """Depths that are drawn: 0 < near < far, in the points' unit. Projecting does not ask for them."""
    far: float

    @classmethod
    def calibrated(cls, cameras: Sequence["CalibratedCamera"], near: float, far: float) -> "PinholeCamera":
        """Cameras of a calibration file as a batch, float64, in its unit; their photographs are of one known size."""
        sizes = {(camera.width, camera.height) for camera in cameras}
        width, height = sizes.pop()
        if sizes or width is None or height is None:
            raise ValueError(f"cameras {', '.join(camera.name for camera in cameras)}: not of one known size")
        K, R, t = (torch.from_numpy(np.stack([getattr(each, name) for each in cameras])) for name in ("K", "R", "t"))
        return cls(K, R, t, width, height, near, far)

    def axes(self, points: Tensor) -> Tensor:
        """Points [B, N, 3] of the world in the cameras' axes."""
        return points @ self.R.mT + self.t[:, None]

    def cropped(self, left: int, top: int, width: int, height: int) -> "PinholeCamera":
        """The cameras that take the part of the image whose upper left corner lies at pixel (left, top)."""
        K = self.K - self.K.new_tensor([[[0.0, 0, left], [0, 0, top], [0, 0, 0]]])
        return self._replace(K=K, width=width, height=height)


def project_perspective(points: Tensor, camera: PinholeCamera) -> tuple[Tensor, Tensor]:
    """Points [B, N, 3] -> pixels [B, N, 2] and depth [B, N], z in the camera's axes, in the points' unit.

    A point with depth <= 0 is behind the camera and its pixel means nothing.
    """
    seen = camera.axes(points)
    image = seen @ camera.K.mT
    return image[..., :2] / image[..., 2:], seen[..., 2]


def clip_from_perspective(points: Tensor, camera: PinholeCamera) -> Tensor:
    """Points [B, N, 3] seen by a pinhole camera -> clip coordinates [B, N, 4], w = depth."""
    image = camera.axes(points) @ camera.K.mT
    near, far, w = camera.near, camera.far, image[..., 2]
    x = image[..., 0] * (2 / camera.width) - w
    y = w - image[..., 1] * (2 / camera.height)
    z = (w * (far + near) - 2 * far * near) / (far - near)
    return torch.stack([x, y, z, w], -1)


def ndc_to_pixels(xy: Tensor, width: int, height: int) -> Tensor:
    """Ndc [..., 2] (y up) -> pixels [..., 2] (y down) of a `width` x `height` image."""
    return torch.stack([(xy[..., 0] + 1) * (width / 2), (1 - xy[..., 1]) * (height / 2)], -1)


def pixels_to_ndc(xy: Tensor, width: int, height: int) -> Tensor:
    """Pixels [..., 2] (y down) of a `width` x `height` image -> ndc [..., 2] (y up)."""
    return torch.stack([xy[..., 0] * (2 / width) - 1, 1 - xy[..., 1] * (2 / height)], -1)
