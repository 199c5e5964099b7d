"""People of a scan-derived head in FLAME's format: random N(0, 1) codes of its identity directions.

Only figures measured on them enter the repository, nothing of their meshes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.flame.masks import derive_masks
from mfnet.flame.readers import read_head
from scripts.makehuman.surface import openness

OPEN = 0.5
"""Openness above which a vertex counts as seen: nostrils, the seam of the lips and the lids' backs do not."""


@dataclass(frozen=True)
class Scans:
    """A mean head and its identity directions, N(0, 1)."""

    mean: np.ndarray  # [V, 3] metres
    directions: np.ndarray  # [V, 3, S] metres per standard deviation
    faces: np.ndarray  # [F, 3]
    landmarks: np.ndarray  # [51, 3] on the mean: iBUG 17 to 67
    openness: np.ndarray  # [V]
    skin: np.ndarray  # [V] bool: not the eyeballs
    face: np.ndarray  # [V] bool: front from jaw to forehead

    @property
    def seen_face(self) -> np.ndarray:
        """[V] bool: the vertices on which errors are measured."""
        return self.face & (self.openness > OPEN)

    def people(self, count: int, seed: int) -> np.ndarray:
        """Random people [count, V, 3] metres."""
        codes = np.random.default_rng(seed).standard_normal((count, self.directions.shape[-1]))
        return self.mean + np.einsum("vcs,ns->nvc", self.directions, codes)


def read_scans(model: str | Path, landmarks: str | Path) -> Scans:
    """The scan-derived head of a FLAME file and its embedding; identity columns of zeros are left out."""
    head = read_head(Path(model), Path(landmarks))
    assert head.landmarks is not None
    vertices = head.v_template.astype(float)
    corners = vertices[head.faces[head.landmarks.static_faces]]
    directions = head.shapedirs[:, :, : head.n_shape_total].astype(float)
    masks = derive_masks(head)
    return Scans(
        mean=vertices,
        directions=directions[:, :, directions.any((0, 1))],
        faces=head.faces,
        landmarks=(corners * head.landmarks.static_weights[..., None]).sum(1),
        openness=openness(vertices, head.faces),
        skin=~masks["eyeballs"],
        face=masks["face"],
    )
