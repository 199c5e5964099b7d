"""``mfnet benchmark``: measuring reconstructions, and tables of what was measured."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mfnet.cli.options import PARAMS, ParamsFile

if TYPE_CHECKING:
    import pandas as pd

Loader = Literal[
    "facescape_opti",
    "facescape_deep",
    "3DDFA_V2",
    "PRNet",
    "SADRNet",
    "RAFaRe",
    "DECA",
    "MGCNet",
    "RingNet",
    "camera",
]
"""The names of `mfnet.scoring.loaders.LOADERS`, here so that the command line starts without it."""
Published = Literal["2021-12", "2023-10"]
"""`mfnet.scoring.published.VERSIONS`, here for the same reason."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Score methods on the FaceScape benchmark.")


@app.command()
def score(
    protocol: Annotated[Literal["wild", "lab"], typer.Argument(help="Which of the two sets.")],
    data: Annotated[Path, typer.Option(help="Folder with wild_gt_mesh, lab_gt_mesh, lab_cam.")],
    predef: Annotated[Path, typer.Option(help="Folder with the predefined .npy arrays.")],
    pred: Annotated[Path, typer.Option(help="Predictions: holds <protocol>_pred/METHOD, METHOD, or the files.")],
    loader: Annotated[Loader, typer.Option(help="How to read the method's files.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write, one row an item.")],
    method: Annotated[
        str | None, typer.Option(help="Name of the method's folder and of its rows; default: the loader's.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 is one a core.")] = 0,
    executor: Annotated[str, typer.Option(help="serial, local or tcp://host:port of a dask scheduler.")] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run with the same --out ended.")
    ] = False,
    error_maps: Annotated[
        Path | None, typer.Option(help="Folder for a PLY and a PNG of each item's distances.")
    ] = None,
) -> None:
    """Score a method: CD (mm), MNE (rad) and CR of every item.

    As the official evaluator defines them, with its two approximate steps made exact. Items that cannot be scored keep
    a row that says why.
    """
    from mfnet.compute.executor import Compute
    from mfnet.io.files import write_table
    from mfnet.scoring.score import Submission, score_directory

    partial = out.with_name(f"{out.name}.partial")
    if not resume:
        partial.unlink(missing_ok=True)
    table = score_directory(
        Submission.open(pred, protocol, loader, method),
        data,
        predef,
        Compute(executor, workers),
        partial=partial,
        error_maps=error_maps,
    )
    write_table(table, out)
    partial.unlink(missing_ok=True)
    counts = table["status"].value_counts()
    print(f"{len(table)} items: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    means = table[["CD", "MNE", "CR"]].mean()
    print(f"CD {means.CD:.3f} mm  MNE {means.MNE:.4f}  CR {means.CR:.4f}  done {table.CD.notna().mean():.3f}")


@app.command()
def compare(
    scores: Annotated[list[str], typer.Argument(help="Parquet files of `benchmark score` or of the benchmark stage.")],
    dataset: Annotated[
        Literal["fswild", "fslab"] | None, typer.Option(help="Default: the only one in the files.")
    ] = None,
    form: Annotated[
        Literal["csv", "md", "tex", "long"], typer.Option("--format", help="long: every figure, as CSV.")
    ] = "md",
    published: Annotated[Published | None, typer.Option(help="Show the published baselines too.")] = None,
    name: Annotated[
        str, typer.Option("--set", help="Name of the data scored; 'FaceScape' is the real one.")
    ] = "local set",
    pair: Annotated[
        tuple[str, str] | None, typer.Option(help="Paired comparison of two methods instead, as CSV.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare scored methods: means by bin with intervals, published baselines, paired differences."""
    from mfnet.scoring import statistics, tables
    from mfnet.scoring.published import NOTES, published_means

    table = _read_scores(scores, dataset)
    if pair:
        compared = statistics.compare_by_bin(table, *pair, resamples, seed)
        print(compared.to_csv(index=False, float_format="%.6g"), end="")
        print(statistics.SEED_NOTE, file=sys.stderr)
        return
    summary = statistics.summarise(table, resamples, seed)
    if form == "long":
        print(summary.to_csv(index=False, float_format="%.9g"), end="")
        return
    measured = str(table["dataset"].iloc[0])
    baselines = published_means(published, measured) if published else None
    print(tables.FORMATS[form](tables.wide_table(summary, measured, name, baselines)), end="")
    if baselines is not None:
        print("\n".join(NOTES), file=sys.stderr)


def _read_scores(paths: list[str], dataset: str | None) -> "pd.DataFrame":
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
        scores = scores.loc[scores["dataset"] == dataset]
    count = scores.loc[:, "dataset"].nunique()
    if count != 1:
        raise InputError(f"--dataset: the files hold {count} data sets; name fswild or fslab")
    return scores


@app.command()
def show(
    summary: Annotated[Path, typer.Option(help="The report's summary.")] = Path("data/report/summary.json"),
) -> None:
    """Print the benchmark table of the last run."""
    import pandas as pd

    from mfnet.errors import InputError

    if not summary.is_file():
        raise InputError(f"{summary}: no such file; run `dvc repro` first")
    rows = pd.read_json(summary, orient="records", dtype={"bin": str})
    interval = rows.apply(lambda row: f"{row.CD:.2f} [{row.CD_low:.2f}, {row.CD_high:.2f}]", axis=1)
    shown = rows.assign(**{"CD (mm) [95 %]": interval}).drop(columns=["CD", "CD_low", "CD_high"])
    order = ["protocol", "bin", "method", "views", "CD (mm) [95 %]", "MNE", "CR", "items", "done"]
    print(shown.loc[:, order].to_string(index=False, formatters={"MNE": "{:.3f}".format, "CR": "{:.3f}".format}))


@app.command()
def aflw(
    out: Annotated[Path, typer.Option(help="Parquet file to write, one row an image.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of image and .mat pairs; default: source.aflw2000 of the params.")
    ] = None,
    params: ParamsFile = PARAMS,
    data: Annotated[Path, typer.Option(help="Artifacts of `dvc repro`.")] = Path("data"),
    model: Annotated[Path | None, typer.Option(help="MFNet; default: the one of stage train in --data.")] = None,
    grid: Annotated[Path | None, typer.Option(help="PNG of a picture grid to write.")] = None,
    pictures: Annotated[int, typer.Option(help="Images in the grid.")] = 9,
    limit: Annotated[int | None, typer.Option(help="Score only the first images, in name order.")] = None,
) -> None:
    """Landmark error on AFLW2000-3D: NME over 68 landmarks by yaw, and pictures as the paper's Fig. 5."""
    from mfnet.benchmark.aflw import nme_by_yaw, picture_grid, score_images
    from mfnet.datasets.aflw2000 import image_files
    from mfnet.errors import InputError
    from mfnet.flame import load_project_head
    from mfnet.io.files import write_table
    from mfnet.io.images import write_png
    from mfnet.model.mfnet import load_mfnet, read_crops
    from mfnet.params import load_params

    settings = load_params(params)
    folder = root or settings.source.aflw2000
    if folder is None:
        raise InputError(f"{params}: source.aflw2000 is null; name the folder there or by --root")
    files = image_files(folder)[:limit]
    flame = load_project_head(data / "head", settings.flame)
    model = model or data / "train/model.safetensors"
    table, results = score_images(files, load_mfnet(model, flame), flame, *read_crops(model), pictures if grid else 0)
    write_table(table, out)
    if grid:
        write_png(picture_grid(results, flame), grid)
    rejected = list(table["status"]).count("rejected")
    print(nme_by_yaw(table).to_string(index=False, float_format="%.4f"))
    print(f"{len(table)} images, {rejected} rejected (reasons in {out})")
