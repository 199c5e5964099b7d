"""Files that a head reader must refuse: wrong, broken and hostile ones, each as name -> bytes."""

import io
import pickle
import struct
import zipfile

import numpy as np


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def changed(fields: dict, **changes) -> bytes:
    """The model with some fields replaced; None drops one."""
    return pickle.dumps({name: value for name, value in (fields | changes).items() if value is not None}, protocol=4)


def wrong_models(fields: dict) -> dict[str, tuple[bytes, str]]:
    """Whole pickles of a wrong model: name -> (bytes, the field to blame)."""
    cycle, rootless, swapped = (fields["kintree_table"].astype(np.int64) for _ in range(3))
    cycle[0] = [-1, 2, 1, 1, 1]
    rootless[0] = [4, 0, 1, 1, 1]
    swapped[1] = [0, 2, 1, 3, 4]
    f = fields["f"].astype(np.int64)

    def with_value(name: str, index, value):
        array = fields[name].copy()
        array[index] = value
        return {name: array}

    cases = {
        "missing key": {"posedirs": None},
        "vertices of another model": {"shapedirs": fields["shapedirs"][:-1]},
        "two coordinates": {"v_template": fields["v_template"][:, :2]},
        "no vertices": {"v_template": fields["v_template"][:0]},
        "flat shapedirs": {"shapedirs": fields["shapedirs"].reshape(-1, 400)},
        "integer shapedirs": {"shapedirs": np.ones((42, 3, 400), np.int64)},
        "complex posedirs": {"posedirs": fields["posedirs"].astype(np.complex64)},
        "NaN": with_value("posedirs", (3, 1, 7), np.nan),
        "infinity": with_value("v_template", (3, 1), np.inf),
        "millimetres": {"v_template": 1000 * fields["v_template"]},
        "face out of range": with_value("f", (5, 1), 42),
        "negative face": {"f": np.where(f == f[0, 0], -1, f)},
        "float faces": {"f": f.astype(np.float64)},
        "quads": {"f": np.zeros((80, 4), np.uint32)},
        "weights do not sum to 1": with_value("weights", (4, slice(None)), 0.5),
        "negative weights": with_value("weights", (4, slice(None)), np.array([1.5, -0.5, 0, 0, 0], np.float32)),
        "cycle": {"kintree_table": cycle},
        "no root": {"kintree_table": rootless},
        "unordered joints": {"kintree_table": swapped},
        "three joints": {"kintree_table": fields["kintree_table"][:, :3]},
        "objects": {"weights": fields["weights"].astype(object)},
        "text": {"J_regressor": "none"},
        "list": {"J_regressor": fields["J_regressor"].tolist()},
        "other skinning": {"bs_type": "dqs"},
    }
    return {name: (changed(fields, **case), next(iter(case))) for name, case in cases.items()}


def sparse_models(fields: dict) -> dict[str, bytes]:
    """J_regressor as a csc_matrix whose indices lie."""
    from scipy.sparse import csc_matrix

    def spoiled(**state) -> bytes:
        matrix = csc_matrix(fields["J_regressor"])
        matrix.__dict__.update(state)
        return changed(fields, J_regressor=matrix)

    good = csc_matrix(fields["J_regressor"])
    far, negative = good.indices.copy(), good.indices.copy()
    far[7], negative[7] = 5, -1
    falling = good.indptr.copy()
    falling[3] = 10**6
    return {
        "sparse index too large": spoiled(indices=far),
        "sparse index negative": spoiled(indices=negative),
        "sparse pointers fall": spoiled(indptr=falling),
        "sparse pointers short": spoiled(indptr=good.indptr[:-1]),
        "sparse of huge shape": spoiled(_shape=(5, 1 << 40)),
        "sparse without data": spoiled(data=None),
    }


