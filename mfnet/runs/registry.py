"""Trained networks in MLflow's registry: a version for each, and the alias ``champion``."""

from typing import TYPE_CHECKING

from mfnet.runs.champion import ALIAS, Candidate, judged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NETWORK = "mfnet.network"
"""Tag of a version: the MD5 of its network's file."""
REASON = "champion.reason"
"""Tag of a version and of the run that decided: why the alias was moved to it, or was not."""
FIGURE, VALUE, ITEMS, DIVERGED = "benchmark.figure", "benchmark.value", "benchmark.items", "diverged"
"""Tags of a version: what it was judged by."""


def version_of(network: str, model: str, client: "MlflowClient") -> "ModelVersion | None":
    """The newest version of a registered model that has the network of this MD5."""
    found = [each for each in client.search_model_versions(f"name = '{model}'") if each.tags.get(NETWORK) == network]
    return max(found, key=lambda version: int(version.version), default=None)


def champion_of(model: str, client: "MlflowClient") -> "ModelVersion | None":
    """The version that the alias names; None where it names none."""
    for registered in client.search_registered_models(f"name = '{model}'"):
        if ALIAS in registered.aliases:
            return client.get_model_version(model, str(registered.aliases[ALIAS]))
    return None


def decide(model: str, network: str, new: Candidate, margin: float, client: "MlflowClient") -> str:
    """Note on the version of a network what it was judged by, move the alias if the rule says so, and say what was
    decided. Raises LookupError where the registry has no version of that network."""
    version, champion = version_of(network, model, client), champion_of(model, client)
    if version is None:
        raise LookupError(f"{model}: no version has the network {network}")
    tags = {FIGURE: new.figure, VALUE: new.value, ITEMS: new.items, DIVERGED: new.diverged}
    own = champion is not None and champion.version == version.version
    moves, reason = judged(new, None if champion is None else _candidate(champion), margin)
    if own:
        moves, reason = False, f"it is the champion, with {new.figure} {new.value}"
    if moves:
        client.set_registered_model_alias(model, ALIAS, version.version)
    said = f"{'moved to' if moves else 'not moved to'} version {version.version}: {reason}"
    for name, value in (tags | {REASON: said}).items():
        client.set_model_version_tag(model, version.version, name, "" if value is None else str(value))
    return said


def _candidate(version: "ModelVersion") -> Candidate:
    """What a version was judged by, as its tags have it."""
    tags = version.tags
    value = float(tags[VALUE]) if tags.get(VALUE) else None
    return Candidate(tags.get(FIGURE, ""), value, tags.get(ITEMS, ""), tags.get(DIVERGED) == "True")
