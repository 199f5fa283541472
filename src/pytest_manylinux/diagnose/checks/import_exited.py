"""ML302: the interpreter exited in the middle of an import."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("import-exited", facts, observation, target):
        outcome = failure.outcome
        output = outcome.output.strip().splitlines()[-3:]
        yield CHECK.finding(
            f"import {outcome.name}: the interpreter exited with code {outcome.exit_code} half-way",
            evidence=[failure.line, *(f"it said: {line}" for line in output)],
            severity=failure.severity,
        )


CHECK = Check(
    code="ML302",
    name="import-exited",
    severity=Severity.ERROR,
    title="The interpreter exited in the middle of an import",
    meaning=(
        "The import neither returned nor raised: the process ended, through sys.exit, os._exit or "
        "exit() in C code. With exit code 0 this looks like success to whoever looks only at the "
        "exit code; the name was not imported all the same."
    ),
    by_hand="python3 -c 'import NAME; print(\"imported\")'   # `imported` is not printed",
    remedies=(
        Remedy(
            words=(
                "do not end the process at import time: raise an exception, or move the code under "
                "`if __name__ == '__main__':`"
            )
        ),
    ),
    links=(Link(title="os._exit", address="https://docs.python.org/3/library/os.html#os._exit"),),
    sample="sample_projects/faulty/exit_on_import",
    dynamic=_dynamic,
)
