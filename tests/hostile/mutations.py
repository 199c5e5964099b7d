"""Damaged and hostile versions of good files: seeded, and aware of the structure that a file's first bytes show.

A mutation inside a zip, a PNG or a safetensors header comes with right lengths and checksums: it reaches the parsers
behind them.
"""

import io
import itertools
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 62,
    (1 << 64) - 1,
)
WORDS = (
    *(
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "1e400",
        "1e-400",
        "99999999999999999999",
        "-1180591620717411303424",
        "9" * 6000,
    ),
    *(
        "",
        "1_0",
        "0x10",
        "true",
        "null",
        "None",
        "[]",
        "{}",
        "[" * 2000,
        '"',
        "'",
        "%s",
        "\\",
        "\0",
        "é",
        "*a",
        "&a",
        "!!python/x",
    ),
)
_SHORT = 4096
"""Bytes of an operation that may come fifty times: three times in a row is else gigabytes."""
_TOKEN = re.compile(rb"-?[0-9][0-9.eE+-]*|[A-Za-z_]+")


def mutated(content: bytes, rng: Rng, others: list[bytes]) -> bytes:
    """`content` with one to three mutations; `others`: good files to splice with."""
    for _ in range(int(rng.integers(1, 4))):
        inner = _structure(content)
        if inner is not None and rng.random() < 0.6:
            content = inner(content, rng)
        else:
            content = _one_of(_PLAIN, rng)(content, rng, others)
    return content


def _one_of(options, rng: Rng):
    return options[int(rng.integers(len(options)))]


def _place(content: bytes, rng: Rng) -> int:
    """A position, every second one in the first 256 bytes, where headers are."""
    size = max(len(content), 1)
    return int(rng.integers(min(size, 256) if rng.random() < 0.5 else size))


# ----------------------------------------------------------------------------------------------------- any content
def _flipped(content: bytes, rng: Rng, _) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(content: bytes, rng: Rng, _) -> bytes:
    return content[: _place(content, rng)]


def _removed(content: bytes, rng: Rng, _) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start + int(rng.integers(1, 64)) :]


def _repeated(content: bytes, rng: Rng, _) -> bytes:
    start = _place(content, rng)
    part = content[start : start + int(rng.integers(1, 200))]
    return content[:start] + part * int(_one_of((2, 3, 100), rng)) + content[start:]


def _inserted(content: bytes, rng: Rng, _) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.bytes(int(rng.integers(1, 32))) + content[start:]


def _number(content: bytes, rng: Rng, _) -> bytes:
    """Some bytes become a number that sizes, counts and offsets go wrong with."""
    form, order = _one_of("BHIQ", rng), _one_of("<>", rng)
    value = _one_of(NUMBERS, rng) & ((1 << (8 * struct.calcsize(form))) - 1)
    start = _place(content, rng)
    packed = struct.pack(order + form, value)
    return content[:start] + packed + content[start + len(packed) :]


def _word(content: bytes, rng: Rng, _) -> bytes:
    """A number or a word of a text becomes another."""
    tokens = list(_TOKEN.finditer(content[:20_000]))
    if not tokens:
        return content
    token = _one_of(tokens, rng)
    return content[: token.start()] + _one_of(WORDS, rng).encode() + content[token.end() :]


def _spliced(content: bytes, rng: Rng, others: list[bytes]) -> bytes:
    other = _one_of(others, rng)
    return content[: _place(content, rng)] + other[_place(other, rng) :]


_PLAIN = (_flipped, _flipped, _cut, _removed, _repeated, _inserted, _number, _number, _word, _word, _spliced)


# ----------------------------------------------------------------------------------------------------- known structure
def _structure(content: bytes) -> Callable[[bytes, Rng], bytes] | None:
    if content.startswith(b"PK\x03\x04"):
        return _in_zip
    if content.startswith(b"\x89PNG"):
        return _in_png
    if content.startswith(b"\x93NUMPY"):
        return _in_npy
    if content.startswith(b"\x80") and content[1:2] in b"\2\3\4\5":
        return _in_pickle
    if len(content) > 9 and content[8:9] == b"{":
        return _in_safetensors
    return None


def _in_zip(content: bytes, rng: Rng) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # an earlier mutation broke it
        return content
    if not members:
        return content
    name = _one_of(sorted(members), rng)
    members[name] = mutated(members[name], rng, list(members.values()))
    buffer = io.BytesIO()
    packing = _one_of((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), rng)
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def _in_png(content: bytes, rng: Rng) -> bytes:
    """One chunk's data changed, its checksum right again."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = struct.unpack_from(">I", content, at)[0]
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += 12 + size
    if not chunks:
        return content
    chosen = _one_of(chunks, rng)
    chosen[1] = _one_of(_PLAIN, rng)(chosen[1], rng, [chosen[1]])
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return content[:8] + b"".join(parts)


def _in_npy(content: bytes, rng: Rng) -> bytes:
    """The header's text changed, its length right again; or the pickle behind it."""
    if len(content) < 12:
        return content
    size = struct.unpack_from("<H", content, 8)[0]
    header, data = content[10 : 10 + size], content[10 + size :]
    if data[:1] == b"\x80" and rng.random() < 0.7:
        return content[: 10 + size] + mutated(data, rng, [data])
    header = _one_of((_word, _flipped, _removed), rng)(header, rng, [header])[:65535]
    return content[:8] + struct.pack("<H", len(header)) + header + data


def _in_pickle(content: bytes, rng: Rng) -> bytes:
    """Operations removed, repeated, exchanged."""
    try:
        places = [place for _, _, place in pickletools.genops(content)]
    except Exception:
        return content
    parts = [content[a:b] for a, b in itertools.pairwise([*places, len(content)])]
    for _ in range(int(rng.integers(1, 4))):
        one, two = (int(value) for value in rng.integers(len(parts), size=2))
        action = int(rng.integers(4))
        if action == 0 and len(parts) > 1:
            del parts[one]
        elif action == 1:
            parts.insert(two, parts[one])
        elif action == 2:
            parts[one], parts[two] = parts[two], parts[one]
        else:
            parts[one] = parts[one] * (50 if len(parts[one]) < _SHORT else 2)
        if not parts:
            break
    return b"".join(parts)


def _in_safetensors(content: bytes, rng: Rng) -> bytes:
    size = struct.unpack_from("<Q", content)[0]
    header, data = content[8 : 8 + size], content[8 + size :]
    header = _one_of((_word, _word, _flipped, _removed), rng)(header, rng, [header])
    return struct.pack("<Q", len(header)) + header + data
