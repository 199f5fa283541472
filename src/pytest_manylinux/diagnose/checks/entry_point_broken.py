"""ML314: a program calls an object that cannot be imported or called."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, spoken
from pytest_manylinux.diagnose.modules import ALWAYS_THERE, needs_others, own_names
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_BUILD_SCRIPT = "setup"
_VERBATIM = (3, 11)  # from here on pip takes values from importlib.metadata, before from pkg_resources
# What pip reads of an entry point's value (distlib's ENTRY_RE): blanks and dashes end it.
_READ_BY_PIP = re.compile(r"\w+(?:[:.]\w+)*")


def _wheel(facts: WheelFacts) -> Findings:
    yield from _found(facts, Severity.WARNING)


def _static(facts: WheelFacts, target: Target) -> Findings:
    verbatim = target.interpreter.version.release >= _VERBATIM
    yield from _found(facts, Severity.ERROR if verbatim else None)


def _found(facts: WheelFacts, spaced: Severity | None) -> Findings:
    """What is wrong with a wheel's programs; `spaced` is the weight of blanks around a colon."""
    for program, text in facts.entry_references:
        reference, _, extras = text.partition("[")
        module, colon, attribute = (part.strip() for part in reference.partition(":"))
        whole = f"{module}{colon}{attribute}"
        read = _READ_BY_PIP.match(whole)
        if read is None or ":" not in read[0]:
            yield CHECK.finding(
                f"{program} names no callable: {text.strip()!r}; every pip refuses to install it",
                remedy="name module and callable, as in package.module:main",
            )
        elif (made := _name_by_pip(program)) != program:
            yield CHECK.finding(
                f"{program!r} is not the name of a program: pip makes one of {made!r} alone",
                remedy="give it a name of letters, digits, dots, dashes and underscores",
            )
        elif not extras and (why := _why_absent(module, facts)):
            yield CHECK.finding(
                f"{program} calls {module}:{attribute}, and {module} is not in the wheel",
                evidence=[why],
            )
        elif reference.strip() != whole and spaced is not None:
            yield CHECK.finding(
                f"{program} has blanks around the colon: {text.strip()!r}; with Python 3.11 and later"
                " pip refuses to install it",
                severity=spaced,
                remedy="write module and callable without blanks, as in package.module:main",
            )


def _name_by_pip(program: str) -> str:
    """The file's name that pip gives a program: the last word, and the end of a path (distlib)."""
    return posixpath.basename(program.rsplit(maxsplit=1)[-1])


def _why_absent(module: str, facts: WheelFacts) -> str:
    """Why no module of this name can be there; empty if one is, or may be."""
    root = module.partition(".")[0]
    if _is_absent(module, facts.files):
        return f"its package {root} is"
    if root in own_names(facts) or root in ALWAYS_THERE:
        return ""
    if module == _BUILD_SCRIPT:
        return "setup.py builds a project, and is not installed"
    leads = needs_others(facts) or any(line.changes_search for line in facts.start_lines)
    return "" if leads else "the wheel requires nothing that could bring it"


def _is_absent(module: str, files: Sequence[str]) -> bool:
    """Whether a module is not in the wheel though the package that it names is, with its `__init__`.

    Namespace packages are shared, and an extension module can make modules of its own.
    """
    steps = module.split(".")
    folders = ["/".join(steps[:depth]) for depth in range(1, len(steps) + 1)]
    if not _has(f"{folders[0]}/__init__.py", files) or _has(f"{folders[0]}.py", files):
        return False
    if any(_native(folder, files) for folder in folders):
        return False
    last = folders[-1]
    here = (f"/{last}/", f"/{last}.py")
    return not any(f"/{path}".endswith(here[1]) or here[0] in f"/{path}" for path in files)


def _has(place: str, files: Sequence[str]) -> bool:
    return any(f"/{path}".endswith(f"/{place}") for path in files)


def _native(place: str, files: Sequence[str]) -> bool:
    return any(path.endswith(".so") and f"/{place}." in f"/{path}" for path in files)


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("entry-point-broken", facts, observation, target):
        ended = failure.outcome.status is ImportStatus.EXITED
        yield CHECK.finding(
            f"{_programs(failure, facts)} calls {failure.outcome.name}: {spoken(failure.outcome)}"
            + (" as its module was imported" if ended else ""),
            evidence=[failure.line, *failure.outcome.output.strip().splitlines()[-3:]],
            severity=failure.severity,
            remedy=CHECK.text.remedies[1].words if ended else "",
        )


def _programs(failure: Failure, facts: WheelFacts) -> str:
    """The programs that call the object."""
    name = failure.outcome.name
    found = [
        program
        for program, text in facts.entry_references
        if "".join(text.split()).partition("[")[0] == name
    ]
    return ", ".join(found) or "a program"


CHECK = Check(
    code="ML314",
    name="entry-point-broken",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
