"""What the report says: one function per section, each reading artifacts and nothing else."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mfnet.benchmark.names import BY_NAME, unposed
from mfnet.licences import Licensed, verdict
from mfnet.params import Params
from mfnet.report.findings import findings, overview
from mfnet.report.page import PageSection
from mfnet.report.plots import plot_ablation, plot_benchmark, plot_errors, plot_history
from mfnet.scoring.published import published_means
from mfnet.scoring.statistics import compare_methods

PROTOCOLS = {
    "wild": "One image an item, orthographic, four yaw bins; only depth is aligned, so pose and scale count.",
    "lab": "Perspective, 11 views and 3 focal lengths a subject. Methods of three views see the item's own view, the "
    "frontal one and the one opposite; the `views` column of scores.parquet names them.",
}
COLUMNS = (
    "CD in mm with the 95 % bootstrap interval over items, MNE in rad (the official, legacy figure), CR as a share; "
    "`done` is the share of items with a result."
)


def results_section(
    rows: pd.DataFrame, scores: dict[str, pd.DataFrame], differences: pd.DataFrame | None
) -> PageSection:
    """What a reader wants first: every method in every bin, the best in bold, and what that says."""
    section = PageSection("Results")
    for sentence in findings(rows, scores, differences):
        section.note(sentence)
    table, best = overview(rows)
    section.table(table, "results", best=best)
    section.note(
        "CD (Chamfer distance, mm): the mean distance between the faces of answer and scan, both ways, after the "
        "official alignment; the best of a column in bold. Intervals, other figures and what the methods are: below."
    )
    return section


def benchmark_section(rows: pd.DataFrame, scores: pd.DataFrame, protocol: str) -> PageSection:
    """The table of one protocol, its chart and the paired comparisons against mfnet_3 or mfnet_1."""
    section = PageSection(f"FaceScape {protocol}", folded=True)
    section.note(f"{PROTOCOLS[protocol]} {COLUMNS}")
    own = rows.loc[rows.protocol == protocol]
    best = own.groupby("bin").CD.transform("min") == own.CD
    marks = ["best" if flag else "" for flag in best]
    table = own.drop(columns="protocol").reset_index(drop=True)
    section.table(table, f"benchmark_{protocol}", marks, {"MNE": ".3f", "CR": ".3f"})
    methods = list(dict.fromkeys(own.method))
    for method in methods:
        section.note(f"{method}: {BY_NAME[method].meaning if method in BY_NAME else 'see docs/choices.md'}.")
    section.picture(plot_benchmark(rows, protocol), f"benchmark_{protocol}", f"CD by bin and method, {protocol}")
    chief = "mfnet_3" if protocol == "lab" else "mfnet_1"
    posed = {unposed(method): method for method in methods if unposed(method) != method}
    plain = [method for method in methods if method not in posed.values()]
    pairs = [compare_methods(scores, chief, other) for other in plain if other != chief]
    if chief in posed:  # like with like: the mean head is posed by landmarks too
        others = [other for other in ("mean_head", *posed.values()) if other != posed[chief]]
        pairs += [compare_methods(scores, posed[chief], other) for other in others]
    if pairs:
        section.heading(f"{chief} against the others, item by item")
        section.note("Difference in CD on the items that both have; below zero is in favour of the first.")
        section.table(pd.DataFrame(pairs), f"paired_{protocol}")
    return section


def pictures_section(params: Params, folder: Path) -> PageSection:
    """Held-out subjects: photographs, overlays, clay and textured heads from new views."""
    from mfnet.datasets.triplets import TripletShards
    from mfnet.export.sheets import first_of_each_subject, person_sheet
    from mfnet.flame import load_project_head
    from mfnet.io.images import encode_png
    from mfnet.model.mfnet import load_mfnet

    section = PageSection("Held-out people")
    section.note(
        "Subjects of the validation split, never trained on. Above: the three crops with their detected landmarks, "
        "then the predicted head over each. Below: the head from three views that no photograph shows, as clay, then "
        "with the texture fused from the photographs (holes filled)."
    )
    flame = load_project_head(folder / "head", params.flame)
    model = load_mfnet(folder / "train" / "model.safetensors", flame)
    shards = TripletShards(sorted((folder / "triplets").glob("val-*.parquet")))
    batch = first_of_each_subject(shards, params.report.subjects_shown)
    for item, subject in enumerate(batch.subject.tolist()):
        sheet = person_sheet(model, flame, batch, item, params.loss.inverse_distance)
        section.picture(encode_png(sheet), f"subject_{subject:03d}", f"subject {subject:03d}")
    return section


def error_section(path: Path, protocol: str) -> PageSection:
    """Where the errors lie: the front of the face in colour for a few items and all methods."""
    section = PageSection(f"Error maps, {protocol}", folded=True)
    section.note("Distance to the ground truth seen from the front after the official alignment, 0-5 mm.")
    with np.load(path) as arrays:
        images = {name.split("/", 1)[1]: arrays[name] for name in arrays.files if name.startswith("image/")}
        maps = {tuple(name.split("/")[1:]): arrays[name] for name in arrays.files if name.startswith("distance/")}
    if images and maps:
        section.picture(
            plot_errors(images, maps), f"errors_{protocol}", f"error maps of {len(images)} items, {protocol}"
        )
    return section


def ablation_section(runs: pd.DataFrame, differences: pd.DataFrame | None) -> PageSection:
    """One row per variant and seed: what training ended with, and CD in wild; then each variant against full."""
    section = PageSection("Ablation", folded=True)
    section.note(
        "Table 3 of the paper: the same training with one term removed. The paper gives one run of each; a difference "
        "smaller than the spread between seeds says nothing. `diverged` runs are flagged, never dropped."
    )
    marks = ["marked" if flag else "" for flag in runs["diverged"]]
    section.table(runs, "ablation", marks, form=dict.fromkeys(runs.columns, "#.3g"))  # losses of very different size
    if differences is not None and len(differences):
        section.note(
            "Each variant against the full loss in wild, one image in every slot. `difference` is in mm of CD, paired "
            "by seed and item (below 0: better than full), `low` and `high` its 95 % bootstrap interval over items; "
            "`spread` and `spread_difference` are standard deviations over seeds."
        )
        section.table(differences, "ablation_differences", form=dict.fromkeys(differences.columns, ".3f"))
    measured = runs.dropna(subset=["CD"]) if "CD" in runs else runs.iloc[:0]
    if len(measured):
        section.picture(plot_ablation(measured), "ablation", "CD in wild per ablation variant")
    return section


def published_section() -> PageSection:
    """The fourteen published methods on the real benchmark: another data set, so another table."""
    section = PageSection("Published baselines", folded=True)
    section.note(
        "Results that the benchmark's authors published for 14 methods on the real FaceScape benchmark (means over "
        "items; NaN items left out, their share is in `done`). Marked `published`: they are not comparable with the "
        "tables of a synthetic set above. Three of 168 cells of the paper's Table 1 do not follow from them, and its "
        "Table 2 follows from no subset of the lab items; docs/choices.md has both."
    )
    section.table(published_means(), "published", form={"MNE": ".3f", "CR": ".3f"})
    return section


def training_section(folder: Path) -> PageSection:
    """Loss curves and the last figures of the main run."""
    section = PageSection("Training", folded=True)
    history = pd.read_parquet(folder / "train" / "history.parquet")
    section.picture(plot_history(history), "history", "terms of eq. 11 over the training steps")
    metrics = json.loads((folder / "train" / "metrics.json").read_text())
    section.table(
        pd.DataFrame(sorted(metrics.items()), columns=["metric", "value"]), "train_metrics", form={"value": ".4g"}
    )
    return section


def weights_section(folder: Path) -> PageSection:
    """Held-out figures of the three pre-trained networks."""
    section = PageSection("Start weights", folded=True)
    section.note("Measured by the weights stages on held-out synthetic renders, at this run.")
    rows = [
        {"network": path.stem, "figure": name, "value": value}
        for path in sorted((folder / "pretrained").glob("*.json"))
        for name, value in sorted(json.loads(path.read_text()).items())
    ]
    section.table(pd.DataFrame(rows, columns=["network", "figure", "value"]), "weights", form={"value": ".3f"})
    return section


def data_section(folder: Path) -> PageSection:
    """What went in, what was turned away and why."""
    section = PageSection("Data", folded=True)
    multipie = folder / "multipie"
    plan = pd.read_parquet(multipie / "plan.parquet")
    plan = plan.loc[~plan.reserve]
    counts = {
        "images in the manifest": len(pd.read_parquet(multipie / "manifest.parquet", columns=["path"])),
        "triplets planned": len(plan),
        "subjects planned": plan.subject.nunique(),
        "images with landmarks": len(pd.read_parquet(multipie / "landmarks.parquet", columns=["path"])),
    }
    for split in ("train", "val"):
        shards = sorted((folder / "triplets").glob(f"{split}-*.parquet"))
        counts[f"triplets in shards, {split}"] = sum(len(pd.read_parquet(path, columns=["triplet"])) for path in shards)
    section.table(pd.DataFrame(counts.items(), columns=["what", "count"]), "counts")
    section.heading("One recording as every camera saw it")
    section.note("From left to right by the camera's yaw, a row per flash: noses turn from the left to the right.")
    section.picture((multipie / "contact_sheet.png").read_bytes(), "contact_sheet", "contact sheet of one recording")
    section.heading("Turned away")
    rejected = []
    for stage, name in (("ingest", "rejected"), ("landmarks", "landmarks_rejected"), ("triplets", "triplets_rejected")):
        reasons = pd.read_parquet(multipie / f"{name}.parquet").reason.str.split(":").str[0].value_counts().sort_index()
        rejected += [{"stage": stage, "reason": reason, "count": count} for reason, count in reasons.items()]
    section.table(pd.DataFrame(rejected, columns=["stage", "reason", "count"]), "rejected")
    return section


def licences_section(rows: Sequence[Licensed]) -> PageSection:
    """What the figures stand on that others own, and whether they may be shown."""
    section = PageSection("Licences", folded=True)
    section.note(
        f"{verdict(rows).reason} What the run stands on, by hash, and under which licence, as its owner declares it; "
        "what is not declared is to be told in `flame` and `licences` of params.yaml."
    )
    section.table(pd.DataFrame(rows, columns=list(Licensed._fields)), "licences")
    return section


SUITES = {
    "ingest": "Manifest: every image that can be used, and what was turned away",
    "landmarks": "Landmarks: what the gates saw before any row was rejected, and the rows that passed",
    "triplets": "Triplets: every row of the shards",
}
"""Stage -> what its suite looks at."""


def docs_section(folder: Path) -> PageSection:
    """Data Docs: every expectation of the three suites, and how many rows it met."""
    section = PageSection("Data Docs", folded=True)
    section.note(
        "What Great Expectations held the tables to, in its words. All were met, or the stage would have stopped; "
        "`exceptions` are rows that fell short of one that some may miss."
    )
    for stage, title in SUITES.items():
        section.heading(title)
        docs = json.loads((folder / "multipie" / f"{stage}_suite.json").read_text())
        columns = ["expectation", "file", "rows", "exceptions"]
        section.table(pd.DataFrame(docs, columns=columns), f"expectations_{stage}")
    return section
