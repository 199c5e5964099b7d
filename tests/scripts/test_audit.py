"""Verdicts on licences and known holes; the service that knows holes is a small one of the test's own."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mfnet.errors import InputError
from scripts import audit
from scripts.audit import Hole, Package, doubtful, is_permissive, known_holes

HOLE = {
    "id": "PYSEC-2000-1",
    "summary": "a hole",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "pyyaml"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}],
        }
    ],
}


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        ("MIT", True),
        ("MIT License", True),
        ("Apache Software License; BSD License", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("ISC License (ISCL)", True),
        ("MIT AND GPL-3.0-or-later", False),
        ("EPL-2.0 OR GPL-2.0-or-later", False),
        ("GNU Affero General Public License v3 or later (AGPLv3+)", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_licences_that_ask_for_nothing_are_told(licence, permissive):
    assert is_permissive(licence) == permissive


def test_a_licence_needs_a_reason_or_is_doubtful():
    kept = [Package("numpy", "2", "BSD-3-Clause"), Package("pygit2", "1", "GPLv2"), Package("nvidia-x", "1", "UNKNOWN")]
    new = Package("newcomer", "1", "AGPL-3.0-only")
    assert doubtful([*kept, new]) == [new]


class Service(BaseHTTPRequestHandler):
    """Knows one hole, of PyYAML 5.3."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = (asked["package"]["name"].lower(), asked["version"]) == ("pyyaml", "5.3")
        body = json.dumps({"vulns": [HOLE]} if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def service():
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()


@pytest.fixture
def installed(tmp_path):
    """A folder that says it has PyYAML 5.3 and tqdm 4.70."""
    for name, version in (("PyYAML", "5.3"), ("tqdm", "4.70")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(tmp_path)


@pytest.fixture
def pip_audit():
    """Skips where uv cannot have it."""
    words = [sys.executable, "-m", "uv", "tool", "run", "--from", audit.HOLES, "pip-audit", "--version"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"pip-audit cannot be had: {done.stderr.strip()[-200:]}")


@pytest.mark.slow
def test_a_known_hole_is_found(pip_audit, service, installed):
    assert known_holes(installed, service) == [Hole("pyyaml", "5.3", "PYSEC-2000-1", "5.4")]


@pytest.mark.slow
def test_a_service_that_does_not_answer_gives_no_verdict(pip_audit, installed):
    with pytest.raises(InputError, match="pip-audit: no result; it said"):
        known_holes(installed, "http://127.0.0.1:9/v1/query")


def test_packages_that_were_not_looked_up_give_no_verdict(monkeypatch):
    """The package index may have no page where holes would stand: pip-audit then says that there are none."""
    answer = {"dependencies": [{"name": "mfnet", "skip_reason": "x"}, {"name": "numpy", "skip_reason": "not found"}]}
    done = subprocess.CompletedProcess([""] * 9, 0, json.dumps(answer), "No known vulnerabilities found")
    monkeypatch.setattr(audit, "_tool", lambda *words: done)
    with pytest.raises(InputError, match="no answer for 1 packages: numpy"):
        known_holes("x")


@pytest.mark.parametrize(("words", "status"), [([], None), (["--strict"], 1)])
def test_no_verdict_is_said_and_is_an_error_where_one_is_asked_for(monkeypatch, capsys, words, status):
    def silent(path):
        raise InputError("no answer")

    monkeypatch.setattr(audit, "installed", lambda python: [Package("numpy", "2", "BSD")])
    monkeypatch.setattr(audit, "known_holes", silent)
    monkeypatch.setattr(sys, "argv", ["audit", *words])
    with pytest.raises(SystemExit) as ended:
        audit.main()
    said = capsys.readouterr()
    assert ended.value.code == (status or 0) and "known holes: no verdict (no answer)" in said.err
    assert "licences: 1 packages, 0 not accepted" in said.out
