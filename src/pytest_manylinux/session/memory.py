"""What earlier runs saw: a trial that would be the same in every respect is not done again.

Observations are kept, not verdicts: findings, expectations and ignored findings are judged afresh
each time. Only trials that speak for the wheel are kept; a fault is looked at again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec

from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.procedure import procedure_of
from pytest_manylinux.prove.trial import TrialRequest
from pytest_manylinux.session.kept import Kept

LIMIT = 256 * 1024 * 1024  # bytes; some ten thousand observations


class Memory:
    """Observations below `root`, the least recently used forgotten first.

    `fresh` recalls nothing, but keeps what is seen.
    """

    def __init__(self, root: Path, *, fresh: bool = False, limit: int = LIMIT) -> None:
        self._kept = Kept(root, Observation, limit=limit, fresh=fresh)

    def recall(self, key: str) -> Observation | None:
        """What was seen under this key; None if nothing was, or it can no longer be read."""
        observation = self._kept.recall(key)
        return None if observation is None else replace(observation, remembered=True)

    def keep(self, key: str, observation: Observation, outcome: Outcome) -> None:
        """Keep what a trial saw if nothing in it spoke against the wheel."""
        if outcome is Outcome.PORTABLE:
            self._kept.keep(key, observation)

    def prune(self) -> None:
        """Forget the least recently used until the rest fits the limit."""
        self._kept.prune()


def observation_key(request: TrialRequest, engine: str) -> str:
    """A hexadecimal SHA-256 over all that can change what a trial sees."""
    parts: list[object] = [
        procedure_of("prove"),
        engine,
        request.wheel.filename,
        request.wheel.sha256,
        request.target.id,
        request.image.digest,
        request.imports,
        request.import_skip,
        request.programs,
        request.timeout,
        _wheels_in(request.dependencies),
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _wheels_in(folder: Path | None) -> list[tuple[str, str]] | None:
    if folder is None:
        return None
    return [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())
    ]
