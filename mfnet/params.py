"""The typed schema of ``params.yaml``.

Every key must be there and no other may be: a file is the complete record of a run, so that a change of a default in
the code can never change a result unseen. `load_params` refuses unknown, missing and contradictory keys and names the
file and the key's path. The docstring below a key is its comment in params.yaml, its description in
params.schema.json and its entry in docs/parameters.md (`mfnet.profiles`, `scripts/document_params.py`).
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mfnet.errors import InputError

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Raft = Literal["raft_large", "raft_small"]


class ParamsError(InputError):
    """A params file that cannot be used; the message names the file and the key's path."""


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values are never coerced, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Line = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x1f]*$")]
"""A text for people."""
Owned = Literal["multipie", "facescape", "encoder", "flow", "landmarks", "annotations"]
"""What a run may use of files that are not ours and that ``mfnet assets`` does not list."""
PACKAGED_HEADS = ("makehuman",)
"""Values of ``flame.model`` that name no file."""


class FlameParams(Section):
    """Stage ``head``: which head model everything stands on."""

    model: str
    """``makehuman``, the open head that ships, or the path of a FLAME-format file (.pkl, .npz)."""
    landmarks: str | None
    """Path of the landmark embedding of an official file; null: the shipped head, or an npz that carries it."""
    template: str | None
    """Path of the OBJ template that carries the UV layout; null as above."""
    masks: str | None
    """Path of a region-mask file (FLAME_masks.pkl or .npz); null derives the regions from the landmarks."""
    edition: Line | None
    """What the head is called, such as ``FLAME 2023 Open``; null: as the file says. With the next two it goes into all
    that is made of the head."""
    licence: Line | None
    """Its licence, such as ``CC-BY-4.0``; null as above."""
    attribution: Line | None
    """Whom the licence wants named; null as above."""
    may_show: bool | None
    """Whether its owner lets you show pictures of it to others; null: as the file says, or what its licence says."""
    n_shape: Count
    """Number of identity coefficients in use."""
    n_expression: Count
    """Number of expression coefficients in use."""

    @property
    def file(self) -> str | None:
        """Path of the file that `model` names; None for a head that comes with the package."""
        return None if self.model in PACKAGED_HEADS else self.model


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
    populations: dict[str, dict[str, tuple[float, float]]]
    """Populations by name: attribute of the head's people -> [least, most], drawn evenly; attributes that are not named
    are as in the head's own population."""
    population: str
    """The population of Multi-PIE's subjects."""
    benchmark_population: str
    """The population of FaceScape's held-out subjects."""

    @property
    def subjects_ranges(self) -> dict[str, tuple[float, float]]:
        """Attributes of Multi-PIE's subjects."""
        return self.populations[self.population]

    @property
    def benchmark_ranges(self) -> dict[str, tuple[float, float]]:
        """Attributes of FaceScape's subjects."""
        return self.populations[self.benchmark_population]

    @model_validator(mode="after")
    def _known_populations(self) -> Self:
        for key in ("population", "benchmark_population"):
            if (name := getattr(self, key)) not in self.populations:
                raise ValueError(f"{key}: {name} is not among populations")
        for name, ranges in self.populations.items():
            for attribute, (least, most) in ranges.items():
                if not least <= most:
                    raise ValueError(f"populations.{name}.{attribute}: [{least:g}, {most:g}] is no range")
        return self


class SourceParams(Section):
    """Where the archives are. Absolute or relative to the repository root; never copied."""

    layout: Literal["multipie", "nersemble", "multiface", "facescape"]
    """Of the archive that is trained on: Multi-PIE's, or that of a calibrated multi-view set: NeRSemble v2, Multiface,
    FaceScape's photographs (docs/choices/datasets.md)."""
    multipie: str
    """Root of the archive: of a Multi-PIE directory (holds ``session01`` ...), or in another `layout`."""
    anchor: str | None
    """Name of the camera before the face in a calibrated set; null: the one in the middle of the rig."""
    archive_listing: str
    """What DVC hashes to learn whether the archive changed: the folder itself where it is small, else the
    listing that ``mfnet archive`` writes (an archive of 755,000 images is never hashed whole)."""
    facescape: str
    """Root of a FaceScape benchmark directory (holds ``data`` and ``predef``)."""
    aflw2000: str | None
    """Root of AFLW2000-3D (image + .mat pairs), or null."""


