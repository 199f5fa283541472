"""ML401: the build ended well, but without the native code."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Link, Remedy
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML401",
    name="extension-not-built",
    severity=Severity.ERROR,
    title="The build ended well, but without the native code",
    meaning=(
        "The project has native sources, or its other wheels hold native code, but this build gave a "
        "pure wheel: its extensions are optional, their compilation failed, and the build went on "
        "with exit code 0. The compiler's error is in the evidence."
    ),
    by_hand="python -m build --wheel 2>&1 | grep -i 'error\\|failed'; unzip -l dist/*.whl '*.so'",
    remedies=(
        Remedy(
            words=(
                "mend the compile error in the log (often a missing header: name its package in "
                "build-packages); if the pure wheel is meant, say so with the project's own switch"
            )
        ),
        Remedy(
            tool="setuptools",
            words="Extension(..., optional=False) where wheels are built for release",
        ),
    ),
    links=(
        Link(
            title="setuptools: optional extensions",
            address="https://setuptools.pypa.io/en/latest/userguide/ext_modules.html",
        ),
    ),
)
