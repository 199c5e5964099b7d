"""``mfnet table``: the benchmark table in the terminal."""


def add_commands(subparsers) -> None:
    """Add the room's commands to the ``mfnet`` command."""
    parser = subparsers.add_parser("table", help="print the benchmark table", description="Print the benchmark table.")
    parser.add_argument("--summary", default="data/report/summary.json", help="default: %(default)s")
    parser.set_defaults(run=_table)


def _table(args) -> None:
    from pathlib import Path

    import pandas as pd

    from mfnet.errors import InputError

    path = Path(args.summary)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro` first")
    rows = pd.read_json(path, orient="records", dtype={"bin": str})
    interval = rows.apply(lambda row: f"{row.CD:.2f} [{row.CD_low:.2f}, {row.CD_high:.2f}]", axis=1)
    shown = rows.assign(**{"CD (mm) [95 %]": interval}).drop(columns=["CD", "CD_low", "CD_high"])
    order = ["protocol", "bin", "method", "views", "CD (mm) [95 %]", "MNE", "CR", "items", "done"]
    print(shown[order].to_string(index=False, formatters={"MNE": "{:.3f}".format, "CR": "{:.3f}".format}))
