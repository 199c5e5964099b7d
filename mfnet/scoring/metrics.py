"""The benchmark's numbers of one item: CD, CR, MNE as the official code defines them, quirks included, and honest ones.

The definition is the official code with its two approximate steps made exact: depth by ray casting (its 24-bit depth
buffer is coarse at long focal lengths) and the farthest hit by one ray per cylinder pixel.
"""

from dataclasses import dataclass

import numpy as np

from mfnet.datasets.facescape import IMAGE_SIZE, Item, WildItem
from mfnet.scoring.closest import surface_distances
from mfnet.scoring.cylinder import DIRECTIONS, CylinderMap, GridSurface, cylinder_map, grid_surface
from mfnet.scoring.depth import depth_offset, orthographic_depth, perspective_depth
from mfnet.scoring.meshes import ItemError, Mesh


@dataclass(frozen=True)
class Comparison:
    """An aligned prediction beside its ground truth, in the canonical frame, mm."""

    truth: Mesh
    prediction: Mesh
    delta_z: float
    """The official figure: depth offset in pixels (wild) or mm (lab); NaN where the image shows no overlap."""
    image_overlap: int
    """Pixels of the 256 x 256 image where both have depth."""
    height: float = 1.0
    """The prediction's height in the camera as a share of the truth's, before alignment; vertices in no face left
    out."""


@dataclass(frozen=True)
class Errors:
    """Distances behind CD: vertices of the prediction's and of the truth's grid surface, mm."""

    surface: GridSurface
    """The prediction's."""
    prediction_to_truth: np.ndarray
    """[P] mm, for the used vertices of `surface` in their order."""
    truth_to_prediction: np.ndarray
    """[T] mm."""


def align(item: Item, truth: Mesh, prediction: Mesh) -> Comparison:
    """Align the prediction in depth and bring both to the canonical frame.

    truth, prediction: camera space of the protocol, mm. wild: the prediction is shifted along z by the median depth
    difference (not at all without overlap, which is official too). lab: it is scaled about the camera by
    mean / (mean - delta), mean = mean true depth on the overlap; exact only where the prediction's scale was right or
    its depth error symmetric, so even an exact copy of another size scores some CD.

    Raises ItemError ``no_overlap`` for a lab item without overlap in the image.
    """
    if isinstance(item, WildItem):
        depths = [orthographic_depth(mesh.vertices, mesh.faces, item.pupil_scale) for mesh in (truth, prediction)]
        delta, overlap = depth_offset(*depths)
        shift = delta if np.isfinite(delta) else 0.0
        aligned = prediction.vertices - [0.0, 0.0, shift]
        delta = delta * (IMAGE_SIZE / 2) / item.pupil_scale
    else:
        depths = [perspective_depth(mesh.vertices, mesh.faces, item.intrinsics) for mesh in (truth, prediction)]
        delta, overlap = depth_offset(*depths)
        if not overlap.any():
            raise ItemError("no_overlap", "prediction and ground truth share no pixel of the image")
        mean = depths[0][overlap].mean()
        aligned = prediction.vertices * (mean / (mean - delta))
    canonical = [(vertices - item.head_centre) @ item.rotation for vertices in (truth.vertices, aligned)]
    height = _height(prediction) / max(_height(truth), np.finfo(np.float64).tiny)
    return Comparison(truth.moved(canonical[0]), prediction.moved(canonical[1]), delta, int(overlap.sum()), height)


def _height(mesh: Mesh) -> float:
    return float(np.ptp(mesh.vertices[mesh.faces, 1]))


