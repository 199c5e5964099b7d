"""Textured heads as Wavefront OBJ (with MTL and PNG beside it), as binary glTF, and as PLY with coloured vertices."""

from pathlib import Path

import numpy as np
from torch import Tensor

from mfnet.errors import InputError
from mfnet.export.gltf import head_glb
from mfnet.export.rig import RiggedHead
from mfnet.flame.model import Flame
from mfnet.io.files import atomic_path
from mfnet.io.images import write_png
from mfnet.io.obj import ObjMesh, write_obj


def export_head(
    path: str | Path,
    vertices: Tensor | np.ndarray,
    flame: Flame,
    texture: np.ndarray | None = None,
    rig: RiggedHead | None = None,
) -> None:
    """Write one head to `path`, whose suffix chooses the format: ``.obj``, ``.glb`` or ``.ply``.

    vertices: [V, 3] metres (array, or tensor on any device), in head space: y up, z out of the face, as glTF's axes.
    flame: the head model, for faces and UV. texture: [T, T, 3] uint8, row 0 at v = 1 (see `mfnet.render.texture`), or
    None for geometry alone. rig: what moves the head, for glTF; its pose is that of the vertices. An OBJ keeps the
    model's own vertices and faces in their order; glTF has one UV a vertex, so vertices on UV seams are doubled there.
    PLY keeps the vertices and gives each the texture's colour at its place.

    Raises InputError for another suffix, for shapes that do not fit, and for a texture on a head model without UV.
    """
    path, vertices = Path(path), _array(vertices).astype(np.float64)
    needed = int(flame.faces.max()) + 1
    if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < needed:
        raise InputError(f"{path}: vertices are {list(vertices.shape)}, the head model needs [{needed}, 3]")
    if texture is not None and flame.uv is None:
        raise InputError(f"{path}: texture: the head model has no UV; load it with its template OBJ")
    require_format(path)
    if path.suffix.lower() == ".glb":
        _write_glb(path, vertices, flame, texture, rig)
        return
    {".obj": _write_obj, ".ply": _write_ply}[path.suffix.lower()](path, vertices, flame, texture)


def require_format(path: Path) -> None:
    """Raise InputError unless the suffix of `path` is one that `export_head` writes."""
    if path.suffix.lower() not in (".obj", ".glb", ".ply"):
        raise InputError(f"{path}: unknown format '{path.suffix}'; use .glb, .obj or .ply")


def _write_obj(path: Path, vertices: np.ndarray, flame: Flame, texture: np.ndarray | None) -> None:
    faces = _array(flame.faces)
    if texture is None:
        write_obj(path, ObjMesh(vertices, faces))
        return
    image, material = path.with_suffix(".png"), path.with_suffix(".mtl")
    write_png(texture, image)
    with atomic_path(material) as beside:
        owner = f"# head model: {flame.provenance}; may be shown to others: {flame.provenance.shown}"
        beside.write_text(f"{owner}\nnewmtl head\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {image.name}\n")
    mesh = ObjMesh(vertices, faces, *map(_array, flame.uv_map))
    write_obj(path, mesh, material=(material.name, "head"))


def _write_glb(
    path: Path, vertices: np.ndarray, flame: Flame, texture: np.ndarray | None, rig: RiggedHead | None
) -> None:
    with atomic_path(path) as beside:
        beside.write_bytes(head_glb(vertices, flame, texture, rig))


def _write_ply(path: Path, vertices: np.ndarray, flame: Flame, texture: np.ndarray | None) -> None:
    import trimesh  # late: slow to import

    faces = _array(flame.faces)
    colours = None if texture is None else vertex_colours(flame, texture)
    mesh = trimesh.Trimesh(vertices, faces, process=False, vertex_colors=colours)
    content = mesh.export(file_type="ply", vertex_normal=True)
    assert isinstance(content, bytes)  # as PLY's binary form is
    with atomic_path(path) as beside:
        beside.write_bytes(content)


def vertex_colours(flame: Flame, texture: np.ndarray) -> np.ndarray:
    """[V, 3] uint8: a texture [T, T, 3] at each vertex, at one of its places where it lies on a UV seam."""
    uv, uv_faces = map(_array, flame.uv_map)
    place = np.zeros((int(flame.faces.max()) + 1, 2))
    place[_array(flame.faces).ravel()] = uv[uv_faces.ravel()]
    size = len(texture)
    column, row = (np.clip((share * size).astype(int), 0, size - 1) for share in (place[:, 0], 1 - place[:, 1]))
    return texture[row, column]


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    """An array, from a tensor on any device."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