class IngestParams(Section):
    """Stage ``ingest``."""

    hash: Literal["ends", "content"]
    """What tells that an image changed: ``ends``, the checksums in its last bytes, or ``content``, a hash of the whole
    file, for which all of it is read."""
    decode: Literal["ends", "full"]
    """``ends``: both ends of every image are checked; ``full``: all of it is decoded, 15 ms each, so that damage is
    found before the plan is made."""
    max_rejected: Share
    """Share of image files that may be rejected before the stage fails."""


class PlanParams(Section):
    """Stage ``plan``: seeded triplets and subject-disjoint splits."""

    triplets: Count
    """Triplets in all splits together (fewer where the archive does not hold as many)."""
    reserve: Share
    """Further triplets, as a share of these, that take the places of those lost to bad images."""
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
    def _yaw_range(self) -> Self:
        if self.min_side_yaw > self.max_side_yaw:
            raise ValueError("min_side_yaw is greater than max_side_yaw")
        return self


class SecondLookParams(Section):
    """The embedded network looks where the landmarks are: does it see a face there, and the same one?"""

    min_score: Share
    """Mean confidence of its own 68 points, below which there is no face."""
    max_distance: Positive
    """Mean distance of its points from those given, over the larger side of their box."""


class GateParams(Section):
    """What landmarks must be to be believed; an image that fails is rejected with the reason. A bound that more than
    `landmarks.max_rejected` of the images break stops the stage."""

    max_yaw_error: Annotated[float, Field(gt=0, le=180)]
    """Between the yaw that the points show and the camera's, degrees: people turn their heads, and differ from the mean
    one."""
    min_facing: Annotated[float, Field(ge=-1, le=1)]
    """Cosine of the angle between where the head looks and the camera; points upside down or in mirrored order look
    away from it."""
    max_misfit: Positive
    """Distance of the points from the mean head's, over its height from brows to lip; open mouths have 0.11."""
    max_disagreement: Positive
    """Between the three views of a triplet about one rigid head, over the same height."""
    max_box_shift: Positive
    """Distance of the points' centre from that of the detector's box, over the box's side."""
    min_spread: NonNegative
    """Least deviation of the shapes that one camera sees from their mean, over the same height: people differ. Looked
    at where a camera sees eight recordings or more."""
    max_reprojection: Positive
    """Calibrated archives: distance of the landmarks from where the points triangulated from them are seen, over the
    same height, root mean square of a recording."""
    head_size: tuple[Positive, Positive]
    """Calibrated archives with a unit: least and greatest size of the triangulated heads over the mean head's."""
    second_look: SecondLookParams | None
    """What the embedded network must see where the landmarks are; null: it is not asked."""


class LandmarkParams(Section):
    """Stage ``landmarks``."""

    backend: Literal["network", "mediapipe", "face_alignment", "annotations"]
    """``network``: the embedded one; ``mediapipe``: Face Mesh, for photographs of real people; ``face_alignment``: FAN;
    ``annotations``: .npy, .npz, .pts, .txt or .mat files, Multi-PIE's own labels too."""
    annotations: str | None
    """Root of the annotation files (same relative paths as the images', or Multi-PIE's folder ``labels``); null: beside
    the images."""
    fan_weights: str | None
    """Folder of FAN's and its face detector's weight files; null: torch hub's cache. Nothing is downloaded."""
    chunk: Count
    """Images per unit of work."""
    min_score: Share
    """Mean landmark confidence below which an image is rejected."""
    max_rejected: Share
    """Share of images that may be rejected before the stage fails."""
    gates: GateParams
    """What landmarks must be to be believed."""

    @model_validator(mode="after")
    def _annotations(self) -> Self:
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


