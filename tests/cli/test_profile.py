"""``mfnet profile`` as a user calls it."""

from pathlib import Path

import pytest

from mfnet.cli.main import main
from mfnet.params import load_params

ROOT = Path(__file__).parents[2]


def test_a_profile_becomes_a_complete_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "params.yaml"
    main(["profile", "nightly", "-o", str(out)])
    shown = capsys.readouterr().out
    assert "ablation.seeds: [6] -> [6, 7, 8]" in shown
    assert load_params(out).ablation.seeds == [6, 7, 8]
    main(["profile", "nightly", "-o", str(out)])
    assert capsys.readouterr().out.endswith(": 0 keys changed\n")


def test_an_unknown_profile_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main(["profile", "nothing", "-o", str(tmp_path / "params.yaml")])
    assert "nothing.yaml: no such profile; known are embedded" in ended.value.code
    assert not (tmp_path / "params.yaml").exists()
