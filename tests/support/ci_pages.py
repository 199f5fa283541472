"""What how-to pages offer for pasting: their code blocks, and the steps of a workflow for GitHub."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_JOB = re.compile(r"^  (?P<name>\w+):\n(?P<steps>(?:^ {3,}.*\n|\n)*)", re.MULTILINE)
_RUN = re.compile(r"^ {6}(?:- |  )run: (?:\|\n(?P<lines>(?: {10}.*\n)+)|(?P<line>.*)\n)", re.MULTILINE)


def blocks(page: Path, kind: str) -> list[str]:
    """The page's code blocks in one language, in order."""
    text = page.read_text(encoding="utf-8")
    return [match["text"] for match in BLOCK.finditer(text) if match["kind"] == kind]


def scripts_of(workflow: str, job: str) -> list[str]:
    """What the steps of a workflow's job run, each a script for a shell."""
    (steps,) = (found["steps"] for found in _JOB.finditer(workflow) if found["name"] == job)
    return [found["line"] or textwrap.dedent(found["lines"]) for found in _RUN.finditer(steps)]
