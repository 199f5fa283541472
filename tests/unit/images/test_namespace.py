from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError
from pytest_manylinux.host import containment


def allowing_kernel(monkeypatch: pytest.MonkeyPatch, folder: Path, *, user: int) -> None:
    """Be `user` on a machine that gives namespaces, as this one may not: `unshare` is a stand-in."""
    program = folder / "unshare"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))


@pytest.mark.parametrize(("user", "mapped"), [(0, False), (65534, True)])
def test_it_dies_with_us_and_has_its_own_mounts_and_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, *, mapped: bool
) -> None:
    allowing_kernel(monkeypatch, tmp_path, user=user)
    monkeypatch.setattr(containment, "_has_range", lambda *_: True)
    argv = containment.contained(("true",))
    assert ({"--user", "--map-root-user", "--map-auto"} <= set(argv)) is mapped
    assert argv[1:3] == ("--pdeathsig", "KILL")
    assert str(os.getpid()) in argv
    assert {"--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"} <= set(argv)
    assert argv[-2:] == ("--", "true")


@pytest.mark.parametrize(
    ("absent", "package"),
    [("setpriv", "util-linux"), ("unshare", "util-linux"), ("newuidmap", "uidmap")],
)
def test_a_missing_program_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, absent: str, package: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name == absent else name)
    with pytest.raises(ImageError) as caught:
        containment.contained(("true",))
    assert f"sudo apt-get install --yes {package}" in str(caught.value)


def test_a_kernel_that_gives_a_user_no_namespaces_is_told_before_anything_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "unshare"
    program.write_text("#!/bin/sh\necho 'unshare failed: No space left on device' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(tmp_path / name))
    monkeypatch.setattr(containment, "_has_range", lambda *_: False)  # which would be of no use
    with pytest.raises(ImageError, match="may not make a user namespace") as caught:
        containment.contained(("true",))
    assert "No space left on device" in caught.value.why
    assert caught.value.remedy


def test_an_ordinary_user_without_subordinate_ids_is_told_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allowing_kernel(monkeypatch, tmp_path, user=65534)
    with pytest.raises(ImageError) as caught:
        containment.contained(("true",))
    assert "usermod --add-subuids" in str(caught.value)


def test_a_range_belongs_to_a_name_or_a_number(tmp_path: Path) -> None:
    table = tmp_path / "subuid"
    table.write_text(f"someone:100000:65536\n{os.geteuid()}:165536:65536\n")
    assert containment._has_range(table, "someone")
    assert containment._has_range(table, "nobody-here")
    assert not containment._has_range(tmp_path / "none", "someone")
