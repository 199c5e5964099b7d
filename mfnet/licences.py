"""What a run stands on that others own: head, weights, data, each with hash and licence as its owner declares it, and
whether results may be shown. Texts for people; nothing is refused by them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mfnet import assets
from mfnet.flame.provenance import UNDECLARED, Provenance, Shown, shown_by_licence
from mfnet.params import Bundled, Params, TorchvisionFlow, WeightsFile

HEAD = "data/head"
LANDMARKS = "data/multipie/landmarks.parquet"
"""What a landmark backend's own files go into; they are no inputs of a stage."""
BACKENDS = {
    "mediapipe": ("face_landmarker.task", "face_detection_full_range.tflite"),
    "face_alignment": ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth"),
}
"""``landmarks.backend`` -> the assets that it reads."""
TORCHVISION = {"raft_large": "raft_large_C_T_SKHT_V2-ff5fadd5.pth"}
"""Estimator -> the asset that torchvision fetches for it."""
NOT_HASHED = "not hashed"


class Licensed(NamedTuple):
    """One line of the manifest."""

    part: Literal["head", "weights", "landmarks", "data"]
    name: str
    edition: str
    licence: str
    attribution: str
    may_show: Shown
    """Whether results that are made with it may be shown to others."""
    hash: str = ""
    """``md5 ...`` as dvc.lock has it, or ``sha256 ...``, as many digits as the owner gives."""


class Verdict(NamedTuple):
    """What all lines of a manifest come to."""

    may_show: Shown
    reason: str
    """One sentence, with what stands against it."""


def manifest(params: Params, head: Provenance, hashes: Mapping[str, str]) -> list[Licensed]:
    """What the params name, as far as it is in `hashes`: path -> MD5 of all that a stage or a report stands on.

    head: of the head model in use.
    """
    rows = [*_of_head(params, head), *_of_weights(params, head), *_of_landmarks(params), *_of_data(params, head)]
    return [row._replace(hash=row.hash or f"md5 {hashes[path]}") for path, row in rows if path in hashes]


def verdict(rows: Sequence[Licensed]) -> Verdict:
    """Whether results may be shown: yes if every line says so."""
    against = {kind: [row.name for row in rows if row.may_show == kind] for kind in ("no", UNDECLARED)}
    if against["no"]:
        return Verdict("no", f"Results may not be shown to others: {', '.join(against['no'])}.")
    if against[UNDECLARED]:
        names = ", ".join(against[UNDECLARED])
        return Verdict(UNDECLARED, f"Whether results may be shown to others is not declared for {names}.")
    return Verdict("yes", "Results may be shown to others.")


def document(rows: Sequence[Licensed]) -> dict[str, object]:
    """The manifest for JSON."""
    return {"verdict": verdict(rows)._asdict(), "files": [row._asdict() for row in rows]}


def _of_head(params: Params, head: Provenance) -> Iterator[tuple[str, Licensed]]:
    name = Path(params.flame.model).name
    yield HEAD, Licensed("head", name, head.edition, head.licence, head.attribution, head.shown)


def _of_weights(params: Params, head: Provenance) -> Iterator[tuple[str, Licensed]]:
    for network in ("encoder", "flow", "landmarks"):
        source = getattr(params.pretrained, network)
        if isinstance(source, Bundled):
            row = Licensed("weights", network, "shipped with mfnet", "Apache-2.0, as the package", "", "yes")
        elif isinstance(source, TorchvisionFlow):
            row = _of_file(network, TORCHVISION.get(source.estimator, f"torchvision's {source.estimator}"))
        elif isinstance(source, WeightsFile):
            row = _of_file(network, Path(source.path).name)
        else:
            row = _as_head("weights", network, "trained here on the head's renders", head)
        yield f"data/pretrained/{network}.safetensors", _declared(row, network, params)


def _of_file(network: str, name: str) -> Licensed:
    """A weights file of others, as `mfnet.assets` knows it by its name."""
    licences = [each.licence for each in assets.ASSETS if each.name == name]
    return Licensed("weights", network, name, licences[0] if licences else UNDECLARED, "", UNDECLARED)


def _of_landmarks(params: Params) -> Iterator[tuple[str, Licensed]]:
    backend = params.landmarks.backend
    for name in BACKENDS.get(backend, ()):
        each = assets.asset(name)
        owner = Licensed("landmarks", name, each.brings, each.licence, "", shown_by_licence(each.licence))
        yield LANDMARKS, owner._replace(hash=f"sha256 {each.sha256}" if each.sha256 else NOT_HASHED)
    if backend == "annotations":
        row = Licensed("landmarks", "annotations", "", UNDECLARED, "", UNDECLARED, NOT_HASHED)
        yield LANDMARKS, _declared(row, "annotations", params)


def _of_data(params: Params, head: Provenance) -> Iterator[tuple[str, Licensed]]:
    archives = (
        ("multipie", params.source.archive_listing, params.source.layout),
        ("facescape", params.source.facescape, "benchmark"),
    )
    for name, path, layout in archives:
        if params.capture.enabled:
            row = _as_head("data", name, "synthetic: renders of the head", head)
        else:
            row = Licensed("data", name, f"an archive of yours ({layout})", UNDECLARED, "", UNDECLARED)
        yield path, _declared(row, name, params)


def _as_head(part: Literal["weights", "data"], name: str, edition: str, head: Provenance) -> Licensed:
    """What is made of the head alone."""
    return Licensed(part, name, edition, f"as the head: {head.licence}", head.attribution, head.shown)


def _declared(row: Licensed, name: str, params: Params) -> Licensed:
    """A line with what the params declare in place of what is known."""
    declared = {str(key): value for key, value in params.licences.declared.items()}
    may_show = {str(key): value for key, value in params.licences.may_show.items()}
    if name in declared:
        row = row._replace(licence=declared[name], may_show=shown_by_licence(declared[name]))
    if name in may_show:
        row = row._replace(may_show="yes" if may_show[name] else "no")
    return row
