"""ML901: a fault that the project declares did not happen."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Link, Remedy
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML901",
    name="expectation-not-met",
    severity=Severity.ERROR,
    title="A fault that the project declares did not happen",
    meaning=(
        "The configuration declares that a finding happens on this distro ([[tool.pytest-manylinux."
        "expect]]), and it did not. Declarations are strict, like pytest's xfail_strict: a fault that "
        "is gone must be struck off, or it would hide the next one."
    ),
    by_hand="grep -A3 'tool.pytest-manylinux.expect' pyproject.toml",
    remedies=(Remedy(words="remove the declaration, or name the distro and finding that are meant"),),
    links=(
        Link(
            title="pytest: strict xfail",
            address="https://docs.pytest.org/en/stable/how-to/skipping.html#strict-parameter",
        ),
    ),
)
