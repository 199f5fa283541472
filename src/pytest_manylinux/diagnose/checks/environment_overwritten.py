"""ML124: the wheel installs over Python, pip or the environment itself."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.environment_files import changed_by_others, overwritten
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 20


def _wheel(facts: WheelFacts) -> Findings:
    found = overwritten(facts)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield CHECK.finding(
            f"{found[0].path}{more} would take the place of what belongs to {found[0].owner}",
            evidence=[f"{one.path}: the place of {one.owner}" for one in found[:_SHOWN]],
            files=[one.path for one in found if one.path in facts.files],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    install = observation.install
    if install is None or not install.changed:
        return
    now = dict(install.installed).get("pip", "")
    changed = list(changed_by_others(facts, install.changed, pip_changed=now != install.pip_version))
    if changed:
        whose = "the wheel" if overwritten(facts) else "the wheel, or something it depends on,"
        yield CHECK.finding(
            f"installing {whose} changed {changed[0]} of the virtual environment on {target.distro.id}",
            evidence=[f"changed or gone: {path}" for path in changed[:_SHOWN]],
        )


CHECK = Check(
    code="ML124",
    name="environment-overwritten",
    severity=Severity.ERROR,
    title="The wheel installs over Python, pip or the environment itself",
    meaning=(
        "The wheel brings a program called python or pip (with or without a version), files in the "
        "folders of pip, setuptools or the standard library, pyvenv.cfg or an activation script. pip "
        "writes over what is there without a word: the user's environment breaks, or runs other code "
        "than it seems to. Only pip's own wheel may bring pip, only setuptools' its own folders. What "
        "an import in such an environment shows says nothing."
    ),
    by_hand=(
        "python3 -m venv v && sha256sum v/bin/* v/pyvenv.cfg > before; v/bin/pip install WHEEL; "
        "sha256sum -c before | grep -v OK"
    ),
    remedies=(
        Remedy(
            words=(
                "give the program a name of the project's own, and put no file into another project's "
                "folder; depend on that project instead"
            )
        ),
    ),
    links=(
        Link(
            title="Binary distribution format: the .data folder",
            address="https://packaging.python.org/en/latest/specifications/binary-distribution-format/",
        ),
        Link(title="venv", address="https://docs.python.org/3/library/venv.html"),
    ),
    wheel=_wheel,
    dynamic=_dynamic,
)
