"""The front door: load a reconstructor, give it photographs of a person, save the head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mfnet.errors import InputError
from mfnet.export.expressions import Coefficients, Expression, posed
from mfnet.export.meshes import export_head
from mfnet.export.overlays import overlay_sheet
from mfnet.export.parameters import write_parameters
from mfnet.export.rig import RiggedHead
from mfnet.export.transforms import has_pinholes, write_transforms
from mfnet.fitting.candidates import Candidates
from mfnet.fitting.held import Placement
from mfnet.fitting.person import Fit, FitChoices, Measured, fit_person, unfitted
from mfnet.fitting.quality import Verdict, ViewFit, network_slots
from mfnet.fitting.start import mean_start, yaws
from mfnet.flame import Flame
from mfnet.flame.makehuman import MODEL, makehuman_head, with_mesh
from mfnet.flame.model import flame_of
from mfnet.flame.readers import read_head
from mfnet.flow import FlowEstimator, load_flow
from mfnet.io.files import atomic_path
from mfnet.io.images import encode_png, to_uint8
from mfnet.io.tensors import coefficient_counts, read_metadata
from mfnet.landmarks.backends import LandmarkBackend, default_backend, make_backend
from mfnet.model.parameters import Person, Prediction
from mfnet.params import Params, RefineParams, load_params
from mfnet.photographs import CropRules, Photograph, crops_of, find_photographs, meshes_of, read_photographs, rig_of
from mfnet.profiles import load_profile
from mfnet.texturing.texture import photographic_texture
from mfnet.viewer.page import write_page
from mfnet.weights import bundled

if TYPE_CHECKING:  # networks are imported when one is asked: torchvision takes as long as torch
    from mfnet.model.mfnet import MFNet

COEFFICIENTS = (100, 50)
"""Of identity and expression that are fitted, of a head that has more."""
MEAN_START = "the fit starts at the mean head"


@dataclass(frozen=True)
class Face:
    """One reconstructed person."""

    vertices: np.ndarray
    """[N, 3] metres in head space (y up, z out of the face): shape and expression, unrotated."""
    vertex_sigma_mm: np.ndarray | None
    """[N] standard deviation of each vertex, mm, by the Laplace approximation; None without fitting."""
    texture: np.ndarray
    """[T, T, 3] uint8 in the head model's UV layout, row 0 at v = 1; what no photograph shows is filled in."""
    texture_confidence: np.ndarray
    """[T, T] how squarely the photographs show a texel, in [0, 1]; 0: filled in."""
    photographs: list[Photograph]
    """The V photographs, the most frontal first."""
    views: list[ViewFit]
    """How well the head agrees with each: its yaw, residuals and the landmarks that disagree."""
    verdict: Verdict
    """``good``, ``doubtful`` or ``refused``: what the fit is worth (`mfnet.fitting.quality`)."""
    reasons: list[str]
    """Why the verdict is not good."""
    notes: list[str]
    """What was decided on the way, for the user."""
    start: str
    """Where the fit began, ``network`` or ``mean``."""
    flow: bool
    """Whether optical flow between the photographs took part."""
    points: int
    """What it was fitted to: the 68 landmarks, or the 478 points of MediaPipe's mesh."""
    own_expressions: bool
    """Whether each photograph has an expression of its own; `vertices` have the first one's."""
    placement: Placement | None
    """Where the head stands in the world of the cameras that were given; None without."""
    detector: str
    """What found the landmarks."""
    crop_scale: float
    """Side of the crops, in whose ndc cameras are, over the larger side of the landmarks' box."""
    prediction: Prediction = field(repr=False)
    """Coefficients, poses and cameras; of batch 1."""
    root: np.ndarray = field(repr=False)
    """[3] the joint that the global poses turn about, metres."""
    reference_depths: np.ndarray = field(repr=False)
    """[V] depth at which each camera's scale holds, metres (`mfnet.geometry.reference_depth`)."""
    flame: Flame = field(repr=False)
    """The head model, for faces and UV."""

    @property
    def cameras(self) -> np.ndarray:
        """[V, 3] of each view: scale (1/m) and shift (m) into the ndc of its crop (docs/conventions.md)."""
        return self.prediction.views.camera[0].numpy()

    @property
    def inverse_distances(self) -> np.ndarray:
        """[V] 1/m from each camera to the face; 0: scaled orthography."""
        return self.prediction.views.inverse_distance[0].numpy()

    @property
    def person(self) -> Person:
        """Coefficients [1, n] of `vertices`: where photographs have expressions of their own, the first one's."""
        return self.prediction.first_person

    @property
    def has_pinholes(self) -> bool:
        """Whether the cameras stand at a finite distance; those of an answer without fitting are orthographic."""
        return has_pinholes(self)

    def rig(self, expression: Expression | None = None) -> RiggedHead:
        """The neutral head with skeleton and morph targets, posed to show `expression` (`save`)."""
        person = self.person
        fitted = Coefficients(person.expression[0], person.jaw_pose[0])
        return posed(self.flame, person.shape[0], fitted, expression)

    def save(self, path: str | Path, expression: Expression | None = None) -> None:
        """Write the textured head as ``.glb``, ``.obj`` (with ``.mtl`` and ``.png``) or ``.ply`` (coloured vertices).

        A GLB has skeleton and morph targets too. expression: what the head shows; None as in the photographs, {} a face
        at rest, else weights of morph targets by name or another's coefficients (`mfnet.export.expressions`).
        Before given cameras ``.obj`` and ``.ply`` are in their frame and unit; ``.glb`` is always in metres and head
        space. Raises InputError for another suffix, and for a name that the head does not have.
        """
        rig = self.rig(expression)
        vertices = rig.vertices()
        if self.placement is not None and Path(path).suffix.lower() != ".glb":
            vertices = self.placement.placed(vertices, self.root)
        export_head(path, vertices, self.flame, self.texture, rig)

    def save_parameters(self, path: str | Path) -> None:
        """Write coefficients, cameras and what the fit is worth as JSON (`mfnet.export.parameters`)."""
        write_parameters(path, self)

    def save_transforms(self, path: str | Path) -> None:
        """Write the fitted cameras as ``transforms.json`` for NeRF and 3DGS tools (`mfnet.export.transforms`).

        Raises InputError for orthographic cameras, those of an answer without fitting.
        """
        write_transforms(path, self)

    def save_page(self, path: str | Path) -> None:
        """Write a web page in one file that opens from disk and turns the head (`mfnet.viewer.page`)."""
        write_page(path, self)

    def save_overlay(self, path: str | Path) -> None:
        """Write a PNG with the photographs, the landmarks, the head laid over and the head from three sides."""
        with atomic_path(path) as beside:
            beside.write_bytes(encode_png(overlay_sheet(self)))


