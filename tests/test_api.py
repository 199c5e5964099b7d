"""The front door: three photographs in, one head out, with the shipped weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import mfnet
from mfnet.assets import FOLDER_VARIABLE
from mfnet.errors import InputError
from mfnet.flame import write_head
from mfnet.landmarks.backends import Detection
from mfnet.model.mfnet import Crops, save_mfnet
from mfnet.photographs import CropRules, read_photographs
from mfnet.weights import bundled
from tests.heads import open_flame, open_head
from tests.photographs import rendered_person, write_photographs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def no_assets(tmp_path_factory):
    """The people here are drawn, and the embedded network is made for them, whatever has been fetched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("assets")))
        yield


@pytest.fixture(scope="module")
def reconstructor():
    return mfnet.load()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def faces(reconstructor, photographs):
    return {refine: reconstructor.reconstruct(*photographs, refine=refine) for refine in (True, False)}


def error_mm(vertices: np.ndarray) -> float:
    """Mean distance of the face's vertices from the true ones after the best scale, turn and shift, mm."""
    flame, truth = open_flame(), rendered_person().person
    true = flame(truth.shape, truth.expression, torch.zeros(1, 3), jaw_pose=truth.jaw_pose).vertices[0].numpy()
    mask = flame.masks["face"].numpy()
    a, b = (part[mask] - part[mask].mean(0) for part in (vertices, true))
    u, s, v = np.linalg.svd(a.T @ b)
    return 1000 * float(np.linalg.norm(a @ (u @ v) * s.sum() / (a**2).sum() - b, axis=1).mean())


def test_a_face_has_what_the_docstring_says(faces, reconstructor):
    face, count = faces[True], int(reconstructor.flame.faces.max()) + 1
    assert face.vertices.shape == (count, 3) and face.vertex_sigma_mm.shape == (count,)
    assert face.texture.shape == (1024, 1024, 3) and face.texture.dtype == np.uint8
    assert face.cameras.shape == (3, 3) and (face.cameras[:, 0] > 0).all() and (face.inverse_distances >= 0).all()
    assert 0.2 < (face.texture_confidence > 0).mean() < 0.9
    assert faces[False].vertex_sigma_mm is None and (faces[False].inverse_distances == 0).all()


def test_fitting_comes_nearer_to_the_person_than_the_mean_head_and_the_network(faces):
    mean = open_flame()(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 3)).vertices[0].numpy()
    fitted, network = (error_mm(faces[refine].vertices) for refine in (True, False))
    assert fitted < 0.8 * error_mm(mean) and fitted < network


def test_saving(faces, tmp_path):
    faces[True].save(tmp_path / "head.glb")
    faces[True].save(tmp_path / "head.obj")
    assert {path.name for path in tmp_path.iterdir()} == {"head.glb", "head.obj", "head.mtl", "head.png"}
    with pytest.raises(InputError, match=r"head\.stl: unknown format"):
        faces[True].save(tmp_path / "head.stl")


def test_a_photograph_that_is_none_is_named(reconstructor, photographs, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"text\.png: not a readable image"):
        reconstructor.reconstruct(tmp_path / "text.png", *photographs[1:])


def test_a_trained_model_gives_what_its_network_says(reconstructor, photographs, faces, tmp_path, monkeypatch):
    data = tmp_path / "data"
    for folder in ("head", "pretrained", "train"):
        (data / folder).mkdir(parents=True)
    write_head(open_head(), data / "head" / "head.npz")
    for network in ("landmarks", "flow"):
        shutil.copy(bundled(network), data / "pretrained" / f"{network}.safetensors")
    path = data / "train" / "model.safetensors"
    save_mfnet(reconstructor.network, path, Crops(*reconstructor.crops[:2]))
    monkeypatch.chdir(tmp_path)  # where there is no params.yaml
    for params in (None, ROOT / "params.yaml"):
        face = mfnet.load("data/train", params).reconstruct(*photographs, refine=False)
        np.testing.assert_allclose(face.vertices, faces[False].vertices, atol=1e-5)


def test_a_trained_model_sees_the_crops_that_it_was_trained_on(reconstructor, tmp_path):
    data = tmp_path / "data"
    (data / "pretrained").mkdir(parents=True)
    shutil.copy(bundled("flow"), data / "pretrained" / "flow.safetensors")
    shutil.copy(bundled("landmarks"), data / "pretrained" / "landmarks.safetensors")
    write_head(open_head(), data / "head" / "head.npz")
    save_mfnet(reconstructor.network, data / "train" / "model.safetensors", Crops(160, 1.5))
    loaded = mfnet.load(data / "train")
    assert loaded.crops[:2] == (160, 1.5)


def test_a_folder_without_its_head_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"head\.npz: no such file"):
        mfnet.load(tmp_path / "data" / "train")


class Detector:
    """Says of every photograph what it is told to."""

    name = "told"

    def __init__(self, **said) -> None:
        points = np.stack(np.meshgrid(np.linspace(60, 180, 17), np.linspace(60, 180, 4)), axis=-1).reshape(68, 2)
        self.said = Detection(**{"landmarks": points, "score": 0.9, **said})

    def fingerprint(self) -> str:
        return ""

    def detect(self, paths, images):
        return [self.said] * len(images)


def test_a_photograph_whose_face_is_not_believed_is_refused(photographs):
    path = photographs[0]
    assert read_photographs([path], Detector(), CropRules(64, 1.25, 0.9))[0].crop.image.shape == (64, 64, 3)
    with pytest.raises(InputError, match=rf"{path}: no face \(score 0\.24, 0\.25 is asked for\)"):
        read_photographs([path], Detector(score=0.24), CropRules(64, 1.25, 0.25))
    with pytest.raises(InputError, match=rf"{path}: no face; use a photograph"):
        read_photographs([path], Detector(landmarks=None, score=0.0, reason="no face"), CropRules(64, 1.25, 0.25))


def test_that_there_are_several_faces_is_said(photographs, capsys):
    read_photographs(photographs[:1], Detector(), CropRules(64, 1.25, 0.25))
    assert not capsys.readouterr().err
    read_photographs(photographs[:1], Detector(faces=3), CropRules(64, 1.25, 0.25))
    assert capsys.readouterr().err == f"{photographs[0]}: 3 faces; the largest is taken\n"


def test_a_landscape_is_refused_by_the_default_detectors(reconstructor, tmp_path):
    from skimage import data, io

    io.imsave(tmp_path / "landscape.png", data.rocket())
    with pytest.raises(InputError, match=r"landscape\.png: no face"):
        reconstructor.reconstruct(*[tmp_path / "landscape.png"] * 3)