def compare(comparison: Comparison) -> tuple[dict[str, float], Errors]:
    """Every number of the table for an aligned pair, and the distances for an error map.

    Keys: CD (mean, mm), median_CD (mm), CR (share of the truth's cylinder pixels), MNE (rad, legacy: see `legacy_mne`),
    mean_normal_angle (rad, the true mean), delta_z, image_overlap, truth_pixels, prediction_pixels, common_pixels,
    outward (share of common pixels where the prediction's face turns outwards: near 0 its winding is reversed).

    Raises ItemError no_hits (a mesh outside the cylinder), no_overlap (no common pixel), no_surface (no two common
    pixels that join) or beyond_cylinder.
    """
    maps = [cylinder_map(mesh.vertices, mesh.faces) for mesh in (comparison.truth, comparison.prediction)]
    hits = [surface.distance != 0 for surface in maps]
    for name, mask in zip(("ground truth", "prediction"), hits, strict=True):
        if not mask.any():
            raise ItemError("no_hits", f"no ray of the cylinder map meets the {name}")
    common = hits[0] & hits[1]
    if not common.any():
        raise ItemError("no_overlap", "the cylinder maps of prediction and ground truth have no common pixel")
    normals = [
        face_normals(mesh, surface.face[common])
        for mesh, surface in zip((comparison.truth, comparison.prediction), maps, strict=True)
    ]
    errors = surface_errors(maps[0], maps[1], common)
    distances = np.concatenate([errors.truth_to_prediction, errors.prediction_to_truth])
    values = {
        "CD": float(distances.mean()),
        "median_CD": float(np.median(distances)),
        "CR": float(common.sum() / hits[0].sum()),
        "MNE": legacy_mne(*normals),
        "mean_normal_angle": mean_angle(*normals),
        "delta_z": comparison.delta_z,
        "image_overlap": comparison.image_overlap,
        "truth_pixels": int(hits[0].sum()),
        "prediction_pixels": int(hits[1].sum()),
        "common_pixels": int(common.sum()),
        "outward": outward_share(normals[1], common),
    }
    return values, errors


def surface_errors(truth: CylinderMap, prediction: CylinderMap, common: np.ndarray) -> Errors:
    """Distances both ways between the grid surfaces of two maps on their `common` pixels [256, 256]."""
    surfaces = [grid_surface(np.where(common, surface.distance, 0.0)) for surface in (truth, prediction)]
    if not all(surface.quads.any() for surface in surfaces):
        raise ItemError("no_surface", "the common pixels of the cylinder maps are too scattered to form a surface")
    points = [surface.vertices[surface.used] for surface in surfaces]
    return Errors(
        surface=surfaces[1],
        prediction_to_truth=surface_distances(points[1], surfaces[0]),
        truth_to_prediction=surface_distances(points[0], surfaces[1]),
    )


def face_normals(mesh: Mesh, faces: np.ndarray) -> np.ndarray:
    """Unit normals [N, 3] of the faces numbered `faces` [N]; zero for a face without area."""
    if len(mesh.faces) < len(faces):  # each face once, not once per hit
        return face_normals(mesh, np.arange(len(mesh.faces)))[faces]
    corners = mesh.vertices[mesh.faces[faces]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)


def legacy_mne(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The official MNE of unit normals [N, 3], rad: the angle between (n + 1) / |n + 1|, as if normals were colours.

    It is about 0.38 of the true mean angle. Nothing is clipped: normals that are equal to rounding can give a dot
    product above 1, whose arccos is NaN, and with it the whole item's MNE, as officially.
    """
    usable = (truth != 0).any(axis=1) & (prediction != 0).any(axis=1)
    shifted = [(normals[usable] + 1) for normals in (truth, prediction)]
    shifted = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in shifted]
    with np.errstate(invalid="ignore"):
        angles = np.arccos(np.sum(shifted[0] * shifted[1], axis=1))
    return float(np.sum(angles) / usable.sum()) if usable.any() else float("nan")


def outward_share(normals: np.ndarray, common: np.ndarray) -> float:
    """Share of the hits on the `common` pixels whose normals [N, 3] turn away from the cylinder's axis."""
    direction = DIRECTIONS[np.nonzero(common)[1]]
    return float((normals[:, 0] * direction[:, 0] + normals[:, 2] * direction[:, 1] > 0).mean())


def mean_angle(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The mean angle between unit normals [N, 3], rad."""
    usable = (truth != 0).any(axis=1) & (prediction != 0).any(axis=1)
    cosines = np.sum(truth[usable] * prediction[usable], axis=1)
    return float(np.arccos(np.clip(cosines, -1.0, 1.0)).mean()) if usable.any() else float("nan")
