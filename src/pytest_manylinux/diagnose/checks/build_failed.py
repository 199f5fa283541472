"""ML402: the project could not be built."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Link, Remedy
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML402",
    name="build-failed",
    severity=Severity.ERROR,
    title="The project could not be built",
    meaning=(
        "The build back end, the compiler or the repair ended with an error. The log's tail is in "
        "the evidence; the whole log is kept beside the wheelhouse."
    ),
    by_hand="python -m build --wheel",
    remedies=(
        Remedy(
            words=(
                "read the log; a missing header or library comes with build-packages, a tool with "
                "before-build, and a compiler that is too old for the code with a newer policy"
            )
        ),
    ),
    links=(Link(title="build", address="https://build.pypa.io/en/stable/"),),
)
