from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch import nn

from mfnet.benchmark.aflw import nme_by_yaw, normalised_mean_error, picture_grid, score_images
from mfnet.flame import Flame
from mfnet.geometry import crop_box, crop_matrix, ndc_to_pixels, project_orthographic, transform_points
from mfnet.model.parameters import Person, Prediction, View

SIZE, SCALE = 64, 1.4


@pytest.fixture(scope="module")
def flame(head):
    return Flame(head, 4, 3)


class Fixed(nn.Module):
    """The mean head, frontal, with one camera, whatever it is shown."""

    def __init__(self, views):
        super().__init__()
        self.params = SimpleNamespace(views=views)
        self.camera = nn.Parameter(torch.tensor([9.0, 0.0, 0.02]))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        batch, views = images.shape[:2]
        zeros = torch.zeros(batch, views, 3)
        camera = self.camera.expand(batch, views, 3)
        person = Person(torch.zeros(batch, 4), torch.zeros(batch, 3), zeros[:, 0])
        return Prediction(person, View(zeros, camera, zeros[..., 0], zeros, zeros))


def crop_points(flame, camera) -> np.ndarray:
    output = flame(torch.zeros(1, 4), torch.zeros(1, 3), torch.zeros(1, 3))
    ndc = project_orthographic(output.landmarks_full, camera[None])[0, :, :2]
    return ndc_to_pixels(ndc, SIZE, SIZE).double().numpy()


def write_pairs(flame, folder, yaws):
    """Photographs annotated with the mean head's own landmarks, somewhere in the picture."""
    points = crop_points(flame, Fixed(1).camera.detach()) + 100
    for number, yaw in enumerate(yaws):
        Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(folder / f"{number}.png")
        fields = {"pt3d_68": np.vstack([points.T, np.zeros(68)]), "Pose_Para": np.array([[0, np.radians(yaw), 0]])}
        savemat(folder / f"{number}.mat", fields)


def test_nme_is_the_mean_distance_over_the_box():
    truth = np.zeros((68, 2))
    truth[:, 0], truth[:, 1] = np.linspace(0, 90, 68), np.linspace(0, 40, 68)
    assert normalised_mean_error(truth, truth) == 0
    assert normalised_mean_error(truth + np.array([3.0, 4.0]), truth) == pytest.approx(5 / 60)


def test_landmarks_come_back_to_the_photograph(flame, tmp_path):
    """The prediction in crop pixels, through the inverse of the crop, against the annotation."""
    write_pairs(flame, tmp_path, [5, 40, -70])
    network = Fixed(1)
    table, results = score_images(sorted(tmp_path.glob("*.png")), network, flame, SIZE, SCALE, 3)
    assert list(table["bin"]) == ["0-30", "30-60", "60-90"] and (table["status"] == "ok").all()
    in_crop = crop_points(flame, network.camera.detach())
    for result in results:
        expected = transform_points(in_crop, np.linalg.inv(crop_matrix(crop_box(result.item.landmarks, SCALE), SIZE)))
        np.testing.assert_allclose(result.landmarks, expected, atol=1e-6)
    row = table.iloc[0]
    assert row["nme"] == pytest.approx(normalised_mean_error(results[0].landmarks, results[0].item.landmarks))


def test_a_model_of_three_views_sees_the_image_three_times(flame, tmp_path):
    write_pairs(flame, tmp_path, [5])
    network = Fixed(3)
    score_images(sorted(tmp_path.glob("*.png")), network, flame, SIZE, SCALE)
    (images,) = network.seen
    assert images.shape == (1, 3, 3, SIZE, SIZE)


def test_rejected_pairs_keep_a_row(flame, tmp_path):
    write_pairs(flame, tmp_path, [5, 40])
    (tmp_path / "1.mat").unlink()
    table, _ = score_images(sorted(tmp_path.glob("*.png")), Fixed(1), flame, SIZE, SCALE)
    assert list(table["status"]) == ["ok", "rejected"] and table["reason"][1] == "no .mat file"
    summary = nme_by_yaw(table).set_index("bin")
    assert summary.loc["all", "items"] == 1 and np.isnan(summary.loc["30-60", "nme"])


def test_the_mean_is_over_the_three_ranges():
    import pandas as pd

    table = pd.DataFrame({"bin": ["0-30"] * 8 + ["30-60", "60-90"], "nme": [0.02] * 8 + [0.05, 0.08]})
    summary = nme_by_yaw(table).set_index("bin")["nme"]
    assert summary["mean"] == pytest.approx(0.05) and summary["all"] == pytest.approx(0.029)


def test_the_grid_has_a_row_for_each_picture(flame, tmp_path):
    write_pairs(flame, tmp_path, [5, 40, -70])
    _, results = score_images(sorted(tmp_path.glob("*.png")), Fixed(1), flame, SIZE, SCALE, 3)
    picture = picture_grid(results, flame, 80)
    assert picture.dtype == np.uint8 and picture.shape[0] >= 3 * 80 and picture.shape[1] >= 4 * 80
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
