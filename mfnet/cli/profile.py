"""``mfnet profile``: the complete params.yaml of a profile."""

from pathlib import Path
from typing import Annotated

import typer

from mfnet.cli.options import PARAMS


def profile(
    name: Annotated[str, typer.Argument(help="embedded, an overlay in params/ by its name, or the path of one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = PARAMS,
) -> None:
    """Write the complete params.yaml of a profile and say what changed."""
    from mfnet.profiles import write_profile

    changes = write_profile(name, out)
    print("\n".join(changes))
    print(f"{out}: {len(changes)} keys changed")
