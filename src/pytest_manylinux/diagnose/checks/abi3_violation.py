"""ML115: a file for the stable ABI uses more than that."""

from __future__ import annotations

from pytest_manylinux.diagnose.abi3 import AbiBreach, breaches
from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import Failure, blamed, grouped
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _lines(found: list[AbiBreach]) -> list[str]:
    return [
        f"{b.path} wants {b.symbol}: "
        + (f"in the stable ABI since {b.since.dotted}" if b.since else "not in the stable ABI")
        for b in found
    ]


def _wheel(facts: WheelFacts) -> Findings:
    found = list(breaches(facts))
    if found:
        promised = found[0].promised.dotted
        yield CHECK.finding(
            f"{found[0].path} uses {found[0].symbol}, which the stable ABI of {promised} does not have",
            evidence=_lines(found),
            severity=Severity.WARNING,
            files=list(dict.fromkeys(breach.path for breach in found)),
        )


def _static(facts: WheelFacts, target: Target) -> Findings:
    """An error for what is missing; what is there without being stable, or may be, is a warning."""
    version = target.interpreter.version
    missing = [breach for breach in breaches(facts) if breach.is_missing(version)]
    unsure = [
        breach
        for breach in breaches(facts)
        if breach not in missing and not (breach.since and breach.since <= version)
    ]
    for found, words, severity in (
        (missing, "does not have", Severity.ERROR),
        (unsure, "need not have", Severity.WARNING),
    ):
        if found:
            yield CHECK.finding(
                f"{found[0].path} uses {found[0].symbol}, which Python {version.dotted} {words}",
                evidence=_lines(found),
                severity=severity,
                files=list(dict.fromkeys(breach.path for breach in found)),
            )


def _symbol(failure: Failure) -> str:
    return failure.words.symbol if failure.words else ""


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = blamed("abi3-violation", facts, observation, target)
    for symbol, members in grouped(found, _symbol):
        files = [elf.path for elf in facts.elf if any(w.name == symbol for w in elf.wants)]
        version = target.interpreter.version.dotted
        yield CHECK.finding(
            f"Python {version} does not have {symbol}, which an abi3 module uses",
            evidence=[*(f.line for f in members), *(f"{path} wants {symbol}" for path in files)],
            severity=members[0].severity,
            files=files,
        )


CHECK = Check(
    code="ML115",
    name="abi3-violation",
    severity=Severity.ERROR,
    title="A file for the stable ABI uses more than that",
    meaning=(
        "A wheel tagged cp39-abi3 promises to work on CPython 3.9 and every later one, which holds "
        "only if its modules use nothing but the stable ABI of 3.9. A symbol that joined the stable "
        "ABI later is missing on older Pythons, unless they had it without promising it; one that "
        "never belonged to it may vanish in any release. What is missing on the target is an error, "
        "what is there without a promise is a warning."
    ),
    by_hand="abi3audit --strict WHEEL; nm -D --undefined-only FILE.abi3.so | grep ' _\\?Py'",
    remedies=(
        Remedy(
            words="compile with Py_LIMITED_API set to the tag's version, and raise the tag if needed"
        ),
        Remedy(
            tool="setuptools",
            words='define_macros=[("Py_LIMITED_API", "0x03090000")], py_limited_api=True',
        ),
        Remedy(
            tool="scikit-build-core",
            words='wheel.py-api = "cp39", and Python_add_library(… USE_SABI 3.9)',
        ),
        Remedy(tool="meson-python", words="limited_api : '3.9' on py.extension_module"),
        Remedy(tool="maturin", words="the pyo3 feature abi3-py39"),
    ),
    links=(
        Link(title="C API stability", address="https://docs.python.org/3/c-api/stable.html"),
        Link(title="abi3audit", address="https://github.com/pypa/abi3audit"),
    ),
    sample="sample_projects/faulty/abi3_violation",
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
