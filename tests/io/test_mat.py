"""MATLAB files as scipy writes them, and damaged ones, on which scipy's own reader ends the process."""

import io

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mfnet.io.mat import parse_mat


def saved(compressed=False, **fields) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, fields, do_compression=compressed)
    return buffer.getvalue()


FIELDS = {
    "points": np.random.default_rng(0).normal(size=(3, 68)),
    "pose": np.array([[0.1, -0.7, 0.2]], np.float32),
    "count": np.array([[7]]),
    "small": np.array([[3]], np.int8),
    "text": "abc",
    "nested": {"a": [1, "b"], "c": np.eye(2)},
    "imaginary": np.array([1j]),
}


@pytest.mark.parametrize("compressed", [False, True])
def test_real_numbers_are_read_as_scipy_reads_them(compressed):
    content = saved(compressed, **FIELDS)
    ours, other = parse_mat(content, set(FIELDS)), loadmat(io.BytesIO(content))
    assert set(ours) == {"points", "pose", "count", "small"}
    for name, values in ours.items():
        np.testing.assert_array_equal(values, other[name])


def test_only_what_is_asked_for_is_read():
    assert set(parse_mat(saved(**FIELDS), {"pose", "absent"})) == {"pose"}


def test_a_number_type_that_is_none_is_refused():
    content = saved(points=np.ones((3, 68)))
    place = content.index(np.array([9, 3 * 68 * 8], "<u4").tobytes())
    with pytest.raises(ValueError, match="points has a type or shape that is none"):
        parse_mat(content[:place] + b"\x63\0\0\0" + content[place + 4 :], {"points"})


def test_a_variable_that_unpacks_to_more_than_an_annotation_is_refused():
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        parse_mat(saved(True, points=np.zeros((3, 1 << 20))), {"points"})


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_a_value_error_or_other_numbers(compressed):
    good, rng, refused = saved(compressed, **FIELDS), np.random.default_rng(1), 0
    for _ in range(1000):
        content = bytearray(good[: int(rng.integers(len(good) // 2, len(good) + 1))])
        for place in rng.integers(0, len(content), 3):
            content[place] ^= int(rng.integers(1, 256))
        try:
            parse_mat(bytes(content), set(FIELDS))
        except ValueError:
            refused += 1
    assert refused > 100
