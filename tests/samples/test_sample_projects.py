"""Every sample project, built and proven: what it declares is found, and nothing else.

Opt-in (`-m samples`): what `make prove` does, with the findings looked at one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_table import rows

from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.samples

ROOT = Path(__file__).parents[2]


def test_each_fault_is_found_and_no_false_one(
    tmp_path: Path, show_table: Callable[[str], None]
) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "--manylinux", "sample_projects", "-q"]
    command += [f"--manylinux-wheelhouse={tmp_path}", f"--manylinux-proof={tmp_path}/proof.json"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found = list(rows(read_proof(tmp_path / "proof.json").record))
    show_table("\n".join(map(str, found)))
    projects = {f"sample_projects/{p.parent.name}/{p.name}" for p in ROOT.glob("sample_projects/*/*/")}
    assert {row.project for row in found} == projects
    assert [str(row) for row in found if row.wrong] == []
    assert done.returncode == 0, done.stdout[-4000:]
