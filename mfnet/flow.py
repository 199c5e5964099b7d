"""Optical flow between two images: torchvision's RAFT, and OpenCV's DIS, behind one call.

Flow of a pair (a, b) is in pixels, x right and y down: what is at p in image a is at p + flow(p) in image b.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mfnet.errors import InputError
from mfnet.io.tensors import fill, load_torch, read_tensors, tensors_of

if TYPE_CHECKING:
    from torchvision.models.optical_flow import RAFT

RAFT_SIDE = 128
"""RAFT's correlation pyramid needs inputs of at least this many pixels on each side, multiples of 8."""
UPDATES = 12
"""RAFT's iterations with torchvision's own weights; weights trained with fewer are best with as many."""
CALIBRATION_LIMIT = 0.5
"""Mean flow in pixels between identical images above which an estimator is not fit for use."""


@runtime_checkable
class FlowEstimator(Protocol):
    """What the estimators have in common. `flow` alone is F of eq. 6 (`mfnet.losses.flow.Estimate`)."""

    @property
    def name(self) -> str:
        """As ``loss.flow_estimator`` spells it."""
        ...

    @property
    def differentiable(self) -> bool:
        """Whether `flow` passes a gradient on to the images."""
        ...

    def flow(self, image_a: torch.Tensor, image_b: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W], RGB in [0, 1], of one size -> flow [B, 2, H, W] from a to b, in pixels, x right and y
        down: what is at p in image a is at p + flow(p) in image b."""
        ...


def raft(name: str) -> "RAFT":
    """torchvision's network of that name, without weights."""
    from torchvision.models import optical_flow  # late: slow to import

    return {"raft_large": optical_flow.raft_large, "raft_small": optical_flow.raft_small}[name](weights=None)


class RaftFlow(nn.Module):
    """torchvision's RAFT with fixed weights; gradients pass through to both images, not to the weights.

    RAFT cuts the graph between its updates (its coordinates are detached), so a gradient to the images flows through
    the features and the last update only, as in RAFT's own training.
    """

    differentiable = True

    def __init__(self, name: str, updates: int = UPDATES, enlarge: int = 1) -> None:
        """enlarge: sides of the images are this many times as long for RAFT, whose cells of 8 px see little detail in
        a face of 100."""
        super().__init__()
        self.name = name
        self.updates = updates
        self.enlarge = enlarge
        self.network = raft(name)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "RaftFlow":
        """Always in evaluation mode: the batch norms of RAFT-large must not follow our batches."""
        return super().train(False)

    def flow(self, image_a: torch.Tensor, image_b: torch.Tensor) -> torch.Tensor:
        """Images [B,3,H,W] in [0, 1] of any size -> flow [B,2,H,W] in pixels."""
        return self.iterations(image_a, image_b)[-1]

    def iterations(self, image_a: torch.Tensor, image_b: torch.Tensor) -> list[torch.Tensor]:
        """As `flow`, after every update: what RAFT's own training looks at."""
        larger = [enlarged(image, self.enlarge) for image in (image_a, image_b)]
        height, width = larger[0].shape[-2:]
        pad = raft_padding(height, width)
        a, b = (functional.pad(2 * image - 1, pad, mode="replicate") for image in larger)
        flows = self.network(a, b, num_flow_updates=self.updates)
        left, _, top, _ = pad
        flows = [flow[..., top : top + height, left : left + width] for flow in flows]
        return [functional.avg_pool2d(flow, self.enlarge) / self.enlarge for flow in flows]


def enlarged(images: torch.Tensor, times: int) -> torch.Tensor:
    """Images [B,C,H,W] with sides `times` as long, bilinear."""
    if times == 1:
        return images
    return functional.interpolate(images, scale_factor=times, mode="bilinear", align_corners=False)


