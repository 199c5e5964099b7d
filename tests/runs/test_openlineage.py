"""Events of stages for lineage catalogues, where the user asks for them."""

import json
from pathlib import Path

import pytest

from mfnet.runs.openlineage import OPTION, Execution, reported
from tests.runs.conftest import place, process  # noqa: F401

TRAIN = Execution("train", "Trains", {"train.lr": "0.1"}, {"git.dirty": "false"}, {"data/plan.parquet": "a" * 32})


@pytest.fixture
def events(place, monkeypatch):  # noqa: F811
    """Where events go: a path relative to the workspace."""
    monkeypatch.setenv(OPTION, ".mfnet/lineage.jsonl")
    return place / ".mfnet" / "lineage.jsonl"


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_block_is_a_start_and_a_completion_with_what_went_in_and_came_out(events):
    with reported(TRAIN) as outputs:
        assert [event["eventType"] for event in read(events)] == ["START"]
        outputs["data/model"] = "b" * 32
    start, end = read(events)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"] and end["job"]["name"] == "train"
    for name, md5, data in (("data/plan.parquet", "a", end["inputs"]), ("data/model", "b", end["outputs"])):
        (each,) = data
        assert each["name"] == name and each["facets"]["version"]["datasetVersion"] == md5 * 32
    (param,) = end["run"]["facets"]["executionParameters"]["parameters"]
    assert (param["key"], param["value"]) == ("train.lr", "0.1")


def test_a_block_that_raises_ends_in_a_failure_and_its_reason(events):
    with pytest.raises(KeyError), reported(TRAIN):
        raise KeyError("lr")
    assert [event["eventType"] for event in read(events)] == ["START", "FAIL"]
    assert read(events)[-1]["run"]["facets"]["errorMessage"]["message"] == "KeyError: 'lr'"


def test_without_the_option_nothing_is_written_or_imported(place):  # noqa: F811
    asked = process(
        """
        import sys
        from mfnet.runs.openlineage import Execution, reported
        with reported(Execution("train", "", {}, {}, {})):
            pass
        sys.exit("openlineage.client" in sys.modules)
        """
    )
    assert asked.wait() == 0 and list(place.iterdir()) == [place / ".dvc"]


def test_what_cannot_be_written_stops_nobody(events, capsys):
    events.parent.mkdir()
    events.mkdir()
    with reported(TRAIN) as outputs:
        outputs["data/model"] = "b"
    assert "tracking: OpenLineage" in capsys.readouterr().err