class SamplerParams(Section):
    """Random heads and cameras of all supervised learning: the pre-trained networks, their held-out figures,
    `train.supervision`. Standard deviations unless said."""

    pitch: NonNegative
    """Of the heads' pitch, degrees: rigs look from 30 degrees above and below too."""
    roll: NonNegative
    """Of the heads' roll, degrees."""
    jaw_open: NonNegative
    """Scale of the half-normal opening of the jaw, degrees."""
    nearest: Positive
    """Least distance of the camera to the head's centre, metres (a face at 300 px focal length and 256 px has 0.37)."""
    farthest: Positive | None
    """Greatest distance, metres; null: any."""
    orthographic_share: Share
    """Share of views without perspective; the others draw the inverse distance evenly."""
    crop_jitter: Share
    """Greatest scale and shift of the crop, share of its side."""
    landmark_noise: NonNegative
    """Noise of the landmarks that place the crop, share of its side."""
    one_flash: bool
    """True: all views of a person see the same light, as when the cameras of a rig fire together; false: each its
    own."""
    clutter: Share
    """Share of photographs with a cluttered background; the others stand before a plain one."""
    long_hair: Share
    """Share of heads behind which long hair falls."""
    occluders: Share
    """Share of photographs with glasses, or with a hand or a thing before a part of the face."""
    degrade: bool
    """True: photometric jitter, blur, noise and JPEG artefacts."""

    @model_validator(mode="after")
    def _distances(self) -> Self:
        if self.farthest is not None and self.nearest > self.farthest:
            raise ValueError("nearest is greater than farthest")
        return self


class SupervisedParams(Section):
    """The supervised losses on renders of random heads: what counts as one unit of error in each output; the terms are
    then added."""

    vertices: Positive
    """Face vertices after scale and translation, metres."""
    pixels: Positive
    """Projected points, ndc; 0.015625 is one pixel of a 128 px crop."""
    sigma: Positive
    """Shape and expression coefficients, sigma units; 10 is a weight of 0.1."""
    rotation: Positive
    """Global pose, radians."""
    camera_scale: Positive
    """Scale of the camera, relative."""
    camera_shift: Positive
    """Shift of the camera, metres."""
    jaw: Positive
    """Jaw pose, radians."""
    light: Positive
    """Spherical-harmonic coefficients of the light."""
    located: Positive
    """Landmarks that the encoder locates, ndc; the value shipped is a third of a pixel of a 128 px crop."""
    vertex_step: Count
    """One face vertex in so many counts; an average over the face needs no more."""


class PretrainedSource(Section):
    """Keys of a pre-trained network that are read under every source."""

    seed: Seed
    """Seed of the held-out people on whom the network is measured, and of its training where `source` is ``train``."""
    supersample: Count
    """Pixels of the renders that it is trained and measured on are averages of supersample x supersample."""


class Optimisation(Section):
    """How a network is pre-trained: AdamW, a linear warm-up, then a cosine to zero."""

    steps: Count
    """Optimiser steps of the first phase."""
    batch: Count
    """Items per step: triplets of the encoder, pairs of flow, images of landmarks."""
    lr: Positive
    """Peak learning rate."""
    warmup_steps: Count
    """Steps of the warm-up of every phase."""
    weight_decay: NonNegative
    """Of AdamW."""
    clip: Positive
    """Greatest gradient norm."""
    skins: Count
    """Skins shared among all people of a phase."""
    skin_size: Count
    """Side of a skin texture, pixels."""


class Bundled(PretrainedSource):
    """The weights that are shipped with the package."""

    source: Literal["bundled"]
    """Shipped with the package."""


class WeightsFile(PretrainedSource):
    """Weights from a file."""

    source: Literal["file"]
    """A file of the user's."""
    path: str
    """Encoder: ``deca_model.tar``; flow: torchvision's RAFT as ``.pth``; landmarks: a file that this stage wrote (FAN's
    are named by `landmarks.fan_weights`)."""


