"""Stage ``report``: the page that a run ends in."""

from stages.common import run_stage, stage_parser


def run(params, args) -> None:
    """Write data/report/."""
    from mfnet.report.build import build_report

    build_report(params)


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
