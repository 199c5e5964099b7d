"""``mfnet score``, ``mfnet scores`` and ``mfnet aflw``: measuring reconstructions, and tables of what was measured."""

import argparse
from pathlib import Path

from mfnet.cli.arguments import add_params

DESCRIPTION = """Score a method on the FaceScape benchmark: CD (mm), MNE (rad) and CR of every item, as the official
evaluator defines them, with its two approximate steps made exact. Items that cannot be scored keep a row that says why.
"""


class ListLoaders(argparse.Action):
    """``--list-loaders``: works without the arguments that scoring needs."""

    def __call__(self, parser, namespace, values, option_string=None):
        from mfnet.scoring.loaders import LOADERS

        print("\n".join(LOADERS))
        parser.exit()


def add_commands(subparsers) -> None:
    """Add the room's commands to the ``mfnet`` command."""
    _add_score(subparsers)
    _add_scores(subparsers)
    _add_aflw(subparsers)


def _add_score(subparsers) -> None:
    parser = subparsers.add_parser("score", help="score meshes on the FaceScape benchmark", description=DESCRIPTION)
    parser.add_argument("protocol", choices=("wild", "lab"))
    parser.add_argument("--data", required=True, help="folder with wild_gt_mesh, lab_gt_mesh, lab_cam")
    parser.add_argument("--predef", required=True, help="folder with the predefined .npy arrays")
    parser.add_argument("--pred", required=True, help="predictions: holds <protocol>_pred/METHOD, METHOD, or the files")
    parser.add_argument("--loader", required=True, help="how to read the method's files (see --list-loaders)")
    parser.add_argument("--list-loaders", action=ListLoaders, nargs=0, help="print the names of the loaders and exit")
    parser.add_argument("--method", help="name of the method's folder and of its rows (default: the loader's)")
    parser.add_argument("--out", required=True, help="Parquet file to write, one row an item")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 is one a core (default: %(default)s)")
    parser.add_argument("--executor", default="local", help="serial, local or tcp://host:port (default: %(default)s)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run with the same --out ended"
    )
    parser.add_argument("--error-maps", metavar="DIR", help="write a PLY and a PNG of the distances of each item")
    parser.set_defaults(run=_score)


def _score(args) -> None:
    from mfnet.io.files import write_table
    from mfnet.scoring.score import score_directory

    out = Path(args.out)
    partial = out.with_name(f"{out.name}.partial")
    if not args.resume:
        partial.unlink(missing_ok=True)
    table = score_directory(
        args.protocol,
        args.data,
        args.predef,
        args.pred,
        args.loader,
        method=args.method,
        mode=args.executor,
        workers=args.workers,
        partial=partial,
        error_maps=args.error_maps,
    )
    write_table(table, out)
    partial.unlink(missing_ok=True)
    _print_outcome(table)


def _print_outcome(table) -> None:
    counts = table["status"].value_counts()
    print(f"{len(table)} items: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    means = table[["CD", "MNE", "CR"]].mean()
    print(f"CD {means.CD:.3f} mm  MNE {means.MNE:.4f}  CR {means.CR:.4f}  done {table.CD.notna().mean():.3f}")


def _add_scores(subparsers) -> None:
    parser = subparsers.add_parser(
        "scores",
        help="tables of scored methods",
        description="Means by bin with intervals, published baselines beside them, paired comparison of two methods.",
    )
    parser.add_argument("scores", nargs="+", help="Parquet files of 'mfnet score' or of the benchmark stage")
    parser.add_argument("--dataset", choices=("fswild", "fslab"), help="default: the only one in the files")
    parser.add_argument(
        "--format", choices=("csv", "md", "tex", "long"), default="md", help="'long': every figure, CSV"
    )
    parser.add_argument("--published", metavar="VERSION", help="show the published baselines too: 2021-12 or 2023-10")
    parser.add_argument("--set", default="local set", help="name of the data scored; 'FaceScape' is the real one")
    parser.add_argument("--compare", nargs=2, metavar=("FIRST", "SECOND"), help="paired comparison instead, CSV")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: %(default)s)")
    parser.set_defaults(run=_scores)


