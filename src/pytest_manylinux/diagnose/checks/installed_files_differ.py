"""ML207: what was installed is not what was judged."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
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
    title="What was installed is not what was judged",
    meaning=(
        "After pip has installed the wheel, its files are compared with those that were read of it: "
        "each must be there with its size and SHA-256, and none besides. What installers write "
        "themselves (RECORD and its like, programs of entry points, the first line of scripts, "
        "bytecode) is not counted. A difference means that the distro's pip read the archive "
        "otherwise, that a dependency changed files of this wheel, or that the file was replaced while "
        "the run went on. Where another installed distribution lists the same file, it is a warning: "
        "the one that is installed last wins."
    ),
    by_hand=(
        "pip install --no-deps --target t WHEEL; unzip -d u WHEEL; diff -rq t u\n"
        "pip install WHEEL; pip show --files NAME"
    ),
    remedies=(
        Remedy(
            words=(
                "prove again with nothing else writing the wheel; if it stays, build the wheel again "
                "with a current build back end, and leave out files that belong to another project"
            )
        ),
    ),
    links=(
        Link(
            title="Binary distribution format: installing a wheel",
            address="https://packaging.python.org/en/latest/specifications/binary-distribution-format/",
        ),
    ),
    dynamic=_dynamic,
)
