"""Draw README's picture of MLflow's comparison of the ablation, with a headless Chromium.

    python scripts/picture_of_mlflow.py docs/mlflow.png

In a workspace whose pipeline is finished: serves its runs as ``mfnet ui`` does, opens the address that it prints, asks
for the charts of wild/all/CD and keeps the page. Chromium is Debian's ``chromium`` or ``chromium-headless-shell``.
"""

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from websockets.sync.client import ClientConnection, connect

from mfnet.errors import InputError
from mfnet.runs.outbox import workspace
from mfnet.runs.server import comparison, free_port, served
from mfnet.runs.store import address

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE = 180.0
"""Seconds to wait for what the page is to show."""
CHART = "wild/all/CD"
BARS = "document.querySelectorAll('.js-plotly-plot .bars path').length"
"""JavaScript: how many bars all charts of the page have."""
CARDS = "[...document.querySelectorAll('[data-testid=experiment-view-compare-runs-card]')].map(card => card.innerText)"
"""JavaScript: what stands on each chart's card: its title, the figures, the ticks, the names of the runs."""
SEARCH = """(() => {
  const box = document.querySelector('input[role=searchbox]');
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(box, '%s');
  box.dispatchEvent(new Event('input', {bubbles: true}));
})()"""
"""JavaScript: type into the box that chooses charts, as React notices it."""
WITHOUT_ASSISTANT = """
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
"""
"""JavaScript: MLflow's panel for questions stays closed."""


class Page:
    """A page of a browser, by Chromium's DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.calls = socket, 0

    def call(self, method: str, **params: object) -> dict:
        """Have the browser do something, and return its answer."""
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv(PATIENCE))).get("id") != self.calls:
            pass  # an event
        return answer.get("result", {})

    def value(self, script: str) -> object:
        """What a line of JavaScript gives."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> object:
        """The value of a line of JavaScript once it is true and stays so for a second. Raises InputError if it never
        is."""
        deadline, before = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            value = self.value(script)
            if value and value == before:
                return value
            before = value
            time.sleep(1)
        raise InputError(f"the page has not come to `{script}` within {PATIENCE:.0f} s")


@contextmanager
def browser_page(width: int, height: int) -> Iterator[Page]:
    """An empty page of a headless Chromium that ends with the block. Raises InputError where there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise InputError(f"no {' or '.join(BROWSERS)}: apt-get install chromium-headless-shell")
    port = free_port()
    with tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        command += [f"--remote-debugging-port={port}", f"--user-data-dir={profile}", "about:blank"]
        command += [f"--window-size={width},{height}"]
        quiet = subprocess.DEVNULL
        browser = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            with connect(_socket(port), max_size=None) as socket:
                yield Page(socket)
        finally:
            _end(browser)


def _end(browser: subprocess.Popen) -> None:
    """Returns once nothing of the browser is left that could write into its profile."""
    processes = [*psutil.Process(browser.pid).children(recursive=True), psutil.Process(browser.pid)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE)


def _socket(port: int) -> str:
    """Address of the first page's socket, once the browser answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                return next(each for each in json.load(answer) if each["type"] == "page")["webSocketDebuggerUrl"]
        except (OSError, StopIteration):
            time.sleep(0.3)
    raise InputError("the browser does not answer")


def open_comparison(page: Page, url: str, chart: str = CHART) -> list[list[str]]:
    """Open the comparison and ask for the charts of one metric; returns the lines that stand on each chart."""
    page.call("Page.enable")
    page.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_ASSISTANT)
    page.call("Page.navigate", url=url)
    page.wait(BARS)
    page.value(SEARCH % chart)
    page.wait(f"{CARDS}.every(text => text.startsWith('{chart}')) && {BARS}")
    return [str(text).split("\n") for text in json.loads(str(page.value(f"JSON.stringify({CARDS})")))]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the PNG to write")
    args = parser.parse_args()
    uri = address(workspace())
    with served(uri) as server, browser_page(1300, 620) as page:
        open_comparison(page, comparison(uri, server.url))
        picture = page.call("Page.captureScreenshot", format="png")["data"]
    args.out.write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"picture_of_mlflow: error: {error}")
