"""Whether a wheel that holds no native code was meant to hold some.

Back ends let an extension be optional: a compile that fails then goes unseen, and a pure wheel comes
out with exit code 0. What is evidence that it was not meant: the project's own files, the wheel's
own tags, another wheel of the same release.
"""

from __future__ import annotations

from pathlib import Path

from pytest_manylinux.building.log import BuildLog
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.wheelhouse import native_wheel
from pytest_manylinux.errors import BuildError
from pytest_manylinux.model.wheel import WheelFacts


def check_native(
    what: str, project: Project, facts: WheelFacts, log: BuildLog, wheelhouse: Path
) -> None:
    """Raise BuildError (`extension-not-built`) with the compiler's error for such a wheel."""
    evidence = _evidence(project, facts, wheelhouse)
    if facts.elf or not evidence:
        return
    errors = log.errors(8)
    raise BuildError(
        f"{what}: the wheel holds no native code, but it should",
        why="\n".join([*evidence, *([errors] if errors else ["the log shows no compiler's error"])]),
        remedy=f"mend what kept its extensions from being built; the whole log is {log.path}",
        finding="extension-not-built",
    )


def _evidence(project: Project, facts: WheelFacts, wheelhouse: Path) -> list[str]:
    other = native_wheel(wheelhouse, facts.wheel.name, facts.wheel.version)
    return [
        *([f"its name promises a platform: {facts.wheel.filename}"] if not facts.wheel.is_pure else []),
        *project.native,
        *([f"another wheel of this release is native: {other}"] if other else []),
    ]
