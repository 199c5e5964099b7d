"""Sends records to MLflow: ``python -m mfnet.runs.sender RECORD`` beside a stage, `sync` for what was left.

Sending is safe to repeat: a run is found again by its record's name, and what was sent twice counts once.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mfnet.audit.hashing import file_md5
from mfnet.runs import outbox
from mfnet.runs.champion import Candidate
from mfnet.runs.registry import NETWORK, REASON, decide, version_of
from mfnet.runs.store import address, artifact_location, client_at, current

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

SWEEP = "mfnet.sweep"
"""Tag of an experiment: the sweep that it holds."""
RECORD = "mfnet.record"
"""Tag of a run: the record that it was sent from."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag by which MLflow's UI opens an experiment with runs and charts instead of traces."""
NOTE = "mlflow.note.content"
"""Tag that MLflow shows as a description."""
ABOUT = {
    "pipeline": "Every execution of a DVC stage, by the stage's name: params, inputs and outputs by MD5, figures.",
    "ablation": "The last sweep: a run per variant and seed under equal metric names, and `summary`, which says which "
    "variant is better. Older sweeps are in experiments of their own.",
}
"""Experiment -> what it holds, for people."""
REFUSED = "mfnet.refused"
"""Tag of a run: what MLflow did not take."""
FINAL = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")
"""MLflow's codes of errors that come back however often one tries."""
BATCH = 1000
"""Metrics that MLflow takes in one call."""
PATIENCE = 30.0
"""Seconds between two attempts to send a record whose stage is at work."""


def send(folder: Path, root: Path) -> bool:
    """Send what a record holds and was not sent yet; whether it is complete, and therefore gone.

    A record of a killed process is complete: its run ends as KILLED. What MLflow refuses for good is named in the tag
    REFUSED, and the rest goes on; raises what else goes wrong, to be tried again.
    """
    with outbox.claimed(folder) as mine:
        if not mine:
            return False
        written = outbox.has_writer(folder)  # asked first: what a process wrote before it ended is then read
        progress = _begun(folder, root)
        if progress is not None and progress["run"] is not None:
            client = _client(progress["store"], root)
            ended = None
            for event, after in outbox.read(folder, progress["offset"]):
                if event["kind"] == "end":
                    ended = event
                elif problem := _refusal(SENT[event["kind"]], client, progress["run"], event, folder):
                    _refusal(client.set_tag, progress["run"], REFUSED, f"{event['kind']}: {problem}"[:500])
                if event["kind"] != "end":
                    _note(folder, progress | {"offset": after})
            if ended is None and written:
                return False
            status, moment = ("KILLED", None) if ended is None else (ended["status"], ended["time"])
            _refusal(client.set_terminated, progress["run"], status, moment)
        elif progress is None and written:
            return False
        shutil.rmtree(folder)
        return True


def _begun(folder: Path, root: Path) -> dict | None:
    """How far a record was sent: ``store``, ``run`` (its id, created if need be), ``offset``; None without events."""
    if known := (folder / outbox.PROGRESS).read_text():
        return json.loads(known)
    begin = next(outbox.read(folder), None)
    if begin is None:
        return None
    event, offset = begin
    progress = {"store": event["store"], "offset": offset}
    progress["run"] = _run_of(folder.name, event, _client(event["store"], root))
    _note(folder, progress)
    return progress


def _note(folder: Path, progress: dict) -> None:
    with contextlib.suppress(OSError):  # a full disk: what was sent will be sent again
        (folder / outbox.PROGRESS).write_text(json.dumps(progress))


def _refusal(call: Callable[..., object], *arguments: object) -> str:
    """Call, and return why MLflow refuses this for good, or nothing."""
    from mlflow import MlflowException

    try:
        call(*arguments)
    except MlflowException as error:
        if error.error_code not in FINAL:
            raise
        return error.message
    except FileNotFoundError as error:
        return str(error)
    return ""


def _client(store: str, root: Path) -> "MlflowClient":
    return client_at(store or address(root))


def _run_of(record: str, begin: dict, client: "MlflowClient") -> str | None:
    """The id of a record's run, created unless an earlier attempt has done so; None where the same run of the same
    sweep is there already."""
    sweep, name = begin.get("sweep", ""), begin["name"]
    experiment = _experiment(begin["experiment"], sweep, client)
    if known := client.search_runs([experiment], f"tags.`{RECORD}` = '{record}'", max_results=1):
        return known[0].info.run_id
    if sweep and client.search_runs([experiment], f"attributes.run_name = '{name}'", max_results=1):
        return None
    tags = begin["tags"] | {RECORD: record}
    return client.create_run(experiment, start_time=begin["time"], run_name=name, tags=tags).info.run_id


def _experiment(name: str, sweep: str, client: "MlflowClient") -> str:
    """The id of the experiment, created if need be. One of another sweep makes room: it gets its sweep's name too."""
    from mlflow import MlflowException

    for _ in range(2):
        found = client.get_experiment_by_name(name)
        if sweep and (found is None or found.tags.get(SWEEP) != sweep):
            if found is not None:
                client.rename_experiment(found.experiment_id, f"{name} {found.tags.get(SWEEP, found.experiment_id)}")
            found = client.get_experiment_by_name(f"{name} {sweep}")
            if found is not None:
                client.rename_experiment(found.experiment_id, name)
        if found is not None:
            return found.experiment_id
        with contextlib.suppress(MlflowException):  # another process was first
            tags = KIND | ({SWEEP: sweep} if sweep else {}) | ({NOTE: ABOUT[name]} if name in ABOUT else {})
            return client.create_experiment(name, artifact_location(client.tracking_uri, name), tags)
    raise RuntimeError(f"experiment {name}: cannot be created; is one of that name deleted?")


