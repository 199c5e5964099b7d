"""FLAME's decoder against the smplx package, side by side: ``python -m benchmarks.flame``.

Both decode the same random head of FLAME's size (V = 5023) on the CPU, with landmarks, in turns; the figure is the
ratio of the medians of CPU time, so that other work on the machine touches both alike.
"""

import argparse
import time

import numpy as np
import torch

from mfnet.flame.head import HeadArrays, LandmarkEmbedding
from mfnet.flame.model import Flame

VERTICES, FACES = 5023, 9976
SIZES = [(batch, shape, expression) for batch in (24, 96) for shape, expression in ((100, 50), (300, 100))]
RATIO_WANTED = 1.5


def random_head(vertices: int = VERTICES, faces: int = FACES, seed: int = 0) -> HeadArrays:
    """A head of FLAME's sizes with random numbers in it: 300 + 100 directions, dense skinning weights, landmarks."""
    rng = np.random.default_rng(seed)

    def points(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        corners = rng.random((*shape, 3)).astype(np.float32)
        return rng.integers(0, faces, shape), corners / corners.sum(-1, keepdims=True)

    def normal(*shape: int, scale: float) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights = rng.random((vertices, 5)).astype(np.float32) ** 4
    regressor = rng.random((5, vertices)).astype(np.float32) ** 8
    return HeadArrays(
        v_template=normal(vertices, 3, scale=0.1),
        shapedirs=normal(vertices, 3, 400, scale=1e-3),
        posedirs=normal(vertices, 3, 36, scale=1e-3),
        joint_regressor=regressor / regressor.sum(1, keepdims=True),
        weights=weights / weights.sum(1, keepdims=True),
        faces=rng.integers(0, vertices, (faces, 3)),
        parents=np.array([-1, 0, 1, 1, 1]),
        n_shape_total=300,
        landmarks=LandmarkEmbedding(*points(51), *points(79, 17), *points(68)),
    )


class SmplxDecoder:
    """What `smplx.FLAME.forward` computes, from its own functions; the directions are joined once, not at each call."""

    def __init__(self, head: HeadArrays, n_shape: int, n_expression: int, dtype: torch.dtype = torch.float32):
        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.tensor(array, dtype=dtype if array.dtype.kind == "f" else torch.long)

        first = head.n_shape_total
        self.directions = tensor(head.shapedirs[:, :, [*range(n_shape), *range(first, first + n_expression)]])
        self.template, self.weights = tensor(head.v_template), tensor(head.weights)
        self.posedirs = tensor(head.posedirs.reshape(-1, 36).T)
        self.regressor, self.parents, self.faces = map(tensor, (head.joint_regressor, head.parents, head.faces))
        if head.landmarks is not None:
            self.static = tensor(head.landmarks.static_faces), tensor(head.landmarks.static_weights)

    def __call__(self, coefficients: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """coefficients [B, n], pose [B, 15] -> vertices [B, V, 3], joints [B, 5, 3], static landmarks [B, 51, 3]."""
        from smplx.lbs import lbs, vertices2landmarks

        arguments = (self.template, self.directions, self.posedirs, self.regressor, self.parents, self.weights)
        vertices, joints = lbs(coefficients, pose, *arguments)
        batch = len(pose)
        faces, weights = (part[None].expand(batch, *part.shape).contiguous() for part in self.static)
        return vertices, joints, vertices2landmarks(vertices, self.faces, faces, weights)


def seconds(call) -> float:
    """CPU seconds of one call, of all threads, after a pause in which those of the call before stop spinning."""
    time.sleep(0.03)
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(head: HeadArrays, batch: int, n_shape: int, n_expression: int, rounds: int) -> dict[str, float]:
    """Median seconds of both decoders, forward and forward + backward, taken in turns."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = Flame(head, n_shape, n_expression), SmplxDecoder(head, n_shape, n_expression)
    coefficients = torch.randn(batch, n_shape + n_expression, generator=generator, requires_grad=True)
    pose = (0.2 * torch.randn(batch, 15, generator=generator)).requires_grad_()

    def decode_ours() -> torch.Tensor:
        out = ours(
            coefficients[:, :n_shape], coefficients[:, n_shape:], pose[:, :3], pose[:, 3:6], pose[:, 6:9], pose[:, 9:]
        )
        return out.vertices.square().sum() + out.landmarks.square().sum()

    def decode_theirs() -> torch.Tensor:
        vertices, _, landmarks = theirs(coefficients, pose)
        return vertices.square().sum() + landmarks.square().sum()

    def forward(decode):
        with torch.no_grad():
            decode()

    times: dict[str, list[float]] = {name: [] for name in ("forward", "smplx forward", "backward", "smplx backward")}
    for _ in range(rounds + 2):
        times["forward"].append(seconds(lambda: forward(decode_ours)))
        times["smplx forward"].append(seconds(lambda: forward(decode_theirs)))
        times["backward"].append(seconds(lambda: decode_ours().backward()))
        times["smplx backward"].append(seconds(lambda: decode_theirs().backward()))
    return {name: float(np.median(values[2:])) for name, values in times.items()}


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="timed calls of each decoder")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; more need a machine without other work")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    head = random_head()
    print(f"{'batch':>5} {'coefficients':>12} {'forward ms':>10} {'smplx ms':>9} {'ratio':>6}", end=" ")
    print(f"{'fwd+bwd ms':>10} {'smplx ms':>9} {'ratio':>6}")
    for batch, n_shape, n_expression in SIZES:
        times = compare(head, batch, n_shape, n_expression, args.rounds)
        cells = [f"{batch:5d} {n_shape:6d} + {n_expression:3d}"]
        for kind in ("forward", "backward"):
            mine, peer = times[kind], times[f"smplx {kind}"]
            cells.append(f"{1e3 * mine:10.1f} {1e3 * peer:9.1f} {peer / mine:6.2f}")
        print(" ".join(cells), flush=True)
    print(f"wanted: ratios of at least {RATIO_WANTED}; CPU time, {args.threads} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