@dataclass(frozen=True)
class Reconstructor:
    """Everything that turns photographs into a head. Made by `load`."""

    flame: Flame
    load_network: "Callable[[], MFNet] | None" = field(repr=False)
    """Reads the network; None: there is none for the head, and every fit starts at the mean head."""
    detector: LandmarkBackend
    """Finds the 68 landmarks (`mfnet.landmarks.backends`)."""
    flow: FlowEstimator
    """Optical flow between the photographs, for fitting (`mfnet.flow`)."""
    crops: CropRules
    """How faces are cut out of photographs, and which are believed."""
    refinement: RefineParams
    """How `reconstruct` fits."""

    @cached_property
    def network(self) -> "MFNet | None":
        """The network, read when it is first asked for."""
        return None if self.load_network is None else self.load_network()

    def reconstruct(
        self,
        *photographs: str | Path,
        refine: bool = True,
        choices: FitChoices = FitChoices(),
        use_flow: bool = True,
        texture_size: int = 1024,
        cameras: str | Path | None = None,
    ) -> Face:
        """One textured head from photographs of a person: one or more, from any sides, in any order; or their folder,
        or a video.

        refine: fit to the landmarks, some seconds of CPU; False: the network's answer as it is. choices: where the fit
        begins, which points it is made to, and whether photographs share an expression. use_flow: let optical flow
        between the photographs help where the landmarks do not mind. texture_size: side T, pixels. cameras: a file of
        their poses and intrinsics (`mfnet.io.scenes`), which are held; the head is then placed in their world. What
        the result is worth is in `Face.verdict`; nothing is raised for a bad fit.

        Raises InputError, naming the file, for one that is no image or shows no face, and where the network's answer is
        asked for but cannot be had: it takes three photographs, one from each side.
        """
        given = read_photographs(find_photographs(photographs), self.detector, self.crops, cameras)
        turned = yaws(mean_start(self.flame, crops_of(given)[1])).tolist()
        slots = network_slots(turned)
        order = slots or sorted(range(len(given)), key=lambda row: abs(turned[row]))
        chosen, notes = [given[row] for row in order], []
        measured = Measured(*crops_of(chosen), self.detector.name, meshes_of(chosen), rig_of(chosen))
        predicted = None
        if slots is not None and choices.start != "mean" and self.network is not None:
            with torch.no_grad():
                predicted = self.network(measured.images[None])
        elif self.load_network is not None and choices.start == "auto":
            notes.append(f"{_seen_from(turned)}; the network takes three, from the front and both sides: {MEAN_START}")
        if refine:
            estimate = self.flow.flow if use_flow else None
            fit = fit_person(self.flame, measured, predicted, estimate, self.refinement, choices)
        elif predicted is None:
            raise InputError("the network's answer takes three photographs, from the front and both sides; fit these")
        else:
            fit = unfitted(self.flame, measured, predicted, self.refinement)
        if fit.own_expressions:
            notes.append("the photographs have expressions of their own; the head has that of the first one")
        return self._face(fit, chosen, texture_size, notes)

    def _face(self, fit: Fit, photographs: list[Photograph], texture_size: int, notes: list[str]) -> Face:
        """The textured face of a fit."""
        prediction = fit.prediction
        texture = photographic_texture(self.flame, prediction, photographs, self.crops.scale, texture_size)
        person = prediction.first_person
        rest = self.flame(person.shape, person.expression, torch.zeros_like(person.jaw_pose), jaw_pose=person.jaw_pose)
        heads = Candidates.of(self.flame, prediction)
        return Face(
            vertices=rest.vertices[0].numpy(),
            vertex_sigma_mm=None if fit.vertex_sigma is None else 1000 * fit.vertex_sigma.numpy(),
            texture=to_uint8(texture.colour).permute(1, 2, 0).numpy(),
            texture_confidence=texture.confidence.numpy(),
            photographs=photographs,
            views=fit.views,
            verdict=fit.verdict,
            reasons=fit.reasons,
            notes=notes,
            start=fit.start,
            flow=fit.flow,
            points=fit.points,
            own_expressions=fit.own_expressions,
            placement=fit.placement,
            detector=self.detector.name,
            crop_scale=self.crops.scale,
            prediction=prediction,
            root=rest.joints[0, 0].numpy(),
            reference_depths=heads.centre[0].numpy(),
            flame=self.flame,
        )


