"""The backends: what each reads, and what it says where something is missing."""

import io
import re

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from mfnet import assets
from mfnet.errors import InputError
from mfnet.io.tensors import write_tensors
from mfnet.landmarks.backends import (
    AnnotationBackend,
    FaceAlignmentBackend,
    LandmarkBackend,
    MediaPipeBackend,
    NetworkBackend,
    default_backend,
    fan_files,
    make_backend,
)
from mfnet.landmarks.network import LandmarkNetwork
from tests.settings import EMBEDDED, having

POINTS = np.random.default_rng(0).uniform(100, 300, (68, 2))
IMAGE = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def save_pts(path, points):
    lines = "\n".join(f"{x + 0.5} {y + 0.5}" for x, y in points)  # iBUG counts from 1 at the first pixel's centre
    path.write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")


SAVERS = {
    ".npy": np.save,
    ".npz": lambda path, points: np.savez(path, landmarks=points),
    ".pts": save_pts,
    ".txt": lambda path, points: np.savetxt(path, points, fmt="%.6f"),
    ".mat": lambda path, points: savemat(path, {"pts": points + 0.5}),  # MATLAB's first pixel is (1, 1)
}


@pytest.mark.parametrize("ending", SAVERS)
def test_annotation_files_of_each_format(tmp_path, ending):
    (tmp_path / "session01").mkdir()
    SAVERS[ending](tmp_path / f"session01/a{ending}", POINTS)
    (detection,) = AnnotationBackend(str(tmp_path)).detect(["session01/a.png"], [IMAGE])
    assert detection.reason is None and detection.score == 1
    assert np.allclose(detection.landmarks, POINTS, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("b.npy", b"", "no annotation file"),
        ("a.npy", b"junk", "unreadable annotation"),
        ("a.npz", b"PK junk", "unreadable annotation"),
        ("a.pts", b"version: 1", "unreadable annotation"),
        ("a.mat", b"MATLAB 5.0 MAT-file, broken", "unreadable annotation"),
        ("a.txt", b"1 2\n3 x\n", "unreadable annotation"),
        ("a.txt", b"1 2\n3\n", "unreadable annotation"),
        ("a.txt", b"1 2\n3 4\n", "bad annotation"),
    ],
)
def test_bad_annotation_is_a_reason_of_one_line(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    (detection,) = AnnotationBackend(str(tmp_path)).detect(["a.png"], [IMAGE])
    assert detection.landmarks is None and detection.reason.startswith(reason) and "\n" not in detection.reason


@pytest.mark.parametrize("root", ["", "labels"])
def test_the_archives_own_labels_serve_every_flash_of_a_recording(tmp_path, root):
    folder, image = tmp_path / "labels" / "051", "session01/multiview/001/01/05_1/001_01_01_051_{:02d}.png"
    folder.mkdir(parents=True)
    savemat(folder / "001_01_01_051_07_lm.mat", {"pts": POINTS + 0.5})
    savemat(folder / "001_01_01_051_09_lm.mat", {"pts": POINTS + 2.5}, do_compression=True)
    backend = AnnotationBackend(str(tmp_path / root))
    found = backend.detect([image.format(flash) for flash in (7, 9, 3)], [IMAGE] * 3)
    for detection, shift in zip(found, (0, 2, 0), strict=True):
        assert np.allclose(detection.landmarks, POINTS + shift)
    (other,) = backend.detect([image.format(7).replace("_01_051", "_02_051")], [IMAGE])
    assert other.reason == "no annotation file"
    assert backend.source(image.format(3)) == backend.source(image.format(7)) != backend.source(image.format(9))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pts": np.zeros((39, 2))}, r"bad annotation: .*_lm\.mat: shape \(39, 2\), not \(68, 2\)"),
        ({"points": np.zeros((68, 2))}, r"unreadable annotation: .*_lm\.mat: variable 'pts' is missing"),
    ],
)
def test_a_label_of_other_points_is_a_reason(tmp_path, fields, reason):
    savemat(tmp_path / "001_01_01_110_07_lm.mat", fields)
    (detection,) = AnnotationBackend(str(tmp_path)).detect(["001_01_01_110_00.png"], [IMAGE])
    assert detection.landmarks is None and re.fullmatch(reason, detection.reason)


def test_annotation_files_run_no_code(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"pickled": 1}], object), allow_pickle=True)
    (detection,) = AnnotationBackend(str(tmp_path)).detect(["a.png"], [IMAGE])
    assert detection.reason.startswith("unreadable annotation")


