"""ML123: a file wants a Python built with floating-point exception control."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SYMBOLS = frozenset({"PyFPE_jbuf", "PyFPE_counter", "PyFPE_dummy"})


def _wheel(facts: WheelFacts) -> Findings:
    found = {elf.path: want.name for elf in facts.elf for want in elf.wants if want.name in _SYMBOLS}
    if found:
        path, symbol = next(iter(found.items()))
        yield CHECK.finding(
            f"{path} wants {symbol}, which only Pythons with fpectl had",
            evidence=[f"{path} wants {symbol}" for path, symbol in found.items()],
            files=list(found),
        )


CHECK = Check(
    code="ML123",
    name="fpe",
    severity=Severity.WARNING,
    title="A file wants a Python built with floating-point exception control",
    meaning=(
        "PyFPE_jbuf and its kin exist only in Pythons that were configured with fpectl, an option "
        "that was removed in Python 3.7. Elsewhere the import fails with an undefined symbol. "
        "auditwheel gives such a wheel no manylinux tag."
    ),
    by_hand="nm -D --undefined-only FILE.so | grep PyFPE",
    remedies=(Remedy(words="build with a Python that was configured without --with-fpectl"),),
    links=(
        Link(
            title="PEP 513: fpectl builds",
            address="https://peps.python.org/pep-0513/#fpectl-builds-vs-no-fpectl-builds",
        ),
    ),
    wheel=_wheel,
)
