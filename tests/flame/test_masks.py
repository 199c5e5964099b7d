"""Regions, from FLAME's file and derived."""

import pickle

import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.flame import read_head, write_head
from mfnet.flame.masks import REGIONS, masks_from_fields


def official() -> dict:
    """FLAME_masks.pkl's form: vertex indices by region."""
    return {
        "face": np.arange(0, 20),
        "lips": np.array([3, 4]),
        "neck": np.arange(20, 30),
        "left_eyeball": np.array([30, 31]),
        "right_eyeball": np.array([32]),
        "eye_region": np.array([5, 6]),
        "scalp": np.arange(33, 42),
    }


def test_flames_regions_are_joined_into_ours(tmp_path, head):
    write_head(head, tmp_path / "head.npz")
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps(official(), protocol=2))
    read = read_head(tmp_path / "head.npz", masks=tmp_path / "FLAME_masks.pkl")
    assert set(REGIONS) <= set(read.masks) and "scalp" in read.masks
    assert np.flatnonzero(read.masks["eyes"]).tolist() == [5, 6, 30, 31, 32]
    assert np.flatnonzero(read.masks["eyeballs"]).tolist() == [30, 31, 32]
    write_head(read, tmp_path / "with.npz")
    again = read_head(tmp_path / "with.npz")
    assert all(np.array_equal(again.masks[name], mask) for name, mask in read.masks.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lips": np.array([42])}, "'lips' has a vertex outside 0..41"),
        ({"lips": np.array([-1])}, "'lips' has a vertex outside"),
        ({"lips": np.array([0.5])}, "'lips' is not a row"),
        ({"lips": [1, 2]}, "'lips' is not a row"),
        ({"lips": np.zeros((2, 2), int)}, "'lips' is not a row"),
    ],
)
def test_bad_regions(change, message):
    with pytest.raises(InputError, match=message):
        masks_from_fields(official() | change, 42, "FLAME_masks.pkl")


def test_a_missing_region_is_named():
    with pytest.raises(InputError, match="no region 'neck'"):
        masks_from_fields({n: v for n, v in official().items() if n != "neck"}, 42, "FLAME_masks.pkl")


def test_derived_regions_of_the_shared_head(shared):
    """Against the parts that the shared file names itself, and common sense."""
    folder = shared / "heads"
    head = read_head(folder / "ict_flame_numpy.pkl", folder / "landmark_embedding.npy")
    x, y, z = head.v_template.T
    corners = head.v_template[head.faces[head.landmarks.full_faces]]
    points = (corners * head.landmarks.full_weights[..., None]).sum(1)
    masks = head.masks
    assert set(masks) == set(REGIONS)
    assert (masks["eyeballs"] == (head.weights[:, 3:].sum(1) > 0.5)).all()
    assert not (masks["face"] & (masks["neck"] | masks["eyeballs"])).any()
    assert (masks["eyeballs"] <= masks["eyes"]).all()
    nearest = np.linalg.norm(head.v_template[:, None] - points[None], axis=2).argmin(0)
    assert masks["face"][nearest[27:36]].all() and masks["lips"][nearest[48:60]].all()  # nose; outer lips
    assert y[masks["neck"]].max() < points[33, 1] and abs(x[masks["lips"]]).max() < 0.04
    assert y[masks["face"]].max() < 0.11 and z[masks["face"]].min() > points[:17, 2].min()
    assert 0.3 < masks["face"].mean() < 0.6
    for name in REGIONS:  # a region of a symmetric head is symmetric
        assert abs(x[masks[name]].mean()) < 2e-3
