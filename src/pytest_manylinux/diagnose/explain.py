"""The words of `pytest-manylinux explain`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.diagnose.check_registry import checks, find_check

_WIDTH = 88


def explain(word: str) -> str:
    """Explain a finding, given its code or name; raises UsageError for an unknown word."""
    return "\n".join(_lines(find_check(word)))


def overview() -> str:
    """Every finding, a line each: code, name, severity, title."""
    width = max(len(check.name) for check in checks())
    return "\n".join(
        f"{check.code}  {check.name:<{width}}  {check.severity.value:<11}  {check.title}"
        for check in checks()
    )


def _lines(check: Check) -> Iterator[str]:
    yield f"{check.code} {check.name} ({check.severity.value})"
    yield check.title
    yield ""
    yield textwrap.fill(check.meaning, _WIDTH)
    yield ""
    yield "See it by hand:"
    yield textwrap.indent(check.by_hand, "  ")
    yield ""
    yield "What to do:"
    for remedy in check.remedies:
        label = "" if remedy.tool == "any" else f"with {remedy.tool}: "
        yield textwrap.fill(
            f"{label}{remedy.words}", _WIDTH, initial_indent="  - ", subsequent_indent="    "
        )
    if check.links:
        yield ""
        yield "Read more:"
        yield from (f"  {link.title}: {link.address}" for link in check.links)
