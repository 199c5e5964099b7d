"""Landmarks of made-up people before Multi-PIE's cameras, by the open head's points."""

from functools import cache

import numpy as np
import pandas as pd

from mfnet.geometry.conventions import about_x, about_y, about_z
from mfnet.landmarks.rigid import MeanHead, mean_head
from tests.heads import open_head


@cache
def head() -> MeanHead:
    """The open head's landmarks."""
    return mean_head(open_head())


def person(seed: int) -> np.ndarray:
    """Points [68, 3] of somebody who differs from the mean head as people do, the head a little turned."""
    rng = np.random.default_rng(seed)
    points = head().points * rng.normal(1, 0.05, 3) + rng.normal(0, 0.0015, (68, 3))
    yaw, pitch, roll = np.radians(rng.normal(0, (4, 3, 2)))
    return points @ (about_z(roll) @ about_x(pitch) @ about_y(yaw)).T


def photograph(points: np.ndarray, yaw: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Where a camera at `yaw` degrees sees points [68, 3]: px [68, 2] of a face some 170 px high, with noise (px)."""
    seen = points @ about_y(np.radians(yaw)).T
    return seen[:, :2] * [1500, -1500] + [320, 240] + np.random.default_rng(seed).normal(0, noise or 1e-9, (68, 2))


def found_table(rows: dict[str, np.ndarray], boxes: bool = True) -> pd.DataFrame:
    """A table as `find_landmarks` gives it, of path -> landmarks [68, 2]."""
    points = list(rows.values())
    corners = [np.concatenate([p.min(0), p.max(0)]).astype(np.float32) if boxes else None for p in points]
    return pd.DataFrame(
        {
            "path": list(rows),
            "landmarks": [p.astype(np.float32).ravel() for p in points],
            "score": 0.9,
            "scores": [np.full(68, 0.9, np.float32)] * len(points),
            "box": corners,
            "look_distance": np.nan,
            "look_score": np.nan,
            "detector": "whole image",
            "backend": "network",
            "version": "0",
            "weights": "0",
        }
    )
