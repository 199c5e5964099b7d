"""Khronos' own validator finds nothing to say about our files."""

import numpy as np
import pytest

from benchmarks.flame import random_head
from mfnet.export.gltf import head_glb
from mfnet.export.rig import rigged_head, with_units
from mfnet.flame import Flame
from tests import node
from tests.export.test_rig import CHART, codes
from tests.heads import open_flame

LOOKS = {"shape": None, "uncertainty": CHART}


def still(flame):
    return head_glb(rigged_head(flame, *codes(flame)).vertices(), flame, CHART)


def animated(flame):
    rig = rigged_head(flame, *codes(flame))
    return head_glb(rig.vertices(), flame, CHART, rig)


def neutral(flame):
    rig = with_units(rigged_head(flame, *codes(flame)), {})
    return head_glb(rig.vertices(), flame, CHART, rig)


def film(flame):
    rig = rigged_head(flame, *codes(flame))
    return head_glb(rig.vertices(), flame, CHART, rig, LOOKS, film=True)


def bare(flame):
    flame = Flame(random_head(vertices=200, faces=380, seed=2), 10, 6)
    rig = rigged_head(flame, *codes(flame))
    return head_glb(rig.vertices(), flame, None, rig)


@pytest.mark.parametrize("make", [still, animated, neutral, film, bare])
def test_files_are_valid_without_a_remark(make, tmp_path):
    (tmp_path / "head.glb").write_bytes(make(open_flame()))
    report = node.run("validate.mjs", tmp_path / "head.glb")
    remarks = {each["code"] for each in report["issues"]["messages"]} - {"ACCESSOR_INDEX_TRIANGLE_DEGENERATE"}
    assert report["mimeType"] == "model/gltf-binary" and not remarks  # the random head has such triangles
    assert report["info"]["hasMorphTargets"] == report["info"]["hasSkins"] == (make is not still)
    assert report["info"]["animationCount"] == (make is film)


def test_a_unit_that_moves_nothing_is_valid_too(tmp_path):
    flame = open_flame()
    rig = rigged_head(flame, *codes(flame))
    rig.offsets[3] = 0
    (tmp_path / "head.glb").write_bytes(head_glb(rig.vertices(), flame, np.tile(CHART, (2, 2, 1)), rig))
    assert not node.run("validate.mjs", tmp_path / "head.glb")["issues"]["numErrors"]
