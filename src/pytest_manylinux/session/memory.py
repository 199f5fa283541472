"""What earlier runs saw: a trial that would be the same in every respect is not done again.

Observations are kept, not verdicts: findings, expectations and ignored findings are judged afresh
each time. Only trials in which everything went well are kept; a fault is looked at again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import msgspec

from pytest_manylinux.errors import ReportError
from pytest_manylinux.images.seal import sealed, unsealed
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.prove.procedure import procedure
from pytest_manylinux.prove.trial import TrialRequest
from pytest_manylinux.report.atomic import write_atomically

LIMIT = 256 * 1024 * 1024  # bytes; some ten thousand observations


class Memory:
    """Observations below `root`, the least recently used forgotten first.

    `fresh` recalls nothing, but keeps what is seen.
    """

    def __init__(self, root: Path, *, fresh: bool = False, limit: int = LIMIT) -> None:
        self._root = root
        self._fresh = fresh
        self._limit = limit

    def recall(self, key: str) -> Observation | None:
        """What was seen under this key; None if nothing was, or it can no longer be read."""
        path = self._path(key)
        if self._fresh:
            return None
        try:
            content = unsealed(key, path.read_bytes())
            if content is None:
                return None
            observation = msgspec.json.decode(content, type=Observation)
            os.utime(path)
        except (OSError, msgspec.MsgspecError):
            return None
        return replace(observation, remembered=True)

    def keep(self, key: str, observation: Observation) -> None:
        """Keep an observation if all went well; a cache that cannot be written keeps nothing."""
        if not _went_well(observation):
            return
        path = self._path(key)
        with contextlib.suppress(OSError, ReportError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, sealed(key, msgspec.json.encode(observation)))

    def prune(self) -> None:
        """Forget the least recently used until the rest fits the limit."""
        with contextlib.suppress(OSError):
            files = [(path, path.stat()) for path in self._root.glob("*/*.json")]
            size = sum(status.st_size for _, status in files)
            for path, status in sorted(files, key=lambda found: found[1].st_mtime):
                if size <= self._limit:
                    return
                path.unlink(missing_ok=True)
                size -= status.st_size

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.json"


def observation_key(request: TrialRequest, engine: str) -> str:
    """A hexadecimal SHA-256 over all that can change what a trial sees."""
    parts: list[object] = [
        procedure(),
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


def _went_well(observation: Observation) -> bool:
    return (
        observation.install is not None
        and observation.install.ok
        and all(outcome.status is ImportStatus.OK for outcome in observation.imports)
        and all(outcome.exit_code == 0 for outcome in observation.programs)
    )
