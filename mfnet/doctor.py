"""Whether the pipeline can run here: one finding per thing that it stands on, each with what to do."""

import ipaddress
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from mfnet import assets
from mfnet.errors import InputError
from mfnet.params import Params, load_params
from mfnet.runs.outbox import has_writer, records

if TYPE_CHECKING:
    from packaging.requirements import Requirement

State = Literal["ok", "warning", "failure"]
GIB = 2**30
MEMORY = 6
"""GiB that a run of the embedded profile needs; its stages peak at about four."""
DISK, DISK_TIGHT = 3, 10
"""GiB free below which a run cannot finish, and below which a second one may not."""
PREFECT_PORT = 4200
SITE_CACHE = ".mfnet/dvc-site-cache"
"""Where `make setup` has DVC keep the pickles that it would share with everybody in /var/tmp."""


class Diagnosis(NamedTuple):
    """What was looked at, how it stands, what was seen, and what to do."""

    check: str
    state: State
    seen: str
    remedy: str = ""


def examine(root: Path) -> list[Diagnosis]:
    """All findings for the workspace `root`. A ``failure`` is what the pipeline would fail at."""
    params = None
    found = [*machine(root), *packages(root), *accelerator()]
    try:
        params = load_params(root / "params.yaml")
    except InputError as error:
        found.append(Diagnosis("params", "failure", str(error), "mfnet profile embedded"))
    if params is not None:
        found += data_roots(params, root)
        found += foreign_files(params)
        found += precision(params)
    return [*found, *modes(root), *ports(), *servers(), *waiting(root)]


def machine(root: Path) -> Iterator[Diagnosis]:
    """Processors, memory, disk, programs."""
    yield Diagnosis("processors", "ok", str(os.cpu_count()))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    enough = memory >= MEMORY
    yield Diagnosis(
        "memory", "ok" if enough else "warning", f"{memory:.0f} GiB", "" if enough else "compute.workers: 1"
    )
    free = shutil.disk_usage(root).free / GIB
    state: State = "failure" if free < DISK else "warning" if free < DISK_TIGHT else "ok"
    yield Diagnosis(
        "disk", state, f"{free:.1f} GiB free at {root}", "" if state == "ok" else "make room; dvc gc --workspace"
    )
    if shutil.which("git") is None:
        yield Diagnosis("git", "failure", "no such program", "install git: DVC stands on it")
    else:
        yield Diagnosis("git", "ok", "found")
    if not os.access(root, os.W_OK):
        yield Diagnosis("workspace", "failure", f"{root} cannot be written", f"chown or chmod {root}")


def packages(root: Path) -> Iterator[Diagnosis]:
    """Python and installed versions: bounds of the package must hold; tested versions are compared with."""
    from packaging.requirements import Requirement

    yield Diagnosis("python", "ok", sys.version.split()[0])
    broken = False
    for text in metadata.requires("mfnet") or []:
        wanted = Requirement(text)
        if not any(_applies(wanted, extra) for extra in ("", "pipeline")):
            continue
        version = _version(wanted.name)
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            broken = True
            remedy = f"pip install '{wanted.name}{wanted.specifier}' -c constraints.txt"
            yield Diagnosis(
                "package", "failure", f"{wanted.name} {version or 'missing'}, {wanted.specifier} wanted", remedy
            )
    if not broken:
        yield Diagnosis("packages", "ok", "all that the pipeline needs, in the versions it needs")
    constraints = root / "constraints.txt"
    if constraints.is_file():
        lines = [line.split("#")[0].strip() for line in constraints.read_text(encoding="utf-8").splitlines()]
        tested = [Requirement(line) for line in lines if line]
        others = [
            f"{each.name} {version}"
            for each in tested
            if _applies(each)
            and (version := _version(each.name)) is not None
            and not each.specifier.contains(version, prereleases=True)
        ]
        if others:
            seen = f"{len(others)} not as tested: {', '.join(others[:5])}{' ...' if len(others) > 5 else ''}"
            yield Diagnosis("constraints", "warning", seen, "pip install -e '.[dev]' -c constraints.txt")
        else:
            yield Diagnosis("constraints", "ok", f"{len(tested)} versions as tested")


