"""ML317: pip and uv do not install the wheel alike."""

from __future__ import annotations

import re

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.pip_words import refusal_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation, UvInstall, last_lines
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

_SHOWN = 20  # in the evidence
_CAUSE = re.compile(
    r"^(?:\s*cause: |\s*Caused by: |error: )(?P<words>.+)$", re.MULTILINE | re.IGNORECASE
)

_OTHER_VARIANT = "unsupported wheel variant"  # uv 0.13.9


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    pip, uv = observation.install, observation.uv
    if pip is None or uv is None:
        return
    if not uv.version:
        yield CHECK.finding(
            f"uv was not tried: it does not start there ({last_lines(uv.output, 1)})",
            severity=Severity.WARNING,
        )
        return
    if facts.wheel.variant and pip.ok and not uv.ok and _OTHER_VARIANT in uv.output:
        yield _other_variant(facts.wheel.variant, uv)
        return
    by_pip, by_uv = f"pip {pip.pip_version} installs it", f"uv {uv.version} installs it"
    evidence: list[str] = []
    if not pip.ok:
        refusal = refusal_of(facts, observation, target)
        words = refusal.line if refusal else last_lines(pip.output, 1)
        by_pip = f"pip {pip.pip_version} does not install it: {words}"
    if not uv.ok:
        by_uv = f"uv {uv.version} does not install it: {uv_sentence(uv)}"
        evidence = [f"uv said: {line}" for line in last_lines(uv.output).splitlines()]
    if pip.ok != uv.ok:
        # That pip refuses is an error of its own already.
        severity = Severity.ERROR if pip.ok else Severity.WARNING
        yield CHECK.finding(f"{by_pip}; {by_uv}", evidence=evidence, severity=severity)
    elif uv.unlike:
        yield _unlike(uv)


def uv_sentence(uv: UvInstall) -> str:
    """The decisive sentence of uv: the last cause that it gives (its errors name one below another)."""
    causes = _CAUSE.findall(uv.output)
    return causes[-1].strip() if causes else last_lines(uv.output, 1)


def _other_variant(label: str, uv: UvInstall) -> Finding:
    """The finding on a wheel variant (PEP 825) whose properties uv does not find on the machine."""
    return CHECK.finding(
        f"uv {uv.version} takes the wheel variant {label} only where the machine has its properties; "
        "pip was given the same file without the label in its name",
        evidence=[f"uv said: {line}" for line in last_lines(uv.output).splitlines()],
        severity=Severity.INFORMATION,
    )


def _unlike(uv: UvInstall) -> Finding:
    """Both install it, and leave different files."""
    path, by_pip, by_uv = uv.unlike[0]
    more = f", and {len(uv.unlike) - 1} more files" if len(uv.unlike) > 1 else ""
    return CHECK.finding(
        f"pip and uv {uv.version} install {path} differently: {by_pip} by pip, {by_uv} by uv{more}",
        evidence=[f"{place}: {one} by pip, {two} by uv" for place, one, two in uv.unlike[:_SHOWN]],
        severity=Severity.WARNING,
    )


CHECK = Check(
    code="ML317",
    name="installers-disagree",
    severity=Severity.ERROR,
    dynamic=_dynamic,
)
