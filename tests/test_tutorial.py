"""The code of docs/tutorial.md, run as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from mfnet.cli.main import main

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_tutorial_goes_from_photographs_to_a_turning_head(face_assets, tmp_path, monkeypatch, capsys):
    pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, TUTORIAL.name, "exec"), names)
    assert names["face"].verdict == names["collins"].verdict == "good"
    inside = names["inside"]
    assert names["distance_mm"](names["face"].vertices) < names["distance_mm"](names["average"])
    assert inside.any() and len(names["rig"].names) >= 52
    for line in "".join(blocks("bash")).splitlines():
        command, *arguments = shlex.split(line)
        assert command == "mfnet"
        main(arguments)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"head.html", "head.glb", "neutral.glb", "smile.obj", "transforms.json", "astronaut.html"} <= written
    assert {f"somebody/{name}" for name in ("head.glb", "head.html", "overlay.png", "transforms.json")} <= written
    assert "astronaut.glb" in written and "verdict: good" in capsys.readouterr().out
