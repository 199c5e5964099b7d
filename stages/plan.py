"""Stage ``plan``: draw the triplets and the subjects that are held out."""

import pandas as pd

from mfnet.datasets.plan import plan_triplets
from mfnet.files import write_table
from stages.common import run_stage, stage_parser


def run(params, args) -> None:
    manifest = pd.read_parquet("data/multipie/manifest.parquet")
    write_table(plan_triplets(manifest, params.plan), "data/multipie/plan.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
