"""ML207: what was installed is not what was judged."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import FileDifference, Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 20


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    del facts
    found = observation.install.differences if observation.install else ()
    for severity, wanted in ((Severity.ERROR, False), (Severity.WARNING, True)):
        ours = [one for one in found if one.shared is wanted]
        if ours:
            count = f"{len(ours)} files differ" if len(ours) > 1 else "one file differs"
            yield CHECK.finding(
                f"{count} from the wheel after pip installed it on {target.distro.id}: {ours[0].path}",
                evidence=[_line(one) for one in ours[:_SHOWN]],
                severity=severity,
            )


def _line(one: FileDifference) -> str:
    whose = ", which another distribution lists too" if one.shared else ""
    return f"{one.path}: {one.kind.value}{whose}"


CHECK = Check(
    code="ML207",
    name="installed-files-differ",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
