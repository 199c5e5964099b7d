"""The typed schema of ``params.yaml``.

A profile is only a params file. Every key must be there and no other may be: a file is the complete record of a run, so
that a change of a default in the code can never change a result unseen. `load_params` refuses unknown, missing and
contradictory keys and names the file and the key's path.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mfnet.errors import InputError

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class ParamsError(InputError):
    """A params file that cannot be used; the message names the file and the key's path."""


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values are never coerced, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class FlameParams(Section):
    """Stage ``head``: which head model everything stands on."""

    model: str
    """``procedural``, or the path of a FLAME-format file (.pkl, .npz)."""
    landmarks: str | None
    """Path of the landmark embedding of an official file; null: the procedural head, or an npz that carries it."""
    template: str | None
    """Path of the OBJ template that carries the UV layout; null as above."""
    masks: str | None
    """Path of a region-mask file (FLAME_masks.pkl or .npz); null derives the regions from the landmarks."""
    n_shape: Count
    """Number of identity coefficients in use."""
    n_expression: Count
    """Number of expression coefficients in use."""
    seed: Seed
    """Seed of the procedural head's bases."""


class CaptureParams(Section):
    """Stage ``capture``: the synthetic photo sessions (no effect where `source` names real archives)."""

    enabled: bool
    """False: write nothing, the archives of `source` are the user's own."""
    seed: Seed
    """Seed of subjects, skins, lights and cameras."""
    subjects: Count
    """Subjects in the Multi-PIE layout."""
    recordings: list[tuple[int, int]]
    """(session, recording) pairs that every subject attends; Multi-PIE's expressions follow from them."""
    illuminations: list[Annotated[int, Field(ge=0, le=19)]]
    """Multi-PIE illumination numbers to render."""
    wild_per_bin: Count
    """Held-out FaceScape-wild items in each of the four yaw bins."""
    lab_subjects: Count
    """Held-out FaceScape-lab subjects (33 images each)."""


class SourceParams(Section):
    """Where the archives are. Absolute or relative to the repository root; never copied."""

    multipie: str
    """Root of a Multi-PIE directory (holds ``session01`` ...)."""
    archive_listing: str
    """What DVC hashes to learn whether the Multi-PIE archive changed: the folder itself where it is small, else the
    listing that ``mfnet archive`` writes (an archive of 755,000 images is never hashed whole)."""
    facescape: str
    """Root of a FaceScape benchmark directory (holds ``data`` and ``predef``)."""
    aflw2000: str | None
    """Root of AFLW2000-3D (image + .mat pairs), or null."""


class NetworkWeights(Section):
    """Where one pre-trained network comes from."""

    source: str
    """``bundled`` (shipped with the package), ``train`` (run the recipe here), for flow also ``torchvision`` (its own
    weights by enum), or a path: ``deca_model.tar``, torchvision's RAFT as ``.pth``, a landmark network that this stage
    wrote (FAN's files are named by `landmarks.fan_weights`)."""
    seed: Seed
    """Seed of the recipe."""
    steps: Count
    """Optimiser steps of the recipe."""


class FlowWeights(NetworkWeights):
    """Where RAFT comes from. OpenCV's DIS has no weights and is always at hand."""

    estimator: Literal["raft_large", "raft_small"]
    """Which of torchvision's networks."""


class PretrainedParams(Section):
    """Stage ``pretrained``: the three pre-trained networks."""

    encoder: NetworkWeights
    """Start of MFNet."""
    flow: FlowWeights
    """RAFT, for `loss.flow_estimator`."""
    landmarks: NetworkWeights
    """The embedded landmark network."""


class IngestParams(Section):
    """Stage ``ingest``."""

    max_rejected: Share
    """Share of image files that may be rejected before the stage fails."""


class PlanParams(Section):
    """Stage ``plan``: seeded triplets and subject-disjoint splits."""

    triplets: Count
    """Triplets in all splits together (fewer where the archive does not hold as many)."""
    validation_share: Share
    """Share of subjects, not of triplets, held out."""
    min_side_yaw: Annotated[float, Field(ge=0, le=90)]
    """Least yaw of a side view, degrees."""
    max_side_yaw: Annotated[float, Field(ge=0, le=90)]
    """Greatest yaw of a side view, degrees."""
    same_illumination: bool
    """Whether the three views share one flash (True) or each draws its own (False)."""
    seed: Seed
    """Seed of the draw."""

    @model_validator(mode="after")
    def _yaw_range(self):
        if self.min_side_yaw > self.max_side_yaw:
            raise ValueError("min_side_yaw is greater than max_side_yaw")
        return self


