"""What stands between a clean render and a photograph: backgrounds, exposure, blur, noise, compression."""

import cv2
import numpy as np
import torch
from torch import Tensor

from mfnet.io.images import to_uint8


def random_backgrounds(rng: np.random.Generator, count: int, size: int) -> Tensor:
    """Backgrounds [count, 3, size, size]: flat, a gradient, or coloured blobs, with grain."""
    base = rng.uniform(0, 1, (count, 1, 1, 1)) + 0.15 * rng.standard_normal((count, 3, 1, 1))
    corners = base + rng.uniform(0, 0.3, (count, 1, 1, 1)) * rng.standard_normal((count, 3, 4, 4))
    flat = rng.random((count, 1, 1, 1)) < 0.3
    coarse = torch.from_numpy(np.where(flat, corners[:, :, :1, :1], corners).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    grain = rng.standard_normal((count, 1, size, size), dtype=np.float32) * rng.uniform(0, 0.06, (count, 1, 1, 1))
    return (smooth + torch.from_numpy(grain.astype(np.float32))).clamp(0, 1)


def degrade(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Random exposure, contrast, tint, gamma, blur, noise and JPEG of images [B, 3, H, W] in 0..1."""
    count = len(images)
    gain = rng.uniform(0.75, 1.25, (count, 1, 1, 1)) * (1 + 0.05 * rng.standard_normal((count, 3, 1, 1)))
    lift = rng.uniform(-0.05, 0.05, (count, 1, 1, 1))
    gamma = torch.from_numpy(rng.uniform(0.8, 1.25, (count, 1, 1, 1)).astype(np.float32))
    toned = (images * torch.from_numpy(gain.astype(np.float32)) + torch.from_numpy(lift.astype(np.float32))).clamp(0, 1)
    toned = toned**gamma
    noise = rng.standard_normal(toned.shape, dtype=np.float32) * rng.uniform(0, 0.02, (count, 1, 1, 1)).astype(
        np.float32
    )
    pixels = (toned.permute(0, 2, 3, 1).numpy() + np.moveaxis(noise, 1, -1)).clip(0, 1)
    blurs, qualities = rng.random(count), rng.random(count)
    return torch.from_numpy(np.stack([_optics(*item) for item in zip(pixels, blurs, qualities, strict=True)])).permute(
        0, 3, 1, 2
    )


def _optics(image: np.ndarray, blur: float, quality: float) -> np.ndarray:
    """Blur four of ten images by up to 1.2 px, compress half of them with JPEG quality 40-95; [H, W, 3] float."""
    if blur < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), 0.2 + 2.5 * blur)
    if quality >= 0.5:
        return image
    encoded = cv2.imencode(".jpg", to_uint8(image), [cv2.IMWRITE_JPEG_QUALITY, int(40 + 110 * quality)])
    decoded = cv2.imdecode(encoded[1], cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded a line above
    return decoded.astype(np.float32) / 255
