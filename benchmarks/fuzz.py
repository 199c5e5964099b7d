"""Hostile files for every reader of foreign files: ``python -m benchmarks.fuzz --cases 100000``.

Prints, for each reader, how many were read and refused, and what must be 0: uncaught exceptions, more than 2 s, more
than 256 MiB, code run, processes killed. A case is known by its reader and number: ``--reader NAME --first N
--cases 1`` repeats one. Exit status 1 where anything is wrong.
"""

import argparse
import collections
import logging
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tests.hostile.readers import READERS
from tests.hostile.trial import RIGHT, attempt, fixed_files, hostile_files

CHUNK = 1000
"""Cases that one process tries: it takes four seconds to start, and a second for these."""
KINDS = (*RIGHT, "uncaught", "slow", "large", "code run", "killed")


def run_chunk(name: str, first: int, count: int) -> list[tuple[int, str, str]]:
    """(number, kind, detail) of the cases `first` ... of a reader; those below 0 are its hand-made ones."""
    logging.disable(logging.WARNING)  # of which each file has its own
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = dict(enumerate(fixed_files(name, folder), -1_000_000)) if first == 0 else {}
        found = [(number, attempt(name, files, folder)) for number, files in made.items()]
        found += [(n, attempt(name, hostile_files(name, n), folder)) for n in range(first, first + count)]
    return [(number, outcome.kind, outcome.detail) for number, outcome in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="over all readers (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: %(default)s)")
    parser.add_argument("--reader", choices=list(READERS), help="this one alone")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    names = [args.reader] if args.reader else list(READERS)
    each = -(-args.cases // len(names))
    wrong = False
    print("reader".ljust(20), *(kind.rjust(9) for kind in KINDS), flush=True)
    for name in names:
        counts = collections.Counter()
        for number, kind, detail in outcomes(name, args.first, each, args.workers):
            counts[kind] += 1
            if kind not in RIGHT:
                wrong = True
                print(f"  {name} {number}: {kind}: {detail}", file=sys.stderr, flush=True)
        print(name.ljust(20), *(str(counts[kind]).rjust(9) for kind in KINDS), flush=True)
    sys.exit(wrong)


def outcomes(name: str, first: int, count: int, workers: int) -> list[tuple[int, str, str]]:
    """All cases of a reader, in processes of their own; a chunk whose process died counts as one killed."""
    found = []
    starts = [(start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK)]
    while starts:
        batch, starts = starts[:workers], starts[workers:]
        with ProcessPoolExecutor(len(batch), get_context("spawn")) as pool:
            pending = [(start, pool.submit(run_chunk, name, start, size)) for start, size in batch]
            for start, future in pending:
                try:
                    found += future.result()
                except BrokenProcessPool:
                    found.append((start, "killed", f"the process of cases {start} ... died"))
    return found


if __name__ == "__main__":
    main()