def raft_padding(height: int, width: int) -> tuple[int, int, int, int]:
    """Pixels to add (left, right, top, bottom) so that both sides are multiples of 8 and at least RAFT_SIDE."""
    across, down = (max(RAFT_SIDE, -(-side // 8) * 8) - side for side in (width, height))
    return across // 2, across - across // 2, down // 2, down - down // 2


class DisFlow:
    """OpenCV's dense inverse search on locally normalised grey images. No training, no gradient, CPU only.

    Local mean and standard deviation are taken away because a render and a photograph differ in light first of all.
    """

    name = "dis"
    differentiable = False

    def __init__(self, radius: float = 6.0) -> None:
        self.radius = radius  # pixels, of the Gaussian window of the local statistics
        self.search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.search.setFinestScale(0)

    @torch.no_grad()
    def flow(self, image_a: torch.Tensor, image_b: torch.Tensor) -> torch.Tensor:
        """Images [B,3,H,W] in [0, 1] -> flow [B,2,H,W] in pixels, detached."""
        a, b = self._prepare(image_a), self._prepare(image_b)
        flows = [  # each [H,W,2]
            self.search.calc(x, y, None)  # pyright: ignore[reportCallIssue, reportArgumentType]  # stubs refuse None
            for x, y in zip(a, b, strict=True)
        ]
        return torch.from_numpy(np.stack(flows)).movedim(-1, 1).contiguous().to(image_a.device, torch.float32)

    def _prepare(self, images: torch.Tensor) -> list[np.ndarray]:
        weights = torch.tensor([0.299, 0.587, 0.114], device=images.device)
        grey = torch.einsum("bchw,c->bhw", images.float(), weights).cpu().numpy()
        return [locally_normalised(image, self.radius) for image in grey]


def locally_normalised(grey: np.ndarray, radius: float) -> np.ndarray:
    """Grey image [H,W] in [0, 1] -> uint8 [H,W], local mean at 128 and local standard deviation at 40."""
    mean = cv2.GaussianBlur(grey, (0, 0), radius)
    spread = np.sqrt(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), radius)) + 0.02  # 0.02: noise of flat regions
    return np.clip(128 + 40 * (grey - mean) / spread, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------------ quality


def sample_flow(flow: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """`flow` [B,2,H,W] read at p + displacement(p) [B,2,H,W], bilinear, border values beyond the image."""
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack([x, y]).to(flow) + displacement  # [B,2,H,W] px
    size = torch.tensor([width, height]).to(flow)
    grid = points.movedim(1, -1) * (2 / size) - 1
    return functional.grid_sample(flow, grid, padding_mode="border", align_corners=False)


def consistent(
    forward: torch.Tensor, backward: torch.Tensor, relative: float = 0.01, absolute: float = 0.5
) -> torch.Tensor:
    """Forward-backward check -> [B,H,W] bool: where going there and back ends near where it began.

    |f + b(p + f)|^2 < relative (|f|^2 + |b|^2) + absolute (px^2), the test of Sundaram et al. 2010.
    """
    back = sample_flow(backward, forward)
    gap = (forward + back).square().sum(dim=1)
    return gap < relative * (forward.square().sum(dim=1) + back.square().sum(dim=1)) + absolute


def end_point_error(flow: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean end-point error in pixels over the true places of mask [B,H,W]; flows [B,2,H,W]."""
    return (flow - truth).norm(dim=1)[mask].mean()


@torch.no_grad()
def calibrate(estimator: FlowEstimator, images: torch.Tensor) -> dict[str, float]:
    """Flow of each image [B,3,H,W] with itself: mean, 95th percentile and maximum length in pixels.

    Raises InputError if the mean is beyond CALIBRATION_LIMIT: such an estimator would push every mesh away from truth.
    """
    length = estimator.flow(images, images).norm(dim=1).flatten()
    figures = {
        "identical_mean_px": float(length.mean()),
        "identical_p95_px": float(length.quantile(0.95)),
        "identical_max_px": float(length.max()),
    }
    if not figures["identical_mean_px"] <= CALIBRATION_LIMIT:
        raise InputError(
            f"loss.flow_estimator: {estimator.name} sees {figures['identical_mean_px']:.2f} px of flow between equal "
            f"images (at most {CALIBRATION_LIMIT}); its weights are not trained: choose another pretrained.flow.source"
        )
    return figures


# -------------------------------------------------------------------------------------------------------------- files


def load_flow(name: str, path: str | Path) -> FlowEstimator:
    """The estimator that ``loss.flow_estimator`` names, with the weights of stage ``pretrained``; ``dis`` needs none.

    Raises InputError if the file is missing or holds another estimator.
    """
    if name == "dis":
        return DisFlow()
    state, metadata = read_tensors(path, "flow")
    if metadata.get("estimator") != name:
        raise InputError(
            f"{path}: holds {metadata.get('estimator')}, wanted is {name}: set pretrained.flow.estimator and "
            f"loss.flow_estimator to {metadata.get('estimator')}, or choose another pretrained.flow.source"
        )
    estimator = RaftFlow(name, metadata.get("updates", UPDATES), metadata.get("enlarge", 1))
    fill(estimator.network, state, path)
    return estimator


def raft_state(name: str, path: str | Path) -> dict[str, torch.Tensor]:
    """A torchvision RAFT state dict from a .pth file, checked tensor by tensor against the network of that name."""
    state = load_torch(path, f"pretrained.flow.path: name the file of torchvision's {name}")
    state = tensors_of(state, path, f"the state dict of torchvision's {name}")
    fill(RaftFlow(name).network, state, path)
    return state
