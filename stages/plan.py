"""Stage ``plan``: draw the triplets and the subjects that are held out."""

import stages.portable  # noqa: F401

# isort: split

from argparse import Namespace

from mfnet.datasets.plan import plan_triplets
from mfnet.io.files import read_table, write_table
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    manifest = read_table("data/multipie/manifest.parquet")
    write_table(plan_triplets(manifest, params.plan), "data/multipie/plan.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
