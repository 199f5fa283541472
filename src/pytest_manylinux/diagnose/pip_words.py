"""Why the distro's pip refused, read from its words.

pip has no machine-readable errors; the sentences below are those of pip 9 to 26
(src/pip/_internal/exceptions.py, wheel.py, resolution/, req/req_set.py).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from packaging.utils import canonicalize_name

from pytest_manylinux.diagnose.tags import best_fit
from pytest_manylinux.inspect.requirements import contradictory_requirements
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.wheel import WheelFacts


class PipRefusal(enum.Enum):
    """What pip objects to."""

    TAG = "tag"
    PYTHON = "python"
    DEPENDENCY = "dependency"
    MALFORMED = "malformed"
    METADATA = "metadata"
    CONTRADICTION = "contradiction"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """pip's refusal: the decisive line, and the lines around it that say more."""

    kind: PipRefusal
    pip: str
    line: str
    lines: tuple[str, ...]


_SENTENCES: tuple[tuple[PipRefusal, str], ...] = (
    (PipRefusal.TAG, r"is not a supported wheel on this platform"),
    (PipRefusal.PYTHON, r"requires a different python"),
    (PipRefusal.PYTHON, r"requires python '[^']+' but the running python is"),
    (PipRefusal.METADATA, r"requested .* has invalid metadata|wheel filename \(invalid version"),
    (
        PipRefusal.MALFORMED,
        (
            r"is not a valid wheel|wheel .* is invalid|has an invalid wheel|invalid wheel filename"
            r"|not a zip file|badzipfile|bad magic number for|bad crc-32"
            r"|\.dist-info directory not found|multiple \.dist-info directories"
            r"|wheel-version|metadata .* inconsistent|inconsistent (?:name|version)"
            r"|\.dist-info directory .* does not start with"
            r"|outside (?:of )?(?:the )?(?:destination|target)|missing record"
            r"|that compression method is not supported|compression type \d+"
            r"|no record file|requested .* has (?:invalid metadata|inconsistent)"
        ),
    ),
    (
        PipRefusal.DEPENDENCY,
        (
            r"could not find a version that satisfies the requirement (?P<wanted>[A-Za-z0-9._-]+)"
            r"|no matching distribution found for (?P<named>[A-Za-z0-9._-]+)"
        ),
    ),
    (PipRefusal.DEPENDENCY, r"conflicting dependencies|resolutionimpossible"),
)
_KEPT_LINES = 12
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?$")


@cache
def _patterns() -> tuple[tuple[PipRefusal, re.Pattern[str]], ...]:
    """Compiled when a trial's words are read: predictions import this module too."""
    return tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _SENTENCES)


def refusal_of(facts: WheelFacts, observation: Observation, target: Target) -> Refused | None:
    """What pip objected to; None if it installed the wheel or was never asked."""
    install = observation.install
    if install is None or install.ok:
        return None
    lines = [line.strip() for line in install.output.splitlines() if line.strip()]
    for kind, pattern in _patterns():
        for line in lines:
            if match := pattern.search(line):
                told = _kind(kind, match, facts, target, observation.extra_names)
                return Refused(kind=told, pip=install.pip_version, line=line, lines=_kept(lines))
    last = _raised(install.output)
    last = last or next((line for line in reversed(lines) if "error" in line.lower()), "")
    return Refused(
        kind=PipRefusal.OTHER,
        pip=install.pip_version,
        line=last or (lines[-1] if lines else f"exit code {install.exit_code}, no words"),
        lines=_kept(lines),
    )


def _raised(output: str) -> str:
    """The last line of the traceback that pip shows after `ERROR: Exception:`; empty if none."""
    _, marker, traceback = output.partition("ERROR: Exception:")
    lines = [line for line in traceback.splitlines() if _EXCEPTION.match(line)]
    return lines[-1].strip() if marker and lines else ""


def _kind(
    kind: PipRefusal,
    match: re.Match[str],
    facts: WheelFacts,
    target: Target,
    extras: Iterable[str],
) -> PipRefusal:
    """A wheel of ours that pip passed over in its wheelhouse looks like a missing dependency."""
    named = next((word for word in match.groupdict().values() if word), "")
    if kind is PipRefusal.DEPENDENCY and any(contradictory_requirements(facts, target, extras)):
        return PipRefusal.CONTRADICTION
    if kind is PipRefusal.DEPENDENCY and canonicalize_name(named) == facts.wheel.name:
        return PipRefusal.TAG if best_fit(facts.wheel.tags, target).misfit else PipRefusal.OTHER
    return kind


def _kept(lines: list[str]) -> tuple[str, ...]:
    telling = [line for line in lines if re.search(r"error|warning|not |requires", line, re.IGNORECASE)]
    return tuple((telling or lines)[-_KEPT_LINES:])


# What zipfile unpacks (PEP 784 for Zstandard); every distro's Python has bz2 and lzma.
_ALWAYS = frozenset({"stored", "deflated", "bzip2", "LZMA"})
_ZSTANDARD, _SINCE = "Zstandard", (3, 14)


def not_unpacked(facts: WheelFacts, target: Target) -> list[str]:
    """The methods of packing in a wheel that the target's Python, and so its pip, does not unpack."""
    release = target.interpreter.version.release
    known = _ALWAYS | ({_ZSTANDARD} if release >= _SINCE else set())
    return [method for method in facts.packed_by if method not in known]
