"""``mfnet archive``: tell DVC what a large image archive holds now."""

from mfnet.cli.arguments import add_params


def add_commands(subparsers) -> None:
    """Add the room's commands to the ``mfnet`` command."""
    parser = subparsers.add_parser(
        "archive",
        help="list a large Multi-PIE archive for DVC",
        description="Write source.archive_listing, the listing of source.multipie: by it DVC sees a change.",
    )
    add_params(parser)
    parser.set_defaults(run=_archive)


def _archive(args) -> None:
    from mfnet.datasets.archive import refresh_listing
    from mfnet.params import load_params

    source = load_params(args.params).source
    if source.archive_listing == source.multipie:
        print(f"{source.multipie}: DVC watches the folder itself; nothing to list")
    elif refresh_listing(source):
        print(f"{source.archive_listing}: the archive changed; `dvc repro` will look at it again")
    else:
        print(f"{source.archive_listing}: the archive is as it was")
