"""Licences and known holes of all that is installed, each with a verdict: ``make audit``.

    python -m scripts.audit [--strict]

Exit status 1 where a licence is neither permissive nor in `ACCEPTED`, or where a package has a known hole. Known holes
are asked for at a vulnerability service, so without a network there is no verdict on them: that is said, and is an
error with ``--strict``. pip-licenses and pip-audit are run by uv, apart from the environment that they look at.
"""

import argparse
import json
import re
import subprocess
import sys
from typing import NamedTuple

from mfnet.errors import InputError

LICENCES, HOLES = "pip-licenses>=5.5,<6", "pip-audit>=2.9,<3"
OSV = "https://api.osv.dev/v1/query"
"""Of OSV's service. Of the package index itself pip-audit takes a missing page for a package without holes."""
PERMISSIVE = re.compile(
    r"(?i)\b(MIT(-0|-CMU)?|0?BSD|Apache|ISC|ISCL|PSF|Python Software Foundation|Zlib|BSL-1\.0|CC0-1\.0|CNRI-Python|"
    r"Zope Public|DFSG approved|MPL-2\.0|MPL 2\.0|Unlicense|Public Domain)\b"
)
"""What may be used in and beside an Apache-2.0 program, changed or not; MPL binds its own files alone."""
ACCEPTED = {
    "asyncssh": "EPL-2.0, of DVC; used as it is, not shipped",
    "grandalf": "GPL-2.0 or EPL-1.0, of DVC, which draws its graph with it; another program, not shipped",
    "pygit2": "GPL-2.0 with linking exception, of DVC",
    "smplx": "research only: the tests hold our FLAME against it, nothing that is shipped imports it",
    "huey": "MIT, as its licence file says; of MLflow",
    "skops": "MIT, as its licence file says; of MLflow",
    "cuda-toolkit": "NVIDIA's own, of torch's CUDA build",
    "text-unidecode": "the Artistic Licence, or GPL-2.0 or later, of Prefect",
}
"""Package -> licence and why it may be there."""
ACCEPTED_VENDORS = {"nvidia-": "NVIDIA's own, of torch's CUDA build"}
"""The same, for packages whose names begin so."""


class Package(NamedTuple):
    """An installed package."""

    name: str
    version: str
    licence: str


class Hole(NamedTuple):
    """A known hole of an installed package."""

    name: str
    version: str
    identity: str
    fixed: str


def installed(python: str) -> list[Package]:
    """Every package of an environment and its licence, by name. Raises InputError where pip-licenses cannot be run."""
    done = _tool(LICENCES, "pip-licenses", "--python", python, "--format", "json", "--with-system", "--order", "name")
    found = _parsed(done)
    return [Package(each["Name"], each["Version"], each["License"]) for each in found]


def doubtful(packages: list[Package]) -> list[Package]:
    """Those whose licence is neither permissive nor accepted."""
    return [each for each in packages if not (is_permissive(each.licence) or reason(each.name))]


def is_permissive(licence: str) -> bool:
    """Whether all that a licence text asks for is; of "A OR B" one is enough."""
    choices = re.split(r"(?i)\bor\b(?! later)", re.sub(r"-or-later|or later", "", licence))
    return any(all(PERMISSIVE.search(part) for part in re.split(r"(?i)\band\b|;", each)) for each in choices)


def reason(name: str) -> str:
    """Why a package with another licence may be there; empty where nothing says so."""
    vendors = (why for start, why in ACCEPTED_VENDORS.items() if name.lower().startswith(start))
    return ACCEPTED.get(name.lower(), "") or next(vendors, "")


def known_holes(path: str, service: str = OSV) -> list[Hole]:
    """The known holes of the packages in a folder. Raises InputError where the service gave no answer for one of them:
    then there is no verdict."""
    words = ["--path", path, "-f", "json", "--progress-spinner", "off", "-s", "osv", "--osv-url", service]
    packages = _parsed(_tool(HOLES, "pip-audit", *words))["dependencies"]
    skipped = [each["name"] for each in packages if "vulns" not in each and each["name"] != "mfnet"]
    if skipped:
        raise InputError(f"{service}: no answer for {len(skipped)} packages: {', '.join(skipped)[:200]}")
    return [
        Hole(each["name"], each["version"], hole["id"], ", ".join(hole["fix_versions"]))
        for each in packages
        for hole in each.get("vulns", [])
    ]


def _tool(requirement: str, *command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", requirement, *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _parsed(done: subprocess.CompletedProcess[str]) -> list | dict:
    """What a tool said in JSON, whatever its exit status: it is 1 for a tool that failed and for one that found."""
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise InputError(f"{done.args[8]}: no result; it said: {' '.join(said.split())[-200:]}") from None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Licences and known holes of all that is installed.")
    parser.add_argument("--strict", action="store_true", help="no verdict on known holes is an error")
    args = parser.parse_args()
    try:
        wrong = _report_licences(sys.executable)
    except InputError as error:
        sys.exit(f"{parser.prog}: error: {error}")
    try:
        holes = known_holes(_site())
    except InputError as error:
        print(f"known holes: no verdict ({error})", file=sys.stderr)
        sys.exit(1 if wrong or args.strict else 0)
    for hole in holes:
        print(f"{hole.name} {hole.version}: {hole.identity}, mended in {hole.fixed or 'no version'}")
    print(f"known holes: {len(holes)}")
    sys.exit(1 if wrong or holes else 0)


def _report_licences(python: str) -> bool:
    """Print every package; whether one of them is doubtful."""
    packages = installed(python)
    for each in packages:
        print(f"{each.name} {each.version}: {each.licence}{f' ({why})' if (why := reason(each.name)) else ''}")
    wrong = doubtful(packages)
    for each in wrong:
        print(f"not accepted: {each.name}: {each.licence}; see scripts/audit.py", file=sys.stderr)
    print(f"licences: {len(packages)} packages, {len(wrong)} not accepted")
    return bool(wrong)


def _site() -> str:
    import sysconfig

    return sysconfig.get_paths()["purelib"]


if __name__ == "__main__":
    main()