def _send_params(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    from mlflow.entities import Param

    client.log_batch(run, params=[Param(name, value) for name, value in event["values"].items()])


def _send_metrics(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(name, value, event["time"], step) for name, value, step in event["points"]]
    for first in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[first : first + BATCH])


def _send_tags(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run, tags=[RunTag(name, value) for name, value in event["values"].items()])


def _send_file(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    above = Path(event["path"]).parent.as_posix()
    client.log_artifact(run, str(folder / event["file"]), None if above == "." else above)


def _send_picture(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    """Drawn by the stage, encoded here, where nobody waits for it."""
    import numpy as np

    from mfnet.io.images import write_png

    pixels = folder / event["file"]
    picture = pixels.with_name(Path(event["path"]).name)
    write_png(np.load(pixels, allow_pickle=False), picture)
    _send_file(client, run, event | {"file": picture.relative_to(folder)}, folder)


def _send_inputs(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    """Data by path and DVC's MD5."""
    from mlflow.entities import Dataset, DatasetInput

    datasets = [
        Dataset(path, md5, "dvc", json.dumps({"path": path, "md5": md5})) for path, md5 in event["values"].items()
    ]
    client.log_inputs(run, [DatasetInput(dataset) for dataset in datasets])


def _send_model(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    """MLflow tries it on the example, and learns from that what goes in and comes out."""
    import mlflow
    import numpy as np

    import mfnet

    example = np.load(folder / event["example"], allow_pickle=False)
    network, model = file_md5(folder / event["files"]["model"]), event["registered"]
    known = version_of(network, model, client) is not None
    with current(client.tracking_uri), mlflow.start_run(run_id=run):
        kept = mlflow.pyfunc.log_model(
            name="model",
            registered_model_name=None if known else model,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={name: str(folder / place) for name, place in event["files"].items()},
            model_config=event["settings"],
            input_example=example,
            pip_requirements=[f"mfnet=={mfnet.__version__}"],
        )
        if kept.registered_model_version is not None:
            client.set_model_version_tag(model, str(kept.registered_model_version), NETWORK, network)


def _send_champion(client: "MlflowClient", run: str, event: dict, folder: Path) -> None:
    """The version may still wait in the record of the stage that trained it: then this one waits too."""
    try:
        said = decide(event["model"], event["network"], Candidate(**event["candidate"]), event["margin"], client)
    except LookupError as error:
        if any(other.name < folder.name for other in outbox.within(folder.parent) if not outbox.has_writer(other)):
            raise
        said = f"not decided: {error}"
    client.set_tag(run, REASON, said)


SENT: dict[str, Callable[["MlflowClient", str, dict, Path], None]] = {
    "params": _send_params,
    "metrics": _send_metrics,
    "tags": _send_tags,
    "file": _send_file,
    "picture": _send_picture,
    "inputs": _send_inputs,
    "model": _send_model,
    "champion": _send_champion,
}
"""Kind of event -> what sends it."""


def sync(root: Path, stop: Callable[[], bool] = lambda: False) -> tuple[int, int]:
    """Send all records of a workspace that no process writes any more; returns how many were sent and how many are
    left with their writer or another sender. Raises what MLflow raises, at the first record that cannot be sent."""
    sent, left = 0, 0
    for folder in outbox.records(root):
        if stop():
            break
        try:
            done = not outbox.has_writer(folder) and send(folder, root)
        except FileNotFoundError:
            if folder.exists():
                raise
            continue  # another process has sent it
        sent, left = sent + done, left + (not done)
    return sent, left


def follow(name: str, root: Path, source: int) -> None:
    """Send a record as it grows, and beside it what other processes have left, until its writer ends.

    source: file descriptor of a pipe from the writer: a byte says that there is more, its end that the writer has
    closed it or died. Raises what the last attempt raised.
    """
    ended, backlog, monitor = False, True, None
    while (folder := outbox.find(root, name)) is not None:
        failed: Exception | None = None
        try:
            if send(folder, root):
                sync(root)  # what this writer has left beside its own run
                return
        except Exception as error:
            failed = error
        if ended:
            if failed is not None:
                raise failed
            return
        if backlog and failed is None:
            backlog, monitor = False, _monitor(folder, root)
            with contextlib.suppress(Exception):  # none of this writer's business: `mfnet track sync` tells
                sync(root, stop=lambda: _closed(source))
        ended = _listen(source, None if failed is None else PATIENCE)
        if ended and monitor is not None:
            monitor.finish()


def _monitor(folder: Path, root: Path) -> "SystemMetricsMonitor":
    """Load and memory of the machine as curves of a run, every ten seconds; that they are lost hurts nobody."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    progress = json.loads((folder / outbox.PROGRESS).read_text())
    monitor = SystemMetricsMonitor(progress["run"], tracking_uri=progress["store"] or address(root))
    monitor.start()
    return monitor


def _listen(source: int, seconds: float | None) -> bool:
    """Wait for the writer, at most so long; whether it has ended."""
    ready, _, _ = select.select([source], [], [], seconds)
    return bool(ready) and not os.read(source, 4096)


def _closed(source: int) -> bool:
    """Whether the other end of a pipe is closed, without reading from it."""
    poll = select.poll()
    poll.register(source, 0)
    return bool(poll.poll(0))


def main() -> None:
    """Follow the record that the command line names; on failure one line on stdout and status 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's; its record tells how it ended
    name, root = sys.argv[1:]
    try:
        follow(name, Path(root), sys.stdin.fileno())
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        sys.exit(1)


if __name__ == "__main__":
    main()
