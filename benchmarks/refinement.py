"""What refinement at test time brings: face error of held-out people before and after, with and without flow.

    python -m benchmarks.refinement --start data/pretrained/encoder.safetensors --people 40

People, cameras and light are those of `benchmarks.self_supervision`: three photographs under one flash; their landmarks
are off by ``--noise`` px, each by itself. The network is the start; OpenCV's DIS flow stands beside the RAFT of
``pretrained.flow``.
"""

import argparse
import time
from pathlib import Path

import cv2
import torch

from benchmarks.self_supervision import noisy_landmarks, person_errors, photographs
from mfnet.fitting.refine import FlowEvidence, refine
from mfnet.flame import load_project_head
from mfnet.flow import DisFlow, load_flow
from mfnet.model.parameters import Person
from mfnet.model.pretrained import load_pretrained
from mfnet.params import load_params
from mfnet.pretraining.pools import HELD_OUT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--noise", type=float, default=0.9, help="of the landmarks, px of the 128 px crop")
    parser.add_argument("--start", type=Path, default=Path("data/pretrained/encoder.safetensors"))
    parser.add_argument("--flow", type=Path, default=Path("data/pretrained/flow.safetensors"))
    parser.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    parser.add_argument("--head", default="data/head", help="folder of stage head")
    args = parser.parse_args()
    params = load_params(args.params)
    torch.set_num_threads(params.train.threads)
    cv2.setNumThreads(1)
    flame = load_project_head(args.head, params.flame)
    people = photographs(flame, params, HELD_OUT + 1, args.people)
    landmarks, images = noisy_landmarks(people, args.noise, HELD_OUT), people.images.float() / 255
    model = load_pretrained(args.start, flame).model(params.model, flame).eval()
    with torch.no_grad():
        predictions = model(images)
    raft = params.pretrained.flow.estimator
    flows = {"landmarks": None, "and dis": DisFlow().flow, f"and {raft}": load_flow(raft, args.flow).flow}

    def error(found: Person) -> float:
        return float(person_errors(flame, found, people).mean())

    mean = error(people.person.map(torch.zeros_like))
    before = error(predictions.person)
    print(f"mean head {mean:.3f} mm, network {before:.3f} mm ({before / mean:.3f} of the mean head)")
    for label, estimate in flows.items():
        start, fits = time.process_time(), []
        for person in range(args.people):
            one = predictions[person : person + 1]
            flow = None if estimate is None else FlowEvidence(estimate, images[person])
            fits.append(refine(flame, one, landmarks[person], flow, params.refine).prediction.person)
        seconds = (time.process_time() - start) / args.people
        after = error(Person.cat(fits))
        shares = f"{after / mean:.3f} of the mean head, {after / before:.3f} of the network"
        print(f"{label}: {after:.3f} mm, {shares}; {seconds:.1f} s CPU a person", flush=True)


if __name__ == "__main__":
    main()
