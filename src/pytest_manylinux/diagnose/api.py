"""What a check is: a `Check` at the top level of a module in `checks/`.

A module there holds the findings of one cause, which share their code; a check of a cause of its own is
a module of its own, and calls it `CHECK`. No module imports a check of another one.

What a finding means and what to do about it stands in `texts/NAME.md`, a page that is read by
`explain`, by the docs and for remedies. It has, in this order: `# CODE name`; a paragraph that begins
with the bold title; what the finding means; `## See it by hand`, a block of shell commands that show
the fault without this project; `## What to do`, a list whose first entry is the general remedy, others
begin with a bold build system; `## Read more`, a list of links. Other sections are for readers of the
docs alone.

A check finds the fault where it can be found:

* `wheel(facts)`: in the wheel's bytes alone, whatever the distro; part of the audit's verdict.
* `static(facts, target)`: in the bytes held against one target; the prediction.
* `dynamic(facts, observation, target)`: in what a trial on that target saw.
* `audit(facts, audit)`: in what the reference tool said of the wheel.

A finding that the session makes itself (a declared fault that did not happen, a build that failed)
has a check without any of these. Codes and names are stable: they are never used again for
something else. ML1xx is seen in the wheel, ML2xx when it is installed, ML3xx when it is imported or
run, ML4xx when it is built; ML9xx is about declarations and predictions rather than about wheels.

What several checks ask of the same wheel or survey is worked out once (`once_per_wheel`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from threading import Lock
from typing import TypeVar

from pytest_manylinux.model.distro import Survey, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import Audit, WheelFacts

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


Findings = Iterable[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding: its identity, and the functions that find it.

    `severity` is the usual one; a function may report less (`Check.finding`). `texts` is the folder of
    its text, NAME.md.
    """

    code: str
    name: str
    severity: Severity
    texts: Path = TEXTS
    wheel: Callable[[WheelFacts], Findings] | None = None
    static: Callable[[WheelFacts, Target], Findings] | None = None
    dynamic: Callable[[WheelFacts, Observation, Target], Findings] | None = None
    audit: Callable[[WheelFacts, Audit], Findings] | None = None

    @property
    def text(self) -> FindingText:
        """What the finding means and what to do; its file is read once."""
        return read_text(self.texts / f"{self.name}.md")

    def finding(
        self,
        message: str,
        *,
        evidence: Sequence[str] = (),
        severity: Severity | None = None,
        remedy: str = "",
        files: Sequence[str] = (),
    ) -> Finding:
        """Make a finding of this check; severity and remedy are the check's own unless given.

        `files` are the paths in the wheel that it is about, for settings that speak of files.
        """
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            message=message,
            evidence=tuple(evidence),
            remedy=remedy or self.text.remedies[0].words,
            files=tuple(files),
        )


S = TypeVar("S")
T = TypeVar("T")
_WHEELS = 8
_SURVEYS = 64  # a run has one for each of its distros


def once_per_wheel(function: Callable[[WheelFacts], T]) -> Callable[[WheelFacts], T]:
    """Keep a function's answers for the last few wheels."""
    return _once(function, _WHEELS)


def once_per_survey(function: Callable[[Survey], T]) -> Callable[[Survey], T]:
    """Keep a function's answers for the surveys of a run."""
    return _once(function, _SURVEYS)


def _once(function: Callable[[S], T], most: int) -> Callable[[S], T]:
    """Keep the last so many answers.

    The same object is asked for, not an equal one: comparing facts costs more than the work. What is
    kept holds the object too, so that no other can have its identity meanwhile.
    """
    kept: dict[int, tuple[S, T]] = {}
    lock = Lock()

    @wraps(function)
    def ask(of: S) -> T:
        found = kept.get(id(of))
        if found is not None:
            return found[1]
        answer = function(of)
        with lock:
            while len(kept) >= most:
                del kept[next(iter(kept))]
            kept[id(of)] = (of, answer)
        return answer

    return ask
