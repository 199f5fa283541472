"""What several tries of the same wheel in the same place amount to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_manylinux.diagnose.check_registry import make_finding
from pytest_manylinux.model.verdict import FLAKY, Foretold, Outcome, Tries, Verdict


def hold_against_tries(verdict: Verdict, tries: Tries, *, words: str = "") -> Verdict:
    """Add to a verdict what is known of all tries, and a `flaky` finding if they disagree.

    `verdict` is that of the try that decides, and is counted in `tries`; `words` tell how the last
    failing try failed. To be done before anything is ignored or expected. What is not proven stays so.
    """
    if verdict.outcome is Outcome.NOT_PROVEN or not (tries.flaky or tries.count > 1):
        return verdict
    verdict = replace(verdict, tries=tries)
    if not tries.flaky:
        return verdict
    finding = make_finding(FLAKY, _message(tries), evidence=list(_evidence(tries, words)))
    # The bytes had led one to expect a pass or a failure, and chance decides: neither was wrong.
    prediction = Foretold.BEYOND if verdict.prediction is Foretold.RIGHT else verdict.prediction
    return replace(
        verdict,
        outcome=Outcome.NOT_PORTABLE,
        findings=(*verdict.findings, finding),
        reason=verdict.reason if verdict.errors else finding.message,
        prediction=prediction,
    )


def _message(tries: Tries) -> str:
    if tries.count == 1:
        now = "failed" if tries.failed else "passed"
        return f"{now} now, failed {tries.known_failed} of {tries.known} times"
    if 0 < tries.failed < tries.count:
        return f"failed {tries.failed} of {tries.count} tries"
    now = "failed" if tries.failed else "passed"
    return f"{now} all {tries.count} tries now, failed {tries.known_failed} of {tries.known} times"


def _evidence(tries: Tries, words: str) -> Iterator[str]:
    yield "the same bytes, on the same image, in the same way"
    if 0 < tries.failed < tries.count < tries.known:
        yield f"with earlier runs: failed {tries.known_failed} of {tries.known} times"
    if words:
        yield f"a failure: {words}"
