"""Archives: no pickle is read, and sizes are known before memory is taken."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from mfnet.errors import InputError
from mfnet.flame import read_head, write_head
from mfnet.io.npz import read_npz, read_npz_columns

LIMIT = 256 << 20


def refused(path, read=lambda path: read_npz(path, LIMIT), match: str | None = None) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 10 * path.stat().st_size + (40 << 20)


def header(descr: str, shape: tuple) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(path, members: dict[str, bytes], compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_arrays_of_every_order_and_type(tmp_path):
    arrays = {
        "c": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        "big": np.arange(5, dtype=">i4"),
        "empty": np.zeros((0, 3), np.uint8),
        "flag": np.array([True, False]),
        "name": np.array("lbs"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        for name, value in read_npz(tmp_path / "a.npz", LIMIT).items():
            np.testing.assert_array_equal(value, arrays[name])
    assert set(read_npz(tmp_path / "a.npz", LIMIT, {"c", "none"})) == {"c"}


def test_objects_are_refused_unread(tmp_path):
    np.savez(tmp_path / "a.npz", v_template=np.array([{"a": 1}], object))
    refused(tmp_path / "a.npz", match="field 'v_template' is an array of objects")
    refused(archive(tmp_path / "b.npz", {"x.npy": header("|V8", (1,)) + bytes(8)}), match="field 'x'")


@pytest.mark.parametrize("shape", [(1 << 31,), (1 << 38, 3), (2**62, 2**62), (-1, 3), (10**30,)])
def test_a_declared_size_takes_no_memory(tmp_path, shape):
    refused(archive(tmp_path / "a.npz", {"v_template.npy": header("<f4", shape) + bytes(100)}), match="v_template")


def test_a_bomb_is_refused(tmp_path):
    zeros = header("<f4", (50 << 20,)) + bytes(200 << 20)
    path = archive(tmp_path / "a.npz", {"shapedirs.npy": zeros})
    assert path.stat().st_size < 1 << 20
    refused(path, match="shapedirs")
    many = {f"x{i}.npy": header("<f4", (1 << 20,)) + bytes(4 << 20) for i in range(20)}
    refused(archive(tmp_path / "b.npz", many), match="more than this file may unpack to")


def test_a_member_longer_or_shorter_than_declared(tmp_path):
    for size in (7, 9, 1 << 20):
        refused(archive(tmp_path / "a.npz", {"x.npy": header("<f8", (1,)) + bytes(size)}), match="field 'x'")


def test_a_large_directory_is_refused_before_it_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for i in range(5000):
            file.writestr(f"{i}.npy", b"")
    refused(tmp_path / "a.npz", match="directory")


def test_damage_anywhere_is_an_input_error(tmp_path, head):
    write_head(head, tmp_path / "head.npz")
    data = (tmp_path / "head.npz").read_bytes()
    path = tmp_path / "spoiled.npz"
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 60):
        spoiled = bytearray(data)
        spoiled[at] ^= 0x55
        path.write_bytes(spoiled)
        try:
            assert read_head(path).content_hash() == head.content_hash()  # a byte that no reader looks at
        except InputError as error:
            assert str(path) in str(error)
    for size in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refused(path, read_head)


def test_odd_archives(tmp_path):
    one = header("<f4", (1,)) + bytes(4)
    refused(archive(tmp_path / "a.npz", {"x.npy": one}, zipfile.ZIP_LZMA), match="compression")
    unclosed = b"\x93NUMPY\x01\x00" + struct.pack("<H", 9) + b"((((((((("
    refused(archive(tmp_path / "b.npz", {"x.npy": unclosed}), match="'x'")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        for _ in range(2):
            file.writestr("x.npy", one)
    refused(tmp_path / "c.npz", match="twice")
    whole = archive(tmp_path / "d.npz", {"x.npy": one}).read_bytes()
    (tmp_path / "e.npz").write_bytes(whole.replace(struct.pack("<I", zlib.crc32(one)), b"\0\1\2\3"))
    refused(tmp_path / "e.npz", match="damaged")


def test_columns_are_those_of_the_whole_array(tmp_path):
    values = np.random.default_rng(0).standard_normal((70, 70, 3, 40))
    np.savez_compressed(tmp_path / "a.npz", other=np.ones(3), tex_dir=values)
    columns = read_npz_columns(tmp_path / "a.npz", "tex_dir", 7, LIMIT)
    np.testing.assert_array_equal(columns, values.reshape(-1, 40)[:, :7].astype(np.float32))
    for count in (41, 0):
        refused(tmp_path / "a.npz", lambda path, n=count: read_npz_columns(path, "tex_dir", n, LIMIT), "tex_dir")
    huge = archive(tmp_path / "b.npz", {"tex_dir.npy": header("<f4", (1 << 36, 40)) + bytes(100)})
    refused(huge, lambda path: read_npz_columns(path, "tex_dir", 7, LIMIT), "tex_dir")
    short = archive(tmp_path / "c.npz", {"tex_dir.npy": header("<f4", (1 << 16, 40)) + bytes(100)})
    refused(short, lambda path: read_npz_columns(path, "tex_dir", 7, LIMIT), "ends before")
