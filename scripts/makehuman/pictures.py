"""Draws docs/head.png, the open head to look at: ``python -m scripts.makehuman.pictures``."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from mfnet.export.pictures import grid
from mfnet.flame.makehuman import makehuman_head, makehuman_units
from mfnet.flame.model import Flame
from mfnet.geometry import clip_from_orthographic, euler_to_matrix, vertex_normals
from mfnet.render import interpolate, rasterize

SIZE = 136
COLOURS = {
    "mouth_inside": (0.55, 0.27, 0.27),
    "lips": (0.76, 0.50, 0.47),
    "tongue": (0.75, 0.42, 0.42),
    "teeth": (0.92, 0.90, 0.84),
    "eyeballs": (0.95, 0.95, 0.95),
}
SKIN = (0.82, 0.68, 0.60)
IRIS, PUPIL = 24.0, 10.0
"""Degrees from the line of sight."""
UNITS = (
    ("mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight"),
    ("mouthFrownLeft", "mouthFrownRight"),
    ("mouthPucker",),
    ("mouthFunnel",),
    ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"),
    ("mouthPressLeft", "mouthPressRight"),
    ("eyeBlinkLeft", "eyeBlinkRight"),
    ("eyeWideLeft", "eyeWideRight", "browInnerUp"),
    ("browDownLeft", "browDownRight", "noseSneerLeft", "noseSneerRight"),
    ("cheekPuff",),
    ("mouthLeft",),
    ("mouthRollLower", "mouthRollUpper"),
)
WHOLE = 2.5
"""Coefficient of a whole unit."""


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="docs/head.png", help="picture to write (default: %(default)s)")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of a picture's side (default: %(default)s)")
    options = parser.parse_args(argv)
    torch.set_num_threads(2)
    artist = Artist(options.size)
    picture = Image.fromarray(grid(artist.rows()))
    picture.quantize(256, dither=Image.Dither.NONE).save(Path(options.out), optimize=True)


class Artist:
    """Draws the head in posed states, whole or close."""

    def __init__(self, size: int) -> None:
        self.size = size
        head = makehuman_head()
        self.names = makehuman_units().names
        self.flame = Flame(head, head.n_shape_total, head.n_expression_total)
        self.colours = self._colours()

    def rows(self) -> list[list[np.ndarray]]:
        """Mean, people, units, jaw and gaze, eyes and mouth from near."""
        mean = self.posed()
        random = torch.randn(8, self.flame.n_shape, generator=torch.Generator().manual_seed(3))
        people = [self.posed(shape=code) for code in random]
        units = [self.posed(units=names) for names in UNITS]
        jaws = [self.posed(jaw=(angle, 0.0, 0.0)) for angle in (8.0, 15.0, 25.0)] + [self.posed(jaw=(8.0, 8.0, 0.0))]
        looks = [self.posed(gaze=look) for look in ((0.0, 25.0), (0.0, -25.0), (15.0, 0.0), (-15.0, 0.0))]
        eye, mouth = self._centre("eyeballs", left=True), self._centre("lips") * torch.tensor([0.0, 1, 1])
        lids = [
            self.posed(units=(name,), share=share) for name, share in (("eyeBlinkLeft", 0.5), ("eyeBlinkLeft", 1.0))
        ]
        near = [mean, *lids, looks[0]]
        mouths = [mean, units[0], units[4], jaws[1]]
        clay = torch.tensor([0.78, 0.76, 0.74]).expand_as(self.colours)
        return [
            [self.draw(mean, yaw) for yaw in (0, -40, -90, 180)]
            + [self.draw(mean, yaw, colours=clay) for yaw in (0, -40, -90, 140)],
            [self.draw(person, 0) for person in people],
            [self.draw(person, -40) for person in people],
            [self.draw(unit, -15) for unit in units[:8]],
            [self.draw(unit, -15) for unit in units[8:]] + [self.draw(jaw, -25) for jaw in jaws],
            [self.draw(state, 0, eye, 0.055) for state in near]
            + [self.draw(state, 0, mouth, 0.085) for state in mouths],
            [self.draw(state, -50, eye, 0.055) for state in near]
            + [self.draw(state, -50, mouth, 0.085) for state in mouths],
            [self.draw(look, 0, eye * torch.tensor([0.0, 1, 1]), 0.13) for look in looks]
            + [self.draw(person, 25, mouth, 0.085) for person in people[:4]],
        ]

    def posed(
        self,
        shape: Tensor | None = None,
        units: tuple[str, ...] = (),
        share: float = 1.0,
        jaw: tuple[float, ...] = (0.0, 0.0, 0.0),
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        """Vertices [V, 3]; jaw (axis-angle) and gaze (down, left) in degrees."""
        expression = torch.zeros(1, self.flame.n_expression)
        expression[0, [self.names.index(name) for name in units]] = WHOLE * share
        eyes = torch.deg2rad(torch.tensor([[*gaze, 0.0, *gaze, 0.0]]))
        code = torch.zeros(self.flame.n_shape) if shape is None else shape
        turn = torch.deg2rad(torch.tensor([jaw]))
        return self.flame(code[None], expression, torch.zeros(1, 3), None, turn, eyes).vertices[0]

    def draw(
        self,
        vertices: Tensor,
        yaw: float,
        centre: Tensor | None = None,
        width: float = 0.0,
        colours: Tensor | None = None,
    ) -> np.ndarray:
        """[size, size, 3] uint8 of a head turned by `yaw` degrees: all of it, or `width` metres about a point."""
        angle = torch.tensor(float(yaw)).deg2rad()
        turn = euler_to_matrix(angle, angle * 0, angle * 0)
        turned = vertices @ turn.T
        low, high = turned.amin(0), turned.amax(0)
        middle = (low + high) / 2 if centre is None else turn @ centre
        camera = torch.cat([2 / torch.tensor([width or float((high - low)[:2].max()) * 1.04]), -middle[:2]])
        raster = rasterize(clip_from_orthographic(turned[None], camera[None]), self.flame.faces, *(2 * self.size,) * 2)
        lamp = normalize(torch.tensor([0.3, 0.4, 0.85]), dim=0)
        light = 0.25 + 0.75 * (vertex_normals(turned[None], self.flame.faces)[0] @ lamp).clamp_min(0)[:, None]
        shaded = interpolate(light * (self.colours if colours is None else colours), raster, self.flame.faces)
        cover = (raster.face_id > 0).float()[..., None]
        picture = avg_pool2d((shaded * cover + 1 - cover).permute(0, 3, 1, 2), 2)[0].permute(1, 2, 0)
        return (picture.clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    def _colours(self) -> Tensor:
        colours = torch.tensor(SKIN).repeat(len(self._vertices()), 1)
        for name, colour in COLOURS.items():
            colours[self.flame.masks[name]] = torch.tensor(colour)
        for left in (True, False):
            ball = self._side("eyeballs", left)
            away = normalize(self._vertices()[ball] - self._vertices()[ball].mean(0), dim=1)
            degrees = torch.rad2deg(torch.acos(away[:, 2].clamp(-1, 1)))
            shade = torch.where(degrees[:, None] < IRIS, torch.tensor([0.32, 0.22, 0.14]), colours[ball])
            colours[ball] = torch.where(degrees[:, None] < PUPIL, torch.tensor([0.04, 0.03, 0.03]), shade)
        return colours

    def _vertices(self) -> Tensor:
        return self.posed()

    def _side(self, mask: str, left: bool) -> Tensor:
        return self.flame.masks[mask] & ((self._vertices()[:, 0] > 0) == left)

    def _centre(self, mask: str, left: bool | None = None) -> Tensor:
        chosen = self.flame.masks[mask] if left is None else self._side(mask, left)
        return self._vertices()[chosen].mean(0)


if __name__ == "__main__":
    main()
