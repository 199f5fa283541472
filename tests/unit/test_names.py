"""A newcomer finds a thing where the names say: no module is called like another one."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/pytest_manylinux"

SHARED = {
    "api": "what every member of a pluggable family takes and gives",
    "engine": "each engine has a folder, and this is its way in",
    "protocol": "what crosses a wall, once to a sandbox and once to a cluster's worker",
}
"""Names of modules that several rooms may use, with the reason."""


def test_modules_have_names_of_their_own() -> None:
    found = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            found[path.stem.removesuffix("s")].append(path.relative_to(PACKAGE).as_posix())
    shared = {name: sorted(paths) for name, paths in found.items() if len(paths) > 1}
    assert shared.keys() - SHARED.keys() == set(), shared
    assert SHARED.keys() - shared.keys() == set(), "no longer shared: take the reason out"


def questions() -> list[tuple[str, str]]:
    """Question and place, for each place that the table of CONTRIBUTING.md names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where is")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?P<question>[^|]*\?) \| (?P<places>[^|]*) \|$", table, re.MULTILINE)
    return [
        (question, place) for question, places in rows for place in re.findall(r"`([^`]+)`", places)
    ]


def test_the_table_of_questions_is_read() -> None:
    assert len({question for question, _ in questions()}) == 12


@pytest.mark.parametrize(("question", "place"), questions())
def test_what_a_newcomer_asks_for_is_where_the_table_says(question: str, place: str) -> None:
    assert (PACKAGE / place).exists(), question
