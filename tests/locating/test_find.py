"""Landmarks of heads, found by looking at them; with MediaPipe's assets."""

from dataclasses import replace

import numpy as np
import pytest

from mfnet import assets
from mfnet.cli.main import main
from mfnet.errors import InputError
from mfnet.flame.readers import read_head, write_head
from mfnet.landmarks.mediapipe.networks import FULL_RANGE, TASK
from mfnet.locating.canonical import canonical_face, warped
from mfnet.locating.find import locate
from tests.heads import open_head

needs_assets = pytest.mark.skipif(
    any(assets.state(assets.asset(name)) != "here" for name in (TASK, FULL_RANGE)),
    reason="MediaPipe's assets are not here: mfnet assets get",
)


@needs_assets
def test_the_mean_face_is_symmetric_and_an_outlier_of_its_warp_is_told():
    face = canonical_face()
    assert abs(face[:, 0].mean()) < 0.01 and face[4, 2] > face[33, 2]  # the nose is before the eyes
    places = face / 100 + np.random.default_rng(0).normal(0, 2e-4, face.shape)
    places[100] += 0.05
    bent, inlier = warped(places)
    assert np.flatnonzero(~inlier).tolist() == [100]
    assert np.linalg.norm(bent[100] - face[100] / 100) < 0.004


@needs_assets
def test_a_head_turned_away_is_refused():
    head = open_head()
    turned = replace(head, v_template=head.v_template * np.array([-1, 1, -1], np.float32), landmarks=None, masks={})
    with pytest.raises(InputError, match="is it a head in metres"):
        locate(turned, people=2)


@needs_assets
@pytest.mark.slow
def test_a_head_without_landmarks_and_texture_gets_both(tmp_path, capsys):
    head = open_head()
    write_head(replace(head, landmarks=None, uv=None, uv_faces=None, masks={}), tmp_path / "bare.npz")
    main(["head", "landmarks", str(tmp_path / "bare.npz"), "-o", str(tmp_path / "head.npz"), "--people", "5"])
    printed = capsys.readouterr().out
    assert "68 landmarks found" in printed and "texture layout was made" in printed
    found = read_head(tmp_path / "head.npz")
    assert found.content_hash() == head.content_hash() and found.dense is not None and "face" in found.masks
    assert (tmp_path / "head.png").is_file()
    ours, own = (
        (head.v_template[head.faces[each.full_faces]] * each.full_weights[..., None]).sum(1)
        for each in (found.landmarks, head.landmarks)
    )
    off = 1000 * np.linalg.norm(ours - own, axis=1)
    assert off[36:].mean() < 4 and off[17:].mean() < 5


def test_the_output_is_an_npz(tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["head", "landmarks", "makehuman", "-o", str(tmp_path / "a.txt")])
    assert "name the output so" in str(caught.value.code)