class LandmarkParams(Section):
    """Stage ``landmarks``."""

    backend: Literal["network", "face_alignment", "annotations"]
    """``network``: the embedded one; ``face_alignment``: FAN; ``annotations``: .npy, .npz, .pts or .txt files."""
    annotations: str | None
    """Root of the annotation files (same relative paths as the images'); null: beside the images."""
    fan_weights: str | None
    """Folder of FAN's and its face detector's weight files; null: torch hub's cache. Nothing is downloaded."""
    chunk: Count
    """Images per unit of work."""
    min_score: Share
    """Mean landmark confidence below which an image is rejected."""
    max_rejected: Share
    """Share of images that may be rejected before the stage fails."""

    @model_validator(mode="after")
    def _annotations(self):
        if self.annotations is not None and self.backend != "annotations":
            raise ValueError("annotations is set but backend is not 'annotations'")
        if self.fan_weights is not None and self.backend != "face_alignment":
            raise ValueError("fan_weights is set but backend is not 'face_alignment'")
        return self


class TripletParams(Section):
    """Stage ``triplets``: crops in Parquet shards."""

    image_size: Annotated[int, Field(ge=64, multiple_of=8)]
    """Side of the square crop, pixels."""
    crop_scale: Positive
    """Side of the crop over the larger side of the landmarks' bounding box."""
    crop_jitter: NonNegative
    """Random scale and shift of the crop as a share of its side, drawn once per image from the plan's seed."""
    jpeg_quality: Annotated[int, Field(ge=0, le=100)]
    """JPEG quality, 4:4:4; 0 stores PNG."""
    rows_per_shard: Count
    """Triplets per Parquet file."""
    rows_per_group: Count
    """Triplets per row group: the unit of shuffled reading."""
    max_rejected: Share
    """Share of planned triplets that may be lost to rejected images before the stage fails."""


class ModelParams(Section):
    """MFNet's architecture."""

    backbone: Literal["resnet18", "resnet50"]
    """torchvision trunk, shared by all views."""
    width: Share
    """Width multiplier of the trunk; 1 is torchvision's own."""
    head: Literal["pool", "flat"]
    """``pool``: global average pooling (DECA, the paper); ``flat``: 1x1 convolution and flatten, for small networks."""
    fusion: Literal["concat", "set"]
    """``concat``: the paper's; ``set``: permutation-invariant over any number of views."""
    views: Literal[1, 2, 3]
    """Views the network takes."""
    n_albedo: Count
    """Albedo coefficients."""


class LossParams(Section):
    """Weights of eq. 11 and the options around them. Image-space terms are in ndc."""

    flow: NonNegative
    """lambda_1, eq. 6."""
    landmarks: NonNegative
    """lambda_2, eq. 7."""
    eye: NonNegative
    """lambda_3, eq. 8."""
    lip: NonNegative
    """lambda_4, eq. 9."""
    regularisation: NonNegative
    """lambda_5, eq. 10."""
    photometric: NonNegative
    """Beyond the paper: masked L1 between the SH-shaded render and the photograph."""
    albedo_space: str | None
    """Textures of the photometric term: path of FLAME_texture.npz or FLAME_albedo_from_BFM.npz; null: smooth
    patterns."""
    shape_consistency: NonNegative
    """Beyond the paper: RingNet's shape consistency between single-view shapes."""
    flow_estimator: Literal["raft_large", "raft_small", "dis"]
    """F of eq. 6: the RAFT of `pretrained.flow`, or OpenCV's DIS."""
    flow_gradient: Literal["through", "target", "none"]
    """``through`` RAFT into the render (the paper's), flow as fixed ``target`` of the projected points, or ``none``."""
    flow_check: bool
    """Mask pixels that fail the forward-backward check."""
    flow_cap: Positive
    """Flow beyond this many ndc units is ignored as a failure of the estimator."""
    mask: Literal["landmarks", "geometric"]
    """Covisible mask: landmark bounds (eq. 5) or z-test."""
    camera_distance: Positive | None
    """Beyond the paper: metres from the cameras to the face, whose perspective every term then knows; null: unknown,
    scaled orthography."""

    @property
    def inverse_distance(self) -> float:
        """1 / camera_distance, 1/m; 0 where it is unknown."""
        return 0.0 if self.camera_distance is None else 1 / self.camera_distance

    @model_validator(mode="after")
    def _gradient(self):
        if self.flow_estimator == "dis" and self.flow_gradient == "through":
            raise ValueError("flow_estimator 'dis' has no gradient: flow_gradient must be 'target' or 'none'")
        return self


class TrainParams(Section):
    """Stage ``train``."""

    seed: Seed
    """Seed of initial weights, order and augmentation."""
    epochs: Count
    """Passes over the training triplets."""
    batch_size: Count
    """Triplets per step and process."""
    lr: Positive
    """Peak learning rate."""
    weight_decay: NonNegative
    """Of AdamW; 0 makes it the paper's Adam."""
    schedule: Literal["constant", "cosine"]
    """Learning rate over the run."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """Linear warm-up."""
    clip: Positive
    """Greatest gradient norm."""
    ema: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the averaged weights that are saved; 0 saves the last ones."""
    synthetic_share: Annotated[float, Field(ge=0, lt=1)]
    """Beyond the paper: share of each step's triplets that are supervised renders of random heads, drawn on top."""
    amp: Literal["none", "bf16", "fp16"]
    """Mixed precision; fp16 needs CUDA."""
    threads: Count
    """CPU threads of torch and numba: part of the result, since sums depend on it."""
    checkpoint_steps: Count
    """Steps between checkpoints."""
    divergence: Positive
    """Stop when the running loss exceeds this multiple of its best value."""


