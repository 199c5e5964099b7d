"""Stage ``triplets``: crops and landmarks of the planned triplets, in Parquet shards."""

from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.datasets.shards import CropSpec, write_shards
from mfnet.io.files import atomic_directory, read_table, write_table
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    plan = read_table("data/multipie/plan.parquet")
    landmarks = read_table("data/multipie/landmarks.parquet")
    spec = CropSpec(params.source.multipie, params.triplets, params.plan.seed)
    with atomic_directory("data/triplets") as folder:
        rejected = write_shards(plan, landmarks, spec, folder, Compute.of(params.compute))
        quality.check_triplets(folder, rejected, params.triplets, "data/multipie/triplets.json")
    write_table(rejected, "data/multipie/triplets_rejected.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
