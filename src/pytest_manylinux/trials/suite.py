"""The project's own tests in a trial: what is asked for, and what came of it.

Names and meanings of the settings are cibuildwheel's (https://cibuildwheel.pypa.io/en/stable/options/,
"Testing"). The command decides by its exit code; what a pytest inside tells, test by test, can only add
to that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.engines.api import Completed, Mount, Status
from pytest_manylinux.model.observation import (
    CaseResult,
    CaseStatus,
    SuiteOutcome,
    how_it_ended,
    last_lines,
)
from pytest_manylinux.trials.inside.run_suite import PROJECT, WORKING
from pytest_manylinux.trials.inside.suite_results import NAME
from pytest_manylinux.trials.protocol import Answers, Suite
from pytest_manylinux.trials.request import INPUTS, VENV, SuiteSteps

REQUIRED = INPUTS / "test-requires"
"""Where wheels of what the tests require lie in a sandbox."""

_TREE = INPUTS / "project.tar"
_INSTALLED = INPUTS / "installed"
_PLACEHOLDER = re.compile(r"(?<!#)\{(?P<name>[a-z]+)\}")  # `#{…}` is the shell's own (cibuildwheel)
_NO_TESTS, _WRONG_CALL = 5, 4  # pytest.ExitCode: NO_TESTS_COLLECTED, USAGE_ERROR
_NOT_FOUND = (126, 127)  # a shell's
_REFUSAL = re.compile(
    r"^(?:ERROR: (?!usage: )|\S+: error: )(.+)$", re.MULTILINE
)  # pytest's, argparse's
# Where a shell's command begins that is pytest, by its name or as a module.
_PYTEST = re.compile(
    r"(?:^|[;&|(\n])[ \t]*(?:\w+=\S*[ \t]+)*(?:\S*/)?"
    r"(?:(?:pytest|py\.test)|python[\d.]*(?:[ \t]+-\w+)*[ \t]+-m[ \t]*pytest)(?=$|[\s;&|)])"
)
_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in [\d.]+s$", re.MULTILINE)
_UNITTEST_FAILED = re.compile(r"^={70}\n(FAIL|ERROR): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """The project's own tests as its settings have them for one target; this travels as it is.

    `command` and `before` are shell commands, each list joined by `&&`, with the placeholders
    `{project}`, `{package}` and `{wheel}`. `environment` are pairs of a name and a value that the shell
    expands. `requires` are requirements, with `extras` of the wheel. `sources` are paths in the
    project for the working folder, which is empty otherwise; `package` is the package's path in it
    (`.`: the same). `timeout` is in seconds. `skip` says by which setting the tests are left out here,
    `lacking` why they cannot be run; empty: they can.
    """

    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    package: str = "."
    timeout: float = 600.0
    network: bool = False
    skip: str = ""
    lacking: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptInstallation:
    """A file with what pip installs of a set of wheels (inside/installed_files.py).

    `present` are distributions in it, by their folders of metadata, that a trial has already.
    """

    path: Path
    present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRequest:
    """The same with what a trial on this machine takes.

    `tree` is a tar archive of the project below one folder; None: no command speaks of it. `required`
    is a folder of wheels resolved for this target, `installed` what the target's pip makes of them, if
    that is kept. `cores` are as many as the run gives to one trial.
    """

    settings: SuiteSettings
    tree: Path | None = None
    tree_sha256: str = ""
    required: Path | None = None
    installed: KeptInstallation | None = None
    cores: int = 0

    @property
    def can_run(self) -> bool:
        """Whether anything is to be done in the sandbox."""
        return not self.settings.skip and not self.settings.lacking

    @property
    def left_out(self) -> SuiteOutcome:
        """The outcome where nothing is done."""
        return SuiteOutcome(
            command=self.shown, not_run=self.settings.lacking, skipped=self.settings.skip
        )

    @property
    def needs(self) -> bool:
        """Whether the tests want anything installed that the wheel does not require."""
        return bool(self.settings.requires or self.settings.extras)

    def wanted(self, project: str) -> tuple[str, ...]:
        """What the tests require as requirements, extras of their own project among them."""
        own = (f"{project}[{','.join(self.settings.extras)}]",) if self.settings.extras else ()
        return (*own, *self.settings.requires)

    @property
    def shown(self) -> str:
        """The command as people know it."""
        return " && ".join(self.settings.command)

    def mounts(self) -> tuple[Mount, ...]:
        """What the sandbox needs for it."""
        installed = None if self.installed is None else self.installed.path
        places = ((self.tree, _TREE), (self.required, REQUIRED), (installed, _INSTALLED))
        return tuple(Mount(source=it.resolve(), target=place) for it, place in places if it is not None)

    def steps(self, pip: tuple[str, ...], wheel: str) -> SuiteSteps:
        """What the agent is asked; `pip` installs without network, `wheel` is a path inside."""
        wanted = self.wanted(wheel)
        return SuiteSteps(
            tree="" if self.tree is None else str(_TREE),
            sources=self.settings.sources,
            pip=(*pip, "--find-links", str(REQUIRED), *wanted) if wanted else (),
            installed="" if self.installed is None else str(_INSTALLED),
            present=() if self.installed is None else self.installed.present,
            before=self._script(self.settings.before, wheel) if self.settings.before else "",
            script=self._script(self.settings.command, wheel),
            timeout=self.settings.timeout,
        )

    def _script(self, commands: tuple[str, ...], wheel: str) -> str:
        places = {
            "project": PROJECT,
            "package": PROJECT
            if self.settings.package == "."
            else f"{PROJECT}/{self.settings.package}",
            "wheel": wheel,
            "python": "python",
            "pip": "pip",
        }
        variables = {
            "VIRTUAL_ENV": str(VENV),
            "PATH": f"{VENV}/bin:$PATH",
            **({"PYTEST_XDIST_AUTO_NUM_WORKERS": str(self.cores)} if self.cores else {}),
            **{name: filled(value, places) for name, value in self.settings.environment},
        }
        lines = [f"export {name}={_quoted(value)}" for name, value in variables.items()]
        lines += [f'export PYTEST_ADDOPTS="-p {NAME}${{PYTEST_ADDOPTS:+ $PYTEST_ADDOPTS}}"']
        lines += [f"cd {WORKING} || exit", " &&\n".join(filled(line, places) for line in commands)]
        return "\n".join(lines)


def filled(text: str, places: Mapping[str, str]) -> str:
    """A text with its placeholders filled in; what is not one of them stays, as the shell's own."""
    return _PLACEHOLDER.sub(lambda found: places.get(found["name"], found[0]), text)


