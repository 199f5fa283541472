"""ML305: a Python module is missing that the wheel does not declare."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed, grouped
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("undeclared-dependency", facts, observation, target)
    for module, members in grouped(found, lambda failure: failure.outcome.missing_module):
        requires = ", ".join(facts.requires_dist) or "nothing"
        yield CHECK.finding(
            f"no module named {module!r}, and the wheel does not declare what provides it",
            evidence=[*(failure.line for failure in members), f"the wheel declares: {requires}"],
            severity=members[0].severity,
        )


CHECK = Check(
    code="ML305",
    name="undeclared-dependency",
    severity=Severity.ERROR,
    title="A Python module is missing that the wheel does not declare",
    meaning=(
        "The wheel imports a module that is neither its own nor Python's own, and its metadata "
        "names no project that provides it. In the maintainer's environment the module happened to "
        "be there; in a fresh one it is not."
    ),
    by_hand="unzip -p WHEEL '*.dist-info/METADATA' | grep ^Requires-Dist",
    remedies=(
        Remedy(words="declare the project that provides the module in [project] dependencies"),
        Remedy(tool="setuptools", words="[project] dependencies, or install_requires in setup.cfg"),
        Remedy(tool="poetry", words="[project] dependencies; poetry add NAME"),
    ),
    links=(
        Link(
            title="Dependencies in pyproject.toml",
            address="https://packaging.python.org/en/latest/specifications/pyproject-toml/#dependencies-optional-dependencies",
        ),
    ),
    sample="sample_projects/faulty/undeclared_dependency",
    dynamic=_dynamic,
)
