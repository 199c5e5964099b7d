"""Stage ``benchmark``: the FaceScape protocol of MFNet and its baselines, ``wild`` or ``lab``."""

from argparse import Namespace
from pathlib import Path

from mfnet.params import Params
from mfnet.tracking import Run
from stages.common import run_stage, stage_parser

SINGLE = "views-1"
"""The ablation variant that is the single-view model."""


def run(params: Params, args: Namespace, record: Run) -> None:
    """Write ``data/benchmark/<protocol>/scores.parquet``, ``metrics.json`` and ``meshes.npz``."""
    from mfnet.benchmark.artifacts import require_disjoint, write_benchmark
    from mfnet.benchmark.methods import Models
    from mfnet.benchmark.protocol import Cropper, pictured_items, run_protocol
    from mfnet.compute.executor import Compute
    from mfnet.fitting.batch import Refiner
    from mfnet.flame import load_project_head
    from mfnet.landmarks.backends import make_backend
    from mfnet.model.mfnet import load_mfnet
    from mfnet.scoring.error_maps import error_picture
    from mfnet.scoring.score import Benchmark, benchmark_items

    root = Path(params.source.facescape)
    benchmark = Benchmark(args.protocol, root, benchmark_items(args.protocol, root, root))
    compute = Compute.of(params.compute)
    if params.benchmark.subject_disjoint:
        require_disjoint(root, "data/multipie/plan.parquet")
    flame = load_project_head("data/head", params.flame)
    single_view = None
    if SINGLE in params.ablation.run:
        single_view = load_mfnet(f"data/ablation/{SINGLE}-{params.ablation.seeds[0]}/model.safetensors", flame)
    runs = [f"{variant}-{seed}" for variant in params.ablation.run for seed in params.ablation.seeds]
    scored = runs if args.protocol == "wild" else []  # the paper's Table 3 is of the wild set
    variants = {name: load_mfnet(f"data/ablation/{name}/model.safetensors", flame) for name in scored}
    refiner = None
    if params.benchmark.refine:
        flow = Path("data/pretrained/flow.safetensors")
        refiner = Refiner(Path("data/head/head.npz"), params.loss.flow_estimator, flow, params.refine, compute)
    multi_view = load_mfnet("data/train/model.safetensors", flame)
    models = Models(flame, single_view, multi_view, refiner, params.benchmark.use_calibrated_camera)
    backend = make_backend(params.landmarks, root / "data", "data/pretrained/landmarks.safetensors")
    cropper = Cropper(backend.detect, params.triplets.image_size, params.triplets.crop_scale)
    names = pictured_items(benchmark.items, params.benchmark.items_shown)
    result = run_protocol(benchmark, models, cropper, variants, names, compute)
    out = Path("data/benchmark") / args.protocol
    write_benchmark(out, benchmark, result, names, flame, params.benchmark)
    for (method, name), distances in result.distances.items():
        record.picture(error_picture(distances), f"errors/{name}/{method}.png")


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("protocol", choices=("wild", "lab"))
    run_stage(run, parser)


if __name__ == "__main__":
    main()
