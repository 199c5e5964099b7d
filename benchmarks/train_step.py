"""What share of a training step is the two networks: ``python -m benchmarks.train_step [--flow
raft_small|raft_large|dis]``.

A step of `Trainer` on random triplets is timed against its bare networks: the encoder's forward and backward pass on
the same images, and the flow estimator on as many pairs (with the gradient to its images where the route needs it).
Both run in turns and CPU time is compared, so that other work on the machine touches both alike.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from mfnet.datasets.triplets import TripletBatch
from mfnet.flame import Flame
from mfnet.flame.makehuman import makehuman_head
from mfnet.flow import DisFlow, RaftFlow
from mfnet.losses.total import Objective
from mfnet.model.mfnet import MFNet
from mfnet.params import load_params
from mfnet.training.distributed import process
from mfnet.training.loop import set_up
from mfnet.training.trainer import Trainer, views_of

SHARE_WANTED = 0.8
"""Of a CPU step inside encoder and RAFT."""


def random_batch(triplets: int, size: int) -> TripletBatch:
    """Noise in place of photographs: what a step costs does not depend on what it sees."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (triplets, 3, 3, size, size), generator=generator, dtype=torch.uint8)
    landmarks = 0.5 * torch.randn(triplets, 3, 68, 2, generator=generator)
    ids = torch.arange(triplets)
    return TripletBatch(ids, ids, images, landmarks, torch.zeros(triplets, 3))


def bare_networks(trainer: Trainer, estimator, batch: TripletBatch) -> None:
    """The encoder forward and backward on the batch, the estimator on one pair per triplet."""
    prediction = trainer.model(views_of(batch.pixels(), trainer.views))
    sum(value.sum() for value in prediction.tensors()).backward()
    photos = batch.pixels()
    first, second = photos[:, 0], photos[:, 1].clone().requires_grad_(estimator.differentiable)
    flow = estimator.flow(first, second)
    if estimator.differentiable:
        flow.sum().backward()


def cpu_seconds(work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    parser.add_argument("--flow", choices=("raft_small", "raft_large", "dis"), default="raft_small")
    parser.add_argument("--batch", type=int, default=16, help="triplets (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    params = load_params(args.params)
    set_up(params.train)
    route = "target" if args.flow == "dis" else "through"
    loss = params.loss.model_copy(update={"flow_estimator": args.flow, "flow_gradient": route, "flow_cap": 10.0})
    flame = Flame(makehuman_head(), params.flame.n_shape, params.flame.n_expression)
    estimator = DisFlow() if args.flow == "dis" else RaftFlow(args.flow)
    batch = random_batch(args.batch, params.triplets.image_size)
    with process() as this:
        objective = Objective(flame, loss, params.model.n_albedo, estimator.flow)
        trainer = Trainer(MFNet(params.model, flame, params.triplets.crop_scale), objective, params.train, 1000, this)

        def step() -> None:
            trainer.step(batch, Path("bad_batch.pt"))

        def bare() -> None:
            bare_networks(trainer, estimator, batch)

        step(), bare()  # compile and allocate
        pairs = [(cpu_seconds(step), cpu_seconds(bare)) for _ in range(args.repeats)]
    whole, networks = (statistics.median(column) for column in zip(*pairs, strict=True))
    verdict = "" if args.flow == "dis" else f" (wanted: at least {SHARE_WANTED})"
    print(f"{args.flow}, {args.batch} triplets, {params.triplets.image_size} px, {params.train.threads} threads")
    print(f"step {whole:.3f} s CPU, bare networks {networks:.3f} s, share {networks / whole:.2f}{verdict}")


if __name__ == "__main__":
    main()
