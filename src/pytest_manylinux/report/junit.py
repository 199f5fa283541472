"""What `--junitxml` carries of a run: properties of the run and of each testcase.

pytest writes the file; these functions say what goes in. Values hold no character that XML cannot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar
from xml.etree import ElementTree as ET

from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.observation import CaseStatus
from pytest_manylinux.model.policy import AUTO_NAME, policy_of_platform_tag
from pytest_manylinux.model.run import BuildRecord, RunRecord, WheelRecord
from pytest_manylinux.model.verdict import Outcome, Severity, Verdict
from pytest_manylinux.report.phrases import (
    prediction_words,
    remembered_words,
    repeated_words,
    seen_words,
    suite_words,
    warning_words,
)

_Reporter = TypeVar("_Reporter", bound="CaseReporter")
Properties = tuple[tuple[str, str], ...]

TAIL_LINES = 60
TAIL_BOUND = 8000  # characters
_NO_BUILDER = "none"  # the wheel was given as a file


def properties(
    verdict: Verdict | None,
    wheel: WheelRecord | None = None,
    build: BuildRecord | None = None,
    *,
    engine: str = "",
) -> Properties:
    """The properties of one testcase: all names always, empty where one does not apply.

    Without a verdict the testcase is a build, and `verdict` is `built` or `build-failed`. `build`
    is the wheel's own if none is given; `engine` stands in where nothing was observed.
    """
    made = build or (wheel.build if wheel is not None else None)
    values = {
        "wheel": wheel.file if wheel is not None else "",
        "wheel.sha256": wheel.sha256 if wheel is not None else "",
        "policy": _policy(wheel, made),
        "policy.why": made.policy_why if made is not None else "",
        **dict.fromkeys(("distro", "python", "pip", "libc"), ""),
        **dict.fromkeys(("image", "image.source", "image.name", "image.note"), ""),
        "engine": engine,
        "worker": "",
        "emulator": "",
        "added.python": "",
        **dict.fromkeys(("remembered", "tries", "tries.failed", "tests"), ""),
        "builder": made.builder if made is not None else _NO_BUILDER,
        "builder.image": made.image if made is not None else "",
        "builder.why": made.builder_why if made is not None else "",
    }
    if verdict is not None:
        values |= _judged(verdict)
    elif made is not None:
        values |= _built(made)
    return _named(values.items())


def _judged(verdict: Verdict) -> dict[str, str]:
    """What a verdict knows, and the observation that it rests on if there is one."""
    target = split_target_id(verdict.subject)
    seen, tries = verdict.observation, verdict.tries
    values = {
        "tries": "" if tries is None else str(tries.known),
        "tries.failed": "" if tries is None else str(tries.known_failed),
        "wheel": verdict.wheel,
        "wheel.sha256": verdict.wheel_sha256,
        "distro": target[0] if target else "",
        "python": target[1] if target else "",
        "verdict": verdict.outcome.value,
        "findings": " ".join(dict.fromkeys(finding.name for finding in verdict.findings)),
        "warnings": "; ".join(
            warning_words(one) for one in verdict.findings if one.severity is Severity.WARNING
        ),
    }
    if seen is not None:
        values |= {
            "remembered": seen_words(seen) if seen.remembered else "",
            "python": seen.python or values["python"],
            "pip": "" if seen.install is None else seen.install.pip_version,
            "libc": seen.libc,
            "image": seen.image,
            "image.source": seen.image_source,
            "image.name": seen.image_name,
            "image.note": seen.image_note,
            "engine": seen.engine,
            "worker": seen.worker,
            "tests": "" if seen.tests is None else suite_words(seen.tests),
            "emulator": seen.emulator,
            "added.python": seen.added_python,
        }
    return values


def _built(build: BuildRecord) -> dict[str, str]:
    return {
        "wheel.sha256": build.wheel_sha256,
        "python": build.python,
        "image": build.image,
        "image.name": build.image_name,
        "verdict": "build-failed" if build.error else "built",
        "findings": "",
        "warnings": "",
    }


def suite_properties(record: RunRecord) -> Properties:
    """Properties of the testsuite: versions, engine, builder, catalogue, pins, settings."""
    builders = sorted({build.builder for build in record.builds}) or [_NO_BUILDER]
    values = {
        "tool": record.tool_version,
        "pytest": record.pytest_version,
        "host.python": record.host_python,
        "host.kernel": record.kernel,
        "engine": record.engine,
        "engine.version": record.engine_version,
        "builder": " ".join(builders),
        "catalogue": record.catalogue_version,
        "prediction": prediction_words(record.verdicts),
        "repeated": repeated_words(record.verdicts),
        "remembered": remembered_words(record.verdicts),
    }
    for name, version in sorted({tool for build in record.builds for tool in build.tools}):
        values[f"tool.{name}"] = version
    if record.shard is not None:
        values["shard"] = f"{record.shard.index}/{record.shard.count}"
    values |= {f"pin.{distro}": digest for distro, digest in record.pins}
    values |= {f"setting.{setting.name}": setting.value for setting in record.settings}
    return _named(values.items())


def log_tail(text: str) -> str:
    """The end of a log, for system-out: whole lines, bounded, sound in XML."""
    lines = text[-TAIL_BOUND:].splitlines()
    if len(text) > TAIL_BOUND and len(lines) > 1:
        lines = lines[1:]
    return plain("\n".join(lines[-TAIL_LINES:]))


@lru_cache(maxsize=256)  # each item of a wheel asks
def class_name(group: str) -> str:
    """A testcase's class from its project's or wheel's path.

    CI pages cut at dots and take what follows the last one for the class, so a wheel's own dots
    (versions, `.whl`) become underscores: `dist.numpy-2_2_6-cp311-…`.
    """
    folders = plain_line(group).removesuffix(".whl").removesuffix(".tar.gz").split("/")
    return ".".join(folder.replace(".", "_") for folder in folders if folder)


def _policy(wheel: WheelRecord | None, build: BuildRecord | None) -> str:
    """The policy that the file name promises (the strictest), else the one it was built for."""
    if wheel is not None:
        split = (policy_of_platform_tag(platform) for platform in wheel.platforms)
        policies = [found[0] for found in split if found is not None]
        return str(min(policies)) if policies else " ".join(wheel.platforms)
    return "" if build is None else build.policy


def _named(values: Iterable[tuple[str, str]]) -> Properties:
    return tuple(_property(name, value) for name, value in values)


@lru_cache(maxsize=4096)
def _property(name: str, value: str) -> tuple[str, str]:
    """Of a run's testcases most have the same in most places: the wheel, the image, what is empty."""
    return (f"manylinux.{name}", plain_line(value))


