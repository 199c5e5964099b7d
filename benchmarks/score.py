"""CPU seconds that `mfnet benchmark score` takes for one item: reading, alignment, maps, distances, normals.

    python benchmarks/score.py --data DIR --predef DIR --pred DIR [--protocol wild] [--loader 3DDFA_V2] [--out FILE]

Without folders the front of a head-sized ellipsoid of 9k or 131k triangles stands for the meshes. The official code
took 0.62 s an item (median) on meshes of 9k triangles, and 1.1 s where the prediction has 131k; it is not run here,
because it needs Python 3.6, pyrender, pyembree and psbody-mesh. ``--peer`` times the step that dominates, the distances
between the two surfaces, with libigl in place of ours.
"""

import argparse
import datetime
import json
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from mfnet.datasets import facescape
from mfnet.io.obj import ObjMesh, write_obj
from mfnet.scoring import metrics
from mfnet.scoring.closest import surface_distances
from mfnet.scoring.meshes import Mesh
from mfnet.scoring.score import ScoreTask, Submission, benchmark_items, score_item

OFFICIAL = {"9k": 0.62, "131k": 1.1}
"""CPU seconds per item of the official code, measured once on the stand-in set (see the benchmark's README)."""


def ellipsoid(triangles: int) -> Mesh:
    """The front of a head-sized ellipsoid, canonical mm, as large as the stand-in's faces, of `triangles` triangles."""
    side = int(np.sqrt(triangles / 2))
    polar, around = np.linspace(0.25 * np.pi, 0.8 * np.pi, side + 1), np.linspace(-np.pi / 3, np.pi / 3, side + 1)
    ring, angle = np.meshgrid(polar, around, indexing="ij")
    vertices = np.stack([70 * np.sin(ring) * np.sin(angle), 90 * np.cos(ring), 80 * np.sin(ring) * np.cos(angle)], 2)
    k = np.arange(ring.size).reshape(ring.shape)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[:-1, 1:], k[1:, 1:]))
    return Mesh(vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([c, b, d], 1)]))


def write_set(root: Path, triangles: int, items: int) -> None:
    """A wild benchmark of ellipsoids and predictions that are 2 % larger, wavy, and 131k or 9k triangles."""
    wild = []
    for index in range(items):
        item = facescape.WildItem(
            index, facescape.view_rotation(index, 0) * [[1], [-1], [-1]], 130.0, np.array([0, 0, -10.0])
        )
        wild.append(item)
        for folder, mesh, scale in (("data/wild_gt_mesh", ellipsoid(9000), 1.0), ("pred", ellipsoid(triangles), 1.02)):
            wave = 1 + 0.02 * (scale - 1) * 50 * np.sin(mesh.vertices[:, :1] / 9)
            cube = (mesh.vertices * scale * wave) @ item.rotation.T / item.pupil_scale + item.head_centre_cube
            write_obj(root / folder / f"{item.name}.obj", ObjMesh(cube, mesh.faces), facescape.DECIMALS)
    facescape.write_wild_predef(root, wild)


def seconds_per_item(protocol: str, data, predef, pred, loader: str, repeats: int) -> float:
    """Median over items of the least CPU time of `repeats` runs."""
    submission = Submission.open(pred, protocol, loader)
    tasks = [
        ScoreTask(item, facescape.data_folder(data), submission) for item in benchmark_items(protocol, data, predef)
    ]
    score_item(tasks[0])  # compile, or load what was compiled
    times = []
    for task in tasks:
        runs = []
        for _ in range(repeats):
            start = time.process_time()
            row = score_item(task)
            runs.append(time.process_time() - start)
        if row["status"] == "ok":
            times.append(min(runs))
    return float(np.median(times))


def with_libigl():
    """Distances by libigl in place of ours."""
    import igl

    def distances(points, surface):
        return np.sqrt(igl.point_mesh_squared_distance(points, surface.vertices, surface.faces)[0])

    metrics.surface_distances = distances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--predef")
    parser.add_argument("--pred")
    parser.add_argument("--protocol", default="wild", choices=("wild", "lab"))
    parser.add_argument("--loader", default="3DDFA_V2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="time libigl's distances too")
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()} {platform.processor()}".strip(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        sets = {}
        if args.data:
            sets["9k"] = (args.protocol, args.data, args.predef, args.pred, args.loader)
        else:
            for name, triangles in (("9k", 9000), ("131k", 131000)):
                write_set(Path(scratch) / name, triangles, 4)
                sets[name] = ("wild", *[Path(scratch) / name] * 2, Path(scratch) / name / "pred", "camera")
        for own in (True, False) if args.peer else (True,):
            if not own:
                with_libigl()
            for name, arguments in sets.items():
                taken = seconds_per_item(*arguments, args.repeats)
                key = f"{name} triangles" + ("" if own else ", libigl distances")
                result[key] = {"cpu_seconds": round(taken, 4), "share_of_official": round(taken / OFFICIAL[name], 3)}
    metrics.surface_distances = surface_distances
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result, indent=2))
    if args.out:
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
