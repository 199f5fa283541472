"""Our own distributions: the same tree gives the same bytes, wherever and whenever it is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "build", "reports", "wheelhouse")


def build(tree: Path, out: Path, *, mtime: int, umask: int) -> dict[str, str]:
    """Copy the tree as a checkout might leave it, build both distributions, give their digests."""
    shutil.copytree(ROOT / "src", tree / "src", ignore=KEPT_OUT)
    shutil.copytree(ROOT / "docs", tree / "docs", ignore=KEPT_OUT)
    for path in (*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "LICENSE"):
        shutil.copy(path, tree)
    for path in (tree, *tree.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        os.utime(path, (mtime, mtime))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", out],
        cwd=tree,
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}


def test_sdist_and_wheel_are_reproducible(tmp_path: Path) -> None:
    one = build(tmp_path / "one", tmp_path / "a", mtime=10**9, umask=0o022)
    other = build(tmp_path / "elsewhere/two", tmp_path / "b", mtime=15 * 10**8, umask=0o002)
    assert len(one) == 2
    assert one == other
