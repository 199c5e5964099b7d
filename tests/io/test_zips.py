"""One file out of a foreign zip archive."""

import io
import zipfile

import pytest

from mfnet.errors import InputError
from mfnet.io.zips import read_member


def archive(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_comes_as_it_was_written(compression):
    assert read_member(archive(compression, a=b"123", b=b"4"), "a", 3, "x.zip") == b"123"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a whole zip file"),
        (b"PK\x03\x04" + bytes(100), "not a whole zip file"),
        (archive(b=b"1"), "holds no a"),
        (archive(a=bytes(11)), "larger than the 10 bytes"),
        (archive(a=bytes(1 << 24)), "larger than the 10 bytes"),
        (archive(a=b"1234567").replace(b"\x03\x04", b"\x03\x05", 1), "a is damaged"),
        (archive(**{f"member {number:06}": b"" for number in range(2000)}), "directory is larger"),
    ],
)
def test_what_is_no_such_archive_is_refused_in_one_line(content, reason):
    with pytest.raises(InputError, match=rf"^x\.zip: .*{reason}") as caught:
        read_member(content, "a", 10, "x.zip")
    assert "\n" not in str(caught.value)
