"""Reading heads: every dialect gives the same numbers, and no file does harm."""

import json
import os
import pickle
import pickletools
import time
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix

from mfnet.errors import InputError
from mfnet.flame import read_head, write_head
from mfnet.flame.embedding import embedding_fields
from mfnet.flame.readers import convert, read_landmarks
from tests.flame import hostile

NAMES = ("v_template", "shapedirs", "posedirs", "joint_regressor", "weights", "faces", "parents")


def refused(path, data: bytes, read=read_head) -> str:
    """Read `data` from `path`: it must fail with one line that names the file, soon and in little memory."""
    path.write_bytes(data)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(InputError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20  # with tracemalloc, on any machine; most take milliseconds
    assert peak < 10 * len(data) + (48 << 20)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 600
    return message


def assert_same(one, other) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.content_hash() == other.content_hash()


class Ch:
    """Pickles as chumpy's array does: an empty instance, then a state whose `x` is the array."""

    def __init__(self, x):
        self.__dict__.update(_dirty_vars={"x"}, _itr=None, _depends_on_deps={}, x=x)


def as_chumpy(data: bytes) -> bytes:
    return data.replace(b"ctests.flame.test_readers\nCh\n", b"cchumpy.ch\nCh\n")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("joints", ["dense", "csc", "csr"])
def test_every_protocol_and_matrix_reads_the_same(tmp_path, fields, head, protocol, joints):
    fields["J_regressor"] = {"dense": np.asarray, "csc": csc_matrix, "csr": csr_matrix}[joints](fields["J_regressor"])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fields, protocol=protocol))
    assert_same(read_head(path), head)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_chumpy_arrays_read_as_what_they_hold(tmp_path, fields, head, protocol):
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        fields[name] = Ch(fields[name].astype(np.float64))
    data = as_chumpy(pickle.dumps(fields, protocol=protocol))
    assert b"chumpy" in data and b"tests" not in data
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    read = read_head(path)
    assert read.shapedirs.dtype == np.float64
    assert_same(read, head)


@pytest.mark.parametrize("old", [b"numpy.core", b"numpy._core"])
def test_old_and_new_module_names(tmp_path, fields, head, old):
    data = (
        pickle.dumps(fields, protocol=2).replace(b"numpy._core", old).replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    )
    (tmp_path / "model.pkl").write_bytes(data)
    assert_same(read_head(tmp_path / "model.pkl"), head)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f | {"f": f["f"].astype(np.int64)},
        lambda f: f | {"f": f["f"].astype(">i4")},
        lambda f: f | {"shapedirs": f["shapedirs"].astype(">f8")},
        lambda f: f | {"shapedirs": np.asfortranarray(f["shapedirs"])},
        lambda f: f | {"shapedirs": f["shapedirs"].transpose(2, 0, 1).copy().transpose(1, 2, 0)},
        lambda f: f | {"kintree_table": np.array([[-1, 0, 1, 1, 1], range(5)], np.int64)},
        lambda f: f | {"kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.int64)},
        lambda f: f | {"extra": {1: [None, True, 2.5, {"a"}, (1, 2, 3, 4)]}, "name": "a" * 999},
        lambda f: {name.encode(): value for name, value in f.items()},
    ],
)
def test_types_and_orders(tmp_path, fields, head, change):
    for protocol in (2, 5):
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(change(fields), protocol=protocol))
        assert_same(read_head(tmp_path / "model.pkl"), head)


def test_a_wrong_model_is_refused_by_its_field(tmp_path, fields):
    for name, (data, field) in hostile.wrong_models(fields).items():
        assert f"'{field}'" in refused(tmp_path / "model.pkl", data), name
    for name, data in hostile.sparse_models(fields).items():
        assert "'J_regressor'" in refused(tmp_path / "model.pkl", data), name


def test_no_file_runs_code(tmp_path):
    marker = tmp_path / "PWNED"
    files = hostile.calls(str(marker))
    for name, data in files.items():
        refused(tmp_path / "model.pkl", data)
        assert not marker.exists(), name
    pickle.loads(files["os.system"])
    assert marker.exists()  # the file would have done it: the test can fail


