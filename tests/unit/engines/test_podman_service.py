from __future__ import annotations

import time
from pathlib import Path

import pytest
from sandboxes import eventually, processes_with

from pytest_manylinux.engines.daemons import PodmanService


@pytest.mark.parametrize("ends", ["at once", "when told"])
def test_the_end_of_a_service_is_no_news(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ends: str
) -> None:
    """Whatever its program does, nothing is said on the user's terminal, and nothing stays."""
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\n{'exit 1' if ends == 'at once' else 'exec sleep 1000'}\n")
    program.chmod(0o755)
    service = PodmanService(str(program))
    folder = service._folder
    time.sleep(0.1)
    service.close()
    assert capfd.readouterr() == ("", "")
    assert not folder.exists()
    assert processes_with(str(folder)) == []


def test_a_service_leaves_files_in_its_own_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\n: > oom\nexec sleep 1000\n")
    program.chmod(0o755)
    service = PodmanService(str(program))
    try:
        assert eventually((service._folder / "oom").exists)
    finally:
        service.close()
    assert list(project.iterdir()) == []