def test_missing_annotation_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"landmarks\.annotations"):
        AnnotationBackend(str(tmp_path / "none")).fingerprint()


def test_network_gives_points_and_scores_of_every_image(tmp_path):
    torch.manual_seed(0)
    write_tensors(LandmarkNetwork().state_dict(), tmp_path / "landmarks.safetensors", {"kind": "landmarks"})
    backend = NetworkBackend(str(tmp_path / "landmarks.safetensors"))
    assert len(backend.fingerprint()) == 64
    found = backend.detect(["a.png", "b.png"], [IMAGE, IMAGE[:, :320]])
    assert all(d.landmarks.shape == (68, 2) and np.isfinite(d.landmarks).all() and 0 <= d.score <= 1 for d in found)
    assert all(d.scores.shape == (68,) and d.scores.mean() == pytest.approx(d.score) for d in found)
    assert all(d.box.shape == (4,) and np.all(d.box[:2] < d.box[2:]) for d in found)
    assert backend.source("any.png") == backend.fingerprint() and backend.detector == "whole image"


def test_the_source_of_an_annotation_is_its_file(tmp_path):
    backend = AnnotationBackend(str(tmp_path))
    assert backend.source("a.png") == "none"
    np.save(tmp_path / "a.npy", POINTS)
    first = backend.source("a.png")
    np.save(tmp_path / "a.npy", POINTS + 1)
    assert len({"none", first, backend.source("a.png")}) == 3


def test_missing_network_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors"):
        NetworkBackend(str(tmp_path / "none.safetensors")).fingerprint()


@pytest.fixture
def no_assets(tmp_path, monkeypatch):
    monkeypatch.setenv(assets.FOLDER_VARIABLE, str(tmp_path / "no assets"))


