"""MFNet as an MLflow model: three crops in, the head's vertices and parameters out. MLflow runs this file."""

from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from mfnet.flame import load_flame
from mfnet.io.images import to_float
from mfnet.model.mfnet import load_mfnet


class ServedMFNet(PythonModel):
    """A trained network with its head model."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the network and its head from the artifacts ``model`` and ``head``."""
        counts = context.model_config or {}
        self.flame = load_flame(
            context.artifacts["head"], n_shape=counts["n_shape"], n_expression=counts["n_expression"]
        )
        self.network = load_mfnet(context.artifacts["model"], self.flame)

    @torch.no_grad()
    def predict(self, context: PythonModelContext, model_input: Any, params: Any = None) -> dict[str, np.ndarray]:
        """Crops [B, V, 3, S, S] uint8 of B people in the network's order of views (frontal, left, right).

        Returns ``vertices`` [B, N, 3] (metres, unrotated, with expression and jaw) and, by the names of
        `mfnet.model.parameters`, what the network predicts: shape, expression, jaw_pose of a person, global_pose,
        camera and more of every view.
        """
        prediction = self.network(to_float(torch.from_numpy(np.ascontiguousarray(model_input))))
        person = prediction.person
        if person.shape.dim() == 3:  # a network that sees views one by one: the mean of its answers
            person = person.map(lambda code: code.mean(dim=1))
        still = torch.zeros_like(person.jaw_pose)
        head = self.flame(person.shape, person.expression, still, jaw_pose=person.jaw_pose)
        named = {"vertices": head.vertices} | prediction.named_tensors()
        return {name: value.numpy() for name, value in named.items()}


set_model(ServedMFNet())
