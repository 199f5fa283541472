"""ML131: files in the wheel are packed in a way that not every installer unpacks."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# What zipfile unpacks (PEP 784 for Zstandard); every distro's Python has bz2 and lzma.
_ALWAYS = frozenset({"stored", "deflated", "bzip2", "LZMA"})
_ZSTANDARD, _SINCE = "Zstandard", (3, 14)


def _wheel(facts: WheelFacts) -> Findings:
    odd = [method for method in facts.packed_by if method not in {"stored", "deflated"}]
    if odd:
        yield CHECK.finding(
            f"files are packed with {', '.join(odd)}; package indexes and uv refuse them",
            severity=Severity.WARNING,
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    version = target.interpreter.version
    for method in facts.packed_by:
        known = method in _ALWAYS or (method == _ZSTANDARD and version.release >= _SINCE)
        if not known:
            yield CHECK.finding(
                f"files are packed with {method}, which Python {version.dotted} does not unpack"
            )


CHECK = Check(
    code="ML131",
    name="packed-unusually",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
)
