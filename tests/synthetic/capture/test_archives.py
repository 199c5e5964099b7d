"""The archives that the virtual capture writes, read by the readers of real ones."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mfnet.compute.executor import Compute
from mfnet.datasets import facescape as layout
from mfnet.datasets.multipie import CEILING, YAW, image_path, read_image
from mfnet.datasets.scan import scan
from mfnet.geometry import project_orthographic
from mfnet.geometry.conventions import VIEW_TO_OPENCV
from mfnet.synthetic.capture.archives import capture
from mfnet.synthetic.capture.facescape import RELIEF
from mfnet.synthetic.capture.truth import COLUMNS
from tests.synthetic.conftest import SERIAL, SMALL

CAMERAS = [*YAW, *CEILING]
WALL, BROKEN = (image_path("001", 1, 2, camera, 0) for camera in ("08_0", "01_0"))


@pytest.fixture(scope="module")
def truth(captured):
    return pd.read_parquet(captured / "truth.parquet").set_index("path")


def decoded(flame, row) -> torch.Tensor:
    """Vertices [V, 3] in view axes of a row of the truth table."""
    fields = ("shape", "expression", "global_pose", "jaw_pose")
    shape, expression, pose, jaw = (torch.tensor(row[field], dtype=torch.float32)[None] for field in fields)
    return flame(shape, expression, pose, jaw_pose=jaw).vertices[0]


def pixels(flame, row, size: int) -> np.ndarray:
    """Where the true head's vertices fall in the image [V, 2], pixels."""
    vertices = decoded(flame, row)
    if row["camera"] is not None:
        camera = torch.tensor(row["camera"], dtype=torch.float32)
        ndc = project_orthographic(vertices[None], camera[None])[0, :, :2].numpy()
        return (ndc * [1, -1] + 1) * size / 2
    image = (vertices.double().numpy() @ VIEW_TO_OPENCV + row["translation"]) @ row["intrinsics"].reshape(3, 3).T
    return image[:, :2] / image[:, 2:]


def test_the_archive_scans_as_a_multipie_archive_with_three_planted_faults(captured):
    manifest, rejected = scan(captured / "multipie")
    expected = {image_path("001", 1, 2, camera, light) for camera in CAMERAS for light in (0, 1)}
    assert set(manifest["path"]) == expected - {BROKEN}
    assert dict(zip(rejected["path"], rejected["reason"], strict=True)) == {
        BROKEN: "broken PNG: truncated",
        "session01/multiview/Thumbs.db": "stray file",
    }
    wall = read_image(captured / "multipie" / WALL)
    assert (wall == wall[:, :1]).all()  # no face: every row is one colour


def test_the_truth_table_knows_every_image(captured, truth):
    images = {str(p.relative_to(captured)) for p in captured.rglob("*.png")}
    assert set(truth.index) == images and [truth.index.name, *truth.columns] == list(COLUMNS)


def test_the_truth_table_tells_who_was_drawn(truth, flame):
    people = truth.groupby("subject").attributes.first()
    assert set(people["001"]) == set(flame.population.names) and 60 <= people["001"]["age"] <= 80  # of the elders
    assert all(not truth.attributes.isna()[name] for name in truth.index)
    assert list(truth.index) == sorted(truth.index)


@pytest.mark.parametrize("camera", ["24_0", "05_1", "13_0", "08_1"])
def test_photographs_show_the_true_head(captured, truth, flame, camera):
    path = image_path("001", 1, 2, camera, 1)
    image = read_image(captured / "multipie" / path).astype(int)
    wall = image[:, :1].copy()
    rows, columns = np.nonzero(np.abs(image - wall).max(-1) > 12)
    expected = pixels(flame, truth.loc[f"multipie/{path}"], 480)
    assert abs(columns.min() - expected[:, 0].min()) < 4 and abs(columns.max() - expected[:, 0].max()) < 4
    assert abs(rows.min() - expected[:, 1].min()) < 4
    assert 80 < np.ptp(columns) < 420


def test_flashes_light_their_side_and_poses_stay_between_flashes(captured, truth):
    dark, lit = (read_image(captured / "multipie" / image_path("001", 1, 2, "05_1", i)).astype(int) for i in (0, 1))
    gain = (lit - dark)[150:400, 200:440].sum(-1)
    assert gain[:, :120].mean() > gain[:, 120:].mean() + 20  # flash 01: the subject's right, the image's left
    one, two = (truth.loc[f"multipie/{image_path('001', 1, 2, '05_1', i)}"] for i in (0, 1))
    assert np.array_equal(one["global_pose"], two["global_pose"])


def test_wild_items_lie_in_their_bins_and_match_their_ground_truth(captured, truth, flame):
    items = layout.wild_items(captured / "facescape", captured / "facescape")
    assert [item.index for item in items] == [0, 100, 200, 300]
    for item, bounds in zip(items, layout.WILD_BINS, strict=True):
        low, high = map(float, bounds.split("-"))
        yaw = np.degrees(np.arctan2(item.rotation[0, 2], item.rotation[2, 2]))
        assert low <= abs(yaw) <= high
        row = truth.loc[f"facescape/data/wild_img/{item.name}.png"]
        mesh = obj_vertices(layout.mesh_path(captured / "facescape", item))
        image = layout.read_image(captured / "facescape", item)
        assert image.std() > 15
        expected = pixels(flame, row, layout.IMAGE_SIZE)
        written = (mesh[:, :2] * [1, -1] + 1) * layout.IMAGE_SIZE / 2
        check_close(written, expected, mm=2 * item.pupil_scale / layout.IMAGE_SIZE)


