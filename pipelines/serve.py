"""Serve all flows on their schedules, with a Prefect server unless one is configured; ends with Ctrl-C."""

import argparse
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)

from prefect import serve  # isort: skip

from pipelines.flows import FLOWS
from pipelines.server import server_until_exit

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

SCHEDULES = {"rebuild": "0 3 * * *", "audit": "0 6 * * *", "ablation": "0 9 * * 0", "benchmark": "0 12 * * 0"}
"""Flow -> when, as cron says it (UTC): every night, and on Sundays. prefect.yaml has the same."""


def deployments(schedules: Mapping[str, str]) -> list["RunnerDeployment"]:
    """The flows with their schedules: cron expressions, or seconds from one run to the next."""
    made = []
    for flow in FLOWS:
        when = schedules[flow.name]
        seconds = float(when) if when.replace(".", "", 1).isdigit() else None
        cron = when if seconds is None else None
        made.append(flow.to_deployment("scheduled", interval=seconds, cron=cron, description=flow.description))
    return made


def main(argv: list[str] | None = None) -> None:
    """Serve until ended. One run at a time: they share a workspace."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.serve", description=__doc__)
    parser.add_argument("--port", type=int, help="of the server to start (default: Prefect's own, 4200)")
    for name, when in SCHEDULES.items():
        parser.add_argument(f"--{name}", default=when, metavar="WHEN", help="cron or seconds (default: %(default)s)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    address = server_until_exit(scheduler=True, port=args.port)
    print(f"Prefect server: {address.removesuffix('/api')}", flush=True)
    serve(*deployments({name: getattr(args, name) for name in SCHEDULES}), limit=1)


if __name__ == "__main__":
    main()
