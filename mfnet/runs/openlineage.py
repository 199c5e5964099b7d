"""OpenLineage events of stages, for catalogues such as Marquez: written to a file where the user names one, sent to
nobody. Needs the extra ``openlineage``; nothing here can stop a stage."""

import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mfnet.runs.outbox import workspace
from mfnet.tracking import guarded

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

OPTION = "MFNET_OPENLINEAGE"
"""Environment variable with the file to append to, one event a line; relative to the workspace. Unset: no events."""
NAMESPACE = "mfnet"
"""Of jobs and data: data are named by their path in the workspace, so that equal ones are equal in every clone."""
PRODUCER = "https://pypi.org/project/mfnet"


@dataclass(frozen=True)
class Execution:
    """One run of a stage."""

    job: str
    """The stage's address."""
    description: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    """Git revision, whether it was dirty, and the like."""
    inputs: Mapping[str, str]
    """Path -> MD5."""
    run: str = field(default_factory=lambda: str(uuid.uuid4()))

    def emit(self, kind: str, outputs: Mapping[str, str] | None = None, error: str = "") -> None:
        """Append an event: START, COMPLETE or FAIL. outputs: path -> MD5 of what was made."""
        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import (
            documentation_job,
            error_message_run,
            execution_parameters_run,
            job_type_job,
            tags_run,
        )
        from openlineage.client.transport.file import FileConfig, FileTransport

        one = execution_parameters_run.ExecutionParameter
        values = [one(key, name=key, value=each) for key, each in self.params.items()]
        tags = [tags_run.TagsRunFacetFields(key, value, "mfnet") for key, value in self.tags.items()]
        facets = {
            "executionParameters": execution_parameters_run.ExecutionParametersRunFacet(values),
            "tags": tags_run.TagsRunFacet(tags),
        }
        if error:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "python")
        about = {
            "documentation": documentation_job.DocumentationJobFacet(self.description),
            "jobType": job_type_job.JobTypeJobFacet("BATCH", "DVC", "STAGE"),
        }
        event = RunEvent(
            eventType=RunState[kind],
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(self.run, facets),
            job=Job(NAMESPACE, self.job, about),
            producer=PRODUCER,
            inputs=_inputs(self.inputs),
            outputs=_outputs(outputs or {}),
        )
        path = workspace() / os.environ[OPTION]
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):  # stages run side by side
            client = OpenLineageClient(transport=FileTransport(FileConfig(str(path), append=True)))
            client.emit(event)


@contextmanager
def reported(execution: Execution) -> Iterator[dict[str, str]]:
    """Events about a block: START, then COMPLETE, or FAIL where it raises. Yields the outputs, path -> MD5, to be
    filled in. Without OPTION nothing is written; what goes wrong here is a line on stderr."""
    outputs: dict[str, str] = {}
    if not os.environ.get(OPTION):
        yield outputs
        return
    with guarded("OpenLineage (pip install 'mfnet[openlineage]')"):
        execution.emit("START")
    try:
        yield outputs
    except BaseException as error:
        with guarded("OpenLineage"):
            execution.emit("FAIL", error=f"{type(error).__name__}: {error}")
        raise
    with guarded("OpenLineage"):
        execution.emit("COMPLETE", outputs)


def _inputs(versions: Mapping[str, str]) -> "list[InputDataset]":
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    facet = dataset_version_dataset.DatasetVersionDatasetFacet
    return [InputDataset(NAMESPACE, path, facets={"version": facet(md5)}) for path, md5 in versions.items()]


def _outputs(versions: Mapping[str, str]) -> "list[OutputDataset]":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    facet = dataset_version_dataset.DatasetVersionDatasetFacet
    return [OutputDataset(NAMESPACE, path, facets={"version": facet(md5)}) for path, md5 in versions.items()]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