def _applies(wanted: "Requirement", extra: str = "") -> bool:
    """Whether a requirement is meant for this Python, with this extra of the package."""
    return wanted.marker is None or wanted.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def accelerator() -> Iterator[Diagnosis]:
    """torch, CUDA and nvdiffrast."""
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        yield Diagnosis("torch", "failure", said, "pip install torch torchvision, of one release")
        return
    yield Diagnosis("torch", "ok", f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    if not torch.cuda.is_available():
        yield Diagnosis("cuda", "ok", "none: everything runs on the CPU")
        return
    yield Diagnosis(
        "cuda", "ok", f"{torch.cuda.device_count()} of {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
    )
    if find_spec("nvdiffrast") is None:
        yield Diagnosis(
            "nvdiffrast", "warning", "not installed: the CPU rasterizer is used", "pip install 'mfnet[gpu]'"
        )
    elif missing := [name for name in ("nvcc", "ninja", "g++") if shutil.which(name) is None]:
        seen = f"it compiles at first use and lacks {', '.join(missing)}"
        yield Diagnosis("nvdiffrast", "warning", seen, "install the CUDA toolkit, ninja and a C++ compiler")
    else:
        yield Diagnosis("nvdiffrast", "ok", "installed")


def precision(params: Params) -> Iterator[Diagnosis]:
    """What the params ask of the machine."""
    import torch

    if params.train.precision != "32" and not torch.cuda.is_available():
        seen = f"train.precision: '{params.train.precision}' needs CUDA"
        yield Diagnosis("params", "failure", seen, "train.precision: '32'")


def data_roots(params: Params, root: Path) -> Iterator[Diagnosis]:
    """Archives and head files that the params name and no stage makes."""
    named = {"flame.model": params.flame.file}
    named |= {f"flame.{key}": getattr(params.flame, key) for key in ("landmarks", "template", "masks")}
    named |= {"landmarks.annotations": params.landmarks.annotations, "source.aflw2000": params.source.aflw2000}
    if not params.capture.enabled:
        named |= {f"source.{key}": getattr(params.source, key) for key in ("multipie", "facescape", "archive_listing")}
    for key, value in named.items():
        if value is None:
            continue
        if (root / value).exists():
            yield Diagnosis("data", "ok", f"{key}: {value}")
        else:
            remedy = (
                "mfnet archive" if key == "source.archive_listing" else f"put it there, or change {key} in params.yaml"
            )
            yield Diagnosis("data", "failure", f"{key}: {value}: no such file or folder", remedy)


def foreign_files(params: Params) -> Iterator[Diagnosis]:
    """The free files of others, which the stages need only where params ask for them; the rest matter to `mfnet
    reconstruct`, but for those that are had by name alone."""
    needed = _needed(params)
    for each in assets.ASSETS:
        if not each.free or (each.by_name and each.name not in needed):
            continue
        found = assets.state(each)
        lacking: State = "failure" if each.name in needed else "warning"
        remedy = "" if found == "here" else f"mfnet assets get {each.name}"
        yield Diagnosis("assets", "ok" if found == "here" else lacking, f"{each.name}: {found}", remedy)


def _needed(params: Params) -> set[str]:
    """Names of the assets that the stages read."""
    from mfnet.landmarks.mediapipe.networks import FULL_RANGE, TASK

    names = {TASK, FULL_RANGE} if params.landmarks.backend == "mediapipe" else set()
    if params.pretrained.flow.source == "torchvision":
        names.add(assets.RAFT[params.pretrained.flow.estimator])
    return names


def modes(root: Path) -> Iterator[Diagnosis]:
    """Folders and files whose content is trusted: nobody else may be able to replace it."""
    places = [root / ".dvc", root / ".dvc" / "cache", root / ".mfnet", root / "mlflow.db", *_site_cache(root)]
    open_to_all = False
    for place in places:
        for each in (place, *place.parents):
            if not each.exists() or _closed(each, root):
                continue
            mode = each.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                open_to_all = True
                inside = each == place or each.is_relative_to(root)
                own = f"chmod 700 {root / '.mfnet'}; dvc config --local core.site_cache_dir {root / SITE_CACHE}"
                remedy = f"chmod o-w {each}" if inside else own
                yield Diagnosis("modes", "warning", f"{each}: anyone on this machine may replace what is in it", remedy)
    if not open_to_all:
        yield Diagnosis("modes", "ok", "caches and stores are this user's own")


def _closed(place: Path, root: Path) -> bool:
    """Whether a folder of the workspace above `place` lets nobody else in."""
    inside = [each for each in place.parents if each != root and each.is_relative_to(root)]
    return any(not each.stat().st_mode & stat.S_IXOTH for each in inside)


def _site_cache(root: Path) -> list[Path]:
    """The folder in which DVC keeps pickles."""
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ImportError:
        return []  # `packages` has said so
    try:
        with Repo(str(root)) as repo:
            return [Path(repo.site_cache_dir)] if repo.site_cache_dir else []
    except DvcException:
        return []


def ports() -> Iterator[Diagnosis]:
    """The port that a schedule's server listens on; `mfnet ui` takes any."""
    with socket.socket() as tried:
        tried.settimeout(1)
        if tried.connect_ex(("127.0.0.1", PREFECT_PORT)) == 0:
            seen = f"127.0.0.1:{PREFECT_PORT} is in use: a schedule cannot start its server"
            yield Diagnosis("ports", "warning", seen, "end what listens there, or set PREFECT_API_URL to use it")
        else:
            yield Diagnosis("ports", "ok", f"127.0.0.1:{PREFECT_PORT} is free")


def servers() -> Iterator[Diagnosis]:
    """Settings by which runs leave this machine unprotected, or others come in. Ours listen on 127.0.0.1 whatever they
    say."""
    open_ones = []
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        address = urlsplit(os.environ.get(name, ""))
        if address.scheme == "http" and not _is_loopback(address.hostname or ""):
            seen = f"{name}: plain http to {address.hostname}: whoever is on the way reads and changes what is sent"
            open_ones.append(Diagnosis("servers", "warning", seen, "use https://, or a tunnel to 127.0.0.1"))
    for name in ("PREFECT_SERVER_API_HOST", "MLFLOW_HOST"):
        if not _is_loopback(os.environ.get(name, "127.0.0.1")):
            seen = f"{name}: {os.environ[name]}: a server started by hand is everybody's, without a password"
            open_ones.append(Diagnosis("servers", "warning", seen, f"unset {name}"))
    yield from open_ones or [Diagnosis("servers", "ok", "nothing leaves this machine unprotected")]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def waiting(root: Path) -> Iterator[Diagnosis]:
    """Runs that MLflow has not got."""
    left = [folder for folder in records(root) if not has_writer(folder)]
    if left:
        yield Diagnosis("runs", "warning", f"{len(left)} wait to be sent", "mfnet track sync")
    else:
        yield Diagnosis("runs", "ok", "none waits to be sent")
