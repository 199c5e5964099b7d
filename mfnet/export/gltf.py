"""Binary glTF 2.0 (Khronos 2021): a textured head, still or with skeleton and morph targets.

glTF's axes and unit are head space's: metres, y up, the face along +z.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mfnet.export.rig import INFLUENCES, JAW, RiggedHead
from mfnet.flame import Flame
from mfnet.flame.head import JOINT_NAMES
from mfnet.geometry import axis_angle_to_matrix, uv_vertices
from mfnet.geometry.rotations import matrix_to_quaternion
from mfnet.io.images import encode_png

GENERATOR = "mfnet"
CLAY = [0.40, 0.38, 0.36, 1.0]
"""Base colour, linear, of a head without texture."""
VARIANTS = "KHR_materials_variants"
_COMPONENTS = {np.dtype(name): code for name, code in (("u1", 5121), ("u2", 5123), ("u4", 5125), ("f4", 5126))}
_ELEMENTS = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # OpenGL's names of what a buffer is for


@dataclass
class Document:
    """A glTF file under construction: its JSON tree and its one buffer."""

    tree: dict[str, Any] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append an entry to a list of the tree -> its index."""
        entries = self.tree.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def view(self, data: bytes, target: int | None = None) -> int:
        """Bytes as a buffer view that begins at a multiple of four."""
        self.buffer.extend(b"\0" * (-len(self.buffer) % 4))
        entry = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        self.buffer.extend(data)
        return self.add("bufferViews", entry | ({} if target is None else {"target": target}))

    def accessor(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Values [N, ...] in their own type; bounds: with the least and greatest of each component."""
        entry = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": _COMPONENTS[values.dtype],
            "count": len(values),
            "type": _ELEMENTS[values.shape[1:]],
        }
        return self.add("accessors", entry | (_bounds(values) if bounds else {}))

    def sparse_accessor(self, values: np.ndarray) -> int:
        """Offsets [N, 3] float32, mostly zero: those alone that are not are stored."""
        (moved,) = np.nonzero(values.any(1))
        entry: dict[str, Any] = {"componentType": 5126, "count": len(values), "type": "VEC3", **_bounds(values)}
        if len(moved):
            places = moved.astype(_index_type(len(values)))
            entry["sparse"] = {
                "count": len(moved),
                "indices": {"bufferView": self.view(places.tobytes()), "componentType": _COMPONENTS[places.dtype]},
                "values": {"bufferView": self.view(values[moved].tobytes())},
            }
        return self.add("accessors", entry)

    def texture(self, image: np.ndarray) -> int:
        """An image [H, W, 3] uint8 as a texture that does not repeat."""
        sampler = self.add("samplers", {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071})
        source = self.add("images", {"bufferView": self.view(encode_png(image)), "mimeType": "image/png"})
        return self.add("textures", {"sampler": sampler, "source": source})

    def binary(self) -> bytes:
        """The file."""
        self.buffer.extend(b"\0" * (-len(self.buffer) % 4))
        self.tree["buffers"] = [{"byteLength": len(self.buffer)}]
        text = json.dumps(self.tree, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        head = np.array([0x46546C67, 2, 28 + len(text) + len(self.buffer), len(text), 0x4E4F534A], "<u4")
        return b"".join([head.tobytes(), text, np.array([len(self.buffer), 0x4E4942], "<u4").tobytes(), self.buffer])


def head_glb(
    vertices: np.ndarray,
    flame: Flame,
    texture: np.ndarray | None = None,
    rig: RiggedHead | None = None,
    looks: Mapping[str, np.ndarray | None] | None = None,
    film: bool = False,
) -> bytes:
    """A head as a GLB file's bytes.

    vertices: [V, 3] metres; a rig's own take their place. texture: [T, T, 3] uint8, row 0 at v = 1, or None. rig: adds
    skeleton and morph targets; the file opens in the pose that it shows. looks: beside a texture, others by name that
    viewers can choose, None for a plain surface (KHR_materials_variants; the texture is their ``photographs``). film:
    adds the animation of `film_times` to a rig.
    """
    document = Document({"asset": _asset(flame), "scene": 0})
    surface = Surface.of(flame, texture is not None)
    if rig is not None:
        vertices = rig.neutral
    primitive = surface.primitive(document, vertices)
    if texture is not None:
        primitive["material"] = _material(document, "head", texture)
    if looks:
        _add_variants(document, primitive, looks)
    mesh: dict[str, Any] = {"name": "head", "primitives": [primitive]}
    node: dict[str, Any] = {"name": "head", "mesh": 0}
    document.add("nodes", node)
    roots = [0]
    if rig is not None:
        roots.append(_add_skeleton(document, primitive, node, rig, surface.owner))
        primitive["targets"] = [{"POSITION": document.sparse_accessor(offset[surface.owner])} for offset in rig.offsets]
        mesh |= {"weights": rig.weights.tolist(), "extras": {"targetNames": list(rig.names)}}
        if film:
            _add_film(document, rig, roots[1])
    document.add("meshes", mesh)
    document.add("scenes", {"nodes": roots})
    return document.binary()


@dataclass(frozen=True)
class Surface:
    """Faces and vertices as glTF has them: one UV a vertex, so that vertices on UV seams are doubled."""

    model_faces: np.ndarray
    """[F, 3] of the head model."""
    faces: np.ndarray
    """[F, 3] of the file."""
    owner: np.ndarray
    """[N] the model's vertex that each of the file's is."""
    uv: np.ndarray | None
    """[N, 2] v up."""

    @classmethod
    def of(cls, flame: Flame, with_uv: bool) -> "Surface":
        """The head model's surface, with its UV or without."""
        faces = flame.faces.cpu().numpy()
        if not with_uv:
            return cls(faces, faces, np.arange(int(faces.max()) + 1), None)
        uv, uv_faces = flame.uv_map
        owner = uv_vertices(flame.faces, uv_faces, len(uv)).cpu().numpy()
        return cls(faces, uv_faces.cpu().numpy(), owner, uv.cpu().numpy())

    def primitive(self, document: Document, vertices: np.ndarray) -> dict[str, Any]:
        """Vertices [V, 3] of the model with normals that are smooth across seams."""
        normals = vertex_normals(vertices, self.model_faces)
        attributes = {
            "POSITION": document.accessor(vertices[self.owner].astype(np.float32), _VERTICES, bounds=True),
            "NORMAL": document.accessor(normals[self.owner].astype(np.float32), _VERTICES),
        }
        if self.uv is not None:
            flipped = np.stack([self.uv[:, 0], 1 - self.uv[:, 1]], 1).astype(np.float32)  # glTF's v is down
            attributes["TEXCOORD_0"] = document.accessor(flipped, _VERTICES)
        corners = self.faces.ravel().astype(_index_type(len(self.owner)))
        return {"attributes": attributes, "indices": document.accessor(corners, _INDICES)}


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of a mesh before it is split at UV seams, so that the two sides of a seam shade alike.

    A vertex in no face, or in faces without area alone, looks along +z: glTF knows no normal of length 0.
    """
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # as long as twice the area
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    usable = lengths > np.finfo(np.float64).tiny
    return np.where(usable, normals / np.where(usable, lengths, 1), [0.0, 0.0, 1.0])


def film_times(count: int) -> np.ndarray:
    """[2 count + 2] seconds of a film's key frames: 0 the pose that is shown, 1 the neutral face, 2 target 0 whole, 3
    neutral, 4 target 1 whole, ... So second 1 + 2 i + s shows target i at weight s."""
    return np.arange(2 * count + 2, dtype=np.float32)


def _add_film(document: Document, rig: RiggedHead, root: int) -> None:
    """One animation that goes from the pose shown to the neutral face, and through every target."""
    count = len(rig.names)
    times = film_times(count)
    weights = np.zeros((len(times), count), np.float32)
    weights[0] = rig.weights
    weights[2::2] = np.eye(count)
    turns = np.tile(np.array([0, 0, 0, 1], np.float32), (len(times), 1))
    turns[0] = _quaternion(rig.jaw_pose)
    key = document.accessor(times, bounds=True)
    outputs = [document.accessor(weights.ravel()), document.accessor(turns)]
    targets = [{"node": 0, "path": "weights"}, {"node": root + JAW, "path": "rotation"}]
    document.add(
        "animations",
        {
            "name": "units",
            "samplers": [{"input": key, "output": output, "interpolation": "LINEAR"} for output in outputs],
            "channels": [{"sampler": row, "target": target} for row, target in enumerate(targets)],
        },
    )


def _add_skeleton(
    document: Document, primitive: dict[str, Any], node: dict[str, Any], rig: RiggedHead, owner: np.ndarray
) -> int:
    """Joints as nodes in their order, their bind matrices, and who moves which vertex -> node of the root joint."""
    root = len(document.tree["nodes"])
    for joint, (name, parent) in enumerate(zip(JOINT_NAMES, rig.parents, strict=True)):
        place = rig.joints[joint] - (rig.joints[parent] if parent >= 0 else 0)
        entry: dict[str, Any] = {"name": name, "translation": place.tolist()}
        children = [root + child for child, of in enumerate(rig.parents) if of == joint]
        document.add("nodes", entry | ({"children": children} if children else {}))
    document.tree["nodes"][root + JAW]["rotation"] = _quaternion(rig.jaw_pose).tolist()
    back = np.tile(np.eye(4, dtype=np.float32), (len(JOINT_NAMES), 1, 1))
    back[:, 3, :3] = -rig.joints  # column by column
    joints = list(range(root, root + len(JOINT_NAMES)))
    node["skin"] = document.add(
        "skins", {"inverseBindMatrices": document.accessor(back), "joints": joints, "skeleton": root}
    )
    order = np.argsort(-rig.skinning, 1, kind="stable")[:, :INFLUENCES]
    weights = np.take_along_axis(rig.skinning, order, 1)
    order = np.where(weights > 0, order, 0)
    primitive["attributes"]["JOINTS_0"] = document.accessor(order[owner].astype(np.uint8), _VERTICES)
    primitive["attributes"]["WEIGHTS_0"] = document.accessor(weights[owner].astype(np.float32), _VERTICES)
    return root


def _add_variants(document: Document, primitive: dict[str, Any], looks: Mapping[str, np.ndarray | None]) -> None:
    """Materials that viewers choose by name: ``photographs``, the primitive's own, and `looks`."""
    materials = [primitive["material"]] + [_material(document, name, image) for name, image in looks.items()]
    document.tree["extensionsUsed"] = [VARIANTS]
    names = ["photographs", *looks]
    document.tree["extensions"] = {VARIANTS: {"variants": [{"name": name} for name in names]}}
    mappings = [{"material": material, "variants": [row]} for row, material in enumerate(materials)]
    primitive["extensions"] = {VARIANTS: {"mappings": mappings}}


def _material(document: Document, name: str, image: np.ndarray | None) -> int:
    """A dull surface with a texture, or of clay."""
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    surface |= {"baseColorFactor": CLAY} if image is None else {"baseColorTexture": {"index": document.texture(image)}}
    return document.add("materials", {"name": name, "pbrMetallicRoughness": surface})


def _asset(flame: Flame) -> dict[str, Any]:
    """Who made the file, and whose head it is."""
    return {
        "version": "2.0",
        "generator": GENERATOR,
        "copyright": f"Head model: {flame.provenance}",
        "extras": {"head": flame.provenance.declaration() | {"content_hash": flame.content_hash}},
    }


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """Axis-angle [3] -> (x, y, z, w)."""
    matrix = axis_angle_to_matrix(torch.from_numpy(np.asarray(rotation, np.float64))[None])
    return np.roll(matrix_to_quaternion(matrix)[0].numpy(), -1)


def _bounds(values: np.ndarray) -> dict[str, list[float]]:
    """Least and greatest of each component."""
    flat = values.reshape(len(values), -1)
    return {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}


def _index_type(count: int) -> type[np.unsignedinteger]:
    """Of indices below `count`; the type's largest value restarts primitives and is no index."""
    return np.uint16 if count < np.iinfo(np.uint16).max else np.uint32
