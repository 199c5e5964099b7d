import numpy as np
import pytest
import trimesh
from PIL import Image

from mfnet.scoring.error_maps import colours, distance_map, error_picture, front_view, write_error_map
from mfnet.scoring.metrics import Comparison, compare


@pytest.fixture
def compared(scene):
    return compare(Comparison(scene.ball((80, 80, 80)), scene.ball((82, 82, 82)), 0.0, 1))


def test_the_files_hold_the_surface_and_the_picture(compared, tmp_path):
    row, errors = compared
    write_error_map(tmp_path / "maps" / "method-000", errors, "method 000", row)
    mesh = trimesh.load(tmp_path / "maps/method-000.ply", process=False)
    assert len(mesh.vertices) == errors.surface.used.sum() and len(mesh.faces) == len(errors.surface.faces)
    assert np.einsum("ij,ij->i", mesh.triangles.mean(axis=1), mesh.face_normals).mean() > 0  # wound outwards
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], colours(errors.prediction_to_truth)[:, :3])
    with Image.open(tmp_path / "maps/method-000.png") as picture:
        assert picture.width > 600


def test_the_same_item_gives_the_same_bytes(compared, tmp_path):
    row, errors = compared
    for name in "ab":
        write_error_map(tmp_path / name, errors, "title", row)
    for ending in (".ply", ".png"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_colours_have_a_fixed_range():
    low, high, beyond = colours(np.array([0.0, 5.0, 50.0]))
    assert (high == beyond).all() and (low != high).any()
    np.testing.assert_array_equal(colours(np.array([2.5])), colours(np.array([2.5, 40.0]))[:1])


def test_views_show_the_distances(compared):
    _, errors = compared
    flat, front = distance_map(errors), front_view(errors, 100)
    assert np.isfinite(flat).sum() == errors.surface.used.sum()
    assert np.nanmax(front) <= errors.prediction_to_truth.max() + 1e-9 and np.isnan(front[0, 0])
    radius = np.sqrt(np.isfinite(front).sum() / np.pi) * 3  # 3 mm a pixel
    assert radius == pytest.approx(82, rel=0.03)
    assert np.nanmedian(front) == pytest.approx(2, abs=0.2)


def test_a_picture_is_white_beside_the_face_and_its_ends_are_the_ranges():
    values = np.array([[np.nan, 0.0], [5.0, 9.0]])
    picture = error_picture(values)
    assert picture.dtype == np.uint8 and (picture[0, 0] == 255).all()
    assert (picture[1, 0] == picture[1, 1]).all() and (picture[0, 1] != picture[1, 0]).any()
