"""Stage ``ingest``: list the archive, Multi-PIE or a calibrated set, and sort out what cannot be used."""

import stages.portable  # noqa: F401

# isort: split

from argparse import Namespace

from mfnet.compute.executor import Compute
from mfnet.datasets.calibrated_scan import scan_calibrated
from mfnet.datasets.scan import Look, scan
from mfnet.export.contact import contact_sheet
from mfnet.io.files import write_table
from mfnet.io.images import write_png
from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser

KEPT = ".mfnet/scan"
"""What any run has found out about each file."""


def run(params: Params, args: Namespace, record: Run) -> None:
    from mfnet.datasets import quality

    source, compute = params.source, Compute.of(params.compute)
    if source.layout == "multipie":
        look = Look(params.ingest.hash == "content", params.ingest.decode == "full")
        manifest, rejected = scan(source.multipie, compute, look, KEPT)
        check = quality.check_manifest
    else:
        decode = params.ingest.decode == "full"
        manifest, rejected = scan_calibrated(source.multipie, source.layout, source.anchor, compute, decode, KEPT)
        check = quality.check_calibrated_manifest
    check(manifest, rejected, params.ingest.max_rejected, "data/multipie/ingest.json")
    write_table(manifest, "data/multipie/manifest.parquet")
    write_table(rejected, "data/multipie/rejected.parquet")
    write_png(contact_sheet(source.multipie, manifest), "data/multipie/contact_sheet.png")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
