"""Every loader must bring the same face, written the way its method writes it, to the same camera space."""

import io
import pickle

import numpy as np
import pytest

from mfnet.io.pickle_names import resolve
from mfnet.scoring.loaders import (
    LOADERS,
    PlacedMesh,
    _matrix,
    from_crop,
    from_lens,
    load_prediction,
    read_npy,
    to_camera,
)
from mfnet.scoring.meshes import ItemError, Mesh

FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
CUBE = np.array([[-0.4, -0.5, 0.1], [0.5, -0.45, 0.0], [0.1, 0.6, 0.2], [0.0, 0.0, 0.5]])
"""The face in the image cube."""
TO_CROP = np.array([[0.8, 0.1, 12.0], [-0.1, 0.8, 30.0], [0, 0, 1.0]])
"""Image px to crop px, a similarity as the methods' own croppers make."""


def write(scene, folder, name, vertices, faces=FACES):
    scene.write_mesh(folder / f"{name}.obj", Mesh(vertices, faces))


def crop_ndc(size: int) -> np.ndarray:
    """CUBE as seen in the crop: ndc, y up, depth in the same unit."""
    pixels = (CUBE[:, :2] * [1, -1] + 1) * 128
    pixels = pixels @ TO_CROP[:2, :2].T + TO_CROP[:2, 2]
    scale = np.hypot(*TO_CROP[0, :2]) * 256 / size
    return np.column_stack([(pixels / (size / 2) - 1) * [1, -1], CUBE[:, 2] * scale])


def write_pixels(scene, folder):
    write(scene, folder, "x", (CUBE + np.array([1, 1, 0])) * 128)


def write_sadrnet(scene, folder):
    write(scene, folder, "x", CUBE * [1, -1, 1] + [1, 1, 0], FACES[:, [1, 0, 2]])


def write_deep(scene, folder):
    write(scene, folder, "x", (crop_ndc(256) + 1) * 128)
    save_transform(folder / "x_tform.npy")


def write_deca(scene, folder):
    camera = np.array([[7.5, 0.01, -0.02]])
    write(scene, folder, "x_detail", crop_ndc(224) / 7.5 - [0.01, -0.02, 0])
    np.save(folder / "x_cam.npy", camera)
    save_transform(folder / "x_tform.npy")


def save_transform(path):
    """As DECA and FaceScape save it: the pickled skimage transform as an object array."""
    from skimage.transform import SimilarityTransform

    np.save(path, np.array(SimilarityTransform(TO_CROP), dtype=object), allow_pickle=True)


ORTHOGRAPHIC = {
    "facescape_opti": write_pixels,
    "3DDFA_V2": write_pixels,
    "PRNet": write_pixels,
    "SADRNet": write_sadrnet,
    "RAFaRe": lambda scene, folder: write(scene, folder, "x", CUBE),
    "camera": lambda scene, folder: write(scene, folder, "x", CUBE),
    "facescape_deep": write_deep,
    "DECA": write_deca,
}


@pytest.mark.parametrize("loader", ORTHOGRAPHIC)
def test_orthographic_methods_in_the_wild(scene, tmp_path, loader):
    ORTHOGRAPHIC[loader](scene, tmp_path)
    mesh = load_prediction(loader, tmp_path, "x", None)
    expected = CUBE - [0, 0, CUBE[:, 2].mean() + 2]
    depth = expected if loader != "facescape_deep" else None  # its depth has an offset, which alignment removes
    np.testing.assert_allclose(mesh.vertices[:, :2], expected[:, :2], atol=1e-7)
    np.testing.assert_allclose(np.diff(mesh.vertices[:, 2]), np.diff(expected[:, 2]), atol=1e-7)
    assert mesh.vertices[:, 2].mean() == pytest.approx(-2)
    np.testing.assert_array_equal(mesh.faces, FACES)
    assert depth is None or np.allclose(mesh.vertices, depth, atol=1e-7)


@pytest.mark.parametrize("loader", [name for name in ORTHOGRAPHIC if name != "camera"])
@pytest.mark.parametrize("focal", [300.0, 1200.0])
def test_orthographic_methods_in_the_lab(scene, tmp_path, loader, focal):
    ORTHOGRAPHIC[loader](scene, tmp_path)
    mesh = load_prediction(loader, tmp_path, "x", focal)
    expected = CUBE * [1, -1, -1]
    expected[:, 2] += focal / 128 - expected[:, 2].mean()
    np.testing.assert_allclose(mesh.vertices, expected * 3 / 1.1, atol=1e-6)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(3)


