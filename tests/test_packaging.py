"""What is declared, what is imported, and what the wheel holds."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mfnet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"mfnet", "stages", "pipelines", "scripts", "benchmarks", "tests"}
VIEWER = ("viewer/page.html", "viewer/model-viewer.min.js", "viewer/model-viewer.md")

RUN_BY_OTHERS = {"mfnet/runs/served_model.py"}
"""Files that nothing of ours imports: MLflow runs this one."""


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def declared(*lists: list[str]) -> set[str]:
    return {canonical(Requirement(line).name) for lines in lists for line in lines}


def imported(folder: str, at_the_top: bool = False) -> dict[str, set[str]]:
    """Package -> files of the folder that import it; `at_the_top`: when they are imported themselves."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body if at_the_top else ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            for name in names:
                package = name.split(".")[0]
                if package not in sys.stdlib_module_names and package not in OURS:
                    found.setdefault(package, set()).add(path.relative_to(ROOT).as_posix())
    return found


def distributions(package: str) -> set[str]:
    known = {"nvdiffrast": {"diffrp-nvdiffrast"}}  # optional, so it may not be installed
    return known.get(package) or {canonical(name) for name in packages_distributions().get(package, [])}


@pytest.mark.parametrize("folder", ["mfnet", "stages", "pipelines", "scripts"])
def test_everything_imported_is_declared(folder):
    extras = PROJECT["optional-dependencies"]
    known = declared(PROJECT["dependencies"], *(extras[name] for name in ("pipeline", "openlineage", "fan", "gpu")))
    known |= declared(extras["dev"]) if folder == "scripts" else set()
    for package, files in imported(folder).items():
        assert distributions(package) & known, f"{package} is imported by {sorted(files)} and not declared"


def test_importing_the_package_itself_needs_only_the_base(tmp_path):
    """What a file imports at its top must be there without any extra."""
    base = declared(PROJECT["dependencies"])
    extra = {
        package: files - RUN_BY_OTHERS
        for package, files in imported("mfnet", at_the_top=True).items()
        if not distributions(package) & base
    }
    assert not any(extra.values())


def test_public_names_are_there_and_documented():
    for name in mfnet.__all__:
        assert getattr(mfnet, name) is not None
        assert name == "__version__" or getattr(mfnet, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        mfnet.absent  # noqa: B018


def test_importing_mfnet_imports_nothing_heavy():
    code = "import sys, mfnet; print(sorted({'torch', 'numpy', 'pydantic', 'pandas', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_mfnet_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert roots == {"mfnet"}
    parts = ("py.typed", "weights/encoder.safetensors", "scoring/published_means.csv", "report/template.html")
    for part in (*parts, *VIEWER):
        assert f"mfnet/{part}" in names


@pytest.mark.slow
def test_the_bare_wheel_reconstructs(wheel, tmp_path):
    """In an empty environment, outside the checkout: the quickstart of the README on rendered photographs."""
    from tests.photographs import write_photographs

    photographs = write_photographs(tmp_path)
    uv = [sys.executable, "-m", "uv"]
    environment = tmp_path / "venv"
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [
        *uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "-c",
        str(ROOT / "constraints.txt"),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = [str(environment / "bin" / "mfnet"), "reconstruct", *map(str, photographs), "-o", "head.glb"]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "standard deviation of the face" in done.stdout and (tmp_path / "head.glb").stat().st_size > 100_000
    score = [str(environment / "bin" / "mfnet"), "audit"]
    missing = subprocess.run(score, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "Traceback" not in missing.stderr
