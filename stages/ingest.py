"""Stage ``ingest``: list the archive, Multi-PIE or a calibrated set, and sort out what cannot be used."""

from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.datasets import multipie
from mfnet.datasets.calibrated import scan_calibrated
from mfnet.io.files import write_table
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    source, compute = params.source, Compute.of(params.compute)
    if source.layout == "multipie":
        manifest, rejected = multipie.scan(source.multipie, compute)
        check = quality.check_manifest
    else:
        manifest, rejected = scan_calibrated(source.multipie, source.layout, source.anchor, compute)
        check = quality.check_calibrated_manifest
    check(manifest, rejected, params.ingest.max_rejected, "data/multipie/ingest.json")
    write_table(manifest, "data/multipie/manifest.parquet")
    write_table(rejected, "data/multipie/rejected.parquet")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
