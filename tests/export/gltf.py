"""A GLB read as its specification says: its arrays, and the mesh as a viewer poses it."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
SHAPES = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Part(dict):
    """An object of the file's JSON; a property that it does not have is None."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


@dataclass(frozen=True)
class Opened:
    """A file with one mesh of one primitive."""

    gltf: Part
    blob: bytes

    @classmethod
    def of(cls, path: Path) -> "Opened":
        content = path.read_bytes()
        magic, version, size, length, kind = struct.unpack_from("<4sIII4s", content)
        assert (magic, version, size, kind) == (b"glTF", 2, len(content), b"JSON")
        binary, kind = struct.unpack_from("<I4s", content, 20 + length)
        assert (binary, kind) == (len(content) - length - 28, b"BIN\0")
        return cls(json.loads(content[20 : 20 + length], object_hook=Part), content[28 + length :])

    @property
    def mesh(self) -> Part:
        (mesh,) = self.gltf.meshes
        return mesh

    @property
    def primitive(self) -> Part:
        (primitive,) = self.mesh.primitives
        return primitive

    @property
    def names(self) -> list[str]:
        return self.mesh.extras["targetNames"]

    def attribute(self, name: str) -> np.ndarray:
        return self.array(getattr(self.primitive.attributes, name))

    def targets(self) -> np.ndarray:
        return np.stack([self.array(target["POSITION"]) for target in self.primitive.targets])

    def array(self, index: int) -> np.ndarray:
        accessor = self.gltf.accessors[index]
        dtype, shape = TYPES[accessor.componentType], SHAPES[accessor.type]
        if accessor.bufferView is not None:
            return self._values(accessor.bufferView, dtype, accessor.count, shape)
        values = np.zeros((accessor.count, *shape), dtype)
        if accessor.sparse is not None:
            count, indices = accessor.sparse.count, accessor.sparse.indices
            rows = self._values(indices.bufferView, TYPES[indices.componentType], count, ())
            values[rows] = self._values(accessor.sparse["values"].bufferView, dtype, count, shape)
        return values

    def _values(self, view: int, dtype: type, count: int, shape: tuple[int, ...]) -> np.ndarray:
        entry = self.gltf.bufferViews[view]
        size = count * int(np.prod(shape, dtype=int))
        return np.frombuffer(self.blob, dtype, size, entry.byteOffset or 0).reshape(count, *shape)

    def posed(self, weights: dict[str, float] | None = None, turns: dict[str, np.ndarray] | None = None) -> np.ndarray:
        """[N, 3] vertices as the glTF specification poses them; None: with the file's own weights and rotations.

        turns: axis-angle of joints by name, in place of all of the file's.
        """
        own = self.mesh.weights if weights is None else [weights.get(name, 0.0) for name in self.names]
        unposed = self.attribute("POSITION") + np.tensordot(own, self.targets(), 1)
        skin = self.gltf.skins[0]
        back = self.array(skin.inverseBindMatrices).transpose(0, 2, 1)  # stored column by column
        matrices = np.stack([self._world(joint, turns) for joint in skin.joints]) @ back
        blended = np.einsum("nk,nkij->nij", self.attribute("WEIGHTS_0"), matrices[self.attribute("JOINTS_0")])
        return np.einsum("nij,nj->ni", blended[:, :3, :3], unposed) + blended[:, :3, 3]

    def _world(self, node: int, turns: dict[str, np.ndarray] | None) -> np.ndarray:
        entry = self.gltf.nodes[node]
        local = np.eye(4)
        local[:3, 3] = entry.translation
        if turns is not None:
            local[:3, :3] = Rotation.from_rotvec(turns.get(entry.name, np.zeros(3))).as_matrix()
        elif entry.rotation is not None:
            local[:3, :3] = Rotation.from_quat(entry.rotation).as_matrix()
        parents = [row for row, other in enumerate(self.gltf.nodes) if node in (other.children or [])]
        return self._world(parents[0], turns) @ local if parents else local
