"""What training on photographs alone (eq. 11) does to a start: face error of held-out people before and after.

    python -m benchmarks.self_supervision --subjects 1000 --start-steps 400 --seeds 1 2 3
    python -m benchmarks.self_supervision --start data/pretrained/encoder.safetensors --set train.supervision=null

The photographs are rendered here: each person once from three sides, by cameras that fire together at the distance
``loss.camera_distance`` (or without perspective), with landmarks that are off by ``--noise`` px. Without ``--start`` a
weak start is made first by a shortened pre-training. Everything else is params.yaml's, changed by ``--set``.
"""

import argparse
import json
import tempfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from mfnet.datasets.plan import SLOTS
from mfnet.datasets.shards import SCHEMA, encode
from mfnet.flame import Flame, load_project_head
from mfnet.io.tensors import write_tensors
from mfnet.model.mfnet import load_mfnet
from mfnet.model.parameters import Person
from mfnet.model.pretrained import load_pretrained, save_pretrained
from mfnet.params import Params, load_params, overlaid
from mfnet.pretraining.encoder import pretrain_encoder
from mfnet.pretraining.figures import decode_face, face_error
from mfnet.pretraining.pools import HELD_OUT, sample_pool
from mfnet.profiles import load_profile
from mfnet.synthetic.sampler import CropFormat, Sample, Sampler
from mfnet.synthetic.subjects import texture_pool
from mfnet.training.loop import TrainingFiles, train

SKINS = 40


def photographs(flame: Flame, params: Params, seed: int, people: int) -> Sample:
    """People in three views under one flash each, from ``loss.camera_distance`` or (null) without perspective."""
    distance = params.loss.camera_distance
    near = {"orthographic_share": 1.0} if distance is None else {"nearest": distance, "farthest": distance}
    options = params.sampler.model_copy(update={"orthographic_share": 0.0, "one_flash": True} | near)
    skins, crop = texture_pool(flame, SKINS, 256, seed), CropFormat(128, params.triplets.crop_scale, 2)
    return sample_pool(Sampler(flame, skins, crop, options), seed, people, "photographs")


def noisy_landmarks(sample: Sample, noise: float, seed: int) -> torch.Tensor:
    """The landmarks [N, 3, 68, 2] (ndc), each off by a normal error of `noise` px of the 128 px crop in x and in y."""
    generator = torch.Generator().manual_seed(seed)
    return sample.landmarks + noise * 2 / 128 * torch.randn(sample.landmarks.shape, generator=generator)


def write_triplets(sample: Sample, noise: float, seed: int, path: Path) -> None:
    """The photographs with noisy landmarks as a shard of triplets."""
    landmarks, rows = noisy_landmarks(sample, noise, seed), []
    for person in range(len(sample.images)):
        row = {"triplet": person, "subject": str(person + 1), "session": 1, "recording": 1, "expression": "neutral"}
        for view, slot in enumerate(SLOTS):
            image = sample.images[person, view].permute(1, 2, 0).contiguous().numpy()
            data = encode(image, 95)
            row |= {f"image_{slot}": data, f"checksum_{slot}": zlib.crc32(data)}
            row[f"landmarks_{slot}"] = landmarks[person, view].flatten().numpy()
            row |= {f"yaw_{slot}": float(sample.yaw[person, view]), f"matrix_{slot}": torch.eye(3).flatten().numpy()}
            row[f"path_{slot}"] = f"{person}/{slot}"
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=64, use_dictionary=False)


def person_errors(flame: Flame, found: Person, people: Sample) -> torch.Tensor:
    """Face error [N] of the heads `found` for `people`, mm after scale and translation."""
    return face_error(decode_face(flame, found), decode_face(flame, people.person))


@torch.no_grad()
def errors(model, flame: Flame, held_out: Sample) -> torch.Tensor:
    """Face error [N] of held-out people, mm after scale and translation, with as many views as the model takes."""
    views = model.params.views
    parts = [model.eval()(images[:, :views].float() / 255) for images in held_out.images.split(50)]
    return person_errors(flame, Person.cat([part.person for part in parts]), held_out)


def run(params: Params, flame: Flame, start: Path, shards: list[Path], held_out: Sample, folder: Path) -> dict:
    """One training run -> its figures."""
    flow = folder / "flow.safetensors"
    write_tensors({"no_weights": torch.zeros(0)}, flow, {"kind": "flow", "estimator": "dis"})
    before = errors(load_pretrained(start, flame).model(params.model, flame), flame, held_out)
    metrics = train(params, flame, TrainingFiles(shards[:1], shards[1:], start, flow), folder, folder / "checkpoints")
    after = errors(load_mfnet(folder / "model.safetensors", flame), flame, held_out)
    difference = after - before
    return {
        "before_mm": float(before.mean()),
        "after_mm": float(after.mean()),
        "change_percent": float(100 * (after.mean() / before.mean() - 1)),
        "paired_standard_error_mm": float(difference.std() / len(difference) ** 0.5),
        "landmark_px": [metrics["start/landmark_px"], metrics["val/landmark_px"]],
    }


def changed(params: Params, settings: list[str]) -> Params:
    """params with ``section.key=value`` applied, validated."""
    values = params.model_dump()
    for setting in settings:
        name, _, text = setting.partition("=")
        section, _, key = name.partition(".")
        values = overlaid(values, {section: {key: yaml.safe_load(text)}})
    return Params.model_validate_json(json.dumps(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=1000, help="people who are photographed for training")
    parser.add_argument("--held-out", type=int, default=200, help="people the error is measured on")
    parser.add_argument("--noise", type=float, default=1.0, help="of the landmarks, px of the 128 px crop")
    parser.add_argument("--start", type=Path, help="file of stage pretrained@encoder; default: a weak one is trained")
    parser.add_argument("--start-steps", type=int, default=400, help="steps of the weak start")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one run each: start, people, order")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change params.yaml")
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    parser.add_argument("--head", default="data/head", help="folder of stage head")
    args = parser.parse_args()
    params = changed(load_params(args.params), args.set)
    torch.set_num_threads(params.train.threads)
    flame = load_project_head(args.head, params.flame)
    held_out = photographs(flame, params, HELD_OUT, args.held_out)
    mean = person_errors(flame, held_out.person.map(torch.zeros_like), held_out)
    print(f"mean head {float(mean.mean()):.3f} mm", flush=True)
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as name:
            folder, start = Path(name), args.start
            if start is None:
                start, weak = folder / "encoder.safetensors", {"subjects": 1500, "skins": SKINS}
                config = load_profile("from-scratch").pretrained.encoder.model_copy(
                    update=weak | {"seed": seed, "steps": args.start_steps}
                )
                save_pretrained(pretrain_encoder(params, config, flame)[0], start, half=True)
            shards = [folder / "train-00000.parquet", folder / "val-00000.parquet"]
            for number, (path, count) in enumerate(zip(shards, (args.subjects, 64), strict=True)):
                people = 1000 * seed + number
                write_triplets(photographs(flame, params, people, count), args.noise, people, path)
            seeded = changed(params, [f"train.seed={seed}"])
            print(json.dumps({"seed": seed} | run(seeded, flame, start, shards, held_out, folder)), flush=True)


if __name__ == "__main__":
    main()
