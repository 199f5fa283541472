from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_manylinux.host.subprocesses import module_command


@pytest.mark.attack("escape")
@pytest.mark.parametrize("module", ["pip", "runpy", "auditwheel"])
def test_a_module_of_the_working_folder_is_not_run_in_anothers_place(
    tmp_path: Path, module: str
) -> None:
    for name in {module, "runpy"}:
        (tmp_path / f"{name}.py").write_text("open('mark', 'w').close()\n")
    command = module_command(module, "--version")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not (tmp_path / "mark").exists()
    if module != "runpy":
        assert done.stdout.startswith(module)
