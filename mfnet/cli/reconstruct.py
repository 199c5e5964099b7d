"""``mfnet reconstruct``: from photographs to a textured head file."""

from pathlib import Path
from typing import Annotated

import typer


def reconstruct(
    front: Annotated[Path, typer.Argument(help="Photograph from the front.")],
    left: Annotated[Path, typer.Argument(help="Photograph by a camera on the subject's left.")],
    right: Annotated[Path, typer.Argument(help="Photograph by a camera on the subject's right.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .glb or .obj.")] = Path("head.glb"),
    fit: Annotated[
        bool,
        typer.Option(
            "--refine/--fast",
            help="Fit the network's answer to landmarks and flow (some seconds), or take it as it is.",
        ),
    ] = True,
    model: Annotated[
        Path | None, typer.Option(help="A trained model such as data/train; default: the shipped weights.")
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(help="Params file whose landmark backend, flow and fit go with --model; default: embedded."),
    ] = None,
) -> None:
    """Three photographs in, one textured head out."""
    from mfnet.errors import InputError

    for path in (front, left, right):  # before anything is loaded or built
        if not path.is_file():
            raise InputError(f"{path}: no such file")

    from mfnet.api import load
    from mfnet.export.meshes import require_format

    require_format(out)
    face = load(model, params).reconstruct(front, left, right, refine=fit)
    face.save(out)
    if face.vertex_sigma_mm is not None:
        sigma = face.vertex_sigma_mm[face.flame.masks["face"].numpy()].mean()
        print(f"fitted: standard deviation of the face {sigma:.2f} mm")
    seen = (face.texture_confidence > 0).mean()
    print(f"{out}: {len(face.vertices)} vertices, {seen:.0%} of the texture seen in the photographs")
