"""The loader of triplets against a bare decode loop and its peers: ``python -m benchmarks.loader [--shards FOLDER]``.

All read the same JPEGs in one process and one thread, in turns, and end in the same batches: images, landmarks, yaws,
numbers. The bare loop decodes images that lie in memory and throws them away. Peers (webdataset, LitData, MosaicML
streaming) take part where they are installed; the project needs none of them. Figures are CPU time per image.
"""

import argparse
import importlib.util
import io
import logging
import statistics
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mfnet.compute.memory import keep_freed_memory
from mfnet.datasets.plan import SLOTS
from mfnet.datasets.shards import SCHEMA, encode
from mfnet.datasets.triplets import TripletShards

SHARE_WANTED = 0.9
BATCH = 16
GROUP = 64

Sample = dict
Job = Callable[[], int]
"""Reads everything once and says how many triplets came out."""


def make_shard(path: Path, size: int, count: int) -> None:
    """Triplets of blurred noise, which as JPEG takes about as many bytes as a face."""
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        row = {"triplet": number, "subject": f"{number % 300:03d}", "session": 1, "recording": 1}
        row["expression"] = "neutral"
        for slot in SLOTS:
            noise = rng.normal(0, 1, (size, size, 3)).astype(np.float32)
            image = 128 + 280 * cv2.GaussianBlur(noise, (0, 0), 3.0)
            data = encode(image.clip(0, 255).astype(np.uint8), 95)
            row |= {f"image_{slot}": data, f"checksum_{slot}": zlib.crc32(data), f"yaw_{slot}": 0.0}
            row |= {f"landmarks_{slot}": rng.uniform(-1, 1, 136).astype(np.float32), f"matrix_{slot}": [1.0] * 9}
            row[f"path_{slot}"] = f"{number}/{slot}"
        rows.append(row)
    pq.write_table(
        pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=GROUP, compression="none", use_dictionary=False
    )


def read_samples(shards: list[Path]) -> list[Sample]:
    """Every triplet as a dictionary of encoded images and numbers, as many as fill batches."""
    rows = [row for path in shards for row in pq.read_table(path).to_pylist()]
    return [
        {
            **{slot: row[f"image_{slot}"] for slot in SLOTS},
            "landmarks": np.array([row[f"landmarks_{slot}"] for slot in SLOTS], np.float32),
            "yaw": np.array([row[f"yaw_{slot}"] for slot in SLOTS], np.float32),
            "triplet": row["triplet"],
            "subject": int(row["subject"]),
        }
        for row in rows[: len(rows) - len(rows) % BATCH]
    ]