class RegressorWeights(Section):
    """Weights of the fused regressors' losses in the encoder's training."""

    concat1: NonNegative
    """One view."""
    concat2: NonNegative
    """Two views, concatenated."""
    concat3: NonNegative
    """Three views, concatenated."""
    set: NonNegative
    """Any number of views."""


class EncoderTraining(PretrainedSource, Optimisation):
    """The encoder trained here: all architectures on one trunk, from renders of random heads."""

    source: Literal["train"]
    """Trained here."""
    subjects: Count
    """Random people in the training pool, each photographed once from three sides."""
    size: Annotated[int, Field(ge=32)]
    """Side of the crops, pixels."""
    refit: Positive
    """Steps of the second phase as a share of the first's; its batches are twice as large, its people new."""
    regressor_weights: RegressorWeights
    """Weights of the fused regressors' losses."""


class FlowSource(PretrainedSource):
    """A RAFT, from whatever source."""

    estimator: Raft
    """Which of torchvision's networks."""


class TorchvisionFlow(FlowSource):
    """RAFT with torchvision's own weights, which ``mfnet assets get`` brings."""

    source: Literal["torchvision"]
    """torchvision's own weights."""


class BundledFlow(FlowSource, Bundled):
    """The RAFT that is shipped with the package."""


class FlowFile(FlowSource, WeightsFile):
    """RAFT from a file."""


class FlowTraining(FlowSource, Optimisation):
    """RAFT trained here, on rendered pairs with exact flow."""

    source: Literal["train"]
    """Trained here."""
    pairs: Count
    """Rendered pairs of a phase, half of each kind; every batch of them is mirrored or not."""
    identical: Count
    """One pair in so many is a photograph and itself, without flow anywhere."""
    updates: Count
    """RAFT's iterations in training."""
    decay: Positive
    """Weight of each iteration's error against the next one's (RAFT's gamma)."""
    matching: NonNegative
    """Weight of the cross entropy of the features' matches."""
    enlarge: Count
    """How many times as long the sides of the images are in the later phases, and in use."""
    fine: list[Positive]
    """Steps of every later phase as a share of the first's; each has pairs and a warm-up of its own."""
    fine_batch: Count
    """Pairs per step of the later phases."""
    fine_lr: Positive
    """Peak learning rate of the later phases."""


class LandmarkCrops(Section):
    """One kind of crops on which the landmark network is trained."""

    scale: Positive
    """Side of the crop over the larger side of the landmarks' box."""
    jitter: Share
    """Greatest shift and rescaling, share of the side."""
    subjects: Count
    """People, in three views each."""


class LandmarkTraining(PretrainedSource, Optimisation):
    """The embedded landmark network trained here: crops from tight to whole photographs, and no-faces."""

    source: Literal["train"]
    """Trained here."""
    crops: Annotated[list[LandmarkCrops], Field(min_length=1)]
    """Kinds of crops: scale (side over the larger side of the landmarks' box), jitter (greatest shift and rescaling,
    share of the side) and subjects (people, in three views each)."""
    width: Count
    """Channels of the network at the resolution of its heat maps."""


class HeldOutParams(Section):
    """The random people on whom every pre-trained network is measured, whatever its source."""

    skins: Count
    """Skins shared among them; a skin takes half a second at every run of the stage."""
    skin_size: Count
    """Side of a skin texture, pixels."""
    encoder_subjects: Count
    """People in three views who measure the encoder."""
    flow_pairs: Count
    """Pairs of either kind that measure the flow estimator."""
    landmark_subjects: Count
    """People in three views who measure the landmark network."""


