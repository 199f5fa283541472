"""ML124: the wheel installs over Python, pip or the environment itself."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
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
    wheel=_wheel,
    dynamic=_dynamic,
)
