"""Stage ``ingest``: list the Multi-PIE archive, sort out what cannot be used."""

import stages.portable  # noqa: F401

# isort: split

from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.io.files import write_table
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    manifest, rejected = multipie.scan(params.source.multipie, Compute.of(params.compute))
    quality.check_manifest(manifest, rejected, params.ingest.max_rejected, "data/multipie/ingest.json")
    write_table(manifest, "data/multipie/manifest.parquet")
    write_table(rejected, "data/multipie/rejected.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