def test_the_plain_loader_leaves_lab_camera_space_alone(scene, tmp_path):
    write(scene, tmp_path, "x", CUBE + np.array([0, 0, 20]))
    np.testing.assert_allclose(load_prediction("camera", tmp_path, "x", 1200.0).vertices, CUBE + np.array([0, 0, 20]))


def perspective_face(focal: float) -> np.ndarray:
    """CUBE in front of an OpenCV camera of `focal` px, at a depth where its size is that of the image cube."""
    distance = focal / 128
    return CUBE * [1, -1, -1] + [0, 0, distance + CUBE[:, 2].mean()]


def test_ringnet_in_the_wild(scene, tmp_path):
    focal = 128 * 40.0
    camera = np.array([40.0, 0.03, -0.02])
    write(scene, tmp_path, "x", perspective_face(focal) - [0.03, -0.02, 256 / 224])
    np.save(tmp_path / "x.npy", np.array({"cam": camera, "pose": np.zeros(3)}, dtype=object), allow_pickle=True)
    mesh = load_prediction("RingNet", tmp_path, "x", None)
    np.testing.assert_allclose(mesh.vertices[:, :2], CUBE[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.diff(mesh.vertices[:, 2]), np.diff(CUBE[:, 2]), atol=1e-6)


@pytest.mark.parametrize("loader", ["RingNet", "MGCNet"])
def test_perspective_methods_keep_their_picture_when_the_focal_length_changes(loader, scene, tmp_path):
    """Scaled by own / focal around the mean depth: points of mean depth stay on their pixels."""
    write_perspective[loader](scene, tmp_path)
    mesh = load_prediction(loader, tmp_path, "x", 600.0)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(3)
    picture = 600 * mesh.vertices[:, :2] / mesh.vertices[:, 2].mean()
    np.testing.assert_allclose(picture / 128, CUBE[:, :2] * [1, -1], atol=1e-6)


def write_ringnet(scene, folder):
    write(scene, folder, "x", perspective_face(128 * 40.0) - [0.0, 0.0, 256 / 224])
    np.save(folder / "x.npy", np.array({"cam": [40.0, 0.0, 0.0]}, dtype=object), allow_pickle=True)


def write_ply(path, vertices):
    """Every digit, which trimesh's writer does not give."""
    header = f"ply\nformat ascii 1.0\nelement vertex {len(vertices)}\n"
    header += "".join(f"property double {axis}\n" for axis in "xyz")
    header += f"element face {len(FACES)}\nproperty list uchar int vertex_indices\nend_header\n"
    lines = ["{:.15g} {:.15g} {:.15g}".format(*vertex) for vertex in vertices]
    path.write_text(header + "\n".join(lines + ["3 {} {} {}".format(*face) for face in FACES]) + "\n")


def write_mgcnet(scene, folder):
    """The inverse of the official steps, by hand: a 224 px crop of unit scale shifted by (5, -3) px."""
    focal = 900.0
    depth = focal / 128
    wanted = perspective_face(focal)
    wanted[:, 2] += depth - wanted[:, 2].mean()
    crop = wanted.copy()
    crop[:, :2] += (128 - 112) / focal * depth  # before the principal point moves
    crop[:, :2] -= np.array([5.0, -3.0]) / focal * depth
    write_ply(folder / "x.ply", crop @ ROTATION)
    np.save(folder / "x_Minv.npy", np.array([[1.0, 0, 5], [0, 1, -3]]))
    lines = ["", "", ",".join(map(str, [focal, 0, 112, 0, focal, 112, 0, 0, 1])), "", "0.0,0.0,0.5,0,0,0"]
    (folder / "x_cam.txt").write_text("\n".join(lines))


ROTATION = np.array([[1, 0, 0], [0, np.cos(0.5), -np.sin(0.5)], [0, np.sin(0.5), np.cos(0.5)]])
write_perspective = {"RingNet": write_ringnet, "MGCNet": write_mgcnet}


def test_from_crop_is_the_inverse_of_a_crop():
    face = from_crop(Mesh(crop_ndc(128), FACES), np.linalg.inv(TO_CROP), 128)
    np.testing.assert_allclose(face.mesh.vertices, CUBE, atol=1e-12)


@pytest.mark.parametrize("inverse_distance", [0.7, 2.5, 0.0])
@pytest.mark.parametrize("aside", [0.0, 25.0])
def test_from_lens_shows_every_point_where_the_crop_shows_it(inverse_distance, aside):
    """Through a pinhole of its own focal length a point falls where ndc = s (xy + t) / divisor and the crop put it.

    Exactly so in the middle of the image; beside it the crop of a picture is not the picture of a turned camera, but
    nearly. The head keeps its size and shape.
    """
    size, camera, centre = 128, np.array([7.0, 0.01, -0.02]), 0.03
    points = 0.1 * CUBE
    back = np.array([[1.2, 0.0, 128 - 64 * 1.2 + aside], [0.0, 1.2, 128 - 64 * 1.2 - aside], [0, 0, 1.0]])
    found = from_lens(Mesh(points, FACES), camera, inverse_distance, centre, back, size)
    ndc = camera[0] * (points[:, :2] + camera[1:]) / (1 - inverse_distance * (points[:, 2:] - centre))
    pixels = (ndc * [1, -1] + 1) * size / 2 @ back[:2, :2].T + back[:2, 2]
    seen = found.mesh.vertices
    np.testing.assert_allclose(found.focal * seen[:, :2] / seen[:, 2:] + 128, pixels, atol=1.5 if aside else 0.1)
    sides = [np.linalg.norm(np.diff(each, axis=0), axis=1) for each in (seen, points)]
    np.testing.assert_allclose(*sides)


def test_a_flat_mesh_has_no_height():
    with pytest.raises(ItemError, match="no height"):
        to_camera(PlacedMesh(Mesh(CUBE * [1, 0, 1], FACES), None), 300.0)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_missing_file_is_a_status(tmp_path, loader):
    with pytest.raises(ItemError) as caught:
        load_prediction(loader, tmp_path, "x", None)
    assert caught.value.status == "missing_file"


class Evil:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize("content", [Evil(), [Evil()], {"cam": Evil()}])
def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys, content):
    array = np.empty((), object)
    array[()] = content
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ItemError) as caught:
        read_npy(tmp_path / "x.npy")
    assert caught.value.status == "unreadable" and "builtins.print" in caught.value.reason
    assert "this ran" not in capsys.readouterr().out