def test_lab_items_match_their_ground_truth_in_every_camera(captured, truth, flame):
    items = layout.lab_items(captured / "facescape", captured / "facescape")
    assert len(items) == layout.LAB_VIEWS_PER_SUBJECT
    for item in items[::8]:
        row = truth.loc[f"facescape/data/lab_img/{item.name}.png"]
        mesh = obj_vertices(layout.mesh_path(captured / "facescape", item))
        camera = mesh @ item.extrinsics[:, :3].T + item.extrinsics[:, 3]
        written = camera @ item.intrinsics.T
        expected = pixels(flame, row, layout.IMAGE_SIZE)
        check_close(written[:, :2] / written[:, 2:], expected, mm=1 / layout.LAB_SCALE)


def check_close(written: np.ndarray, expected: np.ndarray, mm: float) -> None:
    """Scan vertices against the model's, by nearest neighbours, px: near, but no nearer than the relief allows."""
    from scipy.spatial import cKDTree

    distance = mm * cKDTree(expected).query(written)[0]
    assert 0.005 * RELIEF[0][1] < np.median(distance) < 1.0


def obj_vertices(path) -> np.ndarray:
    """The vertices [V, 3] of an OBJ file."""
    return np.array([line.split()[1:] for line in path.read_text().splitlines() if line.startswith("v ")], float)


def test_scans_have_relief_that_the_model_does_not_know(flame, atlas):
    from mfnet.synthetic.capture.facescape import HeldOutSubject

    scan_ = HeldOutSubject(flame, atlas, 1000, seed=1, population={})
    model = (
        flame(scan_.shape, scan_.expression, torch.zeros(1, 3), jaw_pose=scan_.jaw_pose).vertices[0].double().numpy()
    )
    offset = np.linalg.norm(scan_.vertices - (model - scan_.centre) * scan_.scale, axis=1)  # mm
    spread = np.sqrt(sum(amplitude**2 for _, amplitude in RELIEF))
    assert 0.5 * spread < np.sqrt((offset**2).mean()) < 1.5 * spread
    assert np.abs(scan_.vertices.mean(0)).max() < 1e-6


def test_benchmark_subjects_are_nobody_of_the_training_archive(truth):
    trained = set(truth[truth.index.str.startswith("multipie/")]["subject"])
    measured = set(truth[truth.index.str.startswith("facescape/")]["subject"])
    assert trained == {"001"} and len(measured) == 5 and not trained & measured
    shapes = truth.groupby("subject")["shape"].first()
    assert len({tuple(np.round(shape, 3)) for shape in shapes}) == 6


def test_the_whole_head_is_in_no_picture_upside_down(captured):
    """Hair above, neck below: a check of the image's rows that no projection of ours takes part in."""
    with Image.open(captured / "facescape/data/lab_img/00_0_00.png") as image:
        rows = np.abs(np.asarray(image, int) - np.asarray(image, int)[:, :1]).max(-1) > 25
    widths = rows.sum(1)[rows.any(1)]
    assert widths[: len(widths) // 8].mean() < 0.9 * widths.max() and widths[len(widths) // 3] > widths[-5]


def test_a_disabled_capture_leaves_empty_folders(head_files, tmp_path):
    capture(head_files, SMALL.model_copy(update={"enabled": False}), SERIAL, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facescape", "multipie", "truth.parquet"]
    assert not list((tmp_path / "multipie").iterdir()) and pd.read_parquet(tmp_path / "truth.parquet").empty


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(head_files, captured, tmp_path):
    capture(head_files, SMALL, Compute("local", 2), tmp_path)
    one, two = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()} for root in (captured, tmp_path)
    )
    assert one == two and len(one) > 70


@pytest.mark.slow
def test_a_head_of_another_origin_goes_through_by_its_files_alone(shared, tmp_path):
    from mfnet.flame import read_head, write_head
    from mfnet.synthetic.capture.archives import HeadFile

    write_head(read_head(shared / "heads/ict_flame.npz"), tmp_path / "head.npz")
    head = HeadFile(str(tmp_path / "head.npz"), 60, 50)
    capture(
        head,
        SMALL.model_copy(update={"recordings": [(2, 2)], "illuminations": [7], "population": "everyone"}),
        SERIAL,
        tmp_path / "raw",
    )
    manifest, rejected = scan(tmp_path / "raw/multipie")
    assert len(manifest) == 14 and len(rejected) == 2
    image = read_image(tmp_path / "raw/multipie" / image_path("001", 2, 2, "05_1", 7)).astype(int)
    face = image[180:420, 230:410]
    assert face.std() > 15 and (face[..., 0] > face[..., 2] + 10).mean() > 0.4  # skin, not wall
