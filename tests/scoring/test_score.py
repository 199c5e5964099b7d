import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mfnet.compute.executor import Compute
from mfnet.datasets import facescape
from mfnet.errors import InputError
from mfnet.scoring.meshes import Mesh
from mfnet.scoring.score import METRICS, Partial, Submission, score_directory, score_meshes

LIMITS = {"CD": 0.01, "CR": 0.0005, "MNE": 0.0005}


@pytest.mark.parametrize("protocol", ["wild", "lab"])
def test_the_stand_in_scores_as_the_exact_official_code(shared, protocol):
    root = shared / "facescape"
    expected = pd.read_csv(root / f"expected_{protocol}.csv", dtype={"name": str})
    for method, rows in expected.groupby("method"):
        table = score_directory(Submission.open(root / "pred", protocol, method), root / "data", root / "predef")
        both = rows.merge(table, on=["dataset", "index", "name"], suffixes=("_official", ""))
        assert len(both) == len(rows) == len(table) and (table["status"] == "ok").all()
        for metric, limit in LIMITS.items():
            assert (both[metric] - both[f"{metric}_exact"]).abs().max() < limit, (method, metric)
        assert (both["delta_z"] - both["delta_z_exact"]).abs().max() < 0.007
        reversed_winding = both["prediction"].str.contains("flip")
        assert (both["reason"].str.contains("reversed") == reversed_winding).all()


def score(root, protocol, predictions, method=None, loader="camera", **settings) -> pd.DataFrame:
    """The table of a method's files below `predictions`, scored on the benchmark folder `root`."""
    return score_directory(Submission.open(predictions, protocol, loader, method), root, root, **settings)


def write_predictions(scene, folder, item, change):
    mesh = scene.wild_cube(item, scene.ball())
    scene.write_mesh(folder / f"{item.name}.obj", change(Mesh(mesh.vertices.copy(), mesh.faces)))


def nan_vertex(mesh):
    mesh.vertices[5, 1] = np.nan
    return mesh


CHANGES = {
    "copy": (lambda mesh: mesh, "ok", ""),
    "stray": (lambda mesh: Mesh(np.vstack([mesh.vertices, [[0, 0, -9]]]), mesh.faces), "ok", "1 vertices in no face"),
    "reversed": (lambda mesh: mesh.flipped(), "ok", "reversed"),
    "nan": (nan_vertex, "nan_vertices", "1 of"),
    "beside": (lambda mesh: mesh.moved(mesh.vertices + np.array([0.4, 0, 0])), "ok", ""),
    "far": (lambda mesh: mesh.moved(mesh.vertices + np.array([30.0, 0, 0])), "no_overlap", "no common pixel"),
    "empty": (lambda mesh: Mesh(mesh.vertices, mesh.faces[:0]), "empty_mesh", "0 faces"),
    "tiny": (lambda mesh: mesh.moved(mesh.vertices * 1e-9), "no_overlap", "no ray"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_wrong_is_in_the_row(scene, benchmark_root, tmp_path, name):
    change, status, reason = CHANGES[name]
    write_predictions(scene, tmp_path / "camera", scene.wild_item(0), change)
    table = score(benchmark_root, "wild", tmp_path)
    assert list(table["name"]) == ["000", "001", "305"]
    assert list(table["status"][1:]) == ["missing_file"] * 2
    row = table.iloc[0]
    assert row["status"] == status and reason in row["reason"]
    assert np.isfinite(row["CD"]) == (row["status"] == "ok")
    if name in ("copy", "stray"):
        assert row["CD"] < 0.01 and row["CR"] > 0.999


def test_a_quad_mesh_scores_as_its_triangles(scene, benchmark_root, tmp_path):
    item = scene.wild_item(0)
    rows, columns = np.meshgrid(np.linspace(-60, 60, 40), np.linspace(-40, 40, 40), indexing="ij")
    sheet = np.stack([columns, rows, 80 - columns**2 / 60 - rows**2 / 90], 2).reshape(-1, 3)
    k = np.arange(39 * 40).reshape(39, 40)[:, :-1].ravel()
    quads = np.stack([k, k + 1, k + 41, k + 40], 1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]])
    vertices = scene.wild_cube(item, Mesh(sheet, triangles)).vertices
    scene.write_mesh(tmp_path / "a" / "000.obj", Mesh(vertices, triangles))
    scene.write_mesh(tmp_path / "b" / "000.obj", Mesh(vertices, triangles))
    text = (tmp_path / "b/000.obj").read_text().split("f ")[0]
    (tmp_path / "b/000.obj").write_text(text + "".join(f"f {a} {b} {c} {d}\n" for a, b, c, d in quads + 1))
    scores = [score(benchmark_root, "wild", tmp_path, method).iloc[0] for method in "ab"]
    assert scores[0]["status"] == "ok"
    assert all(scores[0][metric] == pytest.approx(scores[1][metric], abs=1e-12) for metric in LIMITS)


