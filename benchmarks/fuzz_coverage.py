"""Coverage-guided fuzzing of our own parsers by atheris: ``make fuzz-coverage``, or ``python -m
benchmarks.fuzz_coverage --seconds 600`` where atheris can be imported.

What new code a file reaches decides what is tried next; half of the mutations know the files' structure
(`tests.hostile.mutations`). Each parser begins with small good files and goes on from the corpus of earlier nights, in
``.mfnet/fuzz/<parser>``. It ends at the first file that raises what it may not, takes two seconds or 256 MiB, or runs
code; that file is kept beside the corpus. Exit status 1 where there is one.
"""

import argparse
import io
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfnet.errors import InputError
from tests.hostile.mutations import mutated

CORPUS = Path(".mfnet/fuzz")
LONGEST = 1 << 16
"""Bytes of a file that is tried."""


@dataclass(frozen=True)
class Parser:
    """One of our parsers, of a file's bytes."""

    parse: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    """Good files."""
    refusals: tuple[type[Exception], ...] = (InputError,)
    """What it may raise."""


def read_all(value: object, depth: int = 0) -> None:
    """Look into what a pickle holds, as far as a reader would: arrays are made when they are asked for."""
    from mfnet.io.pickle_names import resolve

    value = resolve(value)
    if isinstance(value, dict) and depth < 3:
        for item in list(value.values())[:100]:
            read_all(item, depth + 1)


def pickle_machine(data: bytes) -> None:
    from mfnet.io.pickles import read_pickle

    read_all(read_pickle(data, "a.pkl"))


def torch_storages(data: bytes) -> None:
    from mfnet.io.pickles import read_pickle
    from mfnet.io.torch_storage import WITH_TENSORS

    read_all(read_pickle(data, "a.pkl", WITH_TENSORS))


def side_file(data: bytes) -> None:
    from mfnet.io.pickles import parse_npy
    from mfnet.scoring.loaders import SIDE_FILE_NAMES

    parse_npy(data, "a.npy", SIDE_FILE_NAMES)


def by_path(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of paths as a parser of bytes."""

    def parse(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
            file.write(data)
            file.flush()
            return read(Path(file.name))

    return parse


def npz(path: Path) -> None:
    from mfnet.io.npz import npz_shapes, read_npz

    read_npz(path, 1 << 24)
    npz_shapes(path)


def torch_file(path: Path) -> None:
    from mfnet.io.pickle_names import Refused
    from mfnet.io.torch_pickle import check_torch_file

    try:
        check_torch_file(path)
    except Refused as error:
        raise InputError(str(error)) from None


def obj(data: bytes) -> None:
    from mfnet.io.obj import parse_obj

    parse_obj(data)


def obj_with_uv(data: bytes) -> None:
    from mfnet.io.obj import parse_obj_with_uv

    parse_obj_with_uv(data, 1 << 20)


def mat(data: bytes) -> None:
    from mfnet.io.mat import parse_mat

    parse_mat(data, {"pt3d_68", "Pose_Para"})


def good(*names: str, ending: str = "") -> Callable[[], list[bytes]]:
    """The good files of some readers of `tests.hostile.readers`, those with an ending alone."""

    def seeds() -> list[bytes]:
        from tests.hostile.readers import READERS  # late, as all that imports a parser: it is to be instrumented

        files = [file for name in names for file in READERS[name].files().items()]
        return [content for name, content in files if name.endswith(ending)]

    return seeds


def small_pickles() -> list[bytes]:
    """Fields such as a head's: arrays of both orders, a sparse matrix, text, a number."""
    from scipy.sparse import csc_matrix

    ones = np.arange(12, dtype=np.float64).reshape(3, 4)
    content = {"a": ones, "b": np.asfortranarray(ones), "c": csc_matrix(ones), "f": np.ones(3, np.uint32), "s": "lbs"}
    return [pickle.dumps(content | {"n": 3, "list": [1.5, None, True]}, protocol) for protocol in (0, 2, 4)]


def pickled_tensors() -> list[bytes]:
    import torch

    content = {"a": torch.ones(3, 2), "b": torch.zeros(2, dtype=torch.int64), "c": np.ones(3)}
    return [pickle.dumps(content, protocol) for protocol in (2, 4)]


def small_archives() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, a=np.ones((3, 2), np.float32), b=np.array("text"), c=np.arange(4))
        found.append(buffer.getvalue())
    return found


