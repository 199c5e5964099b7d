"""``mfnet doctor``: whether the pipeline can run on this machine."""

import json
from typing import Annotated

import typer

from mfnet.errors import InputError


def doctor(as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False) -> None:
    """Look at machine, versions, torch, disk, modes, data and ports, and say what to do.

    Exit status 1 where the pipeline would fail.
    """
    from mfnet.doctor import examine
    from mfnet.runs.outbox import workspace

    found = examine(workspace())
    if as_json:
        print(json.dumps([each._asdict() for each in found], indent=2))
    else:
        for each in found:
            print(f"{each.state:8} {each.check:12} {each.seen}" + (f"; {each.remedy}" if each.remedy else ""))
    failures = [each for each in found if each.state == "failure"]
    if failures:
        raise InputError(f"{len(failures)} failures, the first: {failures[0].seen}; {failures[0].remedy}")