class SharedProperties:
    """Of equal properties all testcases of a run have one element.

    As elements of its own the twenty-five of a testcase are several times as large as in the file, and
    pytest keeps them to the end.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], ET.Element] = {}

    def shared_by(self, reporter: _Reporter) -> _Reporter:
        """Have a testcase's reporter take elements from here, instead of making them."""
        vars(reporter)["make_properties_node"] = lambda: self._node(reporter.properties)
        return reporter

    def _node(self, pairs: Iterable[tuple[str, str]]) -> ET.Element | None:
        node = ET.Element("properties")
        for name, value in pairs:
            if (name, value) not in self._known:
                self._known[name, value] = ET.Element("property", name=name, value=value)
            node.append(self._known[name, value])
        return node if len(node) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerCase:
    """A test of the project's own as a testcase: `passed`, `failed`, `error` or `skipped`."""

    class_name: str
    name: str
    status: str
    words: str
    duration: float


def inner_cases(verdict: Verdict) -> Iterator[InnerCase]:
    """The tests that ran inside of a trial, each with the place in its name.

    `tests/test_a.py::TestA::test_b[1]` is `test_b[1-debian-12-cp311]` in `tests.test_a.TestA`. What is
    declared to fail counts as skipped, as pytest's own xfail does.
    """
    seen, target = verdict.observation, split_target_id(verdict.subject)
    if seen is None or seen.tests is None or target is None:
        return
    place = verdict.subject.removesuffix(f"-{target[2]}")
    declared = verdict.outcome is Outcome.EXPECTED
    for case in seen.tests.cases:
        address, bracket, parameters = case.name.partition("[")  # parameters may hold anything
        path, _, name = address.replace(".py::", "::").rpartition("::")
        name += bracket + parameters
        if not path:  # unittest's: test_b (tests.test_a.TestA)
            name, _, path = name.removesuffix(")").partition(" (")
        status = _CASES[case.status]
        if declared and status in {"failed", "error"}:
            status = "skipped"
        yield InnerCase(
            class_name=plain_line(path.replace("/", ".").replace("::", ".")),
            name=plain_line(_placed(name, place)),
            status=status,
            words=plain(case.words or case.status.value),
            duration=case.duration,
        )