def speaks_of_tree(texts: Iterable[str]) -> tuple[bool, bool]:
    """Whether commands name the project's tree, and the package's."""
    names = {found["name"] for text in texts for found in _PLACEHOLDER.finditer(text)}
    return "project" in names, "package" in names


def _quoted(value: str) -> str:
    """A value in double quotes: the shell expands `$`, as cibuildwheel has it done."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def suite_outcome(answers: Answers, completed: Completed, command: str) -> SuiteOutcome | None:
    """What is known of the project's tests; None if they were not reached."""
    if answers.suite is not None:
        return _outcome(answers.suite, command)
    if not answers.suite_begun:
        return None
    how = f" by signal {completed.signal}" if completed.signal else ""
    return SuiteOutcome(
        command=command,
        complete=False,
        signal=completed.signal,
        overdue=completed.status is Status.TIMED_OUT,
        output=f"the tests ended the trial itself{how}",
        duration=completed.duration,
    )


def _outcome(told: Suite, command: str) -> SuiteOutcome:
    ending = told.ending
    cases = tuple(
        CaseResult(name=one.name, status=CaseStatus(one.status), duration=one.seconds, words=one.words)
        for one in told.cases
        if one.status in _STATUSES
    )
    counts = Counter({name: count for name, count in told.counts.items() if name in _STATUSES})
    if not told.sessions:
        cases, counts = _of_unittest(ending.output)
    ran = sum(counts.values())
    return SuiteOutcome(
        command=command,
        not_run=_not_run(told, ran, command),
        ran=ran,
        counts=tuple((word, counts[word]) for word in _STATUSES if counts[word]),
        cases=cases,
        exit_code=ending.exit_code,
        signal=ending.signal,
        overdue=ending.overdue,
        complete=told.ended == told.sessions,
        output=ending.output,
        duration=ending.duration,
    )


_STATUSES = tuple(status.value for status in CaseStatus)


def _of_unittest(output: str) -> tuple[tuple[CaseResult, ...], Counter[str]]:
    """What unittest says at its end: how many tests ran, and the names of those that failed."""
    statuses = {"FAIL": CaseStatus.FAILED, "ERROR": CaseStatus.ERROR}
    failed = [(name, statuses[word]) for word, name in _UNITTEST_FAILED.findall(output)]
    counts = Counter(status.value for _, status in failed)
    ran = sum(map(int, _UNITTEST_RAN.findall(output)))
    if ran > len(failed):
        counts[CaseStatus.PASSED.value] = ran - len(failed)
    return tuple(CaseResult(name=name, status=status) for name, status in failed), counts


def _not_run(told: Suite, ran: int, command: str) -> str:
    """Why no test ran; empty where one did, and where the command is one of its own kind."""
    code, last = told.ending.exit_code, last_lines(told.ending.output, 1)
    reason = ""
    if told.step:
        steps = {"install": "what they require was not installed", "before": "before-test failed"}
        reason = f"{steps[told.step]} ({how_it_ended(code, told.ending.signal)}): {last}"
    elif ran and ran == told.counts.get(CaseStatus.SKIPPED.value) and code == 0:
        reason = "every test was skipped"
    elif ran or told.ending.overdue:
        reason = ""
    elif code in _NOT_FOUND:
        reason = f"the command cannot be started: {last}"
    elif told.sessions and code == _WRONG_CALL:
        reason = f"pytest refused its command line: {_refusal(told.ending.output)}"
    elif told.sessions and told.ended and code in (0, _NO_TESTS):
        reason = "pytest found no test"
    elif not told.sessions and (
        code == _NO_TESTS
        or _UNITTEST_RAN.search(told.ending.output)
        or (code == 0 and _is_pytest(command))
    ):
        reason = f"the command ran no test: {last}"
    return reason


def _is_pytest(command: str) -> bool:
    """Whether a pytest without a session ran no test: `pytest --version`, `pytest --help`."""
    return _PYTEST.search(command) is not None and "PYTEST_ADDOPTS" not in command


def _refusal(output: str) -> str:
    """Why pytest did not begin, in its own words: they need not be the last ones."""
    return "; ".join(_REFUSAL.findall(output)) or last_lines(output, 1)