def test_mediapipe_gives_the_largest_face_and_says_how_many_there_are(face_assets, astronaut):
    head = astronaut[:, :330]
    small = cv2.resize(head, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.full((512, 730, 3), 200, np.uint8)
    both[:, :330], both[100 : 100 + len(small), 430 : 430 + small.shape[1]] = head, small
    found = MediaPipeBackend().detect(["a", "b", "c"], [astronaut, both, np.zeros((64, 64, 3), np.uint8)])
    assert [each.faces for each in found] == [1, 2, 0]
    assert found[0].landmarks.shape == (68, 2) and 0.9 < found[0].score <= 1
    assert np.linalg.norm(found[1].landmarks - found[0].landmarks, axis=1).mean() < 2
    assert found[2].landmarks is None and found[2].reason == "no face"


def test_mediapipes_fingerprint_is_of_both_files(face_assets):
    names = ("face_landmarker.task", "face_detection_full_range.tflite")
    assert MediaPipeBackend().fingerprint().split("-") == [assets.asset(name).sha256 for name in names]


def test_missing_assets_are_an_error_before_any_image(no_assets):
    with pytest.raises(InputError, match=r"mfnet assets get face_landmarker\.task"):
        MediaPipeBackend().fingerprint()


def test_without_assets_the_embedded_network_is_the_default_and_says_so(no_assets, capsys):
    assert default_backend("net.safetensors") == NetworkBackend("net.safetensors")
    said = capsys.readouterr().err
    assert "mfnet assets get" in said and said.count("\n") == 1


def test_with_assets_mediapipe_is_the_default(face_assets, capsys):
    assert default_backend("net.safetensors") == MediaPipeBackend()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("folder", [True, False])
def test_missing_fan_file_says_which_goes_where(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "fan" if folder else tmp_path / "hub" / "checkpoints"
    with pytest.raises(InputError, match=r"2DFAN4.* is missing") as caught:
        FaceAlignmentBackend(str(place) if folder else None).fingerprint()
    assert str(place) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_fan_by_its_own_api_from_a_folder(tmp_path):
    """Untrained weights in the real files' names: the package loads them, and its answer comes back in our form."""
    from face_alignment.api import models_urls
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    from mfnet.landmarks import backends as landmark_backends

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / models_urls["2DFAN-4"].rsplit("/", 1)[1])
    torch.save(s3fd().state_dict(), tmp_path / "s3fd-619a316812.pth")
    assert len(fan_files(str(tmp_path))) == 2
    hub = torch.hub.get_dir()
    network = landmark_backends._fan(str(tmp_path))
    assert torch.hub.get_dir() == hub
    small, large = [300, 200, 320, 220, 0.9], [200, 120, 420, 360, 0.8]
    network.face_detector.detect_from_image = lambda image: [np.array(small), np.array(large)]
    (detection,) = FaceAlignmentBackend(str(tmp_path)).detect(["a.png"], [IMAGE])
    assert detection.landmarks.shape == (68, 2) and 0 <= detection.score <= 1 and detection.faces == 2
    assert np.ptp(detection.landmarks, axis=0).max() > 40  # of the large face
    network.face_detector.detect_from_image = lambda image: []
    assert FaceAlignmentBackend(str(tmp_path)).detect(["a.png"], [IMAGE])[0].reason == "no face"


@pytest.mark.parametrize("content", [None, b"<html>404</html>", b"garbage", b""])
def test_file_that_is_not_fan_is_an_error(tmp_path, content):
    for file in ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth"):
        torch.save({"weight": torch.zeros(1)}, tmp_path / file)
        if content is not None:
            (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match="not FAN's weights"):
        FaceAlignmentBackend(str(tmp_path)).detect(["a.png"], [IMAGE])


def test_params_choose_the_backend():
    chosen = {
        name: make_backend(having(EMBEDDED.landmarks, backend=name), "root", "net.safetensors")
        for name in ("network", "mediapipe", "face_alignment", "annotations")
    }
    assert chosen["network"] == NetworkBackend("net.safetensors")
    assert chosen["mediapipe"] == MediaPipeBackend()
    assert chosen["face_alignment"] == FaceAlignmentBackend(None)
    assert chosen["annotations"] == AnnotationBackend("root")
    assert all(backend.name == name for name, backend in chosen.items())
    assert all(isinstance(backend, LandmarkBackend) for backend in chosen.values())


def damaged(good: bytes) -> dict[str, bytes]:
    """An annotation cut off, with bytes turned over, as another kind of array, and larger than any annotation."""
    rng = np.random.default_rng(0)
    files = {f"cut at {size}": good[:size] for size in range(0, len(good), 97)}
    for number in range(60):
        changed = bytearray(good)
        for place in rng.integers(0, min(len(good), 200), 3):
            changed[place] ^= int(rng.integers(1, 256))
        files[f"turned over {number}"] = bytes(changed)
    return files | {"large": good + bytes(2 << 20), "empty": b""}


def saved(save, array) -> bytes:
    buffer = io.BytesIO()
    save(buffer, array)
    return buffer.getvalue()


ANNOTATION_FILES = {
    ".npy": saved(np.save, POINTS),
    ".npz": saved(lambda buffer, array: np.savez_compressed(buffer, landmarks=array), POINTS),
    ".pts": ("version: 1\nn_points: 68\n{\n" + "\n".join(f"{x} {y}" for x, y in POINTS) + "\n}\n").encode(),
    ".txt": "\n".join(f"{x} {y}" for x, y in POINTS).encode(),
}


@pytest.mark.parametrize("ending", ANNOTATION_FILES)
def test_a_damaged_annotation_is_a_reason_and_never_an_error(tmp_path, ending):
    backend, found = AnnotationBackend(str(tmp_path)), []
    for content in damaged(ANNOTATION_FILES[ending]).values():
        (tmp_path / "a").with_suffix(ending).write_bytes(content)
        (detection,) = backend.detect(["a.png"], [np.zeros((9, 9, 3), np.uint8)])
        reason = detection.reason or ""
        assert detection.landmarks is not None or re.match(f"(unreadable|bad) annotation: a{ending}: .", reason)
        found.append(reason)
    assert sum(reason.startswith("unreadable") for reason in found) > 5


BOMBS = {
    "objects": (".npy", saved(np.save, np.array([[1, 2]] * 68, object))),
    "text": (".npy", saved(np.save, np.full((68, 2), "1"))),
    "complex": (".npy", saved(np.save, POINTS.astype(complex))),
    "other key": (".npz", saved(lambda buffer, array: np.savez(buffer, points=array), POINTS)),
    "bomb": (".npz", saved(lambda buffer, array: np.savez_compressed(buffer, landmarks=array), np.zeros(1 << 25))),
    "no text": (".txt", b"\xff\xfe\x00"),
    "no braces": (".pts", b"1 2\n"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_annotation_that_is_none_is_unreadable(tmp_path, name):
    ending, content = BOMBS[name]
    (tmp_path / f"a{ending}").write_bytes(content)
    (detection,) = AnnotationBackend(str(tmp_path)).detect(["a.png"], [np.zeros((9, 9, 3), np.uint8)])
    assert detection.landmarks is None and detection.reason.startswith(f"unreadable annotation: a{ending}: ")
