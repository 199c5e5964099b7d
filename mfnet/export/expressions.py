"""Expressions from files: what a head is to show in place of what its photographs showed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfnet.errors import InputError, fail
from mfnet.export.parameters import FORMAT
from mfnet.export.rig import RiggedHead, require_units, rigged_head, target_names, with_units
from mfnet.flame import Flame
from mfnet.io.files import read_json

LARGEST = 10.0
"""Of weights, coefficients and angles."""
_MAX_BYTES = 1 << 23


@dataclass(frozen=True)
class Coefficients:
    """An expression in the head's own terms."""

    expression: Tensor
    """[n_expression]"""
    jaw_pose: Tensor
    """[3] axis-angle, radians."""


Expression = Mapping[str, float] | Coefficients
"""Weights of morph targets by name, those left out 0 (so {} is the neutral face); or coefficients."""


def read_expression(path: str | Path, flame: Flame) -> Expression:
    """An expression for a head: the ``parameters.json`` of any person with the same head, or a JSON object of weights.

    Such as ``{"jawOpen": 0.3, "mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}``, 1 being the whole of a unit. Raises
    InputError, which names file and field, for another head's parameters and for what is neither.
    """
    content = read_json(path, _MAX_BYTES)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not an expression; a JSON object of weights by name is wanted, or a parameters.json")
    if "format" in content:
        return _of_parameters(path, content, flame)
    require_units(content, target_names(flame), path)
    return {name: float(_numbers(path, name, [value], 1)[0]) for name, value in content.items()}


def posed(flame: Flame, shape: Tensor, fitted: Coefficients, expression: Expression | None) -> RiggedHead:
    """A person of shape [n_shape] with an expression; None: the fitted one.

    Raises InputError for the name of a unit that the head does not have.
    """
    if isinstance(expression, Mapping):
        return with_units(rigged_head(flame, shape, fitted.expression, fitted.jaw_pose), expression)
    shown = fitted if expression is None else expression
    return rigged_head(flame, shape, shown.expression, shown.jaw_pose)


def _of_parameters(path: str | Path, content: dict[str, Any], flame: Flame) -> Coefficients:
    if content["format"] != FORMAT:
        fail(path, "format", f"is not '{FORMAT}'")
    head = content.get("head")
    if not isinstance(head, dict) or head.get("content_hash") != flame.content_hash:
        fail(path, "head", "is another head model; an expression goes between people of one head")
    expression, jaw_pose = (
        torch.from_numpy(_numbers(path, name, content.get(name), count)).float()
        for name, count in (("expression", flame.n_expression), ("jaw_pose", 3))
    )
    return Coefficients(expression, jaw_pose)


def _numbers(path: str | Path, name: str, values: Any, count: int) -> np.ndarray:
    """[count] finite numbers of sane size."""
    good = isinstance(values, list) and all(isinstance(each, int | float) for each in values)
    if not good or len(values) != count:
        fail(path, name, f"is not {'a number' if count == 1 else f'{count} numbers'}")
    if not all(abs(each) <= LARGEST for each in values):  # NaN too, and integers of any length
        fail(path, name, f"is beyond {LARGEST:g}")
    return np.array(values, np.float64)
