"""The alias moves by the rule alone, and versions keep what they were judged by."""

import pytest

from mfnet import tracking
from mfnet.runs.champion import ALIAS, Candidate
from mfnet.runs.outbox import records
from mfnet.runs.registry import ITEMS, NETWORK, REASON, VALUE, champion_of, decide
from mfnet.runs.sender import send, sync
from mfnet.runs.store import all_runs, client_at
from tests.runs.conftest import sent_runs
from tests.runs.test_sender import unsent


@pytest.fixture
def client(store, tmp_path):
    """A registry with versions 1 to 3 of the model ``heads``, of the networks a, b and c."""
    client = client_at(store)
    client.create_registered_model("heads")
    for network in "abc":
        client.create_model_version("heads", (tmp_path / network).as_uri(), tags={NETWORK: network})
    return client


def figure(value: float | None, items: str = "items") -> Candidate:
    return Candidate("CD", value, items, diverged=False)


def champion(client) -> str | None:
    found = champion_of("heads", client)
    return None if found is None else found.tags[NETWORK]


def test_the_alias_moves_to_a_better_network_and_to_no_other(client):
    assert champion(client) is None
    assert decide("heads", "a", figure(2.0), 0.01, client).startswith("moved to version 1")
    assert decide("heads", "b", figure(1.995), 0.01, client).startswith("not moved to version 2")
    assert champion(client) == "a"
    assert decide("heads", "c", figure(1.5), 0.01, client).startswith("moved to version 3")
    assert champion(client) == "c" and client.get_model_version_by_alias("heads", ALIAS).tags[VALUE] == "1.5"
    kept = client.get_model_version("heads", "2").tags
    assert kept[VALUE] == "1.995" and "more than 0.01 wanted" in kept[REASON]


def test_the_champion_may_be_measured_again(client):
    decide("heads", "a", figure(2.0), 0.0, client)
    assert "on other items" in decide("heads", "b", figure(1.0, "new items"), 0.0, client)
    assert "it is the champion" in decide("heads", "a", figure(3.0, "new items"), 0.0, client)
    assert client.get_model_version("heads", "1").tags[ITEMS] == "new items"
    assert decide("heads", "b", figure(1.0, "new items"), 0.0, client).startswith("moved to version 2")


def test_a_network_that_is_not_registered_is_nobodys_champion(client, place, store):
    with tracking.run("pipeline", "report", {}, {}) as run:
        run.champion("heads", "d", figure(1.0), 0.0)
    (recorded,) = sent_runs(store)
    assert recorded.data.tags[REASON] == "not decided: heads: no version has the network d"
    assert champion(client) is None


def test_a_claim_waits_for_the_record_of_the_training(client, place, store):
    """An older record that has not arrived may have the version."""
    unsent(place)
    (older,) = records(place)
    older.rename(older.with_name("0"))
    claim = {"kind": "champion", "model": "heads", "network": "d", "candidate": vars(figure(1.0)), "margin": 0.0}
    unsent(place, claim)
    with pytest.raises(LookupError, match="no version has the network d"):
        send(records(place)[1], place)
    assert sync(place) == (2, 0) and REASON in all_runs(store)[0].data.tags
