"""Stage ``capture``: virtual photo sessions in Multi-PIE's and FaceScape's layouts."""

from mfnet.synthetic.capture.archives import HeadFile, capture
from stages.common import run_stage, stage_parser


def run(params, args) -> None:
    """Write ``data/raw/multipie``, ``data/raw/facescape`` and ``data/raw/truth.parquet``."""
    head = HeadFile("data/head/head.npz", params.flame.n_shape, params.flame.n_expression)
    capture(head, params.capture, params.compute, "data/raw")


if __name__ == "__main__":
    run_stage(run, stage_parser(__doc__))
