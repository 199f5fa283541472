"""ML309: two copies of one library in one process."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_STEM = re.compile(r"(?P<stem>lib[A-Za-z_+][\w+]*?)(?:-[0-9a-f]{6,})?(?:-[\d.]+)?\.so")
# Libraries with state that is the process's, not the caller's: two copies do each other harm. Of
# most others two copies are merely wasteful.
_STATEFUL = frozenset({"libssl", "libcrypto", "libstdc++", "libgomp", "libomp", "libiomp5", "libgcc_s"})


def stem_of(path: str) -> str:
    """`libssl` for `/x/libssl-0a1b2c3d.so.3` and for `/usr/lib/libssl.so.1.1`."""
    match = _STEM.match(PurePosixPath(path).name)
    return match["stem"] if match else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    pairs: dict[tuple[str, str, str], str] = {}
    for outcome in observation.imports:
        own = {stem_of(lib.path): lib.path for lib in outcome.loaded if lib.from_wheel}
        for lib in outcome.loaded:
            stem = stem_of(lib.path)
            if stem in own and not lib.from_wheel:
                pairs.setdefault((stem, own[stem], lib.path), outcome.name)
    for (stem, ours, theirs), name in pairs.items():
        if stem:
            yield CHECK.finding(
                f"two copies of {stem} in one process",
                evidence=[f"import {name} loaded {ours} and {theirs}"],
                severity=Severity.WARNING if stem in _STATEFUL else Severity.INFORMATION,
            )


CHECK = Check(
    code="ML309",
    name="system-library-shadowed",
    severity=Severity.WARNING,
    title="Two copies of one library in one process",
    meaning=(
        "After the import both the grafted library and the system's (or another wheel's) of the same "
        "kind are mapped: typically Python's own ssl module loaded the distro's libssl and the wheel "
        "its own. Their symbols can be mixed up, and state that belongs to the process (OpenSSL's and "
        "OpenMP's, exceptions thrown through two libstdc++) is there twice; crashes come later, not "
        "at import. For libraries without such state this is information."
    ),
    by_hand="python3 -c 'import NAME; print(open(\"/proc/self/maps\").read())' | grep -o '/.*libssl.*'",
    remedies=(
        Remedy(
            words=(
                "link the library statically with hidden symbols (-Wl,--exclude-libs,ALL), or with "
                "symbol versions of its own; do not graft libstdc++ or libgcc_s"
            )
        ),
    ),
    links=(
        Link(
            title="psycopg2: on the binary package",
            address="https://www.psycopg.org/docs/install.html#psycopg-vs-psycopg-binary",
        ),
    ),
    sample="sample_projects/faulty/bundled_crypto",
    dynamic=_dynamic,
)
