"""ML309: two copies of one library in one process."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
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
    dynamic=_dynamic,
)