_CASES = {
    CaseStatus.PASSED: "passed",
    CaseStatus.XPASSED: "passed",
    CaseStatus.SKIPPED: "skipped",
    CaseStatus.XFAILED: "skipped",
    CaseStatus.FAILED: "failed",
    CaseStatus.ERROR: "error",
    CaseStatus.UNFINISHED: "error",
}


def _placed(name: str, place: str) -> str:
    return f"{name[:-1]}-{place}]" if name.endswith("]") and "[" in name else f"{name}[{place}]"


class CaseReporter(Protocol):
    """What pytest's junitxml plugin offers for one testcase (`LogXML.node_reporter`)."""

    properties: list[tuple[str, str]]

    def add_attribute(self, name: str, value: object) -> None:
        """Set an attribute of the testcase."""

    def append(self, node: ET.Element) -> None:
        """Add a child element."""


def describe_case(
    reporter: CaseReporter, *, group: str, name: str, output: str, prefix: str = ""
) -> None:
    """Give a testcase the class that CI pages group it under, its name, and its log's tail.

    To be called before pytest records the report: it keeps attributes that are set already.
    `prefix` is what `--junit-prefix` puts before every class.
    """
    reporter.add_attribute("classname", ".".join(filter(None, (prefix, class_name(group)))))
    reporter.add_attribute("name", plain_line(name))
    if tail := log_tail(output):
        element = ET.Element("system-out")
        element.text = tail
        reporter.append(element)


def case_name(nodeid: str, wheel: WheelRecord | None = None, build: BuildRecord | None = None) -> str:
    """An item's name in the report: with the policy that `auto` came to, if that gave a wheel."""
    name = nodeid.rpartition("::")[2]
    made = build or (wheel.build if wheel is not None else None)
    if made is None or not made.wheel_sha256:  # like its audit and trials, which never begin
        return name
    return name.replace(AUTO_NAME, made.policy)


def case_output(verdict: Verdict | None, build: BuildRecord | None) -> str:
    """The log of a testcase: pip's words and what the imports said, or the build's log."""
    if verdict is None or verdict.observation is None:
        return _build_log(build) if verdict is None and build is not None else ""
    seen = verdict.observation
    parts = [seen.install.output] if seen.install is not None else []
    for outcome in seen.imports:
        parts += [f"import {outcome.name}: {outcome.status.value}", outcome.traceback, outcome.output]
    parts += [program.output for program in seen.programs]
    parts += [seen.tests.output] if seen.tests is not None else []
    return "\n".join(part.rstrip() for part in parts if part.strip())


def _build_log(build: BuildRecord) -> str:
    """The end of the build's log file, if it is still there, and what became of it."""
    log = ""
    if build.log:
        with suppress(OSError), Path(build.log).open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(stream.tell() - TAIL_BOUND, 0))
            log = stream.read().decode("utf-8", "replace")
    return "\n".join(filter(None, (log.rstrip(), build.error)))
