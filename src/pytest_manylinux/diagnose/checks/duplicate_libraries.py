"""Two libraries of one name in a process."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.diagnose.elf_index import SonameConflict, soname_conflicts
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML130: two different libraries of the wheel have one soname.


def _soname_twice_wheel(facts: WheelFacts) -> Findings:
    for conflict in soname_conflicts(facts):
        yield SONAME_TWICE.finding(
            f"{conflict.module} gets {conflict.taken} in place of {conflict.own}: both are called "
            f"{conflict.soname}",
            evidence=[f"then nothing defines {symbol}" for symbol in conflict.symbols[:10]],
            severity=Severity.ERROR if conflict.sure else Severity.WARNING,
            files=[conflict.module, conflict.own, conflict.taken],
        )


def _soname_twice_static(facts: WheelFacts, target: Target) -> Findings:
    del target
    return _soname_twice_wheel(facts)


def _symbol_named(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _soname_twice_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("soname-twice", facts, observation, target)
    for symbol, members in grouped(found, _symbol_named):
        files = [f for c in soname_conflicts(facts) if symbol in c.symbols for f in _conflict_files(c)]
        yield SONAME_TWICE.finding(
            f"{symbol} is not in the library that was loaded first; the wheel has another of that name",
            evidence=[*(failure.line for failure in members), *dict.fromkeys(files)],
            severity=members[0].severity,
            files=list(dict.fromkeys(files)),
        )


def _conflict_files(conflict: SonameConflict) -> tuple[str, str, str]:
    return conflict.module, conflict.own, conflict.taken


SONAME_TWICE = Check(
    code="ML130",
    name="soname-twice",
    severity=Severity.ERROR,
    wheel=_soname_twice_wheel,
    static=_soname_twice_static,
    dynamic=_soname_twice_dynamic,
)


# ML309: two copies of one library in one process.

_STEM = re.compile(r"(?P<stem>lib[A-Za-z_+][\w+]*?)(?:-[0-9a-f]{6,})?(?:-[\d.]+)?\.so")
# Libraries with state that is the process's, not the caller's: two copies do each other harm. Of
# most others two copies are merely wasteful.
_STATEFUL = frozenset({"libssl", "libcrypto", "libstdc++", "libgomp", "libomp", "libiomp5", "libgcc_s"})


def stem_of(path: str) -> str:
    """`libssl` for `/x/libssl-0a1b2c3d.so.3` and for `/usr/lib/libssl.so.1.1`."""
    match = _STEM.match(PurePosixPath(path).name)
    return match["stem"] if match else ""


def _system_library_shadowed(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
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
            yield SYSTEM_LIBRARY_SHADOWED.finding(
                f"two copies of {stem} in one process",
                evidence=[f"import {name} loaded {ours} and {theirs}"],
                severity=Severity.WARNING if stem in _STATEFUL else Severity.INFORMATION,
            )


SYSTEM_LIBRARY_SHADOWED = Check(
    code="ML309",
    name="system-library-shadowed",
    severity=Severity.WARNING,
    dynamic=_system_library_shadowed,
)