class Numbers:
    """A pickle of a name that NumPy's own loader would resolve, from a module that is there."""

    def __reduce__(self):
        return np.arange, (5,)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("kind", [f"{name}Transform" for name in ("Similarity", "Affine", "Projective", "Euclidean")])
def test_skimage_transforms_of_every_protocol_are_read(tmp_path, kind, protocol):
    import skimage.transform

    angle = 0.3
    matrix = np.array([[np.cos(angle), -np.sin(angle), 3], [np.sin(angle), np.cos(angle), -2], [0, 0, 1.0]])
    save_pickle(tmp_path / "x.npy", getattr(skimage.transform, kind)(matrix), protocol)
    np.testing.assert_array_equal(_matrix(tmp_path / "x.npy"), matrix)


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)[:2]), np.float32(3), []])
def test_plain_arrays_are_read_as_numpy_reads_them(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), np.load(tmp_path / "x.npy"))


def hostile_npy() -> dict[str, bytes]:
    """Side files that ask for what no side file needs; each is refused, in bounded time and memory."""
    plain, pickled = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(plain, {"descr": "<f8", "fortran_order": False, "shape": (1 << 36,)})
    np.lib.format.write_array_header_1_0(pickled, {"descr": "|O", "fortran_order": False, "shape": ()})
    start = pickled.getvalue()
    return {
        "declares half a terabyte": plain.getvalue() + bytes(8),
        "ends before its data": plain.getvalue(),
        "another function of numpy": start + pickle.dumps(Numbers()),
        "an array made by its own size": start + b"cnumpy\nndarray\n(I1099511627776\ntR.",
        "bytes by the gigabyte": start + b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little"),
        "nested without end": start + b"(" * 60_000 + b".",
        "doubling what is not there": start + b"]" + b"(2222222222e" * 40 + b".",
        "a truncated pickle": start + pickle.dumps({"cam": np.ones(3)})[:40],
        "more objects than declared": start + pickle.dumps(np.array([{}, {}], object)),
        "a persistent id": start + b"Pdata\n.",
    }


def test_one_list_many_times_in_another_is_no_camera(scene, tmp_path):
    """Sixty levels of a pair of the same pair: 2^60 numbers in some hundred bytes."""
    write_ringnet(scene, tmp_path)
    camera = (1.0,)
    for _ in range(60):
        camera = (camera, camera)
    save_pickle(tmp_path / "x.npy", {"cam": camera}, 4)
    with pytest.raises(ItemError, match="not finite numbers"):
        load_prediction("RingNet", tmp_path, "x", None)


