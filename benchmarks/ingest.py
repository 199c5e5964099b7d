"""The scan of an archive of Multi-PIE's size against its floor: ``python -m benchmarks.ingest [--images N]``.

The floor is a walk that opens each file and reads both of its ends: no check of every header can do with less. Trees of
a quarter of the size and of the whole one are made (in `--folder`, which keeps them; else beside the temporary files),
with the archive's naming, 755,100 images of it, no two alike. Every job runs in a process of its own, floor and scan
in turns; figures are CPU time, which other work on the machine touches least, and the greatest resident memory.
"""

import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mfnet.datasets import multipie
from mfnet.datasets.scan import scan as scan_archive
from mfnet.io.walk import walk

IMAGES = 755_100
RATIO_WANTED = 0.8
MEMORY_WANTED = 2000
"""MB."""
RECORDINGS = {1: 2, 2: 3, 3: 3, 4: 3}
"""Session -> recordings of everybody in it."""
LIGHTS = 20


def png_writer() -> Callable[[int], bytes]:
    """number -> a PNG of 640 x 480 that is grey but for its last row, another for each number. The rows before are
    packed once, which makes a million files a matter of a minute."""
    row = bytes([0]) + bytes([128]) * (3 * multipie.WIDTH)
    above = row * (multipie.HEIGHT - 1)
    packer = zlib.compressobj(6)
    packed = packer.compress(above) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = zlib.adler32(above)
    size = struct.pack(">IIBBBBB", multipie.WIDTH, multipie.HEIGHT, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + _chunk(b"IDAT", packed)

    def write(number: int) -> bytes:
        last = b"\0" + struct.pack(">I", number) + row[5:]
        own = packer.copy()
        rest = own.compress(last) + own.flush()
        rest = rest[:-4] + struct.pack(">I", zlib.adler32(last, adler))
        return head + _chunk(b"IDAT", rest) + _chunk(b"IEND", b"")

    return write


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def folders() -> Iterator[tuple[str, int, int, str]]:
    """(subject, session, recording, camera) of an endless archive: subjects attend all sessions, then the next."""
    for number in multipie.SUBJECTS:
        for session, recordings in RECORDINGS.items():
            for recording in range(1, recordings + 1):
                for camera in [*multipie.YAW, *multipie.CEILING]:
                    yield f"{number:03d}", session, recording, camera


def make_tree(root: Path, images: int) -> None:
    """Write at least `images` images below `root`, in Multi-PIE's layout: whole folders of 20 flashes."""
    write, count = png_writer(), 0
    for place in folders():
        folder = (root / multipie.image_path(*place, 0)).parent
        folder.mkdir(parents=True)
        for light in range(LIGHTS):
            count += 1
            (root / multipie.image_path(*place, light)).write_bytes(write(count))
        if count >= images:
            return


# ------------------------------------------------------------------------------------------------------------- the jobs
def read_both_ends(root: str) -> int:
    """The floor: files below `root`, each opened and read at both ends."""
    count, waiting = 0, [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                    continue
                file = os.open(entry.path, os.O_RDONLY)
                size = os.fstat(file).st_size
                os.pread(file, 33, 0), os.pread(file, 20, max(size - 20, 0))
                os.close(file)
                count += 1
    return count


def bare_walk(root: str) -> int:
    return sum(not found.is_folder for found in walk(root))


def scan(root: str, kept: str | None = None) -> int:
    manifest, rejected = scan_archive(root, kept=kept)
    assert rejected.empty, rejected.iloc[0].tolist()
    return len(manifest)


JOBS = {"walk": bare_walk, "floor": read_both_ends, "scan": scan, "kept": scan}


def in_a_process(job: str, root: Path, kept: Path | None = None) -> dict:
    """What ``--job`` prints: files, CPU seconds, MB."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--job", job, str(root), *([str(kept)] if kept else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_job(name: str, *arguments: str) -> None:
    start = time.process_time()
    files = JOBS[name](*arguments)
    spent = time.process_time() - start
    print(json.dumps({"files": files, "cpu": spent, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))


def measure(root: Path, kept: Path, rounds: int) -> dict[str, float]:
    """Medians over the rounds; `kept` is filled by the first scan that keeps, which is measured too."""
    first = in_a_process("kept", root, kept)
    got: dict[str, list[float]] = {name: [] for name in ("walk", "floor", "scan", "again")}
    memory = [first["mb"]]
    for _ in range(rounds):
        for name in got:
            told = in_a_process("kept" if name == "again" else name, root, kept if name == "again" else None)
            got[name].append(told["cpu"])
            memory.append(told["mb"])
    ratios = [floor / whole for floor, whole in zip(got["floor"], got["scan"], strict=True)]
    medians = {name: statistics.median(values) for name, values in got.items()}
    return {
        "files": first["files"],
        **medians,
        "first": first["cpu"],
        "ratio": statistics.median(ratios),
        "mb": max(memory),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="of the larger tree (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where trees are made, and found again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run_job(*args.job)
        return
    with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
        print(f"{'images':>8} {'walk':>7} {'floor':>7} {'scan':>7} {'ratio':>6} {'keeping':>8} {'again':>7} {'MB':>6}")
        for images in (args.images // 4, args.images):
            root = (args.folder or Path(scratch)) / f"multipie-{images}"
            if not root.is_dir():
                make_tree(root, images)
            told = measure(root, Path(scratch, f"kept-{images}"), args.rounds)
            print(
                f"{told['files']:8d} {told['walk']:6.2f}s {told['floor']:6.2f}s {told['scan']:6.2f}s "
                f"{told['ratio']:6.2f} {told['first']:7.2f}s {told['again']:6.2f}s {told['mb']:6.0f}",
                flush=True,
            )
    print(f"CPU seconds of one process. wanted: ratio at least {RATIO_WANTED}, less than {MEMORY_WANTED} MB")


if __name__ == "__main__":
    main()
