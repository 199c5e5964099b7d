"""``mfnet archive``: tell DVC what a large image archive holds now."""

from mfnet.cli.arguments import add_params


def add_commands(subparsers) -> None:
    """Add the room's commands to the ``mfnet`` command."""
    parser = subparsers.add_parser(
        "archive",
        help="list a large Multi-PIE archive for DVC",
        description="Write the listing of source.multipie to source.watch: by it DVC learns that the archive changed.",
    )
    add_params(parser)
    parser.set_defaults(run=_archive)


def _archive(args) -> None:
    from mfnet.datasets.archive import refresh_listing
    from mfnet.params import load_params

    source = load_params(args.params).source
    if source.watch == source.multipie:
        print(f"{source.multipie}: DVC watches the folder itself; nothing to list")
    elif refresh_listing(source):
        print(f"{source.watch}: the archive changed; `dvc repro` will look at it again")
    else:
        print(f"{source.watch}: the archive is as it was")