def test_no_overlap_in_the_image(scene):
    """Wild: the depth gap stays and is scored, as officially. Lab: no number."""
    item = scene.wild_item(0)
    truth = scene.wild_cube(item, scene.ball())
    row, _ = score_meshes(item, truth, truth.moved(truth.vertices + np.array([2.2, 0, 8.0])), "m")
    assert row["status"] == "no_overlap" and "depth is not aligned" in row["reason"]
    below = truth.moved(truth.vertices + np.array([0, 0, 8.0]))
    reversed_row, _ = score_meshes(item, truth, Mesh(below.vertices, below.faces[:, [1, 0, 2]]), "m")
    assert reversed_row["status"] == "ok" and "reversed" in reversed_row["reason"]  # aligned on its far side
    lab = scene.lab_item(0)
    beside = scene.lab_camera(lab, scene.ball(centre=(2000, 0, 0)))
    row, _ = score_meshes(lab, scene.lab_world(scene.ball()), beside, "m")
    assert row["status"] == "no_overlap" and np.isnan(row["CD"])


def test_lab_scores_a_copy_as_perfect(scene, benchmark_root, tmp_path):
    for index in (0, 11 + 9):
        item = scene.lab_item(index)
        scene.write_mesh(tmp_path / f"lab_pred/camera/{item.name}.obj", scene.lab_camera(item, scene.ball()))
    table = score(benchmark_root, "lab", tmp_path)
    assert list(table["name"]) == ["00_0_00", "00_1_09"] and list(table["bin"]) == ["0", "60"]
    assert (table["CD"] < 1e-3).all() and (table["CR"] > 0.999).all() and list(table["focal"]) == [0, 1]


def test_a_prediction_without_ground_truth_keeps_a_row(scene, benchmark_root, tmp_path):
    write_predictions(scene, tmp_path, scene.wild_item(17), lambda mesh: mesh)
    scene.write_mesh(tmp_path / "lab/03_2_10.obj", scene.ball())
    wild = score(benchmark_root, "wild", tmp_path)
    assert wild.set_index("name").loc["017", "status"] == "no_ground_truth"
    lab = score(benchmark_root, "lab", tmp_path / "lab")
    assert lab.set_index("name").loc["03_2_10", "status"] == "no_ground_truth"


def test_columns_and_types_do_not_depend_on_the_outcome(scene, benchmark_root, tmp_path):
    (tmp_path / "none").mkdir()
    write_predictions(scene, tmp_path / "some", scene.wild_item(0), lambda mesh: mesh)
    none, some = (score(benchmark_root, "wild", tmp_path / name) for name in ("none", "some"))
    pd.testing.assert_series_equal(none.dtypes, some.dtypes)
    assert none["CD"].isna().all() and {*METRICS, "status", "reason", "bin"} <= set(none.columns)


@pytest.mark.slow
def test_workers_do_not_change_the_table(scene, benchmark_root, tmp_path):
    for index, yaw in ((0, 0.0), (1, 3.0)):
        write_predictions(scene, tmp_path, scene.wild_item(index, yaw), lambda mesh: mesh.moved(mesh.vertices * 1.02))
    tables = [score(benchmark_root, "wild", tmp_path, compute=Compute(executor, 2)) for executor in ("serial", "local")]
    pd.testing.assert_frame_equal(*tables)


