"""The embedded landmark network: a small hourglass, one heat map for each of the 68 iBUG points.

As in FAN's 2D mode all 68 points are located, seen or not; contour points are those of the silhouette. A presence logit
tells a face from everything else, so that an image without one gets low scores instead of 68 confident guesses.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mfnet.geometry.crops import CropBox, crop_box, crop_image, crop_matrix, transform_points
from mfnet.io.images import to_float
from mfnet.io.tensors import fill, read_tensors
from mfnet.landmarks.ibug import MIRRORED, N_LANDMARKS
from mfnet.landmarks.soft_argmax import soft_argmax

SIDE = 128
"""Side of the crop that the network sees, pixels."""
CELLS = 32
"""Side of the heat maps; one cell is SIDE / CELLS pixels."""
CROP_SCALE = 1.4
"""Crop side over the larger side of the landmarks' box; the recipe varies it widely around this."""
PASSES = 3
"""Passes of `detect`: the whole image first, then around what was found."""


class Block(nn.Module):
    """Residual block: 3x3 convolution, batch norm, ReLU, twice; the first one may halve the resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N,C,H,W] -> [N,C',H/stride,W/stride]."""
        return torch.relu(self.body(x) + self.skip(x))


class LandmarkNetwork(nn.Module):
    """Crops -> heat maps and a presence logit. An hourglass from 32 x 32 cells down to 4 x 4 and up again."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 5, 2, 2, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(inplace=True),
            Block(width // 2, width, 2),
        )
        channels = (width, width + 16, 2 * width, 2 * width)
        self.down = nn.ModuleList(Block(a, b, 2) for a, b in pairwise(channels))
        self.up = nn.ModuleList(Block(b, a) for a, b in pairwise(channels))
        self.maps = nn.Conv2d(width, N_LANDMARKS, 1)
        self.presence = nn.Linear(channels[-1], 1)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops [N,3,128,128] in [0, 1] -> heat-map logits [N,68,32,32], presence logit [N]."""
        levels = [self.stem(crops - 0.5)]
        for block in self.down:
            levels.append(block(levels[-1]))
        x = levels.pop()
        presence = self.presence(x.mean(dim=(2, 3)))[:, 0]
        for block in reversed(self.up):
            x = levels.pop() + functional.interpolate(block(x), scale_factor=2.0, mode="nearest")
        return self.maps(x).float(), presence.float()


def expected_points(logits: torch.Tensor) -> torch.Tensor:
    """Heat-map logits [N,68,32,32] -> points [N,68,2] in crop pixels: the mean of each map's distribution."""
    return SIDE * soft_argmax(logits)


def mirrored_points(points: torch.Tensor) -> torch.Tensor:
    """Points [N,68,2] in px of a crop -> where and what they are in the crop's mirror image."""
    return points[:, MIRRORED] * points.new_tensor([-1.0, 1.0]) + points.new_tensor([SIDE, 0.0])


def point_scores(logits: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
    """Scores [N,68] in [0, 1]: the chance of a face at all times the map's mass within one cell of its peak."""
    share = logits.flatten(2).softmax(dim=-1).unflatten(-1, logits.shape[-2:])
    peak = functional.avg_pool2d(share, 3, stride=1, padding=1).mul(9).flatten(2).amax(dim=-1)
    return torch.sigmoid(presence)[:, None] * peak.clamp(max=1)


class LandmarkDetector:
    """Finds 68 landmarks in whole photographs with a LandmarkNetwork; one face per image, the most central one."""

    def __init__(self, network: LandmarkNetwork, batch_size: int = 32) -> None:
        self.network = network.eval()
        self.batch_size = batch_size

    def detect(self, images: list[np.ndarray], boxes: list[CropBox] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images (uint8 [H,W,3]), with or without face boxes -> landmarks [N,68,2] in image px, scores [N,68].

        Without boxes the first pass sees the whole image. Every later pass crops around the landmarks found before.
        """
        landmarks, scores, _ = self.find(images, boxes)
        return landmarks, scores

    def find(
        self, images: list[np.ndarray], boxes: list[CropBox] | None = None
    ) -> tuple[np.ndarray, np.ndarray, list[CropBox]]:
        """As `detect`, and the box in which the last pass looked."""
        later = PASSES - 1 if boxes is None else PASSES - 2
        boxes = [whole_image(image) for image in images] if boxes is None else boxes
        landmarks, scores = self._locate(images, boxes)
        for _ in range(later):
            boxes = [crop_box(points, CROP_SCALE) for points in landmarks]
            landmarks, scores = self._locate(images, boxes)
        return landmarks, scores, boxes

    def look_again(self, images: list[np.ndarray], landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images, landmarks [N,68,2] of anyone's in their px -> how far they lie from those seen around them, scores.

        distance [N]: mean over the points, over the larger side of the box of those given; scores [N]: mean of what is
        seen. NaN and 0 where no face can be looked for: all points in one place.
        """
        distance, score = np.full(len(images), np.nan), np.zeros(len(images))
        side = np.ptp(landmarks, axis=1).max(1)
        whole = np.flatnonzero(side >= 1)
        if len(whole):
            boxes = [crop_box(landmarks[i], CROP_SCALE) for i in whole]
            seen, scores = self._locate([images[i] for i in whole], boxes)
            distance[whole] = np.linalg.norm(seen - landmarks[whole], axis=2).mean(1) / side[whole]
            score[whole] = scores.mean(1)
        return distance, score

    def _locate(self, images: list[np.ndarray], boxes: list[CropBox]) -> tuple[np.ndarray, np.ndarray]:
        landmarks, scores = [], []
        for begin in range(0, len(images), self.batch_size):
            part = list(zip(images, boxes, strict=True))[begin : begin + self.batch_size]
            points, score = self.locate_crops(np.stack([crop_image(image, box, SIDE) for image, box in part]))
            back = np.stack([np.linalg.inv(crop_matrix(box, SIDE)) for _, box in part])
            landmarks.append(transform_points(points, back))
            scores.append(score)
        return np.concatenate(landmarks), np.concatenate(scores)

    @torch.no_grad()
    def locate_crops(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crops (uint8 [N,128,128,3]) -> points [N,68,2] in crop px (float64), scores [N,68].

        Each is the mean over the crop and its mirror image, whose errors are partly others.
        """
        device = next(self.network.parameters()).device
        batch = to_float(torch.from_numpy(crops).to(device).movedim(-1, 1))
        seen, mirrored = self.network(batch), self.network(batch.flip(-1))
        points = (expected_points(seen[0]) + mirrored_points(expected_points(mirrored[0]))) / 2
        scores = (point_scores(*seen) + point_scores(*mirrored)[:, MIRRORED]) / 2
        return points.double().cpu().numpy(), scores.cpu().numpy()


def whole_image(image: np.ndarray) -> CropBox:
    """The square around the whole image."""
    height, width = image.shape[:2]
    return CropBox(width / 2, height / 2, float(max(height, width)))


def load_landmark_detector(path: str | Path) -> LandmarkDetector:
    """The detector with the weights of stage ``pretrained@landmarks``; InputError if there is none or not ours."""
    state, _ = read_tensors(path, "landmarks")
    network = LandmarkNetwork()
    fill(network, state, path)
    return LandmarkDetector(network)
