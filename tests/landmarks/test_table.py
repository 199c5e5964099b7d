"""The landmark stage: rejects with reasons, results that do not depend on spread or interruption."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.datasets.plan import SLOTS, plan_triplets
from mfnet.errors import InputError
from mfnet.landmarks.backends import Detection
from mfnet.landmarks.table import find_landmarks, planned_images
from mfnet.params import LandmarkParams, PlanParams

PLAN = PlanParams(
    triplets=40, validation_share=0.5, min_side_yaw=15.0, max_side_yaw=75.0, same_illumination=False, seed=2
)
PARAMS = LandmarkParams(backend="network", annotations=None, fan_weights=None, chunk=4, min_score=0.3, max_rejected=0.5)


@dataclass(frozen=True)
class Colours:
    """A backend for tests: points, score and faults follow from an image's mean colour; counts its calls in a file."""

    calls: str
    faults: tuple[tuple[str, str], ...] = ()
    name: str = "colours"
    stops_after: int = 10**6

    def fingerprint(self) -> str:
        return "1"

    def detect(self, paths, images):
        with open(self.calls, "a") as file:
            file.write(f"{len(paths)} {torch.get_num_threads()}\n")
        if len(Path(self.calls).read_text().splitlines()) > self.stops_after:
            raise KeyboardInterrupt
        return [self._one(path, image) for path, image in zip(paths, images, strict=True)]

    def _one(self, path, image):
        grid = np.stack(np.divmod(np.arange(68), 8), -1) * 10.0 + image.mean() + 1 / 3
        fault = dict(self.faults).get(path)
        if fault == "weak":
            return Detection(grid, 0.2)
        if fault == "nan":
            return Detection(grid * np.nan, 0.9)
        if fault == "outside":
            return Detection(grid - 1000, 0.9)
        return Detection(grid, 0.9) if fault is None else Detection(None, 0.0, fault)


@pytest.fixture
def archive(write_archive):
    root = write_archive(illuminations=(0, 1, 2))
    return root, plan_triplets(multipie.scan(root)[0], PLAN)


def test_rejects_with_their_reasons(archive, tmp_path):
    root, plan = archive
    paths = list(planned_images(plan)["path"])
    assert len(paths) == 18
    broken = root / paths[3]
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 0x55  # both ends are whole: `ingest` cannot see it
    broken.write_bytes(data)
    (root / paths[5]).unlink()
    faults = ((paths[0], "weak"), (paths[7], "nan"), (paths[8], "outside"), (paths[9], "no annotation file"))
    found, rejected = find_landmarks(plan, root, Colours(str(tmp_path / "calls"), faults), PARAMS, tmp_path / "scratch")
    reasons = dict(zip(rejected["path"], rejected["reason"], strict=True))
    assert reasons.pop(paths[3]).startswith("broken PNG: ")
    assert reasons == {
        paths[0]: "no face: score 0.20",
        paths[5]: "unreadable: No such file or directory",
        paths[7]: "landmarks are not finite",
        paths[8]: "no face: landmarks outside the image or in one point",
        paths[9]: "no annotation file",
    }
    assert sorted([*found["path"], *rejected["path"]]) == paths and found["path"].is_monotonic_increasing
    points = np.stack(found["landmarks"])
    assert (
        points.shape == (12, 136) and points.dtype == np.float32 and np.array_equal(points * 64, np.round(points * 64))
    )
    for path, flat in zip(found["path"], points, strict=True):
        assert abs(flat[0] - multipie.read_image(root / path).mean() - 1 / 3) <= 1 / 128 + 1e-5
    assert set(found["backend"]) == {"colours"}
    assert set(found["fingerprint"]) == {Colours("").fingerprint()}


def test_spread_changes_nothing(archive, tmp_path):
    root, plan = archive
    results = [
        find_landmarks(plan, root, Colours(str(tmp_path / "calls")), PARAMS, tmp_path / executor, Compute(executor, 2))
        for executor in ("serial", "local")
    ]
    pd.testing.assert_frame_equal(results[0][0], results[1][0])
    assert {line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()} == {"1"}


def test_an_interrupted_run_goes_on_where_it_was(archive, tmp_path):
    root, plan = archive
    whole = find_landmarks(plan, root, Colours(str(tmp_path / "whole")), PARAMS, tmp_path / "other")
    calls, scratch = tmp_path / "calls", tmp_path / "scratch"
    backend = Colours(str(calls), stops_after=3)
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(plan, root, backend, PARAMS, scratch)
    assert len(list(scratch.iterdir())) == 3
    calls.unlink()
    again = find_landmarks(plan, root, backend, PARAMS, scratch)
    assert len(calls.read_text().splitlines()) == 2  # of five chunks
    pd.testing.assert_frame_equal(again[0], whole[0])


def test_a_changed_image_is_looked_at_again(archive, tmp_path):
    root, plan = archive
    calls, scratch = tmp_path / "calls", tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(plan, root, Colours(str(calls), stops_after=3), PARAMS, scratch)
    path = planned_images(plan)["path"].iloc[0]
    for slot in SLOTS:
        plan.loc[plan[slot] == path, f"checksum_{slot}"] = "0" * 16
    calls.unlink()
    find_landmarks(plan, root, Colours(str(calls), stops_after=3), PARAMS, scratch)
    assert len(calls.read_text().splitlines()) == 3  # the two that were left and the first


def test_no_face_at_all_is_an_error(archive, tmp_path):
    root, plan = archive
    faults = tuple((path, "no face") for path in planned_images(plan)["path"])
    with pytest.raises(InputError, match=r"no landmarks in any of the 18 planned images \(18 x no face\)"):
        find_landmarks(plan, root, Colours(str(tmp_path / "calls"), faults), PARAMS, tmp_path / "scratch")
