"""Photographs in, head out, from the mean head: on drawn people whose landmarks are known, from files to files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from mfnet.api import Reconstructor
from mfnet.cli.main import main
from mfnet.errors import InputError
from mfnet.fitting.person import FitChoices
from mfnet.flow import DisFlow
from mfnet.geometry import axis_angle_to_matrix, ndc_to_pixels
from mfnet.io.scenes import read_cameras
from mfnet.landmarks.backends import Detection
from mfnet.model.projection import decode
from mfnet.photographs import CropRules, find_photographs
from mfnet.texturing.texture import WIDE
from tests.heads import open_flame
from tests.losses.scenes import SIZE, rendered_scene
from tests.settings import EMBEDDED, having

SETTINGS = having(EMBEDDED.refine, iterations=3, flow_iterations=1, spacing=8)
VIEWS = ("front", "left", "right")


@dataclass(frozen=True)
class Known:
    """A detector that knows the drawn people's landmarks by the names of the files; what is no person has none."""

    name: str = "annotations"

    def fingerprint(self) -> str:
        return self.name

    def detect(self, paths: list[str], images: list[np.ndarray]) -> list[Detection]:
        return [self._of(Path(path).stem) for path in paths]

    def _of(self, name: str) -> Detection:
        if name == "landscape":
            return Detection(None, 0.0, "no face")
        if name == "lost":
            return Detection(np.random.default_rng(0).uniform(10, SIZE - 10, (68, 2)), 0.9)
        person, view = name.split("-")
        landmarks = rendered_scene().batch.landmarks[int(person), VIEWS.index(view)]
        return Detection(ndc_to_pixels(landmarks, SIZE, SIZE).double().numpy(), 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``0-front.png``, ..., and two pictures that are none of a person."""
    folder = tmp_path_factory.mktemp("photographs")
    images = rendered_scene().batch.images.permute(0, 1, 3, 4, 2).numpy()
    for person in range(2):
        for view, name in enumerate(VIEWS):
            Image.fromarray(images[person, view]).save(folder / f"{person}-{name}.png")
    for name in ("landscape", "lost"):
        Image.fromarray(images[0, 0][::-1].copy()).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    crops = CropRules(EMBEDDED.triplets.image_size, EMBEDDED.triplets.crop_scale, EMBEDDED.landmarks.min_score)
    return Reconstructor(open_flame(), None, Known(), DisFlow(), crops, SETTINGS)


@pytest.fixture
def command(reconstructor, monkeypatch):
    """``mfnet reconstruct`` with this reconstructor."""
    monkeypatch.setattr("mfnet.api.load", lambda model, params, head: reconstructor)

    def run(*arguments: object) -> None:
        main(["reconstruct", "--texture", "128", *map(str, arguments)])

    return run


def files(folder: Path, person: int, views=VIEWS) -> list[Path]:
    return [folder / f"{person}-{view}.png" for view in views]


@pytest.fixture(scope="module")
def face(reconstructor, folder):
    return reconstructor.reconstruct(*files(folder, 0), texture_size=256)


def test_photographs_come_in_any_order(reconstructor, folder, face):
    other = reconstructor.reconstruct(*files(folder, 0, ("right", "front", "left")), texture_size=64)
    assert [view.name for view in other.views] == ["frontal", "left", "right"]
    assert [photograph.path for photograph in other.photographs] == files(folder, 0)
    np.testing.assert_allclose(other.vertices, face.vertices, atol=1e-6)
    assert face.verdict == "good" and face.start == "mean"


@pytest.mark.parametrize("views", [("front",), ("left",), ("right", "front")])
def test_fewer_photographs_leave_more_uncertain(reconstructor, folder, face, views):
    found = reconstructor.reconstruct(*files(folder, 0, views), texture_size=64, use_flow=False)
    assert len(found.views) == len(views) and found.verdict == "good"
    assert found.vertex_sigma_mm.mean() > face.vertex_sigma_mm.mean()


def test_the_network_alone_is_asked_in_vain_where_there_is_none(reconstructor, folder):
    with pytest.raises(InputError, match="network"):
        reconstructor.reconstruct(*files(folder, 0), refine=False)
    with pytest.raises(InputError, match="network"):
        reconstructor.reconstruct(folder / "0-front.png", choices=FitChoices(start="network"))


def test_a_folder_stands_for_its_photographs(folder, tmp_path):
    assert find_photographs([folder]) == sorted(folder.glob("*.png"))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no photographs in this folder"):
        find_photographs([tmp_path])
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        find_photographs([tmp_path / "none.png"])


def test_the_texture_shows_the_photographs(reconstructor, folder, face):
    """The front view drawn anew with the texture is the photograph, where the texture was seen."""
    assert face.texture.shape == (256, 256, 3) and face.texture_confidence.shape == (256, 256)
    heads = decode(face.flame, face.prediction)
    inside = face.flame.masks["face"].numpy()
    uv, uv_faces = (part.numpy() for part in face.flame.uv_map)
    place = np.zeros((len(face.vertices), 2))
    place[face.flame.faces.numpy().ravel()] = uv[uv_faces.ravel()]
    column, row = (256 * place[:, 0]).astype(int).clip(0, 255), (256 * (1 - place[:, 1])).astype(int).clip(0, 255)
    sure = inside & (face.texture_confidence[row, column] > 0.8)
    x, y = (ndc_to_pixels(heads.projected[0, 0, :, :2], 128, 128).numpy().T - 0.5).round().astype(int).clip(0, 127)
    shown = face.photographs[0].crop.image[y, x].astype(int)
    assert sure.sum() > 200
    assert np.abs(shown - face.texture[row, column])[sure].mean() < 14


def test_parameters_lead_from_the_mesh_to_the_photographs(face, tmp_path):
    """With nothing but head.ply and the JSON."""
    face.save(tmp_path / "head.ply")
    face.save_parameters(tmp_path / "parameters.json")
    content = json.loads((tmp_path / "parameters.json").read_text())
    vertices = np.asarray(trimesh.load(tmp_path / "head.ply", process=False).vertices)
    root = np.array(content["root"])
    heads = decode(face.flame, face.prediction)
    assert content["head"]["content_hash"] == face.flame.content_hash
    assert content["head"]["licence"] == face.flame.provenance.licence
    for number, view in enumerate(content["views"]):
        turn = axis_angle_to_matrix(torch.tensor(view["global_pose"])[None])[0].numpy()
        posed = (vertices - root) @ turn.T + root
        scale, tx, ty = view["camera"]
        divisor = 1 - view["inverse_distance"] * (posed[:, 2] - view["reference_depth"])
        ndc = scale * (posed[:, :2] + [tx, ty]) / divisor[:, None]
        pixels = view["crop"]["centre"] + view["crop"]["side"] / 2 * ndc * [1, -1]
        crop = ndc_to_pixels(heads.projected[0, number, :, :2], 128, 128).numpy()
        matrix = face.photographs[number].crop.to_photograph
        wanted = crop @ matrix[:2, :2].T + matrix[:2, 2]
        np.testing.assert_allclose(pixels, wanted, atol=0.02)
        assert view["photograph"] == face.photographs[number].path.name
        assert view["yaw"] == pytest.approx(face.views[number].yaw, abs=0.01)


def test_transforms_are_pinholes_that_see_what_the_fit_saw(face, tmp_path):
    """Read as nerfstudio reads them: camera to world, OpenGL's axes, intrinsics in pixels."""
    face.save_transforms(tmp_path / "ann_transforms.json")
    content = json.loads((tmp_path / "ann_transforms.json").read_text())
    heads = decode(face.flame, face.prediction)
    for number, frame in enumerate(content["frames"]):
        photograph = face.photographs[number]
        image = np.asarray(Image.open(tmp_path / frame["file_path"]))
        assert image.shape == (frame["h"], frame["w"], 3) and frame["cx"] == frame["w"] / 2
        world_to_camera = np.linalg.inv(frame["transform_matrix"])
        np.testing.assert_allclose(np.linalg.det(world_to_camera[:3, :3]), 1, atol=1e-5)
        x, y, z = world_to_camera[:3, :3] @ face.vertices.T + world_to_camera[:3, 3:]
        pixels = np.stack([frame["cx"] + frame["fl_x"] * x / -z, frame["cy"] - frame["fl_y"] * y / -z], 1)
        box = photograph.box(WIDE)
        pixels = [box.centre_x, box.centre_y] + (pixels / frame["w"] - 0.5) * box.side
        crop = ndc_to_pixels(heads.projected[0, number, :, :2], 128, 128).numpy()
        matrix = photograph.crop.to_photograph
        np.testing.assert_allclose(pixels, crop @ matrix[:2, :2].T + matrix[:2, 2], atol=0.02)
        assert (z < -0.1).all()


def test_transforms_are_read_as_known_cameras(face, tmp_path):
    """By the reader of `--cameras`, which has its own idea of the axes."""
    face.save_transforms(tmp_path / "transforms.json")
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    for camera, frame in zip(read_cameras(tmp_path / "transforms.json"), frames, strict=True):
        pixels, depth = camera.project(face.vertices)
        x, y, z, _ = np.linalg.inv(frame["transform_matrix"]) @ np.column_stack([face.vertices, np.ones(len(pixels))]).T
        np.testing.assert_allclose(depth, -z, atol=1e-5)
        np.testing.assert_allclose(pixels[:, 0], frame["cx"] + frame["fl_x"] * x / -z, atol=0.01)
        np.testing.assert_allclose(pixels[:, 1], frame["cy"] - frame["fl_y"] * y / -z, atol=0.01)


def test_orthographic_cameras_are_no_pinholes(face, tmp_path):
    flat = replace(face, prediction=face.prediction.with_inverse_distance(0.0))
    assert face.has_pinholes and not flat.has_pinholes
    with pytest.raises(InputError, match="orthographic"):
        flat.save_transforms(tmp_path / "transforms.json")


def test_a_head_shows_another_expression_where_it_is_told_to(command, folder, tmp_path):
    (tmp_path / "open.json").write_text('{"jawOpen": 1}')
    photograph = folder / "0-front.png"
    chins = {}
    for name, options in (("rest", ["--neutral"]), ("open", ["--expression", tmp_path / "open.json"])):
        command(photograph, "-o", tmp_path / f"{name}.ply", *options)
        vertices = trimesh.load(tmp_path / f"{name}.ply", process=False).vertices
        chins[name] = vertices[:, 1][open_flame().masks["face"].numpy()].min()
    assert chins["open"] < chins["rest"] - 0.01
    with pytest.raises(SystemExit) as ended:
        command(photograph, "-o", tmp_path / "x.ply", "--neutral", "--expression", tmp_path / "open.json")
    assert "one of the two" in str(ended.value)


def test_head_overlay_and_parameters_are_written_together(command, folder, tmp_path, capsys):
    command(*files(folder, 0), "-o", tmp_path / "ann")
    files_of_ann = {"head.glb", "head.html", "overlay.png", "parameters.json", "transforms", "transforms.json"}
    assert {path.name for path in (tmp_path / "ann").iterdir()} == files_of_ann
    said = capsys.readouterr().out
    assert "verdict: good" in said and "0-left.png: left" in said
    command(folder / "0-front.png", "-o", tmp_path / "bob.obj")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        *("bob.obj", "bob.mtl", "bob.png", "bob_overlay.png", "bob_parameters.json", "bob_transforms.json"),
        "bob.html",
    }


