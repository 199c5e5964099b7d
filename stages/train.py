"""Stages ``train`` and ``ablate``: MFNet on the triplet shards, as the params say or as one of their variants."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mfnet.params import Params
from mfnet.tracking import Run, guarded
from stages.common import run_stage, stage_parser

if TYPE_CHECKING:
    from mfnet.flame import Flame
    from mfnet.training.loop import TrainingFiles

PICTURED = 2
"""Held-out subjects whose pictures go with a run."""


def vary(params: Params, args: Namespace) -> Params:
    """The params of the variant and seed that the command line names."""
    if args.variant is None:
        return params
    params = params.variant(args.variant)
    return params.model_copy(update={"train": params.train.model_copy(update={"seed": args.seed})})


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write ``model.safetensors``, ``history.parquet`` and ``metrics.json`` of the run."""
    from mfnet.flame import load_project_head
    from mfnet.training.loop import TrainingFiles, train

    out = Path("data/train" if args.variant is None else f"data/ablation/{args.variant}-{args.seed}")
    flame = load_project_head("data/head", params.flame)
    shards, pretrained = Path("data/triplets"), Path("data/pretrained")
    inputs = TrainingFiles(
        sorted(shards.glob("train-*.parquet")),
        sorted(shards.glob("val-*.parquet")),
        pretrained / "encoder.safetensors",
        pretrained / "flow.safetensors",
    )
    train(params, flame, inputs, out, on_epoch=lambda step, metrics: record.metrics(metrics, step))
    if not record.active:
        return
    with guarded("curves and pictures"):
        show(params, out, inputs, flame, record)
    if args.variant is None:
        with guarded("model"):
            keep_model(params, out, inputs, record)


def show(params: Params, out: Path, inputs: "TrainingFiles", flame: "Flame", record: Run) -> None:
    """Give MLflow the curves, and pictures of some held-out people."""
    import pandas as pd

    from mfnet.datasets.triplets import TripletShards
    from mfnet.export.sheets import first_of_each_subject, person_sheet
    from mfnet.model.mfnet import load_mfnet

    record.curves(pd.read_parquet(out / "history.parquet").drop(columns="epoch"), "step")
    model = load_mfnet(out / "model.safetensors", flame)
    people = first_of_each_subject(TripletShards(inputs.validation), PICTURED)
    for item, subject in enumerate(people.subject.tolist()):
        sheet = person_sheet(model, flame, people, item, params.loss.inverse_distance)
        record.picture(sheet, f"people/subject_{subject:03d}.png")


def keep_model(params: Params, out: Path, inputs: "TrainingFiles", record: Run) -> None:
    """Give MLflow the network in a form that it can load and try."""
    from mfnet.datasets.triplets import TripletShards
    from mfnet.export.sheets import first_of_each_subject

    crops = first_of_each_subject(TripletShards(inputs.validation), PICTURED).images.numpy()
    files = {"model": out / "model.safetensors", "head": Path("data/head/head.npz")}
    counts = {"n_shape": params.flame.n_shape, "n_expression": params.flame.n_expression}
    record.model(files, crops[:, : params.model.views], counts, params.champion.model)


def main() -> None:
    """Command line of the stage."""
    parser = stage_parser(__doc__)
    parser.add_argument("--variant", help="name under ablation.variants (default: the params as they are)")
    parser.add_argument("--seed", type=int, help="seed of the variant's run, in place of train.seed")
    args = parser.parse_args()
    if (args.variant is None) != (args.seed is None):
        parser.error("--variant and --seed go together")
    run_stage(run, parser, vary=vary)


if __name__ == "__main__":
    main()
