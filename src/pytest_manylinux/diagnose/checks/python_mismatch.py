"""ML202: the wheel, or a file in it, is for another Python."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed, grouped
from pytest_manylinux.diagnose.modules import built_for
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts


def _static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.PYTHON:
        yield _tag_finding(str(fit.tag), target, ())


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.PYTHON:
            yield _tag_finding(str(fit.tag), target, refusal.lines)
    found = blamed("python-mismatch", facts, observation, target)
    for module, members in grouped(found, lambda failure: failure.outcome.missing_module):
        files = built_for(module, facts)
        yield CHECK.finding(
            f"{module} is in the wheel, but its file is named for another Python: {files[0]}",
            evidence=[*(failure.line for failure in members), *files],
            severity=members[0].severity,
        )


def _tag_finding(tag: str, target: Target, lines: tuple[str, ...]) -> Finding:
    version = target.interpreter.version
    return CHECK.finding(
        f"the tag {tag} is not for Python {version.dotted}, the Python of {target.distro.id}",
        evidence=lines,
    )


CHECK = Check(
    code="ML202",
    name="python-mismatch",
    severity=Severity.ERROR,
    title="The wheel, or a file in it, is for another Python",
    meaning=(
        "A wheel tagged cp311-cp311 installs on CPython 3.11 only, one tagged cp311-abi3 on 3.11 and "
        "later. Inside a wheel, an extension module called name.cpython-311-x86_64-linux-gnu.so is "
        "seen by CPython 3.11 only, whatever the tag in the wheel's name promises."
    ),
    by_hand=(
        "python3 -c 'import importlib.machinery as m; print(m.EXTENSION_SUFFIXES)'\n"
        "unzip -l WHEEL '*.so'"
    ),
    remedies=(
        Remedy(words="build a wheel for that Python too, or one for the stable ABI (abi3)"),
        Remedy(
            tool="setuptools",
            words="py_limited_api=True on the Extension, and [bdist_wheel] py_limited_api = cp39",
        ),
        Remedy(tool="scikit-build-core", words='wheel.py-api = "cp39" under [tool.scikit-build]'),
        Remedy(tool="meson-python", words="limited-api = true under [tool.meson-python]"),
        Remedy(tool="maturin", words="the pyo3 feature abi3-py39"),
    ),
    links=(
        Link(
            title="Platform compatibility tags",
            address="https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/",
        ),
    ),
    static=_static,
    dynamic=_dynamic,
)