def test_a_resumed_run_takes_up_finished_rows(scene, benchmark_root, tmp_path):
    write_predictions(scene, tmp_path / "camera", scene.wild_item(0), lambda mesh: mesh)
    partial = tmp_path / "scores.partial"
    whole = score(benchmark_root, "wild", tmp_path, partial=partial)
    lines = partial.read_text().splitlines()
    changed = json.loads(lines[1]) | {"CD": 123.0}
    partial.write_text("\n".join([lines[0], json.dumps(changed)]) + '\n{"dataset": "fswi')  # killed while writing
    again = score(benchmark_root, "wild", tmp_path, partial=partial)
    assert again.loc[0, "CD"] == 123.0  # the finished row was not scored again
    pd.testing.assert_frame_equal(again.iloc[1:], whole.iloc[1:])
    with pytest.raises(InputError, match="another run"):
        Partial(partial, ["lab", "camera", "camera", "elsewhere"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loader": "none"}, "--loader none: unknown; known: facescape_opti"),
        ({"protocol": "both"}, "unknown protocol"),
        ({"predictions": "/nowhere"}, "no such folder"),
        ({"root": "/nowhere"}, "not a FaceScape benchmark"),
    ],
)
def test_wrong_arguments_are_one_line(benchmark_root, tmp_path, change, message):
    arguments = {"root": benchmark_root, "protocol": "wild", "predictions": tmp_path, "loader": "camera"}
    with pytest.raises(InputError, match=message) as caught:
        score(**(arguments | change))
    assert "\n" not in str(caught.value)


def test_predefined_values_that_are_nan_are_named(scene):
    item = scene.wild_item(0)
    broken = facescape.WildItem(0, item.rotation * np.nan, item.pupil_scale, item.head_centre_cube)
    row, _ = score_meshes(broken, scene.ball(), scene.ball(), "m")
    assert row["status"] == "no_ground_truth" and "predef" in row["reason"]


BAD_LAB_CAMERAS = {"deep": lambda camera: "[" * 100_000, "farther": lambda camera: farther(camera, 1.05)}


def farther(camera: str, factor: float) -> str:
    intrinsics, extrinsics = json.loads(camera)
    return json.dumps([intrinsics, [[*row[:3], row[3] * factor] for row in extrinsics]])


@pytest.mark.parametrize("name", BAD_LAB_CAMERAS)
def test_a_bad_camera_is_a_row_and_the_run_goes_on(scene, benchmark_root, tmp_path, name):
    shutil.copytree(benchmark_root, tmp_path / "set")
    camera = tmp_path / "set/data/lab_cam/00_0_00.json"
    camera.write_text(BAD_LAB_CAMERAS[name](camera.read_text()))
    for index in (0, 20):
        item = scene.lab_item(index)
        mesh = scene.lab_camera(item, scene.ball())
        scene.write_mesh(tmp_path / "pred/camera" / f"{item.name}.obj", mesh)
    table = score(tmp_path / "set", "lab", tmp_path / "pred").set_index("name")
    assert table.loc["00_0_00", "status"] == "unreadable" and "00_0_00.json" in table.loc["00_0_00", "reason"]
    assert np.isnan(table.loc["00_0_00", "CD"]) and table.loc["00_1_09", "status"] == "ok"


@pytest.mark.parametrize(("factor", "remark"), [(0.9, False), (1.2, False), (0.7, True), (1.3, True), (1 / 15.9, True)])
def test_a_prediction_in_another_unit_has_a_remark(scene, factor, remark):
    item = scene.lab_item(0)
    prediction = scene.lab_camera(item, scene.ball())
    row, _ = score_meshes(item, scene.lab_world(scene.ball()), prediction.moved(prediction.vertices * factor), "m")
    assert row["status"] == "ok" and ("another unit" in row["reason"]) == remark
