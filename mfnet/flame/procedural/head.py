"""The procedural head in FLAME's format: everything together."""

import dataclasses

import numpy as np

from mfnet.flame.embedding import embedding_from_fields
from mfnet.flame.head import HeadArrays, head_from_fields
from mfnet.flame.procedural.correctives import pose_directions
from mfnet.flame.procedural.embedding import dynamic_embedding, static_embedding
from mfnet.flame.procedural.expression import expression_directions
from mfnet.flame.procedural.masks import region_masks
from mfnet.flame.procedural.shape import shape_directions
from mfnet.flame.procedural.skinning import KINTREE, joint_regressor, skinning_weights
from mfnet.flame.procedural.topology import make_mesh
from mfnet.flame.procedural.uv import make_uv

GRID = 1e-7
"""Stored reals are whole multiples of this, so that rounding differences between processors do not show."""


def _on_grid(values: np.ndarray, grid: float = GRID) -> np.ndarray:
    return (np.rint(values / grid) * grid + 0.0).astype(np.float32)


def build_head(seed: int, n_shape: int = 100, n_expression: int = 50) -> dict:
    """The procedural head as FLAME's arrays, deterministic from `seed`.

    Returns v_template [V, 3], f [F, 3] uint32, shapedirs [V, 3, n_shape + n_expression] (metres per standard
    deviation), n_shape_total, posedirs [V, 3, 36], J_regressor [5, V], weights [V, 5], kintree_table [2, 5]; DECA's
    embedding (static_lmk_*, dynamic_lmk_*, full_lmk_*); uv [T, 2], uv_faces [F, 3]; masks: dict of boolean [V].
    """
    mesh = make_mesh(seed)
    rng = np.random.default_rng([seed, 1])
    shape = shape_directions(mesh, n_shape, rng)
    expression = expression_directions(mesh, n_expression, rng)
    static, dynamic = static_embedding(mesh), dynamic_embedding(mesh)
    uv, uv_faces = make_uv(mesh)
    return {
        "v_template": _on_grid(mesh.vertices),
        "f": mesh.faces.astype(np.uint32),
        "shapedirs": _on_grid(np.concatenate([shape, expression], axis=2)),
        "n_shape_total": n_shape,
        "posedirs": _on_grid(pose_directions(mesh)),
        "J_regressor": _on_grid(joint_regressor(mesh), 1e-9),
        "weights": _on_grid(skinning_weights(mesh)),
        "kintree_table": KINTREE,
        "static_lmk_faces_idx": static[0],
        "static_lmk_bary_coords": _on_grid(static[1]),
        "dynamic_lmk_faces_idx": dynamic[0],
        "dynamic_lmk_bary_coords": _on_grid(dynamic[1]),
        "full_lmk_faces_idx": np.concatenate([dynamic[0][0], static[0]]),
        "full_lmk_bary_coords": _on_grid(np.concatenate([dynamic[1][0], static[1]])),
        "uv": _on_grid(uv),
        "uv_faces": uv_faces,
        "masks": region_masks(mesh),
    }


def head_arrays(seed: int) -> HeadArrays:
    """The procedural head as the head room's checked arrays."""
    fields = build_head(seed)
    head = head_from_fields({**fields, "n_shape_total": np.array(fields["n_shape_total"])}, "procedural head")
    return dataclasses.replace(
        head,
        landmarks=embedding_from_fields(fields, len(head.faces), "procedural head"),
        uv=fields["uv"],
        uv_faces=fields["uv_faces"],
        masks=fields["masks"],
    )
