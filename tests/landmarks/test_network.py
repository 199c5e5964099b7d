"""Landmark network: from heat maps to points, from crops back to images, and scores that tell sure from unsure."""

import numpy as np
import pytest
import torch

from mfnet.geometry.crops import CropBox
from mfnet.io.tensors import write_tensors
from mfnet.landmarks.ibug import MIRRORED, N_LANDMARKS
from mfnet.landmarks.network import (
    CELLS,
    SIDE,
    LandmarkDetector,
    LandmarkNetwork,
    expected_points,
    load_landmark_detector,
    mirrored_points,
    point_scores,
)


def bumps(points, sharpness=1.0):
    """Heat-map logits [1,68,32,32] whose distribution is a Gaussian of one cell around points [68,2] in crop px."""
    cells = (torch.arange(CELLS) + 0.5) * SIDE / CELLS
    squares = (cells[None, None, :] - points[:, 0, None, None]) ** 2 + (
        cells[None, :, None] - points[:, 1, None, None]
    ) ** 2
    return -sharpness * squares[None] / (2 * (SIDE / CELLS) ** 2)


def test_points_are_the_means_of_the_maps():
    points = 20 + 88 * torch.rand(N_LANDMARKS, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(expected_points(bumps(points))[0], points, rtol=0, atol=0.02)


def test_scores_fall_with_blur_and_with_absence():
    points = torch.full((N_LANDMARKS, 2), 62.0)
    sure, unsure = (point_scores(bumps(points, s), torch.tensor([5.0])).mean() for s in (1.0, 0.01))
    assert sure > 0.7 and unsure < 0.2
    assert point_scores(bumps(points), torch.tensor([-5.0])).max() < 0.01
    assert point_scores(bumps(points, 100.0), torch.tensor([9.0])).max() <= 1


def test_shapes_and_gradients():
    torch.manual_seed(0)
    network = LandmarkNetwork(width=16)
    logits, presence = network(torch.rand(2, 3, SIDE, SIDE))
    assert logits.shape == (2, N_LANDMARKS, CELLS, CELLS) and presence.shape == (2,)
    (expected_points(logits).mean() + presence.mean()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


class BrightSpot(torch.nn.Module):
    """Stands for a trained network: all landmarks around the brightest place of the crop, in a ring of 10 px."""

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, crops):
        weight = (crops.mean(1) > 0.6).float().flatten(1) + 1e-6
        places = (torch.arange(SIDE) + 0.5).expand(SIDE, SIDE)
        x = (weight * places.flatten()).sum(1) / weight.sum(1)
        y = (weight * places.T.flatten()).sum(1) / weight.sum(1)
        angle = torch.linspace(0, 2 * torch.pi, N_LANDMARKS)
        rings = torch.stack([x[:, None] + 10 * angle.cos(), y[:, None] + 10 * angle.sin()], -1)
        return torch.cat([bumps(ring) for ring in rings]), torch.full((len(crops),), 6.0)


@pytest.mark.parametrize("boxed", [False, True])
def test_detection_follows_the_face_in_image_pixels(boxed):
    images, spots = [], [(150.0, 220.0), (420.0, 300.0), (320.0, 100.0)]
    for x, y in spots:
        image = np.full((480, 640, 3), 40, np.uint8)
        yy, xx = np.mgrid[:480, :640] + 0.5
        image[(xx - x) ** 2 + (yy - y) ** 2 < 25**2] = 250
        images.append(image)
    boxes = [CropBox(x + 20, y - 20, 200.0) for x, y in spots] if boxed else None
    landmarks, scores = LandmarkDetector(BrightSpot(), batch_size=2).detect(images, boxes)
    assert landmarks.shape == (3, N_LANDMARKS, 2) and scores.shape == (3, N_LANDMARKS)
    np.testing.assert_allclose(landmarks[:, :-1].mean(axis=1), spots, atol=1.5)


def test_file_round_trip(tmp_path):
    torch.manual_seed(0)
    network = LandmarkNetwork().eval()
    write_tensors(network.state_dict(), tmp_path / "landmarks.safetensors", {"kind": "landmarks"})
    detector = load_landmark_detector(tmp_path / "landmarks.safetensors")
    crops = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    for got, expected in zip(detector.locate_crops(crops), LandmarkDetector(network).locate_crops(crops), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_mirrored_crop_gives_the_mirrored_answer():
    torch.manual_seed(0)
    detector = LandmarkDetector(LandmarkNetwork(16))
    crops = np.random.default_rng(0).integers(0, 255, (2, SIDE, SIDE, 3), np.uint8)
    points, scores = detector.locate_crops(crops)
    mirrored, mirrored_scores = detector.locate_crops(crops[:, :, ::-1].copy())
    np.testing.assert_allclose(mirrored, mirrored_points(torch.from_numpy(points)).numpy(), atol=1e-4)
    np.testing.assert_allclose(mirrored_scores, scores[:, MIRRORED], atol=1e-6)