class PretrainedParams(Section):
    """Stage ``pretrained``: the three pre-trained networks, each with the keys of its `source`. docs/parameters.md has
    the keys of the other sources, `mfnet profile from-scratch` their values."""

    encoder: Annotated[Bundled | EncoderTraining | WeightsFile, Field(discriminator="source")]
    """Start of MFNet: ``bundled``, ``train``, or ``file`` with DECA's."""
    flow: Annotated[BundledFlow | FlowTraining | TorchvisionFlow | FlowFile, Field(discriminator="source")]
    """RAFT, for `loss.flow_estimator`: ``bundled``, ``train``, ``torchvision`` or ``file``. OpenCV's DIS has no weights
    and is always at hand."""
    landmarks: Annotated[Bundled | LandmarkTraining | WeightsFile, Field(discriminator="source")]
    """The embedded landmark network: ``bundled``, ``train`` or ``file``."""
    held_out: HeldOutParams
    """The people on whom they are measured."""


class ModelParams(Section):
    """MFNet's architecture."""

    backbone: Literal["resnet18", "resnet50"]
    """torchvision trunk, shared by all views."""
    width: Share
    """Width multiplier of the trunk; 1 is torchvision's own."""
    pooling: Literal["global_average", "spatial"]
    """Of the last feature map. ``global_average``: DECA's and the paper's; ``spatial``: 1x1 convolution and flatten,
    for small networks."""
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
    cameras: Literal["estimated", "known"]
    """Beyond the paper: ``known`` holds poses and focal lengths of calibrated archives: the views show one head at one
    place. ``estimated``: each view has a pose and a camera of its own."""
    camera_distance: Positive | None
    """Beyond the paper: metres from the cameras to the face, whose perspective every term then knows; null: unknown,
    scaled orthography."""

    @property
    def inverse_distance(self) -> float:
        """1 / camera_distance, 1/m; 0 where it is unknown."""
        return 0.0 if self.camera_distance is None else 1 / self.camera_distance

    @model_validator(mode="after")
    def _gradient(self) -> Self:
        if self.flow_estimator == "dis" and self.flow_gradient == "through":
            raise ValueError("flow_estimator 'dis' has no gradient: flow_gradient must be 'target' or 'none'")
        return self


class SupervisionParams(Section):
    """Supervised renders of random heads mixed into every training step."""

    share: Annotated[float, Field(gt=0, lt=1)]
    """Share of each step's triplets that are renders."""
    weight: Positive
    """Of the supervised loss, whose unit is a pixel, beside losses in ndc; 0.015625 is a pixel of a 128 px crop."""
    skins: Count
    """Skins shared among the random heads."""
    skin_size: Count
    """Side of a skin texture, pixels."""
    supersample: Count
    """Pixels are averages of supersample x supersample."""


class TrainParams(Section):
    """Stage ``train``."""

    launcher: Annotated[str, Field(pattern=r"^(python|torchrun( [\w.:=-]+)*)$")]
    """Program that starts training and the ablations: ``python``, or on several GPUs
    ``torchrun --standalone --nproc-per-node 4``."""
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
    supervision: SupervisionParams | None
    """Beyond the paper: supervised renders of random heads in every step, drawn on top; null: none."""
    precision: Literal["32", "bf16-mixed", "16-mixed"]
    """Of the network's forward pass; "16-mixed" needs CUDA. In quotes: a string."""
    threads: Count
    """CPU threads of torch and numba: part of the result, since sums depend on it."""
    checkpoint_steps: Count
    """Steps between checkpoints."""
    divergence: Positive
    """Stop when the running loss exceeds this multiple of its best value."""


