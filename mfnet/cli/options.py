"""Options that several commands share. Nothing heavy is imported here."""

from pathlib import Path
from typing import Annotated

import typer

ParamsFile = Annotated[Path, typer.Option("--params", help="Params file.")]
PARAMS = Path("params.yaml")