@pytest.mark.parametrize("camera", [[0.0, 1, 1], [-2.0, 1, 1], [256**250, 1, 1], ["1", 1, 1], [None] * 3, {}, []])
def test_a_camera_without_a_positive_focal_length_is_a_status(scene, tmp_path, camera):
    write_ringnet(scene, tmp_path)
    save_pickle(tmp_path / "x.npy", {"cam": camera}, 4)
    with pytest.raises(ItemError) as caught:
        load_prediction("RingNet", tmp_path, "x", None)
    assert caught.value.status == "unreadable" and "x.npy" in caught.value.reason


BAD_MGCNET = {
    "four numbers": ("x_cam.txt", "a\nb\n1000,0,0\nd\n0,0,0,1"),
    "focal length 0": ("x_cam.txt", "a\nb\n0,0,0\nd\n0,0,0,1,2,3"),
    "endless focal length": ("x_cam.txt", "a\nb\ninf,0,0\nd\n0,0,0,1,2,3"),
    "not finite": ("x_cam.txt", "a\nb\n9,0,0\nd\n0,0,0,1,nan,3"),
    "two lines": ("x_cam.txt", "a\nb\n"),
    "megabytes": ("x_cam.txt", "\n" * (1 << 20)),
    "a row": ("x_Minv.npy", np.arange(6.0)),
    "three axes": ("x_Minv.npy", np.zeros((2, 3, 1))),
    "one column": ("x_Minv.npy", np.ones((3, 1))),
    "nothing of it": ("x_Minv.npy", np.zeros((2, 3))),
    "text": ("x_Minv.npy", np.full((2, 3), "1")),
}


@pytest.mark.parametrize("name", BAD_MGCNET)
def test_mgcnets_side_files_of_another_form_are_a_status(scene, tmp_path, name):
    write_mgcnet(scene, tmp_path)
    file, content = BAD_MGCNET[name]
    if isinstance(content, str):
        (tmp_path / file).write_text(content)
    else:
        np.save(tmp_path / file, content)
    with pytest.raises(ItemError) as caught:
        load_prediction("MGCNet", tmp_path, "x", None)
    assert caught.value.status in ("unreadable", "too_large") and file in caught.value.reason


def test_vertices_as_good_as_infinite_are_a_status(scene, tmp_path):
    write(scene, tmp_path, "x", CUBE * 1e30)
    with pytest.raises(ItemError) as caught:
        load_prediction("RAFaRe", tmp_path, "x", None)
    assert caught.value.status == "nan_vertices"


@pytest.mark.parametrize("name", hostile_npy())
def test_a_hostile_side_file_is_refused(tmp_path, name):
    (tmp_path / "x.npy").write_bytes(hostile_npy()[name])
    with pytest.raises(ItemError) as caught:
        _matrix(tmp_path / "x.npy")
    assert caught.value.status == "unreadable" and str(tmp_path / "x.npy") in caught.value.reason


def test_a_side_file_without_end_is_not_opened(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ItemError) as caught:
        read_npy(tmp_path / "x.npy")
    assert caught.value.status == "too_large"


def save_pickle(path, content, protocol: int) -> None:
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(np.empty((), object)))
        array = np.empty((), object)
        array[()] = content
        pickle.dump(array, stream, protocol=protocol)


def test_a_transform_spread_out_over_an_object_array_is_read(tmp_path):
    """What ``np.array(transform, dtype=object)`` makes of newer transforms, which NumPy can look into."""
    np.save(tmp_path / "x.npy", np.asfortranarray(TO_CROP.astype(object)), allow_pickle=True)
    np.testing.assert_array_equal(_matrix(tmp_path / "x.npy"), TO_CROP)


def test_old_pickles_of_dictionaries_are_read(tmp_path):
    save_pickle(tmp_path / "x.npy", {"cam": np.array([1.0, 2.0, 3.0])}, protocol=2)
    np.testing.assert_array_equal(resolve(read_npy(tmp_path / "x.npy")["cam"]), [1, 2, 3])


@pytest.mark.parametrize(
    ("name", "content"),
    [("x_tform.npy", np.zeros((3, 3))), ("x_tform.npy", np.ones(4)), ("x_cam.npy", np.ones(5)), ("x_cam.npy", None)],
)
def test_side_files_of_another_form_are_a_status(scene, tmp_path, name, content):
    write_deca(scene, tmp_path)
    if content is None:
        (tmp_path / name).write_bytes(b"\x93NUMPY broken")
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(ItemError) as caught:
        load_prediction("DECA", tmp_path, "x", None)
    assert caught.value.status == "unreadable" and name in caught.value.reason
