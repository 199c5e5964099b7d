"""MFNet's protocol end to end on the mean head: exact landmarks and an exact network must give exact scores."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mfnet.benchmark import methods, protocol
from mfnet.benchmark.artifacts import require_disjoint, write_benchmark
from mfnet.benchmark.methods import Inputs, Models, companions, slot_of
from mfnet.benchmark.names import BY_NAME, methods_of, unposed
from mfnet.benchmark.protocol import Cropper, pictured_items, run_protocol
from mfnet.datasets import facescape
from mfnet.errors import InputError
from mfnet.flame import Flame
from mfnet.geometry import FaceCrop, euler_to_matrix, matrix_to_axis_angle
from mfnet.model.parameters import Person, Prediction, View
from mfnet.scoring.meshes import ItemError
from mfnet.scoring.score import Benchmark

SIZE, CROP_SCALE = 64, 1.3


@pytest.fixture(scope="module")
def flame(head):

    return Flame(head, 10, 5)


def mean_vertices(flame, pose=None) -> SimpleNamespace:
    pose = torch.zeros(1, 3) if pose is None else pose
    return flame(torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression), pose)


class Studio:
    """Writes a benchmark of the mean head, and knows for each image what a perfect detector and network would say."""

    def __init__(self, flame, root):
        self.flame, self.root = flame, root
        output = mean_vertices(flame)
        full = output.landmarks_full[0].double().numpy()
        pupils = [full[corners].mean(0) for corners in ([42, 45], [36, 39])]
        self.unit = facescape.PUPIL_DISTANCE / np.linalg.norm(pupils[0] - pupils[1])
        vertices = output.vertices[0].double().numpy()
        self.centre = vertices.mean(0)
        self.canonical = facescape.canonical_head(vertices, *pupils)
        self.blank = np.zeros((256, 256, 3), np.uint8)
        self.landmarks: dict[str, np.ndarray] = {}
        self.poses: dict[str, torch.Tensor] = {}
        self.cameras: dict[str, np.ndarray] = {}

    def wild(self, index: int, yaw: float, pitch: float = 5.0) -> facescape.WildItem:
        rotation = euler_to_matrix(*torch.deg2rad(torch.tensor([yaw, pitch, 3.0], dtype=torch.float64)))
        item = facescape.WildItem(index, rotation.numpy(), 135.0, np.array([0.05, -0.1, -10.0]))
        facescape.write_wild_item(self.root, item, self.canonical, self.flame.faces.numpy(), self.blank)
        posed = self._posed(rotation)
        cube = (posed[:, :2] * self.unit + item.head_centre[:2]) / item.pupil_scale
        self._remember(f"wild_img/{item.name}.png", cube, matrix_to_axis_angle(rotation[None]).float())
        return item

    def lab(self, focal: int, view: int) -> None:
        K, R, t = facescape.lab_camera(focal, view)
        facescape.write_lab_view(self.root, 0, focal, view, self.blank)
        axes = torch.from_numpy(np.diag([1.0, -1, -1]) @ R)
        posed = self._posed(axes) * self.unit * [1, -1, -1] + t
        pixels = posed @ K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        cube = (pixels / 128 - 1) * [1, -1]
        name = facescape.lab_name(facescape.lab_index(0, focal, view))
        self._remember(f"lab_img/{name}.png", cube, matrix_to_axis_angle(axes[None]).float())

    def _posed(self, rotation) -> np.ndarray:
        """Landmarks of the head turned by `rotation`, metres, relative to the turned head centre."""
        output = mean_vertices(self.flame, matrix_to_axis_angle(rotation[None]).float())
        root = mean_vertices(self.flame).joints[0, 0].double().numpy()
        turned_centre = rotation.numpy() @ (self.centre - root) + root
        return output.landmarks[0].double().numpy() - turned_centre

    def _remember(self, path, cube, pose):
        self.landmarks[path] = (cube * [1, -1] + 1) * 128
        self.poses[path] = pose

    def detect(self, paths, images):
        assert all(image.shape == (256, 256, 3) for image in images)
        return [SimpleNamespace(landmarks=self.landmarks[path], score=1.0, reason=None) for path in paths]


def views_at(pose: torch.Tensor, camera: torch.Tensor) -> View:
    """Orthographic views of a pose [B, V, 3] and camera [B, V, 3], without colour."""
    batch, views = pose.shape[:2]
    return View(pose, camera, torch.zeros(batch, views), torch.zeros(batch, views, 1), torch.zeros(batch, views, 9, 3))


class Echo(nn.Module):
    """A network of the mean head: the camera of a crop that is centred on the landmarks is nearly constant."""

    def __init__(self, flame, pose_of_slot, views):
        super().__init__()
        self.flame, self.pose_of_slot, self.views, self.calls = flame, pose_of_slot, views, []
        self.params = SimpleNamespace(views=views)

    def forward(self, images, present=None):
        batch, views = images.shape[:2]
        assert views == self.views and images.shape[2:] == (3, SIZE, SIZE)
        self.calls.append(images)
        pose = torch.stack([self.pose_of_slot(slot) for slot in range(views)])[None].expand(batch, -1, -1)
        person = Person(
            torch.zeros(batch, self.flame.n_shape), torch.zeros(batch, self.flame.n_expression), torch.zeros(batch, 3)
        )
        return Prediction(person, views_at(pose, torch.tensor([8.0, 0.0, 0.0]).expand(batch, views, 3)))


def test_the_mean_head_scores_as_a_copy_in_the_wild(flame, tmp_path):
    studio = Studio(flame, tmp_path)
    items = [studio.wild(0, 2.0), studio.wild(150, -20.0), studio.wild(250, 45.0)]
    facescape.write_wild_predef(tmp_path, items)
    models = Models(flame, None, None)
    cropper = Cropper(studio.detect, SIZE, CROP_SCALE)
    result = run_protocol(Benchmark("wild", tmp_path, items), models, cropper, shown=["150"])
    table, distances = result.scores, result.distances
    assert list(table["method"]) == ["mean_head"] * 3 and (table["status"] == "ok").all()
    assert (table["CD"] < 0.3).all() and (table["CR"] > 0.99).all()
    assert list(table["views"]) == ["000", "150", "250"] and (table["n_views"] == 1).all()
    assert list(distances) == [("mean_head", "150")] and np.nanmax(distances["mean_head", "150"]) < 3
    assert result.faces["mean_head", "000"].vertices.shape == mean_vertices(flame).vertices[0].shape


def test_the_mean_head_scores_as_a_copy_in_the_lab(flame, tmp_path):
    """At f = 1200 perspective is nearly orthographic; at 300 no orthographic face can follow it, a placed one can."""
    studio = Studio(flame, tmp_path)
    facescape.write_lab_subject(tmp_path, 0, studio.canonical, flame.faces.numpy())
    facescape.write_lab_predef(tmp_path)
    for focal, view in ((0, 0), (0, 1), (0, 9), (2, 0)):
        studio.lab(focal, view)
    items = facescape.lab_items(tmp_path, tmp_path)
    benchmark, cropper = Benchmark("lab", tmp_path, items), Cropper(studio.detect, SIZE, CROP_SCALE)
    table = run_protocol(benchmark, Models(flame, None, None), cropper).scores
    assert (table["status"] == "ok").all()
    assert (table[table["focal"] == 0]["CD"] < 2.0).all()
    near = table[table["focal"] == 2]["CD"].item()
    assert near > table[table["focal"] == 0]["CD"].max()
    known = Models(flame, None, None, use_calibrated_camera=True)
    table = run_protocol(benchmark, known, cropper).scores
    assert (table["status"] == "ok").all() and (table[table["focal"] == 0]["CD"] < 2.0).all()
    assert table[table["focal"] == 2]["CD"].item() < 0.8 * near


def lab_benchmark(flame, root, views=range(11)) -> tuple[Studio, list]:
    studio = Studio(flame, root)
    facescape.write_lab_subject(root, 0, studio.canonical, flame.faces.numpy())
    facescape.write_lab_predef(root)
    for view in views:
        studio.lab(0, view)
    return studio, facescape.lab_items(root, root)


def turn_of(flame, vertices: np.ndarray) -> np.ndarray:
    """The rotation (axis-angle) that takes the mean head to `vertices`, whatever their scale and place."""
    from scipy.spatial.transform import Rotation

    rest = mean_vertices(flame).vertices[0].double().numpy()
    return Rotation.align_vectors(vertices - vertices.mean(0), rest - rest.mean(0))[0].as_rotvec()


def test_views_are_named_and_the_items_own_pose_is_used(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path)
    poses = [studio.poses[f"lab_img/00_0_{view:02d}.png"][0] for view in (0, 8, 1)]  # frontal, left, right
    multi = Echo(flame, lambda slot: poses[slot], 3)
    single = Echo(flame, lambda slot: torch.zeros(3), 1)
    fitted = []

    def refiner(prediction, images, landmarks):
        fitted.append((images, landmarks))
        return prediction.with_inverse_distance(1e-9)

    models = Models(flame, single, multi, refiner)
    views = Cropper(studio.detect, SIZE, CROP_SCALE)(items, tmp_path)
    results = methods.predict("lab", items, views, models)
    assert [method for method, name in results if name == "00_0_00"] == [m.name for m in methods_of("lab")]
    assert len(results) == 9 * 11
    named = {key: face.views for key, face in results.items()}
    assert named["mfnet_3", "00_0_01"] == "frontal=00_0_00 left=00_0_08 right=00_0_01"
    assert named["mfnet_3", "00_0_09"] == "frontal=00_0_00 left=00_0_10 right=00_0_09"
    assert named["mfnet_3", "00_0_05"] == "frontal=00_0_05 left=00_0_08 right=00_0_01"
    assert named["mfnet_1_averaged", "00_0_05"] == named["mfnet_3", "00_0_05"]
    assert named["mfnet_3_same_image", "00_0_01"] == named["mfnet_1", "00_0_01"] == "00_0_01"
    assert results["mfnet_1_averaged", "00_0_01"].n_views == 3 == results["mfnet_3", "00_0_00"].n_views
    assert results["mfnet_3_same_image", "00_0_01"].n_views == 1
    for method, view, slot in (
        ("mfnet_3", 0, 0),
        ("mfnet_3", 6, 1),
        ("mfnet_3", 9, 2),
        ("mfnet_3", 4, 0),
        ("mfnet_3_same_image", 9, 0),  # one image: the first slot speaks
    ):
        found = turn_of(flame, results[method, f"00_0_{view:02d}"].vertices)
        np.testing.assert_allclose(found, poses[slot].numpy(), atol=1e-3)
    ((images, landmarks),) = fitted  # once for each set of photographs: five mirrored pairs and those without yaw
    sets = {results["mfnet_3_refined", item.name].views for item in items}
    assert len(images) == len(sets) == len({face.views for (m, _), face in results.items() if m == "mfnet_3"}) < 11
    assert landmarks.shape == (len(images), 3, 68, 2)
    for view in (0, 9):  # whatever the networks say of the pose
        posed, own = (results[method, f"00_0_{view:02d}"] for method in ("mfnet_1_posed", "mean_head"))
        np.testing.assert_array_equal(posed.vertices, own.vertices)
    assert named["mfnet_3_posed", "00_0_05"] == named["mfnet_3", "00_0_05"]
    for item in items:
        refined, plain = (results[method, item.name] for method in ("mfnet_3_refined", "mfnet_3"))
        assert refined.views == plain.views
        flat = refined.vertices[:, :2] * refined.focal / refined.vertices[:, 2:] / 128  # a far camera is orthographic
        np.testing.assert_allclose(flat * [1, -1], plain.vertices[:, :2], atol=0.01)
    same = next(call for call in reversed(multi.calls) if torch.equal(call[:, 0], call[:, 1]))
    assert torch.equal(same[:, 0], same[:, 2])


def test_a_method_runs_where_all_that_it_needs_is_there(flame):
    network = nn.Module()
    names = {
        protocol: [method.name for method in Models(flame, None, network).methods(protocol)]
        for protocol in ("wild", "lab")
    }
    assert names["wild"] == ["mean_head", "mfnet_3_same_image"]
    assert names["lab"] == ["mean_head", "mfnet_3", "mfnet_3_same_image", "mfnet_3_posed"]
    refining = Models(flame, None, network, lambda *given: None).methods("lab")
    assert [method.name for method in refining] == [*names["lab"], "mfnet_3_refined"]
    assert [method.name for method in Models(flame, network, None).methods("wild")] == [
        "mean_head",
        "mfnet_1",
        "mfnet_1_posed",
    ]
    assert len(Models(flame, network, network, lambda *given: None).methods("lab")) == len(BY_NAME)


def test_posed_methods_have_the_heads_of_another():
    assert {name: unposed(name) for name in BY_NAME if unposed(name) != name} == {
        "mfnet_1_posed": "mfnet_1",
        "mfnet_1_averaged_posed": "mfnet_1_averaged",
        "mfnet_3_posed": "mfnet_3",
    }
    assert unposed("ablation/full-6") == "ablation/full-6"  # not of the table


def test_companions_complete_the_slots_for_every_view():
    for view in range(11):
        item = facescape.LabItem(2 * 33 + 11 + view, np.eye(3), np.zeros(3), np.eye(3), np.zeros((3, 4)))
        chosen = {slot: int(name.split("_")[2]) for slot, name in companions(item).items()}
        assert all(name.startswith("02_1_") for name in companions(item).values())
        assert list(chosen) == ["frontal", "left", "right"] and len(set(chosen.values())) == 3
        assert chosen[slot_of(view)] == view
        yaw = {slot: facescape.LAB_VIEWS[other][0] for slot, other in chosen.items()}
        assert yaw["left"] < 0 < yaw["right"] and yaw["left"] == pytest.approx(-yaw["right"]) and yaw["frontal"] == 0


def test_averaging_takes_persons_from_three_views_and_the_pose_from_one(flame):
    class Counting(nn.Module):
        def forward(self, images):
            value = images.mean(dim=(1, 2, 3, 4))
            ones = torch.ones(len(images), flame.n_shape)
            person = Person(
                value[:, None] * ones, torch.zeros(len(images), flame.n_expression), torch.zeros(len(images), 3)
            )
            views = value[:, None, None].expand(-1, 1, 3)
            return Prediction(person, views_at(views, 1 + views))

    crops = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 51, 153)]
    named = {str(number): FaceCrop(crop, np.eye(3), np.zeros((68, 2))) for number, crop in enumerate(crops)}
    inputs, models = [Inputs(("0", "1", "2"), 2, None)], Models(flame, Counting(), None)
    found = methods.predict_heads(BY_NAME["mfnet_1_averaged"], inputs, named, models)
    assert found.person.shape[0, 0].item() == pytest.approx((0 + 0.2 + 0.6) / 3)
    assert found.views.global_pose[0, 0, 0].item() == pytest.approx(0.6)
    assert found.views.camera.shape == (1, 1, 3) and found.views.camera[0, 0, 0].item() == pytest.approx(1.6)


@pytest.mark.slow
def test_a_network_is_asked_once_for_its_heads_in_both_poses(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path)
    network = Echo(flame, lambda slot: torch.zeros(3), 1)
    cropped = Cropper(studio.detect, SIZE, CROP_SCALE)
    table = run_protocol(Benchmark("lab", tmp_path, items), Models(flame, network, None), cropped).scores
    alone, averaged = len(items), 3 * len(items)
    assert {"mfnet_1_posed", "mfnet_1_averaged_posed"} < set(table["method"])
    assert sum(len(images) for images in network.calls) == alone + averaged


def test_what_cannot_be_predicted_keeps_a_row_with_a_reason(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path, views=(0, 1, 9))

    def detect(paths, images):
        found = studio.detect(paths, images)
        found[1] = SimpleNamespace(landmarks=None, score=0.0, reason="no face: score 0.01")
        return found

    models = Models(flame, None, Echo(flame, lambda slot: torch.zeros(3), 3))
    table = run_protocol(Benchmark("lab", tmp_path, items), models, Cropper(detect, SIZE, CROP_SCALE)).scores
    rows = table.set_index(["method", "name"])
    assert rows.loc[("mean_head", "00_0_01"), "status"] == "no_landmarks"
    assert rows.loc[("mean_head", "00_0_00"), "status"] == "ok"
    assert rows.loc[("mfnet_3", "00_0_09"), "status"] == "missing_image"
    assert "00_0_10" in rows.loc[("mfnet_3", "00_0_09"), "reason"]
    (tmp_path / "data/lab_img/00_0_00.png").write_bytes(b"")
    table = run_protocol(Benchmark("lab", tmp_path, items), models, Cropper(studio.detect, SIZE, CROP_SCALE)).scores
    assert table.set_index(["method", "name"]).loc[("mean_head", "00_0_00"), "status"] == "missing_image"


def test_a_network_that_says_nan_is_a_status(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path, views=(0,))
    models = Models(flame, Echo(flame, lambda slot: torch.full((3,), torch.nan), 1), None)
    table = run_protocol(Benchmark("lab", tmp_path, items), models, Cropper(studio.detect, SIZE, CROP_SCALE)).scores
    assert table.set_index("method").loc["mfnet_1", "status"] == "nan_vertices"


def test_artifacts_are_whole_and_repeatable(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path, views=(0, 1, 9))
    names = pictured_items(items, 2)
    assert names == ["00_0_00", "00_0_01"]
    benchmark = Benchmark("lab", tmp_path, items)
    result = run_protocol(benchmark, Models(flame, None, None), Cropper(studio.detect, SIZE, CROP_SCALE), shown=names)
    params = SimpleNamespace(bootstrap=20, seed=0)
    for out in ("a", "b"):
        metrics = write_benchmark(tmp_path / out, benchmark, result, names, flame, params)
    for name in ("scores.parquet", "metrics.json", "meshes.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert metrics["lab/all/mean_head/done"] == 1 and metrics["lab/60/mean_head/items"] == 1
    with np.load(tmp_path / "a/meshes.npz") as arrays:
        assert {f"vertices/mean_head/{name}" for name in names} <= set(arrays)
        assert arrays["image/00_0_00"].shape == (256, 256, 3)
        assert arrays["distance/mean_head/00_0_01"].shape == (180, 180)


def test_subjects_must_be_disjoint(tmp_path):
    import pandas as pd

    people = pd.DataFrame(
        {
            "path": ["multipie/a.png", "multipie/b.png", "facescape/data/wild_img/000.png"],
            "subject": ["001", "002", "1000"],
            "shape": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        }
    )
    plan = tmp_path / "plan.parquet"
    pd.DataFrame({"subject": ["001", "002"]}).to_parquet(plan)
    with pytest.raises(InputError, match="no such file"):
        require_disjoint(tmp_path / "facescape", plan)
    people.to_parquet(tmp_path / "truth.parquet")
    require_disjoint(tmp_path / "facescape", plan)
    for column, value in (("shape", [3.0, 4.0]), ("subject", "002")):
        changed = people.copy()
        changed[column] = [*changed[column][:2], value]
        changed.to_parquet(tmp_path / "truth.parquet")
        with pytest.raises(InputError, match="are in"):
            require_disjoint(tmp_path / "facescape", plan)


def test_an_error_is_a_value_that_pickles():
    import pickle

    error = pickle.loads(pickle.dumps(ItemError("no_landmarks", "why")))
    assert (error.status, error.reason) == ("no_landmarks", "why")


def test_ablation_variants_see_one_image_in_all_their_slots(flame, tmp_path):
    studio, items = lab_benchmark(flame, tmp_path, views=[0])
    views = Cropper(studio.detect, SIZE, CROP_SCALE)(items[:1], tmp_path)
    multi = Echo(flame, lambda slot: torch.zeros(3), 3)
    single = Echo(flame, lambda slot: torch.zeros(3), 1)
    results = protocol.predict_variants(items[:1], views, flame, {"full-0": multi, "views-1-0": single})
    assert [method for method, _ in results] == ["ablation/full-0", "ablation/views-1-0"]
    assert all(face.n_views == 1 and face.views == items[0].name for face in results.values())
    (seen,) = multi.calls
    assert torch.equal(seen[:, 0], seen[:, 2]) and single.calls[0].shape[1] == 1