PARSERS = {
    "pickle": Parser(pickle_machine, small_pickles),
    "torch-storages": Parser(torch_storages, pickled_tensors),
    "torch-file": Parser(by_path(torch_file), good("torch", "legacy torch")),
    "side-file": Parser(side_file, good("DECA", "RingNet", "MGCNet", ending=".npy")),
    "npz": Parser(by_path(npz), small_archives),
    "obj": Parser(obj, good("OBJ"), (ValueError,)),
    "obj-with-uv": Parser(obj_with_uv, good("template"), (ValueError,)),
    "mat": Parser(mat, good("AFLW", "packed AFLW", ending=".mat"), (ValueError,)),
}


def attempt(parser: Parser, data: bytes) -> bool:
    """Whether a parser takes a file; it may refuse it. Raises whatever else it does."""
    from tests.hostile.trial import SLOW, watched

    begin = time.process_time()
    with watched() as seen:
        try:
            parser.parse(data)
            taken = True
        except parser.refusals:
            taken = False
    if seen:
        raise RuntimeError(f"code ran: {seen}")
    if (seconds := time.process_time() - begin) > SLOW:
        raise RuntimeError(f"slow: {seconds:.1f} s of CPU")
    return taken


def run(name: str, seconds: int) -> None:
    """Fuzz one parser in this process, which ends with it."""
    import atheris

    parser, corpus = PARSERS[name], CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["mfnet.io", "mfnet.scoring.loaders"], enable_loader_override=False):
        seeds = parser.seeds()  # they import what they are made with
        for number, seed in enumerate(seeds):
            parser.parse(seed)  # unwatched: imports may start processes
            (corpus / f"seed-{number}").write_bytes(seed)
        from tests.hostile.trial import HUNG, LARGE

    def mutation(data: bytes, most: int, number: int) -> bytes:
        if number % 2:
            return atheris.Mutate(data, most)
        return mutated(data, np.random.default_rng(number), seeds)[:most]

    limits = [f"-max_total_time={seconds}", f"-timeout={HUNG}", f"-malloc_limit_mb={LARGE}", f"-max_len={LONGEST}"]
    # The limit of the whole: what the imports took, the corpus, and a file's 256 MiB.
    limits += ["-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={CORPUS}/{name}-"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], lambda data: attempt(parser, data), custom_mutator=mutation)
    atheris.Fuzz()


def main() -> None:
    """The command line."""
    description, _ = (__doc__ or "").split("\n\n", 1)
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=int, default=600, help="for each parser (default: %(default)s)")
    parser.add_argument("--parser", choices=list(PARSERS), help="this one alone")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        run(args.parser, args.seconds)
        return
    failed = []
    for name in [args.parser] if args.parser else PARSERS:
        words = ["--here", "--parser", name, "--seconds", str(args.seconds)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz_coverage", *words], stderr=subprocess.PIPE, text=True, check=False
        )
        said = [line for line in done.stderr.splitlines() if line.startswith(("stat::", "INFO: seed corpus"))]
        print(name, *said, sep="\n  ", flush=True)
        if done.returncode != 0:
            failed.append(name)
            print(done.stderr[-4000:], file=sys.stderr, flush=True)
    sys.exit(f"failed: {', '.join(failed)}; the files are in {CORPUS}" if failed else 0)


if __name__ == "__main__":
    main()
