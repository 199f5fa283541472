"""The tries of one wheel in one place: those of this run, on top of what is known of earlier ones."""

from __future__ import annotations

from pytest_manylinux.diagnose.flakiness import hold_against_tries
from pytest_manylinux.model.verdict import Outcome, Tries, Verdict
from pytest_manylinux.run.observation_memory import Known, Memory


class TryCount:
    """Takes the verdict of one try after the other, `wanted` of them, and gives the one that counts."""

    def __init__(self, memory: Memory, wanted: int) -> None:
        self.wanted = wanted
        self._memory = memory
        self._verdicts: list[Verdict] = []
        self._known: dict[str, Known] = {}

    @property
    def left(self) -> int:
        """How many are still to be done; none after one that proved nothing."""
        if self._verdicts and self._verdicts[-1].outcome is Outcome.NOT_PROVEN:
            return 0
        return self.wanted - len(self._verdicts)

    @property
    def failed(self) -> int:
        """How many failed so far."""
        return sum(verdict.outcome is Outcome.NOT_PORTABLE for verdict in self._verdicts)

    def add(self, key: str, verdict: Verdict) -> None:
        """Count a try, in the memory too, by its verdict before anything is declared of it.

        Raises RunEndedError.
        """
        self._verdicts.append(verdict)
        if verdict.outcome is not Outcome.NOT_PROVEN:
            self._known[key] = self._memory.add(key, verdict)

    def verdict(self) -> Verdict:
        """The first failing try's; without one what is not proven, and a pass where all passed."""
        order = (Outcome.NOT_PORTABLE, Outcome.NOT_PROVEN, Outcome.PORTABLE)
        deciding = min(self._verdicts, key=lambda verdict: order.index(verdict.outcome))
        words = next((known.words for known in self._known.values() if known.words), "")
        return hold_against_tries(deciding, self._tries(), words="" if deciding.errors else words)

    def _tries(self) -> Tries:
        count = sum(verdict.outcome is not Outcome.NOT_PROVEN for verdict in self._verdicts)
        known = self._known.values()
        return Tries(
            count=count,
            failed=self.failed,
            known=max(count, sum(one.tries for one in known)),
            known_failed=max(self.failed, sum(one.failed for one in known)),
        )
