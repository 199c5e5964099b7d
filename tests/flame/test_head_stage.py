"""Stage `head` on an official-format file: the same three files, and one clear line where something is missing."""

import re
from pathlib import Path

import pytest

from mfnet.flame import load_flame
from stages import head as stage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(shared, tmp_path):
    """Writes a params file whose head is the reference file, with some keys replaced; returns its path."""

    def write(**replaced: str) -> str:
        keys = {
            "model": shared / "heads/ict_flame_numpy.pkl",
            "landmarks": shared / "heads/landmark_embedding.npy",
            "template": shared / "heads/head_template.obj",
        } | replaced
        text = (ROOT / "params.yaml").read_text()
        for key, value in keys.items():
            text = re.sub(rf"^  {key}: (makehuman|null)$", f"  {key}: {value}", text, count=1, flags=re.MULTILINE)
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_what_is_declared_goes_into_the_file(params, tmp_path):
    stage.main(["--params", params(licence="CC-BY-4.0"), "--out", str(tmp_path / "head")])
    provenance = load_flame(tmp_path / "head" / "head.npz").provenance
    assert provenance.licence == "CC-BY-4.0" and provenance.edition == "not named"


def test_an_official_file_becomes_the_same_three_files(params, shared, tmp_path):
    stage.main(["--params", params(), "--out", str(tmp_path / "head")])
    written = load_flame(*(tmp_path / "head" / name for name in ("head.npz", "landmarks.npz", "template.obj")))
    heads = shared / "heads"
    direct = load_flame(
        heads / "ict_flame_numpy.pkl", heads / "landmark_embedding.npy", heads / "head_template.obj", 100, 50
    )
    assert written.content_hash == direct.content_hash
    assert written.uv.equal(direct.uv) and written.uv_faces.equal(direct.uv_faces)


@pytest.mark.parametrize(
    ("replaced", "line"),
    [
        ({"model": "absent.pkl"}, r"absent\.pkl: no such file"),
        ({"landmarks": "null"}, r"flame\.landmarks"),
        ({"template": "null"}, r"flame\.template"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(params, tmp_path, replaced, line):
    with pytest.raises(SystemExit) as stopped:
        stage.main(["--params", params(**replaced), "--out", str(tmp_path / "head")])
    assert re.search(line, str(stopped.value)) and "\n" not in str(stopped.value)
    assert not (tmp_path / "head").exists()
