"""The landmark embedding and the UV template as files of their own, as official heads have them."""

from pathlib import Path

import numpy as np

from mfnet.flame.embedding import embedding_fields
from mfnet.flame.head import HeadArrays
from mfnet.io.files import atomic_path


def write_landmarks(head: HeadArrays, path: str | Path) -> None:
    """Write the head's landmark embedding under DECA's keys, without a pickle."""
    with atomic_path(path) as beside, open(beside, "wb") as file:
        np.savez(file, **embedding_fields(head.landmarks))


def write_template(head: HeadArrays, path: str | Path) -> None:
    """Write the average head as an OBJ with UV (metres, v up), faces in the order of the model's."""
    lines = ["v {:.7f} {:.7f} {:.7f}".format(*vertex) for vertex in head.v_template.tolist()]
    lines += ["vt {:.9g} {:.9g}".format(*point) for point in head.uv.tolist()]
    corners = np.stack([head.faces, head.uv_faces], axis=-1).reshape(-1, 6) + 1
    lines += ["f {}/{} {}/{} {}/{}".format(*face) for face in corners.tolist()]
    with atomic_path(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="ascii")
