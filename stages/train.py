"""Stages ``train`` and ``ablate``: MFNet on the triplet shards, as the params say or as one of their variants."""

import os
from pathlib import Path

from stages.common import run_stage, stage_parser

PICTURED = 2
"""Held-out subjects whose pictures go with a run."""


def run(params, args) -> None:
    import pandas as pd

    from mfnet.datasets.triplets import TripletShards
    from mfnet.export.sheets import first_of_each_subject, person_sheet
    from mfnet.flame import load_project_head
    from mfnet.model.mfnet import load_mfnet
    from mfnet.training.loop import Inputs, train
    from stages.provenance import tracked

    address, name, out = "train", "train", Path("data/train")
    if args.variant is not None:
        name = f"{args.variant}-{args.seed}"
        address, out = f"ablate@{name}", Path("data/ablation") / name
        params = params.variant(args.variant)
        params = params.model_copy(update={"train": params.train.model_copy(update={"seed": args.seed})})
    flame = load_project_head("data/head", params.flame)
    shards, weights = Path("data/triplets"), Path("data/pretrained")
    inputs = Inputs(
        sorted(shards.glob("train-*.parquet")),
        sorted(shards.glob("val-*.parquet")),
        weights / "encoder.safetensors",
        weights / "flow.safetensors",
    )
    recorded = {section: getattr(params, section).model_dump() for section in ("model", "loss", "train")}
    if int(os.environ.get("RANK", 0)) > 0:  # under torchrun the first process alone writes and is tracked
        train(params, flame, inputs, out)
        return
    with tracked(address, "training", name, recorded) as record:
        train(params, flame, inputs, out, on_epoch=lambda step, metrics: record.metrics(metrics, step))
        record.curves(pd.read_parquet(out / "history.parquet"), "step")
        model = load_mfnet(out / "model.safetensors", flame)
        people = first_of_each_subject(TripletShards(inputs.validation), PICTURED)
        for item, subject in enumerate(people.subject.tolist()):
            sheet = person_sheet(model, flame, people, item, params.loss.inverse_distance)
            record.picture(sheet, f"people/subject_{subject:03d}.png")


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--variant", help="name under ablation.variants (default: the params as they are)")
    parser.add_argument("--seed", type=int, help="seed of the variant's run, in place of train.seed")
    args = parser.parse_args()
    if (args.variant is None) != (args.seed is None):
        parser.error("--variant and --seed go together")
    run_stage(run, parser)


if __name__ == "__main__":
    main()
