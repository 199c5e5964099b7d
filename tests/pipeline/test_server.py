"""The schedule's server: one is started on this machine and ended again, or the one in the settings is used."""

import socket
import urllib.error
import urllib.request

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines import server


@pytest.fixture
def no_server(monkeypatch, tmp_path):
    """Nothing is configured, and a started server keeps its database in a folder of its own."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_server_is_started_and_ended(no_server, port):
    with server.scheduling_server(port) as address:
        assert address == f"http://127.0.0.1:{port}/api" == PREFECT_API_URL.value()
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/health", timeout=5)


def test_a_configured_server_is_used():
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), server.scheduling_server() as address:
        assert address == "http://127.0.0.1:9/api"


def test_a_server_that_ends_is_named(no_server, port, monkeypatch):
    monkeypatch.setattr(server.sys, "executable", "false")
    with pytest.raises(RuntimeError, match=f"{port}/api ended"), server.scheduling_server(port):
        pass
