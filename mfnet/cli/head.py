"""``mfnet head``: convert a head model into the project's one npz, and say what a file holds."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Read, check and convert head models.")

Model = Annotated[Path, typer.Argument(help="FLAME 2017, 2020 or 2023 pickle, GNM Head v3 npz, or an npz of ours.")]
Landmarks = Annotated[
    list[Path] | None,
    typer.Option(
        help="DECA's landmark_embedding.npy; or, named twice, smplx's flame_static_embedding.pkl and "
        "flame_dynamic_embedding.npy."
    ),
]
Template = Annotated[Path | None, typer.Option(help="head_template.obj, which carries the UV layout.")]
Edition = Annotated[str | None, typer.Option(help="What the head is called, such as 'FLAME 2023 Open'.")]
Licence = Annotated[str | None, typer.Option(help="Its licence, such as CC-BY-4.0.")]
Attribution = Annotated[str | None, typer.Option(help="Whom the licence wants named.")]
MayShow = Annotated[
    bool | None, typer.Option("--may-show/--may-not-show", help="Whether its owner lets you show pictures of it.")
]
Masks = Annotated[Path | None, typer.Option(help="FLAME_masks.pkl; without it regions follow from the landmarks.")]


@app.command()
def convert(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="npz to write; it holds no pickle.")],
    landmarks: Landmarks = None,
    template: Template = None,
    masks: Masks = None,
    edition: Edition = None,
    licence: Licence = None,
    attribution: Attribution = None,
    may_show: MayShow = None,
) -> None:
    """Turn a head model and its landmarks and UV layout into one npz."""
    from mfnet.flame.gnm import TURN
    from mfnet.flame.readers import convert as convert_head

    declared = {"edition": edition, "licence": licence, "attribution": attribution, "may_show": may_show}
    head, loss = convert_head(model, output, landmarks, template, masks, declared)
    print(f"{output}: {head.content_hash()}")
    if loss is not None:
        print(
            f"GNM in FLAME's form: joints to {loss.joints:.4f} mm; a turn of the root by {TURN:g} degrees misses "
            f"correctives of up to {loss.correctives:.2f} mm; the mouth opens by expression, not by the jaw's joint"
        )


@app.command()
def landmarks(
    model: Annotated[str, typer.Argument(help="A head, as for convert; or makehuman, which ships.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="npz to write, a head with landmarks; a picture comes beside it.")
    ],
    template: Template = None,
    people: Annotated[int, typer.Option(min=4, max=200, help="Random people that are drawn and looked at.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the random people.")] = 0,
) -> None:
    """Find the 68 and the 478 landmarks on a head by looking at drawn pictures of it: one or two minutes.

    A head that has the 68 keeps them. One without a texture layout gets a plain one.
    """
    import torch

    from mfnet.errors import InputError
    from mfnet.flame.makehuman import MODEL, makehuman_head
    from mfnet.flame.model import Flame
    from mfnet.flame.readers import read_head, write_head
    from mfnet.io.images import write_png
    from mfnet.locating.find import locate
    from mfnet.locating.picture import embedding_picture

    if output.suffix != ".npz":
        raise InputError(f"{output}: the head with its landmarks is an .npz; name the output so")
    head = makehuman_head() if model == MODEL else read_head(model, None, template)
    torch.set_num_threads(1)  # the pictures are small, and equal on every machine
    found = locate(head, seed, people)
    write_head(found.head, output)
    picture = output.with_suffix(".png")
    write_png(embedding_picture(Flame(found.head, 1, 1)), picture)
    print(f"{output}: a face seen in {found.seen} of {found.drawn} pictures; see {picture}")
    print(f"478 points found, {found.off_mm:.1f} mm off a smooth warp of MediaPipe's mean face in the median")
    print("68 landmarks " + ("found" if found.found_68 else "kept"))
    if found.found_layout:
        print("a plain texture layout was made: the head came without one (--template names one)")


@app.command()
def info(model: Model, landmarks: Landmarks = None, template: Template = None, masks: Masks = None) -> None:
    """Check a head model and print its sizes and content hash."""
    from mfnet.flame.readers import read_head

    head = read_head(model, landmarks, template, masks)
    regions = ", ".join(f"{name} {int(mask.sum())}" for name, mask in sorted(head.masks.items()))
    for name, value in (
        ("vertices", len(head.v_template)),
        ("faces", len(head.faces)),
        ("coefficients", f"{head.n_shape_total} identity, {head.n_expression_total} expression"),
        ("precision", str(head.v_template.dtype)),
        ("landmarks", "no" if head.landmarks is None else "static, dynamic and full"),
        ("mesh points", "no" if head.dense is None else "478"),
        ("uv", "no" if head.uv is None else f"{len(head.uv)} texture vertices"),
        ("masks", regions or "no"),
        ("attributes", "no" if head.population is None else ", ".join(head.population.names)),
        ("edition", head.provenance.edition),
        ("licence", head.provenance.licence),
        ("attribution", head.provenance.attribution or "none"),
        ("may be shown", head.provenance.shown),
        ("content hash", head.content_hash()),
    ):
        print(f"{name:13} {value}")
