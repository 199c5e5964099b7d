"""`mfnet ui`: a server on a free port of the loopback that ends with the command."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from mfnet import tracking
from mfnet.cli.main import main
from tests.runs.conftest import process


@pytest.mark.slow
def test_the_page_of_the_comparison_is_printed_and_served(place):
    with tracking.run("pipeline", "report", {}, {}), tracking.run("ablation", "full", {}, {}, sweep="one") as run:
        run.metrics({"wild/all/CD": 1.0})
    shown = process("from mfnet.cli.main import main\nmain(['ui'])")
    address = shown.stdout.readline().strip()
    url, _, page = address.partition("/#/")
    assert url.startswith("http://127.0.0.1:") and page.endswith("/runs?compareRunsMode=CHART")
    experiment = page.split("/")[1]
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/runs/search",
        data=b'{"experiment_ids": ["%s"]}' % experiment.encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert b"wild/all/CD" in answer.read()
    shown.send_signal(signal.SIGTERM)
    shown.communicate()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_without_runs_the_command_says_what_to_do(place):
    with pytest.raises(SystemExit) as ended:
        main(["ui"])
    assert "dvc repro" in ended.value.code


def test_a_teams_server_is_named_not_started(place, monkeypatch):
    code = (
        "import sys\nfrom unittest.mock import patch\nfrom mfnet.cli.main import main\n"
        "with patch('mfnet.runs.server.comparison', lambda uri, server: server): main(['ui'])"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("http://127.0.0.1:5999 ")