def _scores(args) -> None:
    import sys

    from mfnet.scoring import statistics, tables
    from mfnet.scoring.published import NOTES, published_means

    scores = _read_scores(args.scores, args.dataset)
    if args.compare:
        compared = statistics.compare_by_bin(scores, *args.compare, args.resamples, args.seed)
        print(compared.to_csv(index=False, float_format="%.6g"), end="")
        return
    summary = statistics.summarise(scores, args.resamples, args.seed)
    if args.format == "long":
        print(summary.to_csv(index=False, float_format="%.9g"), end="")
        return
    dataset = scores["dataset"].iloc[0]
    published = published_means(args.published, dataset) if args.published else None
    print(tables.FORMATS[args.format](tables.wide_table(summary, dataset, args.set, published)), end="")
    if published is not None:
        print("\n".join(NOTES), file=sys.stderr)


def _read_scores(paths: list[str], dataset: str | None):
    import pandas as pd

    from mfnet.errors import InputError

    parts = []
    for path in paths:
        try:
            parts.append(pd.read_parquet(path))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a Parquet file of scores: {error}") from None
        if missing := {"dataset", "method", "bin", "CD", "MNE", "CR"} - set(parts[-1].columns):
            raise InputError(f"{path}: not scores: no column {', '.join(sorted(missing))}")
    scores = pd.concat(parts, ignore_index=True)
    if dataset is not None:
        scores = scores[scores["dataset"] == dataset]
    if scores["dataset"].nunique() != 1:
        raise InputError(f"--dataset: the files hold {scores['dataset'].nunique()} data sets; name fswild or fslab")
    return scores


def _add_aflw(subparsers) -> None:
    parser = subparsers.add_parser(
        "aflw",
        help="landmark error and picture grid on AFLW2000-3D",
        description="NME over 68 landmarks by yaw range, and a grid of pictures as the paper's Fig. 5.",
    )
    parser.add_argument("--root", help="folder of image and .mat pairs (default: source.aflw2000 of the params)")
    add_params(parser)
    parser.add_argument("--data", default="data", help="artifacts of `dvc repro` (default: %(default)s)")
    parser.add_argument("--model", help="MFNet (default: the one of stage train in --data)")
    parser.add_argument("--out", required=True, help="Parquet file to write, one row an image")
    parser.add_argument("--grid", metavar="PNG", help="picture grid to write")
    parser.add_argument("--pictures", type=int, default=9, help="images in the grid (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="score only the first images, in name order")
    parser.set_defaults(run=_aflw)


def _aflw(args) -> None:
    from mfnet.benchmark.aflw import nme_by_yaw, picture_grid, score_images
    from mfnet.datasets.aflw2000 import image_files
    from mfnet.errors import InputError
    from mfnet.flame import load_project_head
    from mfnet.io.files import write_table
    from mfnet.io.images import write_png
    from mfnet.model.mfnet import load_mfnet
    from mfnet.params import load_params

    params, data = load_params(args.params), Path(args.data)
    root = args.root or params.source.aflw2000
    if root is None:
        raise InputError(f"{args.params}: source.aflw2000 is null; name the folder there or by --root")
    files = image_files(root)[: args.limit]
    flame = load_project_head(data / "head", params.flame)
    model = load_mfnet(args.model or data / "train/model.safetensors", flame)
    size, scale = params.triplets.image_size, params.triplets.crop_scale
    table, results = score_images(files, model, flame, size, scale, args.pictures if args.grid else 0)
    write_table(table, args.out)
    if args.grid:
        write_png(picture_grid(results, flame), args.grid)
    rejected = int((table["status"] == "rejected").sum())
    print(nme_by_yaw(table).to_string(index=False, float_format="%.4f"))
    print(f"{len(table)} images, {rejected} rejected (reasons in {args.out})")
