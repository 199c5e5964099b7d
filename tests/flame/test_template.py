"""The OBJ template's UV layout."""

import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.flame.template import read_template

FACES = np.array([[0, 1, 2], [0, 2, 3]])
GOOD = """# a comment
mtllib none.mtl
v 0 0 0
v 1 0 0
v 1 1 0 1.0
v 0 1 0
vt 0.0 0.25
vt 1 0.25 0
vt 1 1
vt 0 1
vn 0 0 1
s off
f 1/1/1 2/2/1 3/3/1
f 1/1 3/3 4/4
"""


def test_uv_in_the_models_face_order(tmp_path):
    (tmp_path / "t.obj").write_text(GOOD)
    uv, uv_faces = read_template(tmp_path / "t.obj", FACES)
    np.testing.assert_array_equal(uv, np.array([[0, 0.25], [1, 0.25], [1, 1], [0, 1]], np.float32))
    np.testing.assert_array_equal(uv_faces, FACES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("f 1/1 3/3 4/4", "f 1/1 4/4 3/3", "not the model's 2 faces"),
        ("f 1/1 3/3 4/4\n", "", "not the model's 2 faces"),
        ("f 1/1 3/3 4/4", "f 1 3 4", "line 14"),
        ("f 1/1 3/3 4/4", "f 1/1 3/3 4/9", "uv_faces"),
        ("f 1/1 3/3 4/4", "f 1/1 3/3 4/0", "line 14: vertex 0"),
        ("f 1/1 3/3 4/4", "f 1/1 3/3 4/-9", "uv_faces"),
        ("f 1/1 3/3 4/4", f"f 1/1 3/3 {1 << 70}/4", "line 14"),
        ("f 1/1 3/3 4/4", "f 1/1 3/3", "line 14: 2 fields"),
        ("f 1/1 3/3 4/4", "f 1/1 2/2 3/3 4/4", "its 3 triangles"),
        ("vt 1 1", "vt 1 one", "line 9"),
        ("vt 1 1", "vt 1 nan", "'uv'"),
        ("vt 1 1", "vt 1 7", "tiled"),
        ("vt 1 1", "vt 1 " + "9" * 400, "'uv'"),
        (GOOD, "", "no faces"),
        (GOOD, "<html></html>", "no faces"),
        (GOOD, "f " + "1/1 " * 100000, "line 1 is longer"),
    ],
)
def test_bad_templates(tmp_path, old, new, message):
    (tmp_path / "t.obj").write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_template(tmp_path / "t.obj", FACES)
    assert str(tmp_path / "t.obj") in str(caught.value) and "\n" not in str(caught.value)


def test_indices_counted_back_from_the_last_are_legal(tmp_path):
    (tmp_path / "t.obj").write_text(GOOD.replace("f 1/1 3/3 4/4", "f -4/-4 -2/-2 -1/-1"))
    np.testing.assert_array_equal(read_template(tmp_path / "t.obj", FACES)[1], FACES)


def test_absent_and_large_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_template(tmp_path / "t.obj", FACES)
    with open(tmp_path / "t.obj", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="larger than"):
        read_template(tmp_path / "t.obj", FACES)


def test_the_shared_template(shared):
    from mfnet.flame import read_head

    folder = shared / "heads"
    npz = read_head(folder / "ict_flame.npz")
    head = read_head(folder / "ict_flame_numpy.pkl", template=folder / "head_template.obj")
    np.testing.assert_array_equal(head.uv_faces, npz.uv_faces)
    np.testing.assert_allclose(head.uv, npz.uv, atol=1e-5)
