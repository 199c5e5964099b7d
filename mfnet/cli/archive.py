"""``mfnet archive``: tell DVC what a large image archive holds now."""

from mfnet.cli.options import PARAMS, ParamsFile


def archive(params: ParamsFile = PARAMS) -> None:
    """List a large Multi-PIE archive for DVC.

    Writes source.archive_listing, the listing of source.multipie: by it DVC sees a change.
    """
    from mfnet.datasets.archive import refresh_listing
    from mfnet.params import load_params

    source = load_params(params).source
    if source.archive_listing == source.multipie:
        print(f"{source.multipie}: DVC watches the folder itself; nothing to list")
    elif refresh_listing(source):
        print(f"{source.archive_listing}: the archive changed; `dvc repro` will look at it again")
    else:
        print(f"{source.archive_listing}: the archive is as it was")
