"""`pytest-manylinux diff`: what changed between two proofs, and what underneath."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.escape import plain_json, plain_line
from pytest_manylinux.report.diff import CellChange, ChangedCell, cause_line, diff
from pytest_manylinux.report.phrases import decisive_line, outcome_words
from pytest_manylinux.report.proof import load_trusted, read_proof


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "diff",
        help="compare two proofs: what broke, what was fixed, and why",
        description="Exit codes: 1 if anything is newly failing, 3 if anything is newly not proven, "
        "else 0, even if something failed before.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the earlier proof")
    parser.add_argument("new", type=Path, metavar="NEW", help="the later proof")
    parser.add_argument(
        "--signed-by", action="append", default=[], metavar="KEY", help="public key, or an identity"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    keys = tuple(map(load_trusted, arguments.signed_by))
    old, new = (read_proof(path, keys=keys).record for path in (arguments.old, arguments.new))
    differences = diff(old, new)
    if arguments.json:
        print(plain_json(json.dumps([_as_json(difference) for difference in differences], indent=1)))
    else:
        print("\n".join(difference_lines(differences)))
    return exit_code(differences)


def exit_code(differences: tuple[ChangedCell, ...]) -> ExitCode:
    """By new failures only: what failed before is not asked again."""
    changes = {difference.change for difference in differences}
    new_ones = {d.after.outcome.passes for d in differences if d.change is CellChange.NEW and d.after}
    if changes & {CellChange.NEWLY_FAILING} or False in new_ones:
        return ExitCode.NOT_PORTABLE
    return ExitCode.NOT_PROVEN if CellChange.NEWLY_NOT_PROVEN in changes else ExitCode.OK


def difference_lines(differences: tuple[ChangedCell, ...]) -> list[str]:
    """A heading for each kind of change, a line for each cell, and what is underneath."""
    if not differences:
        return ["no cell changed"]
    lines: list[str] = []
    for change in CellChange:
        found = [difference for difference in differences if difference.change is change]
        if found:
            lines.append(f"{change.value} ({len(found)})")
            lines += [line for difference in found for line in _lines(difference)]
    return lines


def _lines(difference: ChangedCell) -> list[str]:
    place = f"{plain_line(difference.wheel)} on {plain_line(difference.subject)}"
    if difference.subject == "audit":
        place = f"{plain_line(difference.wheel)} by its audit"
    lines = [f"  {place}: {_transition(difference)}"]
    if words := cause_line(difference):
        lines.append(f"    {words}")
    for shift in difference.causes:
        before, after = plain_line(shift.before) or "none", plain_line(shift.after) or "none"
        lines.append(f"      {shift.kind}: {before} -> {after}")
    return lines


def _transition(difference: ChangedCell) -> str:
    words = [
        outcome_words(verdict.outcome)
        for verdict in (difference.before, difference.after)
        if verdict is not None
    ]
    told = " -> ".join(dict.fromkeys(words))
    after = difference.after
    if after is None or after.outcome.passes:
        return told
    return f"{told}, {decisive_line(after)}"


def _as_json(difference: ChangedCell) -> dict[str, object]:
    before, after = difference.before, difference.after
    return {
        "change": difference.change.value,
        "wheel": difference.wheel,
        "subject": difference.subject,
        "before": None if before is None else before.outcome.value,
        "after": None if after is None else after.outcome.value,
        "findings": [] if after is None else [finding.name for finding in after.errors],
        "causes": [
            {"kind": shift.kind, "before": shift.before, "after": shift.after}
            for shift in difference.causes
        ],
    }
