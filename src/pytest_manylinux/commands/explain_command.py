"""`pytest-manylinux explain`: what a finding means and what to do about it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_manylinux.errors import ExitCode

if TYPE_CHECKING:
    from pytest_manylinux.diagnose.api import Check

_WIDTH = 88


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain`."""
    parser = subparsers.add_parser(
        "explain",
        help="say what a finding means, how to see it by hand, and what to do",
        description="Explain findings by code (ML104) or name (missing-library); list all without one.",
    )
    parser.add_argument("finding", nargs="*", metavar="CODE|NAME", help="codes or names of findings")
    parser.set_defaults(func=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    # The checks are many small modules; other commands need none of them.
    from pytest_manylinux.diagnose.check_registry import checks, find_check  # noqa: PLC0415

    texts = ["\n".join(_lines(find_check(word))) for word in arguments.finding]
    print("\n\n".join(texts) or _overview(checks()))
    return ExitCode.OK


def _overview(checks: tuple[Check, ...]) -> str:
    """Every finding, a line each: code, name, severity, title."""
    width = max(len(check.name) for check in checks)
    return "\n".join(
        f"{check.code}  {check.name:<{width}}  {check.severity.value:<11}  {check.text.title}"
        for check in checks
    )


def _lines(check: Check) -> Iterator[str]:
    text = check.text
    yield f"{check.code} {check.name} ({check.severity.value})"
    yield text.title
    yield ""
    yield "\n\n".join(textwrap.fill(part, _WIDTH) for part in text.meaning.split("\n\n"))
    yield ""
    yield "See it by hand:"
    yield textwrap.indent(text.by_hand, "  ")
    yield ""
    yield "What to do:"
    for remedy in text.remedies:
        label = "" if remedy.tool == "any" else f"with {remedy.tool}: "
        yield textwrap.fill(
            f"{label}{remedy.words}", _WIDTH, initial_indent="  - ", subsequent_indent="    "
        )
    if text.links:
        yield ""
        yield "Read more:"
        yield from (f"  {link.title}: {link.address}" for link in text.links)