class RefineParams(Section):
    """Refinement at test time: what is believed, and how long to look. Standard deviations unless said; images are ndc
    of the crop."""

    landmark: Positive
    """Of a detected landmark, ndc; 0.013 is 0.8 px of 128."""
    contour: Positive
    """Of a detected jaw-line landmark, ndc: it slides along the outline."""
    opening: Positive
    """Of the distance between two lids or lips, ndc."""
    flow: Positive
    """Of one flow vector, ndc (0.025 is 1.6 px of 128): more than it errs, for neighbours err together."""
    flow_cap: Positive
    """Longer flow, ndc, is a failure of the estimator and is ignored."""
    coefficient: Positive
    """Of shape and expression coefficients about the mean head, sigma units."""
    network: Positive
    """Of the network's coefficients, sigma units."""
    pose: Positive
    """Of the network's rotations and jaw, radians."""
    camera: Positive
    """Of the network's camera, relative in scale, and in units of 0.1 m in shift."""
    inverse_distance: Positive
    """Of the camera's inverse distance, 1/m, about itself: a portrait is taken from 0.6 m and farther."""
    iterations: Count
    """Gauss-Newton steps; the flow is measured anew before each of the last `flow_iterations`."""
    flow_iterations: Annotated[int, Field(ge=0)]
    """Steps that see flow; the first ones bring the views together by landmarks, within the flow's reach."""
    spacing: Count
    """Every n-th pixel in both directions gives a flow vector."""
    robust: Positive
    """Residuals beyond this many standard deviations count linearly (Huber)."""


class AblationParams(Section):
    """Stage ``ablate``: variants as data. A variant names the keys of `model`, `loss`, `train`, `sampler` and
    `supervised` that it changes."""

    seeds: list[Seed]
    """One run per variant and seed; the first seed is the benchmark's single-view baseline."""
    run: list[str]
    """The variants to run. ``views-1`` must be among them: it is the baseline that three views have to beat."""
    variants: dict[str, dict[str, dict[str, JsonValue]]]
    """Variant -> section (model, loss, train, sampler, supervised) -> key -> value, null too."""


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
    """True: also score mfnet_3 refined at test time in lab, as `refine` says; some seconds of CPU for every three
    photographs."""


class ReportParams(Section):
    """Stage ``report``."""

    title: str
    """Heading of the page."""
    subjects_shown: Annotated[int, Field(ge=0)]
    """Subjects shown with inputs, overlay, new views and error map."""


class ChampionParams(Section):
    """Which trained network is MLflow's ``champion``: the alias moves to a network that scores better, when the report
    is made, and by nothing else."""

    model: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """The name under which stage ``train`` registers its networks."""
    protocol: Literal["wild", "lab"]
    """The protocol whose CD over all items decides."""
    method: str
    """The method of that protocol that stands for the network."""
    margin: NonNegative
    """mm by which its CD must be below the champion's."""


class LicenceParams(Section):
    """What the owners of your own files say. It goes into the manifest of each run and of the report; the head's stands
    in ``flame``, and what ships or what ``mfnet assets`` lists is known."""

    declared: dict[Owned, Line]
    """Licences by what they are of: data (multipie, facescape), weights (encoder, flow, landmarks), annotations."""
    may_show: dict[Owned, bool]
    """Whether results made with them may be shown to others, by the same names; without a word here an open licence
    (CC0, CC-BY, Apache-2.0, MIT, BSD) says yes, and any other leaves it undeclared."""


class ComputeParams(Section):
    """How work is spread. Never changes a result, so no stage lists it as a dependency."""

    executor: str
    """``serial``, ``local``, or the address of a dask scheduler: ``tcp://127.0.0.1:port``, or ``tls://host:port`` with
    certificates."""
    workers: Annotated[int, Field(ge=0)]
    """Local worker processes; 0 is one per core."""
    certificates: str | None
    """Folder with ca.pem, cert.pem and key.pem for a tls:// scheduler; null: none."""


