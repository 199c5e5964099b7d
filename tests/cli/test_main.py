"""The command line as a whole: what it lists, how it ends."""

import subprocess
import sys

import pytest

import mfnet
from mfnet.cli.main import main


def test_help_lists_every_command(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    commands = [line.split()[0] for line in shown.split("Commands:\n")[1].splitlines()]
    assert commands == [
        "reconstruct",
        "audit",
        "verify",
        "ui",
        "doctor",
        "profile",
        "archive",
        "benchmark",
        "track",
        "head",
        "assets",
    ]
    assert "`" not in shown and ":" in shown


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"mfnet {mfnet.__version__}\n"


def test_bad_usage_is_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", "--no-such-option"])
    assert ended.value.code == 2 and "no-such-option" in capsys.readouterr().err


def test_bad_input_is_status_1_and_one_line():
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", "none.png", "none.png", "none.png"])
    assert ended.value.code == "mfnet: error: none.png: no such file"


def test_help_is_shown_without_heavy_imports():
    code = (
        "import sys\nfrom mfnet.cli.main import main\n"
        "main(['benchmark', 'score', '--help'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pandas', 'mlflow', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
