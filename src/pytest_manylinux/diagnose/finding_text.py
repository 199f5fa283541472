"""The text of a finding: one Markdown page, read by `explain`, by the docs and for remedies.

A page has, in this order: `# CODE name`; a paragraph that begins with the bold title; what the finding
means; `## See it by hand`, a block of shell commands that show the fault without this project;
`## What to do`, a list whose first entry is the general remedy, others begin with a bold build system;
`## Read more`, a list of links. Other sections are for readers of the docs alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).with_name("texts")
ANY_TOOL = "any"

_TITLE = re.compile(r"\*\*(?P<title>.+?)\.\*\*")
_REMEDY = re.compile(r"(?:\*\*(?P<tool>[^*]+)\*\*: )?(?P<words>.+)")
_LINK = re.compile(r"\[(?P<title>[^\]]+)\]\((?P<address>[^)]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to do about a finding. `tool` is a build system, or `any` for all of them."""

    words: str
    tool: str = ANY_TOOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the rule or the background is written down."""

    title: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingText:
    """What a page says. Paragraphs are one line each; `by_hand` keeps its lines."""

    heading: str
    title: str
    meaning: str
    by_hand: str
    remedies: tuple[Remedy, ...]
    links: tuple[Link, ...]


@cache
def read_text(path: Path) -> FindingText:
    """Read a page. Raises ValueError, with the file's name, for one that lacks a part."""
    head, *sections = path.read_text(encoding="utf-8").split("\n## ")
    named = {title: body for title, _, body in (section.partition("\n") for section in sections)}
    heading, *paragraphs = (_one_line(part) for part in head.strip().split("\n\n"))
    title = _TITLE.match(paragraphs[0]) if paragraphs else None
    remedies = tuple(_remedies(named.get("What to do", "")))
    if title is None or not paragraphs[1:] or not remedies or remedies[0].tool != ANY_TOOL:
        raise ValueError(f"{path.name} lacks a bold title, a meaning, or a remedy for any build system")
    return FindingText(
        heading=heading.removeprefix("# "),
        title=title["title"],
        meaning="\n\n".join(paragraphs[1:]),
        by_hand="\n".join(named.get("See it by hand", "").strip().splitlines()[1:-1]),
        remedies=remedies,
        links=tuple(Link(**match.groupdict()) for match in _LINK.finditer(named.get("Read more", ""))),
    )


def _remedies(section: str) -> Iterator[Remedy]:
    for entry in f"\n{section.strip()}".split("\n- ")[1:]:
        match = _REMEDY.fullmatch(_one_line(entry))
        if match is not None:
            yield Remedy(words=match["words"], tool=match["tool"] or ANY_TOOL)


def _one_line(text: str) -> str:
    return " ".join(text.split())
