"""The 68 landmarks out of the 478."""

from dataclasses import replace

import numpy as np
import torch

from mfnet.flame import Flame
from mfnet.flame.makehuman import with_mesh
from mfnet.locating.contour import embedding_68
from mfnet.locating.find import outer_faces
from tests.heads import open_head


def test_the_68_of_the_shipped_head_are_found_again_from_its_mesh():
    head = with_mesh(open_head())
    vertices = head.v_template.astype(np.float64)
    places = (vertices[head.faces[head.dense.faces]] * head.dense.weights[..., None]).sum(1)
    found = embedding_68(places, vertices, head.faces, outer_faces(head))
    flames = [Flame(replace(head, landmarks=each), 1, 1) for each in (found, head.landmarks)]
    for yaw in (0.0, 30.0, -30.0):
        pose = torch.tensor([[0.0, np.radians(yaw), 0.0]])
        ours, own = (flame(torch.zeros(1, 1), torch.zeros(1, 1), pose).landmarks[0, :, :2] for flame in flames)
        off = (ours - own).norm(dim=1) * 1000
        assert off[36:].mean() < 2 and off[17:].mean() < 3  # mm, as seen by the camera: eyes and mouth, all but the jaw
        assert off[:17].mean() < 7