@pytest.mark.parametrize("name", hostile.bombs())
def test_no_file_hangs_or_takes_much_memory(tmp_path, name):
    refused(tmp_path / "model.pkl", hostile.bombs()[name])
    refused(tmp_path / "landmarks.pkl", hostile.bombs()[name], lambda path: read_landmarks(path, 80))


def test_other_files_under_the_name(tmp_path, fields):
    for data in hostile.not_pickles(pickle.dumps(fields, protocol=2)).values():
        refused(tmp_path / "model.pkl", data)
    with pytest.raises(InputError, match="no such file"):
        read_head(tmp_path / "absent.pkl")
    with open(tmp_path / "large.pkl", "wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(InputError, match="larger than"):
        read_head(tmp_path / "large.pkl")


def test_every_damaged_byte_is_refused_or_harmless(tmp_path, fields):
    """One byte in the pickle's own structure turned over: an InputError or a model, never another exception."""
    fields = {name: value for name, value in fields.items() if name != "shapedirs"}
    data = pickle.dumps(fields, protocol=2)
    rng = np.random.default_rng(0)
    structure = [at for op, arg, at in pickletools.genops(data) if not isinstance(arg, str) or len(arg) < 40]
    for at in rng.choice(structure, 150):
        spoiled = bytearray(data)
        spoiled[min(at + rng.integers(0, 2), len(data) - 1)] ^= 1 << rng.integers(0, 8)
        (tmp_path / "model.pkl").write_bytes(spoiled)
        with pytest.raises(InputError):
            read_head(tmp_path / "model.pkl")


def test_the_shared_files(shared):
    folder = shared / "heads"
    numpy, npz = (read_head(folder / name) for name in ("ict_flame_numpy.pkl", "ict_flame.npz"))
    assert_same(numpy, npz)
    assert_same(
        *(read_head(folder / "pickles" / f"{name}.pkl") for name in ("py2_proto2_chumpy", "py3_proto4_numpy_oldnames"))
    )
    for path in sorted((folder / "bad").iterdir()):
        with pytest.raises(InputError, match=path.name):
            read_head(path)
    assert not os.path.exists("PWNED_marker")


def test_npz_round_trip_keeps_everything_and_is_deterministic(tmp_path, head):
    write_head(head, tmp_path / "a.npz")
    read = read_head(tmp_path / "a.npz")
    assert_same(read, head)
    for name, value in embedding_fields(head.landmarks).items():
        np.testing.assert_array_equal(embedding_fields(read.landmarks)[name], value)
    write_head(read_head(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert set(np.load(tmp_path / "b.npz")) >= set(np.load(tmp_path / "a.npz"))  # np.load refuses pickles by itself
    write_head(head, tmp_path / "c.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()


def test_the_hash_knows_every_array(head):
    from dataclasses import replace

    seen = {head.content_hash()}
    for name in NAMES:
        array = getattr(head, name).copy()
        array.flat[1] += 1
        seen.add(replace(head, **{name: array}).content_hash())
    seen.add(replace(head, n_shape_total=299).content_hash())
    assert len(seen) == len(NAMES) + 2
    doubled = replace(head, **{name: getattr(head, name).astype(np.float64) for name in NAMES[:5]})
    assert doubled.content_hash() == head.content_hash()


def test_an_edited_npz_is_refused(tmp_path, head):
    write_head(head, tmp_path / "head.npz")
    arrays = dict(np.load(tmp_path / "head.npz"))
    arrays["v_template"] = arrays["v_template"] * np.float32(1.001)
    np.savez(tmp_path / "head.npz", **arrays)
    with pytest.raises(InputError, match="content_hash"):
        read_head(tmp_path / "head.npz")


def test_landmarks_of_deca_and_smplx_read_the_same(tmp_path, head):
    stored = embedding_fields(head.landmarks)
    deca = dict(stored)
    for name in ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"):
        deca[name] = torch.from_numpy(stored[name])
    for name in ("full_lmk_faces_idx", "full_lmk_bary_coords"):
        deca[name] = stored[name][None]
    np.save(tmp_path / "landmark_embedding.npy", np.array(deca), allow_pickle=True)
    np.savez(tmp_path / "landmarks.npz", **stored)
    for kind, name in (("static", "flame_static_embedding.pkl"), ("dynamic", "flame_dynamic_embedding.npy")):
        faces, weights = stored[f"{kind}_lmk_faces_idx"], stored[f"{kind}_lmk_bary_coords"]
        value = {"lmk_face_idx": faces.astype(np.uint32), "lmk_b_coords": weights.astype(np.float64)}
        with open(tmp_path / name, "wb") as file:
            np.save(file, np.array(value), allow_pickle=True) if name.endswith("npy") else pickle.dump(
                value, file, protocol=2
            )
    pair = [tmp_path / "flame_static_embedding.pkl", tmp_path / "flame_dynamic_embedding.npy"]
    for paths in (tmp_path / "landmark_embedding.npy", tmp_path / "landmarks.npz", pair, pair[::-1]):
        read = embedding_fields(read_landmarks(paths, 80))
        for name in stored:
            if paths in (pair, pair[::-1]) and name.startswith("full"):
                continue  # smplx has none: checked below
            np.testing.assert_array_equal(read[name], stored[name], err_msg=f"{paths} {name}")
    full = read_landmarks(pair, 80).full_faces
    np.testing.assert_array_equal(full, [*stored["dynamic_lmk_faces_idx"][0], *stored["static_lmk_faces_idx"]])


def test_tensors_that_leave_their_storage_are_refused(tmp_path, head):
    stored = embedding_fields(head.landmarks)
    tensor = torch.from_numpy(stored["dynamic_lmk_bary_coords"])

    class Rebuilt:
        def __init__(self, offset, size, stride):
            self.arguments = (offset, size, stride)

        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (tensor.untyped_storage(), *self.arguments, False, {})

    for offset, size, stride in [
        (0, (79, 17, 4), (51, 3, 1)),
        (4000, (79,), (51,)),
        (0, (1 << 30,), (0,)),
        (-1, (3,), (1,)),
    ]:
        value = stored | {"dynamic_lmk_bary_coords": Rebuilt(offset, size, stride)}
        refused(tmp_path / "landmarks.pkl", pickle.dumps(value, protocol=2), lambda path: read_landmarks(path, 80))


def test_wrong_landmarks_name_their_field(tmp_path, head):
    stored = embedding_fields(head.landmarks)
    for name, value in [
        ("static_lmk_faces_idx", np.full(51, 80)),
        ("dynamic_lmk_faces_idx", stored["dynamic_lmk_faces_idx"][:78]),
        ("dynamic_lmk_bary_coords", stored["dynamic_lmk_bary_coords"] * 2),
        ("full_lmk_bary_coords", stored["full_lmk_bary_coords"] * np.float32(np.nan)),
    ]:
        np.savez(tmp_path / "landmarks.npz", **(stored | {name: value}))
        with pytest.raises(InputError, match=f"landmarks.npz: field '{name}'"):
            read_landmarks(tmp_path / "landmarks.npz", 80)


def test_convert_writes_one_file_that_loads_alone(tmp_path, fields, head):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fields, protocol=2))
    np.savez(tmp_path / "landmarks.npz", **embedding_fields(head.landmarks))
    convert(tmp_path / "model.pkl", tmp_path / "head.npz", tmp_path / "landmarks.npz")
    read = read_head(tmp_path / "head.npz")
    assert_same(read, head)
    assert set(read.masks) == {"face", "eyes", "eyeballs", "lips", "neck"}
    with pytest.raises(InputError, match=r"\.npz"):
        convert(tmp_path / "model.pkl", tmp_path / "head.pkl")
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())).count("head") == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path, fields, monkeypatch):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fields, protocol=2))

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # root may read everything
    with pytest.raises(InputError, match=r"model\.pkl: cannot be read \(Permission denied\)"):
        read_head(path)
