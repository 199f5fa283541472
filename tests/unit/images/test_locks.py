from __future__ import annotations

import os
from pathlib import Path

from pytest_manylinux.images.locks import hold_alone, hold_shared


def test_several_may_share_and_none_is_alone_then(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    first, second = hold_shared(path), hold_shared(path)
    assert first is not None
    assert second is not None
    assert hold_alone(path) is None
    os.close(first)
    assert hold_alone(path) is None
    os.close(second)
    alone = hold_alone(path)
    assert alone is not None
    assert hold_shared(path) is None
    os.close(alone)


def test_a_missing_file_is_made_only_on_request(tmp_path: Path) -> None:
    assert hold_alone(tmp_path / "file") is None
    assert hold_shared(tmp_path / "file") is None
    held = hold_alone(tmp_path / "file", create=True)
    assert held is not None
    os.close(held)
