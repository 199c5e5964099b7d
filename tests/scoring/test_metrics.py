import numpy as np
import pytest

from mfnet.scoring import metrics
from mfnet.scoring.meshes import ItemError
from mfnet.scoring.metrics import Comparison, align, compare, legacy_mne, mean_angle


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def compared(truth, prediction) -> dict:
    return compare(Comparison(truth, prediction, 0.0, 1))[0]


def test_a_copy_is_perfect(scene):
    values = compared(scene.ball(), scene.ball())
    assert values["CD"] < 1e-9 and values["CR"] == 1 and values["mean_normal_angle"] < 1e-6
    assert values["outward"] == 1 and values["truth_pixels"] == values["common_pixels"]


def test_a_larger_ball_is_as_far_as_it_is_larger(scene):
    values, errors = compare(Comparison(scene.ball((80, 80, 80)), scene.ball((82, 82, 82)), 0.0, 1))
    assert values["CD"] == pytest.approx(2.0, abs=0.1) and values["median_CD"] == pytest.approx(2.0, abs=0.05)
    everything = np.concatenate([errors.truth_to_prediction, errors.prediction_to_truth])
    assert values["CD"] == pytest.approx(everything.mean())  # over all vertices together, not a mean of two means


def test_completeness_counts_the_truth(scene):
    half = scene.ball()
    front = half.vertices[half.faces].mean(axis=1)[:, 2] > 0
    values = compared(scene.ball(), metrics.Mesh(half.vertices, half.faces[front]))
    assert values["CR"] == pytest.approx(0.5, abs=0.02)
    assert compared(metrics.Mesh(half.vertices, half.faces[front]), scene.ball())["CR"] == 1


def test_reversed_winding_shows_in_outward_and_in_the_angle(scene):
    values = compared(scene.ball(), scene.ball().flipped())
    assert values["outward"] == 0 and values["mean_normal_angle"] == pytest.approx(np.pi, abs=1e-6)


def test_legacy_mne_shifts_normals_by_one():
    first, second = np.array([[0.0, 0, 1]]), np.array([[0.0, 1, 0]])
    assert mean_angle(first, second) == pytest.approx(np.pi / 2)
    assert legacy_mne(first, second) == pytest.approx(np.arccos(5 / 6))  # (1, 1, 2) and (1, 2, 1)


def test_legacy_mne_is_about_a_third_and_depends_on_direction():
    rng = np.random.default_rng(0)
    normals = unit(rng.normal(size=(4000, 3)) + np.array([0, 0, 2]))
    turned = unit(normals + 0.1 * rng.normal(size=normals.shape))
    assert 0.3 < legacy_mne(normals, turned) / mean_angle(normals, turned) < 0.5


def test_legacy_mne_is_nan_where_rounding_exceeds_one_and_the_true_angle_is_not():
    rng = np.random.default_rng(0)
    normals = unit(rng.normal(size=(2000, 3)))
    assert np.isnan(legacy_mne(normals, normals)) and mean_angle(normals, normals) < 1e-6


def test_degenerate_faces_are_left_out():
    normals = np.array([[0.0, 0, 1], [0, 0, 0]])
    assert legacy_mne(normals, np.array([[0.0, 1, 0], [0, 1, 0]])) == pytest.approx(np.arccos(5 / 6))


def test_wild_alignment_undoes_any_depth_and_nothing_else(scene):
    item = scene.wild_item(yaw=20)
    truth = scene.ball((70, 90, 80), (3, 2, 1))
    camera = item.to_camera(scene.wild_cube(item, truth).vertices)
    for shift in (-900.0, 0.0, 777.0):
        comparison = align(item, truth.moved(camera), truth.moved(camera + np.array([4.0, 0, shift])))
        expected = truth.vertices + np.array([4.0, 0, 0]) @ item.rotation
        np.testing.assert_allclose(comparison.prediction.vertices, expected, atol=1.0)
        np.testing.assert_allclose(comparison.truth.vertices, truth.vertices, atol=1e-9)


def test_lab_alignment_scales_about_the_camera(scene):
    item = scene.lab_item(33 + 11 + 9)
    truth = scene.ball()
    camera = truth.vertices @ item.rotation.T + item.head_centre
    for scale in (1.0, 1.02, 0.9):
        comparison = align(item, truth.moved(camera), truth.moved(camera * scale))
        values = compare(comparison)[0]
        ray = comparison.prediction.vertices @ item.rotation.T + item.head_centre
        np.testing.assert_allclose(ray / ray[:, 2:], camera / camera[:, 2:], atol=1e-9)  # on the same pixels
        assert values["CD"] < 2.5 and (scale != 1.0 or values["CD"] < 1e-6)


@pytest.mark.parametrize(("shift", "status"), [((0, 400.0, 0), "no_hits"), ((0, 0, 0), None)])
def test_a_mesh_outside_the_cylinder_has_no_score(scene, shift, status):
    far = scene.ball(centre=shift)
    if status is None:
        assert compared(scene.ball(), far)["CR"] == 1
        return
    with pytest.raises(ItemError) as caught:
        compared(scene.ball(), far)
    assert caught.value.status == status and "prediction" in caught.value.reason


def test_maps_without_a_common_pixel_have_no_score(scene):
    with pytest.raises(ItemError) as caught:
        compared(scene.ball((20, 20, 20), (0, 60, 60)), scene.ball((20, 20, 20), (0, -60, 60)))
    assert caught.value.status == "no_overlap"
