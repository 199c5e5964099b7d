"""The trained network's claim to be MLflow's champion, from what the stages have left."""

import json
from pathlib import Path

from mfnet.audit.hashing import file_md5
from mfnet.params import Params
from mfnet.runs.champion import Candidate
from mfnet.tracking import Run


def propose_champion(params: Params, data: Path, items: str, record: Run) -> None:
    """Have the network of stage ``train`` judged by the rule in ``champion``.

    items: MD5 of the benchmark's data, as dvc.lock has it.
    """
    rule = params.champion
    metrics = data / "benchmark" / rule.protocol / "metrics.json"
    figures = json.loads(metrics.read_text(encoding="utf-8")) if rule.protocol in params.benchmark.protocols else {}
    figure = f"{rule.protocol}/all/{rule.method}/CD"
    diverged = bool(json.loads((data / "train" / "metrics.json").read_text(encoding="utf-8"))["diverged"])
    candidate = Candidate(figure, figures.get(figure), items, diverged)
    record.champion(rule.model, file_md5(data / "train" / "model.safetensors"), candidate, rule.margin)
