"""The hash of the package's code."""

import mfnet
from mfnet.io.code import code_hash


def test_every_source_file_counts(tmp_path, monkeypatch):
    package = tmp_path / "mfnet"
    (package / "room").mkdir(parents=True)
    for name in ("__init__.py", "room/__init__.py", "room/part.py"):
        (package / name).write_text("x = 1\n")
    monkeypatch.setattr(mfnet, "__file__", str(package / "__init__.py"))
    plain = code_hash.__wrapped__()
    assert plain == code_hash.__wrapped__()
    for change in ("edit", "rename"):
        if change == "edit":
            (package / "room" / "part.py").write_text("x = 2\n")
        else:
            (package / "room" / "part.py").rename(package / "room" / "other.py")
        assert code_hash.__wrapped__() != plain
        plain = code_hash.__wrapped__()


def test_parts_count_alone():
    parts = ("landmarks", "datasets/multipie.py")
    assert code_hash(*parts) == code_hash.__wrapped__(*reversed(parts)) != code_hash()
    assert code_hash("landmarks") not in (code_hash(*parts), code_hash("geometry"))
