"""dvc.yaml against the code: a stage depends on every file that its result can come from."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = {
    name: stage.get("do", stage)  # of a `foreach`
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items()
}

NEUTRAL = {
    "mfnet/__init__.py": "the public names; stages import the modules behind them",
    "mfnet/errors.py": "the text of errors; no stage writes a result and an error",
    "mfnet/params.py": "the values are params of the stage; the schema refuses values and changes none",
    "mfnet/tracking.py": "writes to MLflow, to no out",
    "mfnet/runs/outbox.py": "writes to MLflow, to no out",
    "mfnet/runs/champion.py": "decides in MLflow, in no out",
    "mfnet/io/download.py": "fetches assets when the user says so; no stage does, and their hashes are checked",
    "mfnet/audit/hashing.py": "hashes for MLflow, in no out",
    "mfnet/compute/memory.py": "which pages of freed buffers are kept",
    "mfnet/compute/executor.py": "where work runs; results come back in the order of the items",
    "stages/common.py": "the command line, and how errors end",
    "stages/provenance.py": "writes to MLflow, to no out",
}
"""Files that no stage names, with the reason. What they do must never reach the bytes of an out."""
RECORDER = Path("stages/provenance.py")
"""What it imports and nothing else does goes to MLflow, into no out."""
TRACKED_PICTURES = {
    "mfnet/export/sheets.py": "pictures for MLflow, no out",
    "mfnet/export/pictures.py": "pictures for MLflow, no out",
}
"""The same for the stages that log pictures to MLflow beside what they compute."""
DATA = ("mfnet/weights", "mfnet/scoring/published_means.csv")
"""What the package ships and code reads without importing it."""
NEUTRAL_OF = {"train": TRACKED_PICTURES, "ablate": TRACKED_PICTURES}


def module_file(name: str) -> Path | None:
    """The file of a module of this repository, relative to its root; None for foreign ones."""
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def lazy_homes(file: Path) -> dict[str, str]:
    """Name -> module of a package whose ``__init__`` imports its public names when they are first used."""
    for node in parsed(file).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "_HOMES" for t in node.targets):
            return ast.literal_eval(node.value)
    return {}


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it but what ``if TYPE_CHECKING`` guards, which runs never."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        children = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from executed(child)


def imported_modules(file: Path) -> Iterator[str]:
    """Names of all modules that a file imports, also inside its functions."""
    for node in executed(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            yield node.module
            package = module_file(node.module)
            homes = lazy_homes(package) if package and package.name == "__init__.py" else {}
            for alias in node.names:
                yield homes.get(alias.name, f"{node.module}.{alias.name}")


def import_closure(start: Path) -> set[str]:
    """Every file of the repository that running `start` can import, packages' ``__init__`` with code included; not what
    RECORDER alone imports."""
    found, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        if file == RECORDER:
            continue
        for name in imported_modules(file):
            parts = name.split(".")
            files = [module_file(".".join(parts[: i + 1])) for i in range(len(parts))]
            waiting += [each for each in files if each is not None]
    return {file.as_posix() for file in found if not holds_only_a_docstring(file)}


def holds_only_a_docstring(file: Path) -> bool:
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in parsed(file).body)


def script(stage: dict) -> Path:
    """The file that a stage runs: ``python -m stages.<name> ...``."""
    words = stage["cmd"].split()
    return module_file(words[words.index("-m") + 1])


def covered(file: str, deps: list[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_file_it_imports(name):
    deps, neutral = STAGES[name]["deps"], NEUTRAL | NEUTRAL_OF.get(name, {})
    missing = {file for file in import_closure(script(STAGES[name])) if not covered(file, deps)} - set(neutral)
    assert not missing, f"dvc.yaml: stage {name}: deps lack {sorted(missing)}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_no_code_that_it_never_imports(name):
    """A folder may hold more than one stage needs, but a dep from which nothing is imported re-runs it for nothing."""
    closure = import_closure(script(STAGES[name]))
    code = [dep for dep in STAGES[name]["deps"] if dep.startswith(("mfnet/", "stages/")) and dep not in DATA]
    idle = [dep for dep in code if not any(covered(file, [dep]) for file in closure)]
    assert not idle, f"dvc.yaml: stage {name}: nothing is imported from {idle}"


def edits() -> list[tuple[str, set[str]]]:
    """(file, stages that `dvc status` then lists) of the table in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = page.split("| an edit of | re-runs |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [(file.strip("`"), set() if stages == "nothing" else set(stages.split(", "))) for file, stages in cells]


@pytest.mark.parametrize(("file", "stages"), edits())
def test_an_edit_re_runs_what_the_documents_say(file, stages):
    assert (ROOT / file).is_file()
    ignored = {line.removeprefix("/") for line in (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()}
    changed = {name for name, stage in STAGES.items() if covered(file, stage["deps"]) and file not in ignored}
    assert changed == stages


def test_no_stage_imports_what_dvc_ignores():
    """.dvcignore takes files out of the folders that are deps; one that a stage ran would be changed unseen."""
    lines = (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    ignored = {line.removeprefix("/") for line in lines if line.endswith(".py")}
    assert ignored and all((ROOT / file).is_file() for file in ignored)
    for name, stage in STAGES.items():
        assert not ignored & import_closure(script(stage)), name


def test_neutral_files_exist():
    """A list of exceptions that outlives its files would excuse the next file of that name."""
    assert all((ROOT / file).is_file() for file in [*NEUTRAL, *TRACKED_PICTURES])


def test_the_closure_follows_lazy_names_and_late_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    for name, text in {
        "stages/run.py": "def run():\n    from room import Name\n",
        "room/__init__.py": "_HOMES = {'Name': 'room.home'}\n",
        "room/home.py": "import room.below\n",
        "room/below.py": "x = 1\n",
        "room/other.py": "x = 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    parsed.cache_clear()
    found = import_closure(Path("stages/run.py"))
    parsed.cache_clear()
    assert found == {"stages/run.py", "room/__init__.py", "room/home.py", "room/below.py"}
