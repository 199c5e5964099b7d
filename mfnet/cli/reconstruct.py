"""``mfnet reconstruct``: from photographs to a textured head file."""

from pathlib import Path

from mfnet.cli.arguments import add_params


def add_commands(subparsers) -> None:
    """Add the room's commands to the ``mfnet`` command."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="three photographs in, one textured head out",
        description="Reconstruct a textured head from a frontal photograph and one from each side.",
    )
    parser.add_argument("frontal", type=Path, help="photograph from the front")
    parser.add_argument("left", type=Path, help="photograph by a camera on the subject's left")
    parser.add_argument("right", type=Path, help="photograph by a camera on the subject's right")
    parser.add_argument("-o", "--out", type=Path, default=Path("head.glb"), help=".glb or .obj (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="artifacts of `dvc repro` (default: %(default)s)"
    )
    parser.add_argument(
        "--refine", action="store_true", help="fit the answer further to landmarks and flow, some seconds of CPU"
    )
    add_params(parser)
    parser.set_defaults(run=_reconstruct)


def _reconstruct(args) -> None:
    import torch

    from mfnet.export.meshes import export_head
    from mfnet.fitting.refine import refine
    from mfnet.flame import load_project_head
    from mfnet.flow import load_flow
    from mfnet.landmarks.backends import make_backend
    from mfnet.model.mfnet import load_mfnet
    from mfnet.model.projection import ViewParameters
    from mfnet.model.reconstruction import OUTLINE_MARGIN, crop_photos, textured
    from mfnet.params import load_params

    params = load_params(args.params)
    flame = load_project_head(args.data / "head", params.head)
    model = load_mfnet(args.data / "train" / "model.safetensors", flame)
    paths = [args.frontal, args.left, args.right]
    backend = make_backend(params.landmarks, ".", args.data / "weights" / "landmarks.safetensors")
    photos = crop_photos(paths, backend, params.triplets.image_size, params.triplets.crop_scale)
    with torch.no_grad():
        answer = model(photos.images[None])
    closeness = 0.0
    if args.refine:
        flow = load_flow(params.loss.flow_estimator, args.data / "weights" / "flow.safetensors").flow
        refined = refine(flame, answer, photos.images, photos.landmarks, flow)
        sigma = 1000 * refined.vertex_sigma[flame.masks["face"]].mean()
        answer, closeness = refined.prediction, refined.closeness[None]
        print(f"refined: standard deviation of the face {sigma:.2f} mm")
    person = textured(flame, ViewParameters.of(answer, 1), photos.images, closeness, margin=OUTLINE_MARGIN)
    texture = (person.texture * 255).round().byte().permute(1, 2, 0).numpy()
    export_head(args.out, person.neutral, flame, texture)
    seen = float((person.known > 0).float().mean())
    print(f"{args.out}: {len(person.neutral)} vertices, {seen:.0%} of the texture seen in the photographs")
