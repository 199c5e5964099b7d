"""Stage ``head``: the head model that everything stands on, shipped or official, as three files without pickles."""

import stages.portable  # noqa: F401

# isort: split

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mfnet.errors import InputError
from mfnet.params import FlameParams, Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser

if TYPE_CHECKING:
    from mfnet.flame.head import HeadArrays


def make_head(params: FlameParams) -> "HeadArrays":
    """The head that the params ask for, complete with landmarks, UV and masks."""
    from mfnet.flame.makehuman import MODEL, makehuman_head
    from mfnet.flame.readers import read_head

    if params.model == MODEL:
        head = makehuman_head()
    else:
        head = read_head(params.model, params.landmarks, params.template, params.masks)
    head = head.declaring(params.edition, params.licence, params.attribution, params.may_show)
    if head.landmarks is None:
        raise InputError(f"{params.model}: has no landmark embedding; name one in flame.landmarks")
    if head.uv is None:
        raise InputError(f"{params.model}: has no UV layout; name its OBJ template in flame.template")
    for key, wanted, stored in (
        ("n_shape", params.n_shape, head.n_shape_total),
        ("n_expression", params.n_expression, head.n_expression_total),
    ):
        if wanted > stored:
            raise InputError(f"{params.model}: flame.{key} is {wanted}, but the model has {stored} such coefficients")
    return head


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write head.npz, landmarks.npz and template.obj."""
    from mfnet.flame.embedding import write_landmarks
    from mfnet.flame.readers import write_head
    from mfnet.flame.template import write_template

    head = make_head(params.flame)
    assert head.landmarks is not None  # make_head refuses one without
    out = Path(args.out)
    write_head(head, out / "head.npz")
    write_landmarks(head.landmarks, out / "landmarks.npz")
    write_template(head, out / "template.obj")


def main(argv: list[str] | None = None) -> None:
    """Command line of the stage."""
    parser = stage_parser(__doc__)
    parser.add_argument("--out", default="data/head", help="folder to write (default: %(default)s)")
    run_stage(run, parser, argv)


if __name__ == "__main__":
    main()
