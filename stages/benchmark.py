"""Stage ``benchmark``: the FaceScape protocol of MFNet and its baselines, ``wild`` or ``lab``."""

from pathlib import Path

from stages.common import run_stage, stage_parser

SINGLE = "views-1"
"""The ablation variant that is the single-view model."""


def run(params, args) -> None:
    """Write ``data/benchmark/<protocol>/scores.parquet``, ``metrics.json`` and ``meshes.npz``."""
    from mfnet.benchmark.artifacts import require_disjoint, write_benchmark
    from mfnet.benchmark.methods import Models
    from mfnet.benchmark.protocol import Cropper, pictured_items, run_protocol
    from mfnet.fitting.batch import Refiner
    from mfnet.flame import load_project_head
    from mfnet.landmarks.backends import make_backend
    from mfnet.model.mfnet import load_mfnet
    from mfnet.scoring.error_maps import error_picture
    from mfnet.scoring.score import benchmark_items
    from stages.provenance import tracked

    root = Path(params.source.facescape)
    items = benchmark_items(args.protocol, root, root)
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
        refiner = Refiner(params.loss.flow_estimator, flow, params.compute.executor, params.compute.workers)
    multi_view = load_mfnet("data/train/model.safetensors", flame)
    models = Models(flame, single_view, multi_view, refiner, params.benchmark.use_calibrated_camera)
    backend = make_backend(params.landmarks, root / "data", "data/pretrained/landmarks.safetensors")
    names = pictured_items(items, params.benchmark.items_shown)
    with tracked(f"benchmark@{args.protocol}", "benchmark", args.protocol, params.benchmark.model_dump()) as record:
        table, results, pictures = run_protocol(
            args.protocol,
            items,
            root,
            models,
            Cropper(backend.detect, params.triplets.image_size, params.triplets.crop_scale),
            variants,
            names,
            params.compute.executor,
            params.compute.workers,
        )
        out = Path("data/benchmark") / args.protocol
        chosen = [item for item in items if item.name in names]
        metrics = write_benchmark(out, table, results, pictures, chosen, root, flame, params.benchmark)
        record.metrics(metrics)
        for (method, name), distances in pictures.items():
            record.picture(error_picture(distances), f"errors/{name}/{method}.png")


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("protocol", choices=("wild", "lab"))
    run_stage(run, parser)


if __name__ == "__main__":
    main()
