"""The mean head, posed by landmarks: where a fit starts that needs no trained network."""

import numpy as np
import torch
from torch import Tensor

from mfnet.fitting.pose import fit_poses
from mfnet.flame import Flame
from mfnet.geometry import axis_angle_to_matrix, yaw
from mfnet.model.parameters import Person, Prediction, View
from mfnet.params import RefineParams
from mfnet.render.shading import white_light

BELIEVED = {"network": 3.0, "pose": 0.5, "camera": 0.3, "iterations": 7}
"""How a fit from the mean head differs from one that starts at a network's answer: the start says little beyond the
prior, and more steps lead to the end."""


def mean_start(flame: Flame, landmarks: Tensor) -> Prediction:
    """The mean head in the pose that landmarks [V, 68, 2] (ndc of the crops) show: a prediction of batch 1, V views.

    Cameras are orthographic, the light is white, and there is no albedo code.
    """
    views = len(landmarks)
    person = Person(*(torch.zeros(views, count) for count in (flame.n_shape, flame.n_expression, 3)))
    pose, camera = fit_poses(flame, landmarks.double().cpu().numpy(), np.zeros(views), person)
    view = View(pose, camera, torch.zeros(views), torch.zeros(views, 0), white_light().expand(views, 9, 3))
    return Prediction(person[:1], view.map(lambda value: value[None])).float().to(landmarks.device)


def from_mean(settings: RefineParams) -> RefineParams:
    """The settings of a fit that starts at `mean_start`."""
    return settings.model_copy(update=BELIEVED)


def yaws(prediction: Prediction) -> Tensor:
    """[V] degrees, of a prediction of batch 1; > 0 shows the subject's right cheek."""
    return torch.rad2deg(yaw(axis_angle_to_matrix(prediction.views.global_pose[0])))
