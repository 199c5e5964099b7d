"""The command `mfnet head`: convert a head model into the project's one npz, and say what a file holds."""

import argparse


def add_commands(commands) -> None:
    """Add `head` to the sub-commands of `mfnet`."""
    head = commands.add_parser("head", help="read, check and convert head models in FLAME's format")
    actions = head.add_subparsers(title="actions", metavar="ACTION", required=True)

    convert_parser = actions.add_parser("convert", help="turn a head model and its landmarks and UV into one npz")
    _add_inputs(convert_parser)
    convert_parser.add_argument(
        "-o", "--output", required=True, metavar="NPZ", help="file to write; it holds no pickle"
    )
    convert_parser.set_defaults(run=_convert)

    info_parser = actions.add_parser("info", help="check a head model and print its sizes and content hash")
    _add_inputs(info_parser)
    info_parser.set_defaults(run=_info)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="IN", help="FLAME 2017, 2020 or 2023 pickle, or an npz")
    parser.add_argument(
        "--landmarks",
        nargs="+",
        metavar="FILE",
        help="DECA's landmark_embedding.npy, or smplx's flame_static_embedding.pkl and flame_dynamic_embedding.npy",
    )
    parser.add_argument("--template", metavar="OBJ", help="head_template.obj, which carries the UV layout")
    parser.add_argument("--masks", metavar="FILE", help="FLAME_masks.pkl; without it regions follow from the landmarks")


def _convert(args) -> None:
    from mfnet.flame.readers import convert

    head = convert(args.model, args.output, args.landmarks, args.template, args.masks)
    print(f"{args.output}: {head.content_hash()}")


def _info(args) -> None:
    from mfnet.flame.readers import read_head

    head = read_head(args.model, args.landmarks, args.template, args.masks)
    regions = ", ".join(f"{name} {int(mask.sum())}" for name, mask in sorted(head.masks.items()))
    for name, value in (
        ("vertices", len(head.v_template)),
        ("faces", len(head.faces)),
        ("coefficients", f"{head.n_shape_total} identity, {head.n_expression_total} expression"),
        ("precision", str(head.v_template.dtype)),
        ("landmarks", "no" if head.landmarks is None else "static, dynamic and full"),
        ("uv", "no" if head.uv is None else f"{len(head.uv)} texture vertices"),
        ("masks", regions or "no"),
        ("content hash", head.content_hash()),
    ):
        print(f"{name:13} {value}")