def decode(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def collate(samples: list[Sample]) -> tuple[torch.Tensor, ...]:
    """What a batch of ours holds, from what a peer gives."""
    images = torch.from_numpy(np.stack([decode(sample[slot]) for sample in samples for slot in SLOTS]))
    return (
        images.unflatten(0, (len(samples), len(SLOTS))).permute(0, 1, 4, 2, 3),
        torch.from_numpy(np.stack([sample["landmarks"] for sample in samples])).unflatten(-1, (68, 2)),
        torch.from_numpy(np.stack([sample["yaw"] for sample in samples])),
        torch.tensor([int(sample["triplet"]) for sample in samples]),
        torch.tensor([int(sample["subject"]) for sample in samples]),
    )


def count_batched(samples) -> int:
    """Triplets in the batches of a stream of samples."""
    waiting, count = [], 0
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == BATCH:
            count += len(collate(waiting)[0])
            waiting = []
    return count


# -------------------------------------------------------------------------------------------------------------- readers
def bare(samples: list[Sample]) -> Job:
    def run() -> int:
        for sample in samples:
            for slot in SLOTS:
                decode(sample[slot])
        return len(samples)

    return run


def ours(shards: list[Path], threads: int) -> Job:
    triplets = TripletShards(shards)
    order = triplets.order(0, 1)
    order = order[: len(order) - len(order) % BATCH]
    rows = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    return lambda: sum(len(batch.triplet) for batch in triplets.batches(rows, threads))


def webdataset_job(samples: list[Sample], folder: Path) -> Job:
    import webdataset

    for first in range(0, len(samples), GROUP):
        with tarfile.open(folder / f"{first:06d}.tar", "w") as tar:
            for sample in samples[first : first + GROUP]:
                numbers = [sample["landmarks"].ravel(), sample["yaw"], [sample["triplet"], sample["subject"]]]
                content = {f"{slot}.jpg": sample[slot] for slot in SLOTS}
                content["numbers.bin"] = np.concatenate(numbers).astype(np.float32).tobytes()
                for name, data in content.items():
                    info = tarfile.TarInfo(f"{sample['triplet']:06d}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))

    def unpacked(item: dict) -> Sample:
        numbers = np.frombuffer(item["numbers.bin"], np.float32)
        rest = {"landmarks": numbers[:408].reshape(3, 136), "yaw": numbers[408:411]}
        rest |= {"triplet": numbers[411], "subject": numbers[412]}
        return {slot: item[f"{slot}.jpg"] for slot in SLOTS} | rest

    def run() -> int:
        tars = sorted(str(path) for path in folder.glob("*.tar"))
        data = webdataset.WebDataset(tars, shardshuffle=10, seed=1, empty_check=False).shuffle(8 * GROUP)
        return count_batched(data.map(unpacked))

    return run


def litdata_job(samples: list[Sample], folder: Path) -> Job:
    import litdata
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="8MB")
    for index, sample in enumerate(samples):
        tensors = {name: torch.from_numpy(sample[name]) for name in ("landmarks", "yaw")}
        writer[index] = sample | tensors
    writer.done()
    writer.merge()

    def run() -> int:
        data = litdata.StreamingDataset(str(folder), shuffle=True, seed=1)
        return count_batched(item | {name: item[name].numpy() for name in ("landmarks", "yaw")} for item in data)

    return run


def streaming_job(samples: list[Sample], folder: Path) -> Job:
    import streaming

    columns = dict.fromkeys(SLOTS, "bytes") | {"landmarks": "ndarray:float32:3,136", "yaw": "ndarray:float32:3"}
    columns |= {"triplet": "int", "subject": "int"}
    with streaming.MDSWriter(out=str(folder), columns=columns, size_limit=1 << 23) as writer:
        for sample in samples:
            writer.write(sample)

    def run() -> int:
        streaming.base.util.clean_stale_shared_memory()
        settings = {"shuffle": True, "shuffle_seed": 1, "batch_size": BATCH, "num_canonical_nodes": 1}
        return count_batched(streaming.StreamingDataset(local=str(folder), **settings))

    return run


PEERS = {"webdataset": webdataset_job, "litdata": litdata_job, "streaming": streaming_job}


def peers(samples: list[Sample], folder: Path) -> dict[str, Job]:
    """The peers that are installed and can read what they wrote."""
    jobs = {}
    for name, make in PEERS.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed")
            continue
        place = folder / name
        place.mkdir()
        try:
            job = make(samples, place)
            assert job() == len(samples)
        except Exception as error:  # whatever a foreign package trips over is its own affair
            print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}")
            continue
        jobs[name] = job
    return jobs


def compare(shards: list[Path], rounds: int) -> None:
    samples = read_samples(shards)
    images = len(samples) * len(SLOTS)
    kilobytes = statistics.mean(len(sample[slot]) for sample in samples for slot in SLOTS) / 1e3
    print(f"{decode(samples[0]['frontal']).shape[0]} px, {len(samples)} triplets, {kilobytes:.1f} kB an image")
    with tempfile.TemporaryDirectory(prefix="loader-") as folder:
        jobs = {"bare decode": bare(samples), "mfnet": ours(shards, 1), "mfnet, 2 threads": ours(shards, 2)}
        jobs |= peers(samples, Path(folder))
        spent: dict[str, list[float]] = {name: [] for name in jobs}
        for run in jobs.values():
            run()
        for _ in range(rounds):
            for name, run in jobs.items():
                start = time.process_time()
                run()
                spent[name].append((time.process_time() - start) / images * 1e6)
    for name, times in spent.items():
        share = statistics.median(first / own for first, own in zip(spent["bare decode"], times, strict=True))
        microseconds = f"{statistics.median(times):7.1f} us an image, least {min(times):7.1f}"
        print(f"  {name:18} {microseconds}; of bare decode {share:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, help="folder of shards to read in place of made ones")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224], help="of made images, px")
    parser.add_argument("--triplets", type=int, default=416)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_freed_memory()  # as every stage does
    logging.disable(logging.WARNING)  # of peers
    if args.shards is not None:
        compare(sorted(args.shards.glob("train-*.parquet")), args.rounds)
    else:
        with tempfile.TemporaryDirectory(prefix="shards-") as folder:
            for size in args.sizes:
                path = Path(folder, f"{size}.parquet")
                make_shard(path, size, args.triplets)
                compare([path], args.rounds)
    print(f"wanted: mfnet at least {SHARE_WANTED} of bare decode and ahead of every peer")


if __name__ == "__main__":
    main()