class AblationParams(Section):
    """Stage ``ablate``: variants as data. A variant names the keys of `model`, `loss` and `train` that it
    changes."""

    seeds: list[Seed]
    """One run per variant and seed; the first seed is the benchmark's single-view baseline."""
    run: list[str]
    """The variants to run. ``views-1`` must be among them: it is the baseline that three views have to beat."""
    variants: dict[str, dict[str, dict[str, float | int | str | bool | None]]]
    """Variant -> section (model, loss, train) -> key -> value, null too."""


class BenchmarkParams(Section):
    """Stage ``benchmark``."""

    protocols: list[Literal["wild", "lab"]]
    """Which FaceScape protocols to run."""
    bootstrap: Count
    """Resamples behind the 95 % intervals."""
    seed: Seed
    """Seed of the bootstrap."""
    items_shown: Annotated[int, Field(ge=0)]
    """Items a protocol whose heads and error maps are kept for the report."""
    subject_disjoint: bool
    """True: fail if a benchmark subject was trained on (known only for the synthetic set)."""
    use_calibrated_camera: bool
    """True: MFNet's heads stand before the calibrated cameras of lab; false: as the official loaders place orthographic
    methods (DECA's), which costs them a millimetre where the camera is near."""
    refine: bool
    """True: also score mfnet_3 refined at test time in lab; some seconds of CPU for every three photographs."""


class ReportParams(Section):
    """Stage ``report``."""

    title: str
    """Heading of the page."""
    subjects_shown: Annotated[int, Field(ge=0)]
    """Subjects shown with inputs, overlay, new views and error map."""


class ComputeParams(Section):
    """How work is spread. Never changes a result, so no stage lists it as a dependency."""

    executor: str
    """``serial``, ``local``, or ``tcp://host:port`` of a dask scheduler."""
    workers: Annotated[int, Field(ge=0)]
    """Local worker processes; 0 is one per core."""


class Params(Section):
    """The whole file."""

    flame: FlameParams
    capture: CaptureParams
    source: SourceParams
    pretrained: PretrainedParams
    ingest: IngestParams
    plan: PlanParams
    landmarks: LandmarkParams
    triplets: TripletParams
    model: ModelParams
    loss: LossParams
    train: TrainParams
    ablation: AblationParams
    benchmark: BenchmarkParams
    report: ReportParams
    compute: ComputeParams

    @model_validator(mode="after")
    def _across_sections(self):
        if self.loss.flow_estimator not in ("dis", self.pretrained.flow.estimator):
            raise ValueError(
                f"loss.flow_estimator: {self.loss.flow_estimator} has no weights: set pretrained.flow.estimator"
            )
        for name in self.ablation.variants:
            self.variant(name)
        for name in self.ablation.run:
            if name not in self.ablation.variants:
                raise ValueError(f"ablation.run: {name} is not among ablation.variants")
        if self.ablation.variants and "views-1" not in self.ablation.run:
            raise ValueError("ablation.run: views-1 is missing; the benchmark needs it as its baseline")
        return self

    def variant(self, name: str) -> "Params":
        """These params with the named ablation variant's keys changed (validated again as a whole)."""
        if name not in self.ablation.variants:
            raise ParamsError(f"ablation.variants.{name}: no such variant; known: {', '.join(self.ablation.variants)}")
        changed = self.model_dump()
        changed["ablation"] = {"seeds": self.ablation.seeds, "run": [], "variants": {}}
        for section, keys in self.ablation.variants[name].items():
            if section not in ("model", "loss", "train"):
                raise ParamsError(f"ablation.variants.{name}.{section}: a variant changes model, loss or train")
            for key, value in keys.items():
                if key not in changed[section]:
                    raise ParamsError(f"ablation.variants.{name}.{section}.{key}: unknown key")
                changed[section][key] = value
        try:
            return Params.model_validate_json(json.dumps(changed))
        except ValidationError as error:
            raise ParamsError(f"ablation.variants.{name}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """One clause per fault: the key's path, what is wrong, what was given."""
    clauses = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "(file)"
        if fault["type"] == "extra_forbidden":
            clauses.append(f"{path}: unknown key")
        elif fault["type"] == "missing":
            clauses.append(f"{path}: key is missing")
        elif fault["type"] == "value_error":
            clauses.append(f"{path}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            clauses.append(f"{path}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}")
    return "; ".join(clauses)


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and validate a params file.

    Raises ParamsError, whose message names the file and every faulty key by its path.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; copy one of params/*.yaml or name another with --params") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected a mapping of sections, found {type(raw).__name__}")
    try:
        return Params.model_validate_json(json.dumps(raw, default=str))  # JSON mode: a list may be a tuple
    except ValidationError as error:
        raise ParamsError(f"{path}: {describe(error)}") from None
