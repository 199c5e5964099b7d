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
from mfnet.datasets.scan import scan
from mfnet.errors import InputError
from mfnet.io.tensors import write_tensors
from mfnet.landmarks.backends import Detection
from mfnet.landmarks.network import LandmarkNetwork
from mfnet.landmarks.table import Folders, find_landmarks, planned_images
from tests.settings import EMBEDDED, EXACT_PLAN, having

PLAN = having(EXACT_PLAN, triplets=40, validation_share=0.5)
PARAMS = having(EMBEDDED.landmarks, chunk=4, min_score=0.3, max_rejected=0.5)


@dataclass(frozen=True)
class Colours:
    """A backend for tests: points, score and faults follow from an image's mean colour; counts its calls in a file."""

    calls: str
    faults: tuple[tuple[str, str], ...] = ()
    name: str = "colours"
    detector: str = "none"
    stops_after: int = 10**6
    weights: str = "1"

    def version(self) -> str:
        return "0"

    def fingerprint(self) -> str:
        return self.weights

    def source(self, path: str) -> str:
        return self.weights

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
    return root, plan_triplets(scan(root)[0], PLAN)


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
    found, rejected = find_landmarks(
        plan, Folders(root, tmp_path / "scratch"), Colours(str(tmp_path / "calls"), faults), PARAMS
    )
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


def test_spread_changes_nothing(archive, tmp_path):
    root, plan = archive
    results = [
        find_landmarks(
            plan, Folders(root, tmp_path / executor), Colours(str(tmp_path / "calls")), PARAMS, Compute(executor, 2)
        )
        for executor in ("serial", "local")
    ]
    pd.testing.assert_frame_equal(results[0][0], results[1][0])
    assert {line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()} == {"1"}


def looked_at(calls: Path) -> int:
    """Images that a backend was asked about since the last time."""
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return sum(int(line.split()[0]) for line in lines)


def test_an_interrupted_run_goes_on_where_it_was(archive, tmp_path):
    root, plan = archive
    whole = find_landmarks(plan, Folders(root, tmp_path / "other"), Colours(str(tmp_path / "whole")), PARAMS)
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(plan, Folders(root, kept), Colours(str(calls), stops_after=3), PARAMS)
    assert len(list(kept.iterdir())) == 3
    looked_at(calls)
    again = find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 18 - 3 * 4
    pd.testing.assert_frame_equal(again[0], whole[0])


def test_a_second_run_looks_at_nothing_and_another_plan_at_what_is_new(archive, tmp_path):
    root, plan = archive
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    find_landmarks(plan[plan["subject"] == "001"], Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 9
    whole = find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 9 and len(list(kept.iterdir())) == 1
    again = find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 0
    pd.testing.assert_frame_equal(again[0], whole[0])


def test_a_changed_image_is_looked_at_again_and_no_other(archive, tmp_path):
    root, plan = archive
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    looked_at(calls)
    path = planned_images(plan)["path"].iloc[0]
    for slot in SLOTS:
        plan.loc[plan[slot] == path, f"checksum_{slot}"] = "0" * 16
    find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 1


def test_other_weights_look_at_all_images_and_the_first_ones_are_still_known(archive, tmp_path):
    root, plan = archive
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    for weights, count in (("1", 18), ("2", 18), ("1", 0)):
        find_landmarks(plan, Folders(root, kept), Colours(str(calls), weights=weights), PARAMS)
        assert looked_at(calls) == count


def test_a_broken_image_that_was_mended_is_looked_at_again(archive, tmp_path):
    root, plan = archive
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    path = root / planned_images(plan)["path"].iloc[3]
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"damage" + whole[206:])  # the checksum at its end is as it was
    _, rejected = find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert len(rejected) == 1 and looked_at(calls) == 17
    path.write_bytes(whole)
    _, rejected = find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert rejected.empty and looked_at(calls) == 1


def test_damaged_results_are_found_anew(archive, tmp_path):
    root, plan = archive
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    looked_at(calls)
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    find_landmarks(plan, Folders(root, kept), Colours(str(calls)), PARAMS)
    assert looked_at(calls) == 18


def test_rows_say_where_they_come_from(archive, tmp_path):
    root, plan = archive
    found, _ = find_landmarks(plan, Folders(root, tmp_path / "kept"), Colours(str(tmp_path / "calls")), PARAMS)
    assert set(found["version"]) == {"0"} and set(found["weights"]) == {"1"} and set(found["detector"]) == {"none"}
    assert all(len(scores) == 68 for scores in found["scores"]) and found["box"].isna().all()
    assert found["look_score"].isna().all()


def test_the_embedded_network_looks_again_where_the_points_are(archive, tmp_path):
    root, plan = archive
    torch.manual_seed(0)
    write_tensors(LandmarkNetwork().state_dict(), tmp_path / "net.safetensors", {"kind": "landmarks"})
    calls, kept = tmp_path / "calls", tmp_path / "kept"
    backend, network = Colours(str(calls)), tmp_path / "net.safetensors"
    found, _ = find_landmarks(plan, Folders(root, kept), backend, PARAMS, network=network)
    assert found["look_distance"].between(0, 2).all() and found["look_score"].between(0, 1).all()
    looked_at(calls)
    none = having(PARAMS, gates=having(PARAMS.gates, second_look=None))
    assert find_landmarks(plan, Folders(root, kept), backend, none, network=network)[0]["look_score"].isna().all()
    assert looked_at(calls) == 18  # what another question found is not taken for an answer


def test_no_face_at_all_is_an_error(archive, tmp_path):
    root, plan = archive
    faults = tuple((path, "no face") for path in planned_images(plan)["path"])
    with pytest.raises(InputError, match=r"no landmarks in any of the 18 planned images \(18 x no face\)"):
        find_landmarks(plan, Folders(root, tmp_path / "scratch"), Colours(str(tmp_path / "calls"), faults), PARAMS)