def test_a_refused_fit_is_not_written_unless_it_is_forced(command, folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command(folder / "lost.png", "-o", tmp_path / "x.glb")
    assert "refused" in str(ended.value) and not list(tmp_path.iterdir())
    assert "verdict: refused" in capsys.readouterr().out
    command(folder / "lost.png", "-o", tmp_path / "x.glb", "--force")
    assert (tmp_path / "x.glb").is_file()


def test_a_photograph_without_a_face_is_named(command, folder, tmp_path):
    with pytest.raises(SystemExit) as ended:
        command(folder / "landscape.png", "-o", tmp_path / "x.glb")
    assert "landscape.png: no face" in str(ended.value)


def test_many_people_failures_are_lines_and_the_rest_goes_on(command, folder, tmp_path, capsys, monkeypatch):
    table = tmp_path / "people.csv"
    rows = [("ann", "0-front.png"), ("bad", "landscape.png"), ("bob", "1-front.png"), ("bob", "1-left.png")]
    table.write_text("person,photograph\n" + "".join(f"{name},{folder / photograph}\n" for name, photograph in rows))
    for written, there in ((2, 0), (0, 2)):
        with pytest.raises(SystemExit) as ended:
            command(table, "-o", tmp_path / "out")
        assert "1 of 3 people failed" in str(ended.value)
        said = capsys.readouterr()
        assert f"{written} people written, {there} there already, 1 failed" in said.out
        assert sum(line.startswith("bad: ") for line in said.err.splitlines()) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ann", "bob"}
    assert len(json.loads((tmp_path / "out" / "bob" / "parameters.json").read_text())["views"]) == 2
