"""The networks, from the assets."""

import numpy as np
import pytest

from mfnet.assets import FOLDER_VARIABLE
from mfnet.errors import InputError
from mfnet.landmarks.mediapipe.networks import load_networks


def test_missing_assets_are_one_line_that_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=r"no such file; mfnet assets get face_landmarker\.task") as caught:
        load_networks.__wrapped__()
    assert "\n" not in str(caught.value)


def test_outputs_have_the_shapes_that_are_read(face_assets):
    networks = load_networks()
    outputs = [each(np.zeros((each.side, each.side, 3), np.uint8)) for each in networks]
    assert [output.shape for detector in outputs[:2] for output in detector] == [
        *((2304, 16), (2304, 1)),
        *((896, 16), (896, 1)),
    ]
    assert [output.size for output in outputs[2]] == [478 * 3, 1]


def test_a_network_gives_the_same_twice(face_assets):
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    mesh = load_networks().mesh
    first, other, again = mesh(crop)[0].copy(), mesh(crop[::-1])[0].copy(), mesh(crop)[0]
    assert np.array_equal(first, again) and not np.array_equal(first, other)
