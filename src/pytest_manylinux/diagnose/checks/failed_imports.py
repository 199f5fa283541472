"""How the imports of a trial ended."""

from __future__ import annotations

import itertools
import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped, lacking_extras, spoken
from pytest_manylinux.inspect.names import NOT_NAMESPACES
from pytest_manylinux.inspect.start_files import is_start_file
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation, signal_name
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML301: an import raised, for a reason that no other finding names.


def _import_error(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("import-error", facts, observation, target)
    for words, members in grouped(found, lambda failure: spoken(failure.outcome)):
        yield IMPORT_ERROR.finding(
            f"{members[0].subject}: {words}",
            evidence=[*(failure.line for failure in members), *_extras(members, facts)],
            severity=members[0].severity,
        )


def _extras(members: list[Failure], facts: WheelFacts) -> list[str]:
    found = (line for failure in members for line in lacking_extras(failure.outcome, facts))
    return [f"only an extra brings it: {line} (the setting extras has it tried)" for line in found]


IMPORT_ERROR = Check(
    code="ML301",
    name="import-error",
    severity=Severity.ERROR,
    dynamic=_import_error,
)


# ML302: the interpreter exited in the middle of an import.

# Where the module site reads such a file, in a traceback that ends Python: complaints indent it more.
_START_FILE = re.compile(
    r'^  File "(?:<frozen site>|[^"\n]*/site\.py)", line \d+, in addpackage$', re.MULTILINE
)


def _import_exited(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("import-exited", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        when = "while it shut down, the import complete" if outcome.completed else "half-way"
        remedy = IMPORT_EXITED.text.remedies[1].words if outcome.completed else ""
        own: list[str] = []
        if _START_FILE.search(outcome.output):
            when, remedy = "as it started, over a .pth file", "take what ends Python out of that file"
            own = [f"the wheel has {path}" for path in facts.files if is_start_file(path)]
        yield IMPORT_EXITED.finding(
            f"{failure.subject}: the interpreter exited with code {outcome.exit_code} {when}",
            evidence=[failure.line, *own, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
            remedy=remedy,
        )


IMPORT_EXITED = Check(
    code="ML302",
    name="import-exited",
    severity=Severity.ERROR,
    dynamic=_import_exited,
)


# ML303: the interpreter was killed by a signal during an import.

_FATAL = "Fatal Python error"
_FIGURES = re.compile(r"\d[\d.:]*")


def _crash_time(failure: Failure) -> str:
    return " while the interpreter shut down, the import complete" if failure.outcome.completed else ""


def _crash_evidence(failure: Failure) -> list[str]:
    lines = failure.outcome.output.strip().splitlines()
    fault = [line.strip() for line in lines if line.startswith((_FATAL, "  File "))]
    own = [lib.path for lib in failure.outcome.loaded if lib.from_wheel]
    last = [f"it said: {line}" for line in _last_words(failure)]
    return [*last, *fault[:6], *(f"loaded from the wheel: {path}" for path in own[:6])]


def _last_words(failure: Failure) -> list[str]:
    """What was printed before faulthandler's lines, such as a failed assertion of native code."""
    before = itertools.takewhile(
        lambda line: not line.startswith(_FATAL), failure.outcome.output.strip().splitlines()
    )
    return [line for line in before if line.strip()][-3:]


def _same_crash(failure: Failure) -> str:
    """Crashes that end with the same words have one cause, dates and process numbers apart."""
    words = " ".join(_last_words(failure)[-1:])
    own = "" if words else failure.subject
    return f"{failure.outcome.signal} {_crash_time(failure)} {_FIGURES.sub('', words)} {own}"


def _crash(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for _, members in grouped(blamed("crash", facts, observation, target), _same_crash):
        first, others = members[0], members[1:]
        more = f" and {len(others)} more" if others else ""
        yield CRASH.finding(
            f"{first.subject}{more}: killed by {signal_name(first.outcome.signal)}{_crash_time(first)}",
            evidence=[first.line, *_crash_evidence(first), *(other.line for other in others)],
            severity=first.severity,
        )


CRASH = Check(
    code="ML303",
    name="crash",
    severity=Severity.ERROR,
    dynamic=_crash,
)


# ML304: an import did not end.


def _hang(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("hang", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        ended = (
            "the interpreter did not end after the import"
            if outcome.completed
            else f"not ended after {outcome.duration:.0f} s"
        )
        yield HANG.finding(
            f"{failure.subject}: {ended}",
            evidence=[failure.line, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
            remedy=HANG.text.remedies[1].words if outcome.completed else "",
        )


HANG = Check(
    code="ML304",
    name="hang",
    severity=Severity.ERROR,
    dynamic=_hang,
)


# ML315: a name that the wheel offers is imported from another file.


def _module_shadowed(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    for outcome in observation.imports:
        if outcome.foreign_file:
            by_mistake = (
                outcome.name in NOT_NAMESPACES
            )  # `tests` and the like: nobody means to offer them
            yield MODULE_SHADOWED.finding(
                f"import {outcome.name} gives {outcome.foreign_file}, which is not the wheel's",
                severity=Severity.WARNING if by_mistake else None,
            )


MODULE_SHADOWED = Check(
    code="ML315",
    name="module-shadowed",
    severity=Severity.ERROR,
    dynamic=_module_shadowed,
)


# ML318: names that the wheel offers were not imported, by the configuration.

_SHOWN = 20


def _names_left_out(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts, target
    names = observation.left_out
    if names:
        more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
        yield NAMES_LEFT_OUT.finding(
            f"not imported, by imports or import-skip: {', '.join([*names[:_SHOWN], *more])}"
        )


NAMES_LEFT_OUT = Check(
    code="ML318",
    name="names-left-out",
    severity=Severity.INFORMATION,
    dynamic=_names_left_out,
)