def _seen_from(turned: Sequence[float]) -> str:
    """``2 photographs (yaw -30, +2)``."""
    angles = ", ".join(f"{angle:+.0f}" for angle in turned)
    return f"{len(turned)} photograph{'s' * (len(turned) > 1)} (yaw {angles})"


def load(
    model: str | Path | None = None, params: str | Path | None = None, head: str | Path | None = None
) -> Reconstructor:
    """A reconstructor with the shipped weights, or with those that stage ``train`` wrote.

    model: None for the shipped network and head; else a folder with ``model.safetensors`` such as ``data/train``,
    beside ``head`` and ``pretrained``.
    params: a params file whose landmark backend, flow and fit to use with `model`; None: the embedded profile's flow
    and fit. Without one landmarks are MediaPipe's where ``mfnet assets get`` has been run, else the embedded network's.
    head: a head model in FLAME's format to fit in place of the shipped network's: ``makehuman``, or a file that
    `mfnet head convert` made; no network is asked, unless it is the shipped network's own head.

    Raises InputError for files that are missing, damaged or do not belong together.
    """
    if head is not None:
        if model is not None:
            raise InputError("head: a trained model has its own; give one of the two")
        return _of_head(head)
    if model is None:
        return _shipped()
    return _trained(Path(model), None if params is None else load_params(params))


