"""The flows' server: on this machine, for pages of its own, ended with its parent; or the one in the settings."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from mfnet.runs.server import unanswered
from pipelines import server
from tests.conftest import HANGS

ROOT = Path(__file__).parents[2]


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
    with server.prefect_server(port=port) as address:
        assert address == f"http://127.0.0.1:{port}/api" == PREFECT_API_URL.value()
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/health", timeout=5)


def test_a_configured_server_is_used():
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), server.prefect_server() as address:
        assert address == "http://127.0.0.1:9/api"


def test_a_server_that_ends_is_named(no_server, port, monkeypatch):
    monkeypatch.setattr(server.sys, "executable", "false")
    with pytest.raises(RuntimeError, match=f"{port}/api ended"), server.prefect_server(port=port):
        pass


@pytest.mark.slow
def test_pages_of_others_get_no_answer(no_server, port):
    """The first three are what a page of another site, one behind a rebound name and a plain script send."""
    own = f"http://127.0.0.1:{port}"
    cases = [
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({}, 200),
        ({"Origin": own}, 200),
        ({"Origin": f"http://localhost:{port}", "Host": f"localhost:{port}"}, 200),
        ({"Origin": "null"}, 403),
    ]
    with server.prefect_server(port=port) as address:
        for headers, status in cases:
            for method in ("GET", "POST", "OPTIONS"):
                path = "health" if method == "GET" else "flow_runs/filter"
                asked = {"Access-Control-Request-Method": "POST", "Content-Type": "application/json"} | headers
                request = urllib.request.Request(f"{address}/{path}", b"{}" * (method == "POST"), asked, method=method)
                try:
                    answer = urllib.request.urlopen(request, timeout=60)
                except urllib.error.HTTPError as error:
                    answer = error
                if status == 403:
                    assert answer.status == 403, (headers, method)
                    assert "access-control-allow-origin" not in answer.headers
                else:
                    assert answer.status in (200, 400, 405), (headers, method)  # no preflight
                    assert answer.headers.get("access-control-allow-origin") in (None, headers.get("Origin"))


@pytest.mark.slow
def test_a_server_ends_with_a_parent_that_was_killed(no_server, port):
    code = f"from pipelines.server import prefect_server\nwith prefect_server(port={port}): input()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment)
    assert not unanswered(parent, f"http://127.0.0.1:{port}/api", HANGS)
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    child.wait(HANGS)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5)
