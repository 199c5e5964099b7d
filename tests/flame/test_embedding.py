"""The contour walks with the head's turn as in DECA."""

import numpy as np
import pytest
import torch

from benchmarks.flame import random_head
from mfnet.flame.embedding import contour_rows
from mfnet.flame.model import Flame
from mfnet.geometry.rotations import axis_angle_to_matrix, euler_to_matrix, matrix_to_axis_angle


def about_y(degrees: float) -> torch.Tensor:
    return axis_angle_to_matrix(torch.tensor([[0.0, np.radians(degrees), 0.0]], dtype=torch.float64))


# DECA's own table: row = round(yaw), at most 39; negative: 39 - yaw; below -39: 78.
ROWS = [(0, 0), (0.4, 0), (0.6, 1), (1, 1), (38.7, 39), (39, 39), (45, 39), (90, 39), (-0.4, 0), (-0.6, 40), (-1, 40)]
ROWS += [(-20.2, 59), (-38.6, 78), (-39, 78), (-39.6, 78), (-80, 78)]


@pytest.mark.parametrize(("degrees", "row"), ROWS)
def test_row_of_a_yaw(degrees, row):
    assert contour_rows(about_y(degrees), about_y(0)).item() == row
    assert contour_rows(about_y(0), about_y(degrees)).item() == row
    assert contour_rows(about_y(degrees - 7), about_y(7)).item() == row


def test_rotation_order_is_global_times_neck():
    """DECA's yaw is the middle angle of R_z R_y R_x = R_global R_neck: a roll of the whole head leaves it alone."""
    roll = axis_angle_to_matrix(torch.tensor([[0.0, 0.0, np.pi / 2]], dtype=torch.float64))
    assert contour_rows(roll, about_y(30)).item() == 30
    assert contour_rows(about_y(30), roll).item() == 0


def test_landmarks_are_the_chosen_row_then_the_static_points():
    head = random_head(vertices=200, faces=300, seed=5)
    flame = Flame(head, 3, 2).double()
    yaw = torch.tensor([0.0, 25.0, -12.0, 70.0, -70.0], dtype=torch.float64).deg2rad()
    matrix = euler_to_matrix(yaw, torch.zeros_like(yaw), torch.zeros_like(yaw))
    out = flame(torch.ones(5, 3).double(), torch.ones(5, 2).double(), matrix_to_axis_angle(matrix))
    points = head.landmarks
    for sample, row in enumerate([0, 25, 51, 39, 78]):
        vertices = out.vertices[sample].numpy()

        def at(faces, weights, vertices=vertices):
            return (vertices[head.faces[faces]] * weights[..., None]).sum(1)

        expected = [at(points.dynamic_faces[row], points.dynamic_weights[row])]
        expected.append(at(points.static_faces, points.static_weights))
        np.testing.assert_allclose(out.landmarks[sample].numpy(), np.concatenate(expected), atol=1e-7)
        full = at(points.full_faces, points.full_weights)
        np.testing.assert_allclose(out.landmarks_full[sample].numpy(), full, atol=1e-7)


def test_the_shared_contour_stays_on_the_silhouette(shared):
    """Turned towards the subject's left, the visible jaw points lie further out than the fixed ones would."""
    from mfnet.flame import load_flame

    folder = shared / "heads"
    flame = load_flame(folder / "ict_flame_numpy.pkl", folder / "landmark_embedding.npy")
    for degrees, far in ((30.0, slice(9, 16)), (-30.0, slice(1, 8))):
        pose = torch.tensor([[0.0, np.radians(degrees), 0.0]], dtype=torch.float32)
        out = flame(torch.zeros(1, 100), torch.zeros(1, 50), pose)
        outwards = np.sign(degrees)  # the far cheek's side of the image
        walked, fixed = (outwards * points[0, far, 0] for points in (out.landmarks, out.landmarks_full))
        assert (walked.mean() > fixed.mean() + 1e-3).item()