def _of_head(head: str | Path) -> Reconstructor:
    """A reconstructor for any head, without a network where the shipped one has another head."""
    arrays = with_mesh(makehuman_head() if head == MODEL else read_head(head))
    if arrays.landmarks is None:
        raise InputError(
            f"{head}: field 'landmarks' is missing; let `mfnet head landmarks` find them, or name the file that "
            "has them to `mfnet head convert --landmarks`"
        )
    if arrays.content_hash() == read_metadata(bundled("encoder"), "encoder")["head_hash"]:
        return _shipped()
    counts = zip(COEFFICIENTS, (arrays.n_shape_total, arrays.n_expression_total), strict=True)
    return _embedded(Flame(arrays, *(min(wanted, stored) for wanted, stored in counts)), None)


def _shipped() -> Reconstructor:
    flame = shipped_head()
    return _embedded(flame, partial(_shipped_network, flame))


def _shipped_network(flame: Flame) -> "MFNet":
    from mfnet.model.pretrained import load_pretrained

    start = load_pretrained(bundled("encoder"), flame, "reinstall mfnet: its weights and head belong together")
    return start.model(start.params.model_copy(update={"fusion": "set", "views": 3}), flame).eval()


def _embedded(flame: Flame, network: "Callable[[], MFNet] | None") -> Reconstructor:
    """Landmarks, flow, crops and fit of the embedded profile, for which the shipped weights were made."""
    params = load_profile("embedded")
    detector = default_backend(bundled("landmarks"))
    crops = CropRules(params.triplets.image_size, params.triplets.crop_scale, params.landmarks.min_score)
    return Reconstructor(flame, network, detector, load_flow("dis", ""), crops, params.refine)  # DIS has no weights


def shipped_head() -> Flame:
    """The head that the shipped weights were trained on."""
    return Flame(with_mesh(makehuman_head()), *coefficient_counts(bundled("encoder"), "encoder"))


def _trained(folder: Path, chosen: Params | None) -> Reconstructor:
    from mfnet.model.mfnet import load_mfnet, read_crops

    path, data = folder / "model.safetensors", folder.parent
    if not (data / "head" / "head.npz").is_file():
        raise InputError(
            f"{data / 'head' / 'head.npz'}: no such file; a model's folder lies beside its head and weights"
        )
    n_shape, n_expression = coefficient_counts(path, "mfnet")
    head = data / "head" / "head.npz"
    flame = flame_of(with_mesh(read_head(head)), n_shape, n_expression, head)
    network = load_mfnet(path, flame)
    landmarks = data / "pretrained" / "landmarks.safetensors"
    params = load_profile() if chosen is None else chosen
    detector = default_backend(landmarks) if chosen is None else make_backend(params.landmarks, ".", landmarks)
    flow = load_flow(params.loss.flow_estimator, data / "pretrained" / "flow.safetensors")
    crops = CropRules(*read_crops(path), params.landmarks.min_score)
    return Reconstructor(flame, lambda: network, detector, flow, crops, params.refine)
