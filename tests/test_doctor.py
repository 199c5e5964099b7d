"""The doctor finds what the pipeline would fail at, and says what to do."""

import json
import shutil
import socket
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from mfnet import doctor
from mfnet.assets import FOLDER_VARIABLE, RAFT
from mfnet.cli.main import main
from mfnet.doctor import accelerator, data_roots, foreign_files, machine, modes, packages, ports, servers, waiting
from mfnet.params import PACKAGED_HEADS
from mfnet.profiles import load_profile
from mfnet.runs.outbox import RunRecord, outboxes
from tests.runs.conftest import place  # noqa: F401
from tests.settings import EMBEDDED, having

ROOT = Path(__file__).parents[1]


def states(findings) -> dict[str, str]:
    return {each.check: each.state for each in findings}


@pytest.fixture
def healthy(place):  # noqa: F811
    for name in ("params.yaml", "constraints.txt"):
        shutil.copy(ROOT / name, place / name)
    return place


def test_a_healthy_workspace_ends_well(healthy, capsys):
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"memory", "disk", "python", "packages", "torch", "cuda", "modes", "ports", "runs"} <= {
        each["check"] for each in found
    }
    assert all(each["remedy"] for each in found if each["state"] != "ok")


def test_bad_params_are_a_failure_and_status_1(healthy, capsys):
    (healthy / "params.yaml").write_text("train: {seed: 1}\n")
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert "failure" in ended.value.code and "failure  params" in capsys.readouterr().out


def test_a_full_disk_is_a_failure(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(1, 1, 2**30))
    assert states(machine(tmp_path))["disk"] == "failure"


def test_a_version_out_of_bounds_is_a_failure_and_an_untested_one_a_warning(tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text("numpy==0.1\n# a comment\n")
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "2.1.0" if name == "sqlalchemy" else version(name))
    found = list(packages(tmp_path))
    assert any(each.state == "failure" and "sqlalchemy 2.1.0" in each.seen for each in found)
    assert states(found)["constraints"] == "warning"
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "dvc" else version(name))
    assert any("dvc missing" in each.seen and "pip install" in each.remedy for each in packages(tmp_path))


def test_torch_and_what_it_runs_on_are_named():
    assert {"torch", "cuda"} <= set(states(accelerator()))


def test_a_missing_archive_is_a_failure_and_the_synthetic_one_is_made(tmp_path):
    assert list(data_roots(EMBEDDED, tmp_path)) == []
    own = having(EMBEDDED, capture=having(EMBEDDED.capture, enabled=False))
    assert {each.state for each in data_roots(own, tmp_path)} == {"failure"}
    (tmp_path / own.source.multipie).mkdir(parents=True)
    assert [each.state for each in data_roots(own, tmp_path)].count("ok") == 2  # the listing is the folder itself


@pytest.mark.parametrize("model", PACKAGED_HEADS)
def test_a_head_that_comes_with_the_package_needs_no_file(tmp_path, model):
    params = having(EMBEDDED, flame=having(EMBEDDED.flame, model=model))
    assert list(data_roots(params, tmp_path)) == []


@pytest.mark.parametrize(("backend", "state"), [("network", "warning"), ("mediapipe", "failure")])
def test_foreign_files_matter_to_those_who_use_them(tmp_path, monkeypatch, backend, state):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    found = list(foreign_files(having(EMBEDDED, landmarks=having(EMBEDDED.landmarks, backend=backend))))
    assert {each.state for each in found} == {state} and all("mfnet assets get" in each.remedy for each in found)


def test_torchvisions_flow_is_missed_by_those_who_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    asked = load_profile(ROOT / "params" / "paper.yaml")
    (found,) = (each for each in foreign_files(asked) if "raft" in each.seen)
    assert found.state == "failure" and found.remedy == f"mfnet assets get {RAFT['raft_large']}"
    assert not [each for each in foreign_files(EMBEDDED) if "raft" in each.seen]


def test_a_cache_that_anyone_can_replace_is_a_warning(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc").chmod(0o777)
    assert [each for each in modes(tmp_path) if f"chmod o-w {tmp_path / '.dvc'}" == each.remedy]
    (tmp_path / ".dvc").chmod(0o1777)
    assert not [each for each in modes(tmp_path) if str(tmp_path / ".dvc") in each.remedy]


def test_what_lies_in_a_closed_folder_is_nobody_elses(tmp_path, monkeypatch):
    """DVC makes its site cache for everybody to write."""
    inside = tmp_path / ".mfnet" / "dvc-site-cache" / "repo"
    inside.mkdir(parents=True)
    monkeypatch.setattr(doctor, "_site_cache", lambda root: [inside])
    for folder in (inside, inside.parent):
        folder.chmod(0o777)
    assert [each for each in modes(tmp_path) if str(inside) in each.seen]
    (tmp_path / ".mfnet").chmod(0o700)
    assert not [each for each in modes(tmp_path) if str(inside) in each.seen]


def test_a_port_in_use_is_a_warning(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setattr(doctor, "PREFECT_PORT", taken.getsockname()[1])
        assert states(ports()) == {"ports": "warning"}


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("MLFLOW_TRACKING_URI", "http://team.example:5000", "warning"),
        ("MLFLOW_TRACKING_URI", "https://team.example", "ok"),
        ("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "ok"),
        ("PREFECT_API_URL", "http://10.0.0.2:4200/api", "warning"),
        ("PREFECT_API_URL", "http://[::1]:4200/api", "ok"),
        ("PREFECT_API_URL", "http://localhost:4200/api", "ok"),
        ("PREFECT_SERVER_API_HOST", "0.0.0.0", "warning"),
        ("MLFLOW_HOST", "127.0.0.1", "ok"),
    ],
)
def test_settings_that_open_a_server_or_send_in_the_clear_are_warnings(monkeypatch, name, value, state):
    for other in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_SERVER_API_HOST", "MLFLOW_HOST"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    (found,) = servers()
    assert found.state == state and (state == "ok" or found.seen.startswith(name))


def test_runs_that_wait_are_named(place):  # noqa: F811
    assert states(waiting(place)) == {"runs": "ok"}
    record = RunRecord.open(outboxes(place))
    record.close()
    (found,) = waiting(place)
    assert found.remedy == "mfnet track sync"
