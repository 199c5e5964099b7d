"""Stage ``report``: the page that a run ends in."""

from argparse import Namespace

from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write data/report/."""
    from mfnet.report.build import build_report

    build_report(params)


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