class Params(Section):
    """The whole file."""

    flame: FlameParams
    capture: CaptureParams
    source: SourceParams
    ingest: IngestParams
    plan: PlanParams
    landmarks: LandmarkParams
    triplets: TripletParams
    sampler: SamplerParams
    supervised: SupervisedParams
    pretrained: PretrainedParams
    model: ModelParams
    loss: LossParams
    train: TrainParams
    refine: RefineParams
    ablation: AblationParams
    benchmark: BenchmarkParams
    report: ReportParams
    champion: ChampionParams
    licences: LicenceParams
    compute: ComputeParams

    @model_validator(mode="after")
    def _across_sections(self) -> Self:
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
        changes = self.ablation.variants[name]
        for section in changes:
            if section not in TRAINING_SECTIONS:
                known = f"{', '.join(TRAINING_SECTIONS[:-1])} or {TRAINING_SECTIONS[-1]}"
                raise ParamsError(f"ablation.variants.{name}.{section}: a variant changes {known}")
        if "launcher" in changes.get("train", {}):
            raise ParamsError(f"ablation.variants.{name}.train.launcher: all variants start as train does")
        changed = overlaid(self.model_dump(), changes)
        changed["ablation"] = {"seeds": self.ablation.seeds, "run": [], "variants": {}}
        try:
            return Params.model_validate_json(json.dumps(changed))
        except ValidationError as error:
            raise ParamsError(describe(error, f"ablation.variants.{name}")) from None


TRAINING_SECTIONS = ("model", "loss", "train", "sampler", "supervised")
"""What training reads and no other stage's artifact fixes: the sections that a variant may change."""


def overlaid(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `changes`: mappings are merged key by key, every other value replaces what stood there.

    A mapping that names another ``source`` than the base's replaces it whole, since its keys are others, and so does
    an ablation variant, which is a value and no section.
    """
    tag = changes.get("source")
    if isinstance(tag, str) and tag != base.get("source"):
        return changes
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        if key == "variants" and isinstance(value, dict) and isinstance(old, dict):
            merged[key] = old | value
        elif isinstance(value, dict) and isinstance(old, dict):
            merged[key] = overlaid(old, value)
        else:
            merged[key] = value
    return merged


def describe(error: ValidationError, within: str = "") -> str:
    """One clause per fault: the key's path (below `within`), what is wrong, what was given."""
    clauses = []
    for fault in error.errors():
        path = ".".join(filter(None, [within, *_key_path(fault["loc"])])) or "(file)"
        if fault["type"] == "extra_forbidden":
            clauses.append(f"{path}: unknown key")
        elif fault["type"] == "missing":
            clauses.append(f"{path}: key is missing")
        elif fault["type"] == "union_tag_not_found":
            clauses.append(f"{path}.source: key is missing")
        elif fault["type"] == "union_tag_invalid":
            context = fault.get("ctx", {})
            clauses.append(f"{path}.source: input should be one of {context['expected_tags']}, not {context['tag']!r}")
        elif fault["type"] == "value_error":
            clauses.append(f"{path}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            clauses.append(f"{path}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}")
    return "; ".join(clauses)


def _key_path(location: tuple[str | int, ...]) -> list[str]:
    """A fault's place as the keys of the file: without the source that pydantic puts below ``pretrained.<network>``."""
    parts = [str(part) for part in location]
    return parts[:2] + parts[3:] if parts[:1] == ["pretrained"] and parts[1:2] != ["held_out"] else parts


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and validate a params file.

    Raises ParamsError, whose message names the file and every faulty key by its path.
    """
    raw = read_mapping(path)
    try:
        return Params.model_validate_json(json.dumps(raw, default=str))  # JSON mode: a list may be a tuple
    except ValidationError as error:
        raise ParamsError(f"{path}: {describe(error)}") from None


_MAX_BYTES = 1 << 20


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The sections of a params file as they stand there, not yet validated.

    Raises ParamsError, which names the file, where it is missing, unreadable or no mapping.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ParamsError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, more than any params file")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):  # few of them write out to any size
            raise ParamsError(f"{path}: aliases (*name) are not read; write the value out")
        raw = yaml.safe_load(text)
    except ParamsError:
        raise
    except FileNotFoundError:
        raise ParamsError(
            f"{path}: no such file; write one with `mfnet profile embedded` or name another with --params"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError) as error:  # dates and digits that are none
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: expected a mapping of sections, found {type(raw).__name__}")
    return raw
