"""Rebuild everything that has changed, with Prefect: stages that do not depend on each other at the same time."""

import argparse
import importlib
import signal
import sys

import pipelines  # noqa: F401  (sets Prefect's environment before its first import)
from pipelines.server import server_until_exit


def main(argv: list[str] | None = None) -> int:
    """Run once in this folder; 0 where all is up to date afterwards."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.rebuild", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="STAGE", help="make these with what they depend on (default: all)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="stages at once (default: as cores and memory allow)")
    parser.add_argument("--force", action="store_true", help="run stages although nothing has changed")
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs {args.jobs}: at least 1")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    server_until_exit(meanwhile=lambda: [importlib.import_module(name) for name in ("pipelines.flows", "dvc.repo")])
    from pipelines.flows import rebuild

    state = rebuild(args.targets, args.jobs, args.force, return_state=True)
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
