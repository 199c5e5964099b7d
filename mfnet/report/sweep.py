"""The ablation as runs that MLflow's UI can chart: one per variant and seed under equal names, and a summary."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mfnet import tracking
from mfnet.audit.hashing import file_md5
from mfnet.benchmark.names import ABLATION
from mfnet.params import Params
from mfnet.report.ablation import FULL, ablation_differences, ablation_runs
from mfnet.report.plots import plot_ablation
from mfnet.tracking import DEP, flatten

EXPERIMENT = "ablation"
FIGURES = ("CD", "MNE", "CR")
LAB = {FULL: "mfnet_3", "views-1": "mfnet_1_averaged"}
"""Variant -> the method that lab scores with its network and three photographs; lab scores no other variant."""


def publish_ablation(params: Params, data: Path) -> None:
    """Record the sweep in MLflow's experiment ``ablation``; a sweep that is there already is not recorded twice.

    Every run has the metrics ``wild/<bin>/<CD, MNE, CR>`` and, where lab has scored it, ``lab/CD``; tags variant, seed,
    dropped_term, diverged; as params every key that some variant changes; and what it comes from. The run ``summary``
    has table, picture and verdict. The stage's own run must be open: it sends these.
    """
    figures = {
        name: json.loads((data / "benchmark" / name / "metrics.json").read_text(encoding="utf-8"))
        for name in params.benchmark.protocols
    }
    wild = None
    if "wild" in params.benchmark.protocols:
        wild = pd.read_parquet(data / "benchmark" / "wild" / "scores.parquet")
    runs = ablation_runs(params, data, wild)
    sources = _sources(params, data)
    sweep = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:16]
    switched = sorted({key for name in params.ablation.run for key in flatten(params.ablation.variants[name])})
    for row in runs.to_dict("records"):
        variant, seed = row["variant"], row["seed"]
        own = flatten(params.variant(variant).model_dump(mode="json"))
        name = f"{variant}-{seed}"
        tags = {"variant": variant, "seed": str(seed), "dropped_term": dropped_term(params, variant)}
        tags["diverged"] = str(row["diverged"]).lower()
        changes = flatten(params.ablation.variants[variant])
        tags["mlflow.note.content"] = ", ".join(f"{key}: {value}" for key, value in changes.items()) or "the full loss"
        tags["mlflow.source.name"] = f"python -m stages.train --variant {variant} --seed {seed}"
        tags |= {DEP + path: md5 for path, md5 in sources.items() if f"/{name}/" in path or "/benchmark/" in path}
        with tracking.run(EXPERIMENT, name, {key: own.get(key) for key in switched}, tags, sweep=sweep) as record:
            record.metrics(variant_figures(figures, variant, seed, params))
    if wild is None:
        return
    table = ablation_differences(params, wild)
    tags = {DEP + path: md5 for path, md5 in sources.items()} | {"mlflow.note.content": summary(table)}
    with tracking.run(EXPERIMENT, "summary", {}, tags, sweep=sweep) as record:
        record.file(summary(table), "ablation.md")
        record.file(table.to_csv(index=False), "ablation.csv")
        record.file(plot_ablation(runs), "ablation.png")


def _sources(params: Params, data: Path) -> dict[str, str]:
    """Path -> MD5 of what the sweep's figures are made of."""
    names = [f"{variant}-{seed}" for variant in params.ablation.run for seed in params.ablation.seeds]
    paths = [data / "ablation" / name / file for name in names for file in ("model.safetensors", "metrics.json")]
    folders = [data / "benchmark" / protocol for protocol in params.benchmark.protocols]
    paths += [folder / file for folder in folders for file in ("scores.parquet", "metrics.json")]
    return {path.as_posix(): file_md5(path) for path in paths}


def dropped_term(params: Params, variant: str) -> str:
    """Which loss terms a variant sets to zero, ``none`` where it sets none."""
    losses = params.ablation.variants[variant].get("loss", {})
    return ", ".join(key for key, value in losses.items() if value == 0) or "none"


def variant_figures(
    figures: Mapping[str, Mapping[str, float | None]], variant: str, seed: int, params: Params
) -> dict[str, float | None]:
    """A variant's figures by names that are equal for all variants.

    figures: protocol -> its metrics file (``<protocol>/<bin>/<method>/<figure>``).
    """
    found = {}
    for key, value in figures.get("wild", {}).items():
        protocol, name, *method, figure = key.split("/")
        if "/".join(method) == f"{ABLATION}{variant}-{seed}" and figure in FIGURES:
            found[f"{protocol}/{name}/{figure}"] = value
    scored = {FULL: params.train.seed, "views-1": params.ablation.seeds[0]}
    if scored.get(variant) == seed and "lab" in figures:
        found["lab/CD"] = figures["lab"].get(f"lab/all/{LAB[variant]}/CD")
    return found


def verdict(row: Mapping[str, float]) -> str:
    """What a paired difference and its interval say: lower CD is better."""
    if row["low"] <= 0 <= row["high"]:
        return "cannot be told from full"
    return "better than full" if row["high"] < 0 else "worse than full"


def summary(table: pd.DataFrame) -> str:
    """The sweep in Markdown: a sentence on the best variant, then every variant against the full loss.

    table: of `ablation_differences`; without the full loss there is nothing to compare with, and it is empty.
    """
    if table.empty:
        return f"No variant `{FULL}` in this sweep: nothing to compare with.\n"
    rows = table.to_dict("records")
    best = min(rows, key=lambda row: row["CD"])
    said = "" if best["variant"] == FULL else f", {verdict(best)}"
    lines = [
        f"Lowest CD in wild: **{best['variant']}**, {best['CD']:.3f} mm{said}.",
        "",
        "| variant | seeds | items | CD (mm) | spread over seeds | minus full | 95 % interval | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        compared = ["", "", ""]
        if row["variant"] != FULL:
            compared = [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}", verdict(row)]
        spread = "one seed" if row["seeds"] == 1 else f"{row['spread']:.4f}"
        cells = [row["variant"], row["seeds"], row["items"], f"{row['CD']:.4f}", spread, *compared]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
