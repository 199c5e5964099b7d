"""``mfnet reconstruct``: from photographs to a textured head file."""

from pathlib import Path

from mfnet.cli.arguments import add_params


def add_commands(subparsers) -> None:
    """Add ``reconstruct`` to the ``mfnet`` command."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="three photographs in, one textured head out",
        description="Reconstruct a textured head from a frontal photograph and one from each side.",
    )
    parser.add_argument("frontal", type=Path, help="photograph from the front")
    parser.add_argument("left", type=Path, help="photograph by a camera on the subject's left")
    parser.add_argument("right", type=Path, help="photograph by a camera on the subject's right")
    parser.add_argument("-o", "--out", type=Path, default=Path("head.glb"), help=".glb or .obj (default: %(default)s)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--refine",
        action="store_true",
        default=True,
        help="fit the network's answer to landmarks and flow, some seconds of CPU (the default)",
    )
    how.add_argument("--fast", dest="refine", action="store_false", help="the network's answer as it is")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="a trained model such as data/train (default: the shipped weights)"
    )
    add_params(parser)
    parser.set_defaults(run=_reconstruct)


def _reconstruct(args) -> None:
    from mfnet.errors import InputError

    for path in (args.frontal, args.left, args.right):  # before anything is loaded or built
        if not path.is_file():
            raise InputError(f"{path}: no such file")

    from mfnet.api import load
    from mfnet.export.meshes import require_format

    require_format(args.out)
    face = load(args.model, args.params).reconstruct(args.frontal, args.left, args.right, refine=args.refine)
    face.save(args.out)
    if face.vertex_sigma_mm is not None:
        sigma = face.vertex_sigma_mm[face.flame.masks["face"].numpy()].mean()
        print(f"fitted: standard deviation of the face {sigma:.2f} mm")
    seen = (face.texture_confidence > 0).mean()
    print(f"{args.out}: {len(face.vertices)} vertices, {seen:.0%} of the texture seen in the photographs")
