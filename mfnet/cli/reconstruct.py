"""``mfnet reconstruct``: from photographs to a textured head file."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mfnet.errors import InputError

if TYPE_CHECKING:
    from mfnet.api import Face
    from mfnet.export.expressions import Expression

LAST = "parameters.json"
"""Written after a head's other files: a folder that has it is whole."""


def reconstruct(
    photographs: Annotated[
        list[Path],
        typer.Argument(
            help="Photographs of one person from any sides, in any order; or their folder; or a video; or a .csv of "
            "many people: person,photograph."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="File to write, .glb, .obj or .ply; parameters and overlay come beside it. Or a folder."
        ),
    ] = Path("head.glb"),
    fit: Annotated[
        bool,
        typer.Option(
            "--refine/--fast",
            help="Fit the head to landmarks and flow (some seconds), or take the network's answer as it is.",
        ),
    ] = True,
    start: Annotated[
        Literal["auto", "network", "mean"],
        typer.Option(help="Where the fit begins; auto: what lies nearer to the landmarks."),
    ] = "auto",
    points: Annotated[
        Literal["auto", "68", "478"],
        typer.Option(help="What the fit is made to; auto: the 478 where MediaPipe and the head know them."),
    ] = "auto",
    expressions: Annotated[
        Literal["auto", "shared", "per-view"],
        typer.Option(help="One for all photographs, or each its own; auto: own ones where one for all does not do."),
    ] = "auto",
    cameras: Annotated[
        Path | None,
        typer.Option(
            help="Known cameras, which are held: transforms.json, COLMAP's text folder, FaceScape's params.json, "
            "NeRSemble's camera_params.json, Multiface's KRT."
        ),
    ] = None,
    flow: Annotated[
        bool, typer.Option(help="Use optical flow between the photographs where the landmarks do not mind.")
    ] = True,
    texture: Annotated[int, typer.Option(min=64, max=4096, help="Side of the texture, pixels.")] = 1024,
    expression: Annotated[
        Path | None,
        typer.Option(
            help='Show this expression instead: a JSON of weights such as {"jawOpen": 0.3}, or the parameters.json of '
            "another person."
        ),
    ] = None,
    neutral: Annotated[bool, typer.Option("--neutral", help="Show a face at rest, with a closed mouth.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write the head even where the fit is refused.")] = False,
    head: Annotated[
        str | None, typer.Option(help="Head model to fit: makehuman, or a FLAME-format npz; default: the network's.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A trained model such as data/train; default: the shipped weights.")
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(help="Params file whose landmark backend, flow and fit go with --model; default: embedded."),
    ] = None,
) -> None:
    """Photographs of a person in, one textured head out."""
    for path in [*photographs, *([] if expression is None else [expression])]:  # before anything is loaded or built
        if not path.exists():
            raise InputError(f"{path}: no such file")
    if neutral and expression is not None:
        raise InputError("--neutral and --expression: a head shows one expression; give one of the two")

    from mfnet.api import load
    from mfnet.export.expressions import read_expression
    from mfnet.export.meshes import require_format
    from mfnet.fitting.person import FitChoices

    many = len(photographs) == 1 and photographs[0].suffix.lower() == ".csv"
    folder = many or out.is_dir() or not out.suffix
    if not folder:
        require_format(out)
    elif many and out.suffix:
        raise InputError(f"{out}: many people go into a folder; name one with --out")
    model_of = load(model, params, head)
    shown = {} if neutral else None if expression is None else read_expression(expression, model_of.flame)
    choices = FitChoices(start, points, expressions)

    def face_of(paths: Sequence[Path]) -> "Face":
        face = model_of.reconstruct(
            *paths, refine=fit, choices=choices, use_flow=flow, texture_size=texture, cameras=cameras
        )
        if face.verdict == "refused" and not force:
            report(face)
            raise InputError("the fit is refused, nothing was written; use other photographs, or --force to see it")
        return face

    if many:
        reconstruct_people(photographs[0], out, face_of, shown)
        return
    face = face_of(photographs)
    report(face)
    seen = (face.texture_confidence > 0).mean()
    mesh = save(face, out, folder, shown)
    print(f"{mesh}: {len(face.vertices)} vertices, {seen:.0%} of the texture seen in the photographs")


def reconstruct_people(
    table: Path, out: Path, face_of: Callable[[Sequence[Path]], "Face"], expression: "Expression | None" = None
) -> None:
    """Everyone in a CSV, each into a folder of `out`: who is there already is passed over, a failure is one line."""
    from tqdm import tqdm

    from mfnet.people import read_people

    people = read_people(table)
    waiting = [name for name in people if not (out / name / LAST).is_file()]
    failed = 0
    for name in tqdm(waiting, desc="people", disable=None):
        try:
            face = face_of(people[name])
            save(face, out / name, True, expression)
            tqdm.write(f"{name}: {face.verdict}, {max(view.residual_px for view in face.views):.1f} px of 128")
        except InputError as error:
            failed += 1
            tqdm.write(f"{name}: {error}", file=sys.stderr)
    print(f"{out}: {len(waiting) - failed} people written, {len(people) - len(waiting)} there already, {failed} failed")
    if failed:
        raise InputError(f"{table}: {failed} of {len(people)} people failed; run it again for those alone")


def report(face: "Face") -> None:
    """Say on stdout what was done and what it is worth, on stderr what to mind."""
    for note in face.notes:
        print(note, file=sys.stderr)
    for photograph, view in zip(face.photographs, face.views, strict=True):
        off = f"; off: {view.disagreement}" if view.disagreement else ""
        print(
            f"{photograph.path}: {view.name}, yaw {view.yaw:+.0f} degrees, landmarks off by {view.residual_px:.1f} px "
            f"of 128 ({view.residual_mm:.1f} mm){off}"
        )
    if face.vertex_sigma_mm is not None:
        sigma = face.vertex_sigma_mm[face.flame.masks["face"].numpy()].mean()
        flow = f"{face.points} landmarks and flow" if face.flow else f"{face.points} landmarks"
        print(f"fitted to {flow} from {face.start} start: standard deviation of the face {sigma:.2f} mm")
    if face.placement is not None:
        metric = face.photographs[0].camera is not None and face.photographs[0].camera.unit is not None
        kind = "metric" if metric else "found from the head's size, right to some per cent"
        print(f"head placed before the cameras given; their scale is {kind}: {face.placement.scale:.4g} units a metre")
    print(f"verdict: {face.verdict}")
    for reason in face.reasons:
        print(f"{face.verdict}: {reason}", file=sys.stderr)


def save(face: "Face", out: Path, folder: bool, expression: "Expression | None" = None) -> Path:
    """Write a head and what belongs to it, into the folder `out` or as the file `out` and beside it -> head's file."""
    mesh = out / "head.glb" if folder else out
    beside = mesh.parent
    prefix = "" if folder else f"{out.stem}_"
    face.save(mesh, expression)
    face.save_overlay(beside / f"{prefix}overlay.png")
    if face.has_pinholes:
        face.save_transforms(beside / f"{prefix}transforms.json")
    face.save_page(beside / ("head.html" if folder else f"{out.stem}.html"))
    face.save_parameters(beside / f"{prefix}{LAST}")
    return mesh
