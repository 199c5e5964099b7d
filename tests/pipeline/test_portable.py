"""The data stages give the same bytes on every x86-64 machine with AVX2, whatever the environment says."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfnet.profiles import write_profile
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]
COMMITTED = Path(__file__).with_name("data_hashes.json")
"""Out of the tiny profile's data stages -> SHA-256 of its files, with names; made on a machine with AVX-512."""
OUTS = (
    "data/head",
    "data/raw/multipie",
    "data/raw/facescape",
    "data/raw/truth.parquet",
    "data/multipie/manifest.parquet",
    "data/multipie/rejected.parquet",
    "data/multipie/contact_sheet.png",
    "data/multipie/plan.parquet",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(HANGS)]


def committed() -> dict[str, str]:
    """The hashes that every machine is to come to."""
    return json.loads(COMMITTED.read_text())


def rebuilt(folder: Path, **environment: str) -> dict[str, str]:
    """Hashes of what the four stages write into `folder` under switches of the environment."""
    write_profile("tiny", folder / "params.yaml", ROOT / "params")
    for stage in ("head", "capture", "ingest", "plan"):
        command = [sys.executable, "-m", f"stages.{stage}"]
        env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    return contents(folder)


def contents(folder: Path) -> dict[str, str]:
    """Hashes of the data stages' outs in a workspace."""
    return {out: content(folder / out) for out in OUTS}


def content(path: Path) -> str:
    """SHA-256 of a file, or of all names and files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def test_switches_of_the_environment_change_no_byte(tmp_path):
    """torch without vector code, MKL as it likes, glibc and OpenBLAS as on a CPU without AVX-512: as another machine
    or a user's shell may have it."""
    switches = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "AUTO",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4",
        "OPENBLAS_CORETYPE": "SkylakeX",
        "NUMBA_CPU_NAME": "generic",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ,-ERMS,-FSRM",
    }
    assert rebuilt(tmp_path, **switches) == committed()  # of a bare environment: tests/pipeline/test_tiny.py
