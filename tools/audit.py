"""Compare what the lock pins with the known vulnerabilities, by pip-audit.

    python tools/audit.py [--service pypi|osv]

pip-audit ends well, with "No known vulnerabilities found", where its service knows no package;
a mirror may have no data on vulnerabilities. So this counts: each package that the lock pins for this
Python has to have been looked up. Exit codes: 0 if all were, and nothing is known; 1 for known ones;
2 if not all could be looked up, which is no pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from lock import FOLDER, LOCKED, read_lock
from packaging.utils import canonicalize_name

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2
SHOWN = 5  # names of packages that were not looked up


def judge(name: str, pinned: set[str], report: dict[str, Any]) -> tuple[int, list[str]]:
    """From pip-audit's report of the lock `name`: the exit code, and what to say."""
    found = report.get("dependencies", [])
    looked_up = {canonicalize_name(entry["name"]): entry for entry in found if "vulns" in entry}
    known = [
        f"{name}: {entry['name']} {entry['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no release yet'}"
        for entry in looked_up.values()
        for hole in entry["vulns"]
    ]
    counts = f"{len(pinned & looked_up.keys())} of {len(pinned)} looked up"
    said = [*known, f"{name}: {counts}, {len(known)} vulnerabilities"]
    unknown = sorted(pinned - looked_up.keys())
    if unknown or not pinned:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        said.append(f"{name}: NOT AUDITED: {', '.join(unknown[:SHOWN]) or 'nothing is pinned'}{more}")
    if known:
        return VULNERABLE, said
    return (UNKNOWN if unknown or not pinned else CLEAN), said


def pinned_here(name: str) -> set[str]:
    """The packages that the lock `name` pins for this Python on this machine."""
    pins = read_lock((FOLDER / name).read_text(encoding="utf-8"))
    here = [pin.requirement for pin in pins]
    return {canonicalize_name(one.name) for one in here if not one.marker or one.marker.evaluate()}


def audit(name: str, service: str) -> tuple[int, list[str]]:
    """Have pip-audit look up one lock."""
    words = ["--requirement", str(FOLDER / name), "--require-hashes", "--disable-pip", "--format=json"]
    words += [f"--vulnerability-service={service}", "--progress-spinner=off"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *words], capture_output=True, text=True, check=False
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return UNKNOWN, [f"{name}: NOT AUDITED: pip-audit gave no report: {why[:300]}"]
    return judge(name, pinned_here(name), report)


def main() -> int:
    """Audit each lock; say at the end whether that was one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi")
    service: str = parser.parse_args().service
    ends = []
    for name in LOCKED:
        code, said = audit(name, service)
        print(*said, sep="\n")
        ends.append(code)
    if UNKNOWN in ends:
        print(
            f"This was no audit: the service {service!r} could not say of every package whether it is "
            "vulnerable. Run it where the service can be reached, or try another with --service.",
            file=sys.stderr,
        )
    return VULNERABLE if VULNERABLE in ends else max(ends)


if __name__ == "__main__":
    sys.exit(main())
