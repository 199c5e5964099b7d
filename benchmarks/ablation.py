"""What each variant of the ablation did to the shape: face error of people that no stage has seen, paired with `full`.

    mfnet profile nightly && dvc repro
    python -m benchmarks.ablation --people 200

The benchmark of the profile has some twenty items; random people have the power to see a hundredth of a millimetre.
They are photographed as in `benchmarks.self_supervision`. Intervals are over people, after the mean over seeds: they
say nothing about other starts. A single-view model is asked for each of the three views, and its errors are averaged.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.self_supervision import errors, photographs
from mfnet.flame import Flame, load_project_head
from mfnet.model.mfnet import load_mfnet
from mfnet.params import load_params
from mfnet.pretraining.pools import HELD_OUT
from mfnet.scoring.statistics import bootstrap_interval
from mfnet.synthetic.sampler import Sample
from mfnet.training.trainer import views_of


def model_errors(path: Path, flame: Flame, people: Sample) -> torch.Tensor:
    """Face error [N] of one model, mm after scale and translation."""
    model = load_mfnet(path, flame)
    seen = replace(people, images=views_of(people.images, model.params.views))
    return errors(model, flame, seen).unflatten(0, (len(people.images), -1)).mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--models", type=Path, default=Path("data/ablation"), help="folder of the stages ablate@...")
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    parser.add_argument("--head", default="data/head", help="folder of stage head")
    args = parser.parse_args()
    params = load_params(args.params)
    torch.set_num_threads(params.train.threads)
    flame = load_project_head(args.head, params.flame)
    people = photographs(flame, params, HELD_OUT, args.people)
    full = None
    for variant in ("full", *(name for name in params.ablation.run if name != "full")):
        paths = [args.models / f"{variant}-{seed}" / "model.safetensors" for seed in params.ablation.seeds]
        found = torch.stack([model_errors(path, flame, people) for path in paths])  # [seeds, people]
        full = found if full is None else full
        paired = found - full
        low, high = bootstrap_interval(paired.mean(0).numpy(), 1000, 0)
        each = " ".join(f"{float(value):+.4f}" for value in paired.mean(1))
        mean = f"{found.mean():.3f} mm (spread over seeds {found.mean(1).std():.3f})"
        print(f"{variant}: {mean}, minus full {paired.mean():+.4f} [{low:+.4f}, {high:+.4f}], each {each}", flush=True)


if __name__ == "__main__":
    main()
