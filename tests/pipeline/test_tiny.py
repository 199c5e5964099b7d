"""The whole DAG at the size of a test, in a copy of the checkout: Prefect, DVC, MLflow and the report together."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trimesh

from tests.conftest import HANGS
from tests.pipeline.test_portable import committed, contents
from tests.pipeline.tiny import environment, hashes, run

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * HANGS)]


def test_the_table_has_every_method_that_is_defined(rebuilt):
    rows = pd.DataFrame(json.loads((rebuilt / "data/report/summary.json").read_text()))
    lab = set(rows[rows.protocol == "lab"].method)
    shown = {"mfnet_1", "mfnet_1_averaged", "mfnet_3"}
    assert lab == {"mean_head", "mfnet_3_same_image"} | shown | {f"{method}_posed" for method in shown}
    assert {"mean_head", "mfnet_1", "mfnet_3_same_image"} <= set(rows[rows.protocol == "wild"].method)
    assert {"0-5", "5-30", "30-60", "60-90"} <= set(rows[rows.protocol == "wild"].bin)
    assert rows.CD.between(0.1, 100).all() and rows.done.eq(1).all()


def test_the_data_are_those_of_every_machine(rebuilt):
    assert contents(rebuilt) == committed()


def test_planted_faults_end_in_rejected_tables(rebuilt):
    reasons = pd.concat(
        pd.read_parquet(rebuilt / "data" / "multipie" / name)
        for name in ("rejected.parquet", "landmarks_rejected.parquet")
    )
    assert len(reasons) and reasons.reason.str.len().gt(0).all()


def test_the_report_stands_alone(rebuilt):
    page = (rebuilt / "data/report/report.html").read_text()
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert page.count("data:image/png;base64,") >= 4


def test_a_second_run_does_nothing(rebuilt):
    before = hashes(rebuilt)
    assert "Running stage" not in run(rebuilt, "dvc", "repro")
    assert hashes(rebuilt) == before


def test_no_artifact_holds_a_path_of_this_machine(rebuilt):
    for path in sorted((rebuilt / "data").rglob("*")):
        if path.is_file() and path.suffix in {".json", ".md", ".html", ".csv", ".safetensors", ".parquet", ".npz"}:
            assert str(rebuilt).encode() not in path.read_bytes(), path


def test_every_output_has_its_run(rebuilt):
    table = run(rebuilt, "mfnet", "audit")
    assert all(re.search(rf" {re.escape(path)} .* match ", table) for path in hashes(rebuilt))


def test_three_photographs_become_a_textured_head(rebuilt, tmp_path):
    plan = pd.read_parquet(rebuilt / "data/multipie/plan.parquet").iloc[0]
    photos = [f"data/raw/multipie/{plan[slot]}" for slot in ("frontal", "left", "right")]
    trained = ("mfnet", "reconstruct", *photos, "--model", "data/train", "--params", "params.yaml")
    run(rebuilt, *trained, "--fast", "--out", str(tmp_path / "head.glb"))
    (mesh,) = trimesh.load(tmp_path / "head.glb").geometry.values()
    assert len(mesh.faces) > 5000 and mesh.visual.material.baseColorTexture.size == (1024, 1024)
    said = run(rebuilt, *trained, "--out", str(tmp_path / "refined.glb"))
    assert 0.1 < float(re.search(r"standard deviation of the face ([\d.]+) mm", said)[1]) < 5
    (refined,) = trimesh.load(tmp_path / "refined.glb").geometry.values()
    assert refined.vertices.shape == mesh.vertices.shape and not np.allclose(refined.vertices, mesh.vertices, atol=1e-4)
    said = run(rebuilt, "mfnet", "reconstruct", "none.png", *photos[1:], fails=True)
    assert said.strip() == "mfnet: error: none.png: no such file"


def test_metrics_and_plots_are_shown(rebuilt):
    assert "lab.mfnet_3" in run(rebuilt, "dvc", "metrics", "show").splitlines()[0]
    plots = json.loads(run(rebuilt, "dvc", "plots", "show", "--json").split("\n", 0)[0])
    assert plots


def test_a_loss_weight_reruns_training_and_nothing_before(rebuilt):
    path = rebuilt / "params.yaml"
    original = path.read_text()
    path.write_text(original.replace("  lip: 0.5\n", "  lip: 0.25\n"))
    status = json.loads(run(rebuilt, "dvc", "status", "--json"))
    path.write_text(original)
    assert {name.split("@")[0] for name in status} == {"train", "ablate"}
    path.write_text(original.replace("title: MFNet", "title: Another"))
    status = json.loads(run(rebuilt, "dvc", "status", "--json"))
    path.write_text(original)
    assert set(status) == {"report"}


def test_a_killed_training_ends_in_the_same_bytes(rebuilt):
    before = hashes(rebuilt)
    for name in ("model.safetensors", "metrics.json", "history.parquet"):
        (rebuilt / "data/train" / name).unlink()
    command = [sys.executable, "-m", "stages.train"]
    victim = subprocess.Popen(
        command, cwd=rebuilt, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + HANGS
    while not list((rebuilt / ".mfnet" / "checkpoints").glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert victim.poll() is None, "training ended before it was killed"
    victim.kill()
    victim.wait()
    assert not (rebuilt / "data/train/model.safetensors").exists()
    run(rebuilt, "dvc", "repro", "train")
    assert hashes(rebuilt) == before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  lip: 0.5\n", "  lip: 0.5\n  lipp: 1\n", "loss.lipp: unknown key"),
        ("  multipie: data/raw/multipie\n", "  multipie: data/raw/none\n", "data/raw/none"),
    ],
)
def test_bad_input_is_one_line(rebuilt, old, new, told):
    path = rebuilt / "params.yaml"
    original = path.read_text()
    path.write_text(original.replace(old, new))
    said = run(rebuilt, sys.executable, "-m", "stages.ingest", fails=True)
    path.write_text(original)
    assert told in said and len(said.strip().splitlines()) == 1
