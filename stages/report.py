"""Stage ``report``: the page that a run ends in."""

from argparse import Namespace
from pathlib import Path

from mfnet.params import Params
from mfnet.tracking import Run, guarded
from stages.common import run_stage, stage_parser


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write data/report/."""
    from mfnet.audit.recorded import versions_in_lock
    from mfnet.report.build import build_report
    from mfnet.report.champion import propose_champion
    from mfnet.report.sweep import publish_ablation

    build_report(params)
    if record.active:
        with guarded("the ablation"):
            publish_ablation(params, Path("data"))
        with guarded("the champion"):
            items = versions_in_lock(Path()).get(params.source.facescape, "not recorded")
            propose_champion(params, Path("data"), items, record)


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