def calls(marker: str) -> dict[str, bytes]:
    """Pickles that create `marker` when unpickled plainly."""
    import builtins
    import os
    import subprocess

    cases = {
        "os.system": Call(os.system, f"touch {marker}"),
        "eval": Call(builtins.eval, f"open({marker!r}, 'w')"),
        "open": Call(builtins.open, marker, "w"),
        "subprocess": Call(subprocess.call, ["touch", marker]),
        "in a list": [Call(os.system, f"touch {marker}")],
    }
    files = {name: pickle.dumps({"f": case}, protocol=2) for name, case in cases.items()}
    files["old instance"] = b"(S'touch " + marker.encode() + b"'\nios\nsystem\n."
    inside = np.empty((), object)
    inside[()] = cases["os.system"]
    files["inside an object array"] = pickle.dumps({"f": inside}, protocol=4)
    files["attribute of an allowed module"] = b"\x80\x02cnumpy\ntesting.assert_equal\n."
    files["attribute of an allowed name"] = b"\x80\x04\x8c\x05numpy\x8c\x0adtype.type\x93."
    files["torch storage in a model"] = b"\x80\x02ctorch.storage\n_load_from_bytes\nU\x01x\x85R."
    return files


def bombs() -> dict[str, bytes]:
    """Pickles that are small on disk and large, slow or deep when read."""
    huge = struct.pack("<Q", 1 << 40)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    dtype = b"cnumpy\ndtype\nU\x02f8\x85R"
    thousand = b"\x8c\xff" + b"x" * 255
    return {
        "declared bytes": b"\x80\x04\x8e" + huge + b"x.",
        "declared bytearray": b"\x80\x05\x96" + huge + b"x.",
        "declared text": b"\x80\x04\x8d" + huge + b"x.",
        "declared frame": b"\x80\x04\x95" + huge + b"N.",
        "memo index": b"\x80\x02}r\xff\xff\xff\xff.",
        "declared array": b"\x80\x02}U\x01f" + array + b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85U\x01b\x87Rs.",
        "declared array with state": b"\x80\x02}U\x01f"
        + array
        + b"K\x00\x85U\x01b\x87R(K\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x85"
        + dtype
        + b"\x89U\x01xtbs.",
        "ndarray called": b"\x80\x02cnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85\x85R.",
        "huge item": b"\x80\x02cnumpy\ndtype\nU\x0bS2000000000\x85R.",
        "digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "doubling": b"\x80\x02]" + b"2\x86" * 5000 + b".",
        "doubling as a field": b"\x80\x02}U\x01f]q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"s.",
        "doubling as skinning": b"\x80\x02}U\x07bs_type]q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"s.",
        "deep lists": b"\x80\x02" + b"](" * 1_000_000 + b".",
        "deep tuples": b"\x80\x02)" + b"\x85" * 1_000_000 + b".",
        "deep key": b"\x80\x02})" + b"\x85" * 150_000 + b"Ns.",
        "many dicts": b"\x80\x02(" + b"}" * 3_000_000 + b"t.",
        "long key": b"\x80\x04}X\x00\x00\x10\x00" + b"k" * (1 << 20) + b"Ns.",
        "encoded again and again": b"\x80\x02(X\x00\x00\x10\x00"
        + b"x" * (1 << 20)
        + b"q\x00"
        + b"c_codecs\nencode\nh\x00\x85R" * 4000
        + b"t.",
        "itself": b"\x80\x02]q\x00h\x00a.",
        "wide memo": b"\x80\x04" + thousand + b"\x94" * 3_000_000 + b".",
    }


def not_pickles(whole: bytes) -> dict[str, bytes]:
    """Other files under a .pkl name."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("generic_model.pkl", whole)
    return {
        "empty": b"",
        "zip": zipped.getvalue(),
        "web page": b"<!DOCTYPE html><html><body>Please log in</body></html>",
        "web page after blanks": b"\n\n  <html>",
        "truncated": whole[: len(whole) // 2],
        "without end": whole[:-1],
        "noise": np.random.default_rng(0).bytes(4096),
        "text": b"hello\n",
        "a number": pickle.dumps(3),
        "a list": pickle.dumps([1, 2]),
        "npy of numbers": _npy(np.ones(3)),
        "zip directory missing": b"PK\x03\x04" + bytes(100),
    }


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
