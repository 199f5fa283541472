"""ML323: every start of Python complains about a file of the wheel: `.pth`, or `.start`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.modules import ALWAYS_THERE, REMOVED, needs_others, own_names
from pytest_manylinux.inspect.start_files import is_start_file
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import SITE, StartLine, WheelFacts, environment_path

# What the module site of Python 3.9 to 3.15 writes to standard error.
_COMPLAINT = re.compile(
    r"^(?P<words>(?:Error processing line \d+ of|Error in import line from|In"
    r"|Invalid entry point syntax in|Error (?:resolving|in) entry point \S+ from)"
    r" (?P<place>[^\n]*?/(?P<file>[^/\n]+\.(?:pth|start)))"
    r"[^\n]*)\n(?P<more>(?:\n|[ \t]+[^\n]*\n)*)",
    re.MULTILINE,
)
_STARTS = (3, 15)  # the first Python with .start files, which also tells of folders that are not there


def _wheel(facts: WheelFacts) -> Findings:
    """What is so with every Python."""
    yield from _unreadable(facts)
    for line in _readable(facts):
        if words := _fault(line, facts):
            yield from _finding(line.path, [f"line {line.line}: {line.text[:200]}", words])


def _static(facts: WheelFacts, target: Target) -> Findings:
    release = target.interpreter.version.release
    if release < _STARTS:
        yield from _unreadable(facts)
    for line in _readable(facts):
        read = release >= _STARTS or not line.path.endswith(".start")
        words = _fault(line, facts) or _fault_there(line, facts, release)
        if read and words:
            yield from _finding(line.path, [f"line {line.line}: {line.text[:200]}", words])


def _unreadable(facts: WheelFacts) -> Findings:
    """Files over which Python before 3.15 ends as it starts."""
    for line in facts.start_lines:
        if line.fatal:
            yield CHECK.finding(
                f"no Python before 3.15 starts with {line.path}",
                evidence=[line.error],
                files=[line.path],
                severity=Severity.ERROR,
                remedy="write it as UTF-8",
            )


def _readable(facts: WheelFacts) -> Iterator[StartLine]:
    return (line for line in facts.start_lines if not line.fatal)


def _fault(line: StartLine, facts: WheelFacts) -> str:
    """What is wrong with a line whatever the Python; empty if nothing is known to be."""
    if line.error:
        return line.error
    if line.folder or needs_others(facts):  # what a requirement brings is not known
        return ""
    known = own_names(facts) | ALWAYS_THERE
    absent = (root for name in line.imports if (root := name.partition(".")[0]) not in known)
    return next((f"no module named {root!r}" for root in absent), "")


def _fault_there(line: StartLine, facts: WheelFacts, release: tuple[int, int]) -> str:
    """What is wrong with a line for some Pythons only."""
    if line.folder and release >= _STARTS:
        place = f"{SITE}/{line.text.rstrip('/')}/"
        there = any(environment_path(path).startswith(place) for path in facts.files)
        return "" if there or needs_others(facts) else f"{line.text} does not exist"
    for name in line.imports:
        if name in REMOVED and release >= REMOVED[name] and not needs_others(facts):
            return f"no module named {name!r}"
    return ""


def _finding(path: str, evidence: list[str]) -> Findings:
    yield CHECK.finding(
        f"every start of Python complains about {path}", evidence=evidence, files=[path]
    )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del target
    own = {path.rpartition("/")[2]: path for path in facts.files if is_start_file(path)}
    for file, words in dict.fromkeys(_complaints(observation)) if own else ():
        if file in own:
            yield from _finding(own[file], [*words])


def _complaints(observation: Observation) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The files that Python complained about when it started, with the first and last of its words."""
    for outcome in observation.imports:
        for match in _COMPLAINT.finditer(f"{outcome.output}\n"):
            more = match["more"].split("\n")
            last = [line.strip() for line in more if line.strip()][-1:]
            yield match["file"], (match["words"].rstrip(":"), *last)


CHECK = Check(
    code="ML323",
    name="start-file-broken",
    severity=Severity.WARNING,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
