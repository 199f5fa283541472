"""Files that an installation adds: packed where all are accounted for, laid out where none is there."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from trial_values import make_facts, make_target
from wheels import build_wheel

from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.inspect.requirements import requirements_of_extras
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.trials import suite_requirements
from pytest_manylinux.trials.inside import installed_files
from pytest_manylinux.trials.request import Errand, PreparedVenv, VenvLayout
from pytest_manylinux.trials.suite import KeptInstallation, SuiteRequest, SuiteSettings
from pytest_manylinux.trials.suite_requirements import Stores, with_kept_installation
from pytest_manylinux.trials.trial import TrialRequest

SITE = "lib/python3.11/site-packages"
TARGET = make_target()


@pytest.fixture
def venv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that has a file already."""
    folder = tmp_path / "venv"
    (folder / SITE).mkdir(parents=True)
    (folder / SITE / "there.py").write_text("")
    monkeypatch.setattr(installed_files, "VENV", str(folder))
    monkeypatch.setattr(installed_files, "ASIDE", str(tmp_path / "aside"))
    return folder


def install(venv: Path, name: str, files: dict[str, str], *, recorded: bool = True) -> None:
    """Lay out a distribution as pip does; paths from its folder of modules."""
    site, record = venv / SITE, f"{name}.dist-info/RECORD"
    for path, text in {**files, record: ""}.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    lines = [f"{path},sha256=x,1" for path in files] if recorded else []
    (site / record).write_text("\n".join([*lines, f"{record},,", f"{record},,"]))


def packed(venv: Path) -> Path | None:
    """What came since the first file, as a file."""
    target = venv.parent / "packed"
    fine = installed_files.pack({f"{SITE}/there.py"}, [str(venv / SITE)], str(target))
    assert target.exists() is fine
    return target if fine else None


def laid_out(archive: str, left_out: list[str]) -> bool:
    installed_files.lay_aside(archive, left_out)
    aside = Path(installed_files.ASIDE)
    assert aside.is_dir()
    fine = installed_files.move_in()
    assert [path for path in aside.rglob("*") if not path.is_dir()] == []
    return fine


def emptied(venv: Path) -> None:
    for path in installed_files.files_of_venv() - {f"{SITE}/there.py"}:
        (venv / path).unlink()


def seen(venv: Path) -> dict[str, tuple[bytes, int, int]]:
    paths = installed_files.files_of_venv()
    status = {path: (venv / path).stat() for path in paths}
    return {
        path: ((venv / path).read_bytes(), status[path].st_mode, status[path].st_mtime_ns)
        for path in paths
    }


def test_what_is_laid_out_is_what_was_installed(venv: Path) -> None:
    script = "../../../bin/one"
    install(venv, "one-1.0", {"one/__init__.py": "ONE = 1", script: "#!", "ä.py": "", "empty": ""})
    install(venv, "two-2.0", {"two.py": "TWO = 2"})
    (venv / "bin/one").chmod(0o755)
    os.utime(venv / SITE / "two.py", ns=(5, 1_234_567_890_123_456_789))
    before, archive = seen(venv), packed(venv)
    assert archive is not None
    emptied(venv)
    assert laid_out(str(archive), [])
    assert seen(venv) == before


def test_modes_are_those_of_the_files_and_folders_those_of_the_process(venv: Path) -> None:
    install(venv, "one-1.0", {"one/inner/two.py": "1", "one/three.py": "2"})
    (venv / SITE / "one/three.py").chmod(0o666)
    archive = packed(venv)
    emptied(venv)
    shutil.rmtree(venv / SITE / "one")
    before = os.umask(0o027)
    try:
        assert laid_out(str(archive), [])
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    modes = [
        (venv / SITE / name).stat().st_mode & 0o777 for name in ("one/three.py", "one", "one/inner")
    ]
    assert modes == [0o666, 0o750, 0o750]


def test_distributions_that_are_there_are_left_out(venv: Path) -> None:
    install(venv, "one-1.0", {"one.py": "1"})
    install(venv, "two-2.0", {"two.py": "2"})
    archive = packed(venv)
    emptied(venv)
    assert laid_out(str(archive), ["one-1.0.dist-info"])
    assert (venv / SITE / "two.py").read_text() == "2"
    assert not (venv / SITE / "one.py").exists()


def test_a_file_that_nobody_recorded_is_not_packed(venv: Path) -> None:
    install(venv, "one-1.0", {"one.py": ""}, recorded=False)
    assert packed(venv) is None


def test_a_link_is_not_packed(venv: Path) -> None:
    install(venv, "one-1.0", {"one.py": ""})
    (venv / SITE / "one.py").unlink()
    (venv / SITE / "one.py").symlink_to("there.py")
    assert packed(venv) is None


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_laid_out_over_a_file(venv: Path, *, link: bool) -> None:
    install(venv, "one-1.0", {"one.py": "1", "other.py": "2"})
    archive = packed(venv)
    emptied(venv)
    if link:
        (venv / SITE / "other.py").symlink_to("nowhere")
    else:
        (venv / SITE / "other.py").write_text("theirs")
    before = installed_files.files_of_venv()
    assert not laid_out(str(archive), [])
    assert installed_files.files_of_venv() == before


def test_a_file_that_ends_too_early_leaves_nothing(venv: Path) -> None:
    install(venv, "one-1.0", {"one.py": "1", "other.py": "2"})
    archive = packed(venv)
    assert archive is not None
    archive.write_bytes(archive.read_bytes()[:-1])
    emptied(venv)
    with pytest.raises(OSError, match="too early"):
        installed_files.lay_aside(str(archive), [])
    assert not Path(installed_files.ASIDE).exists()
    assert installed_files.files_of_venv() == {f"{SITE}/there.py"}


def test_what_cannot_be_moved_leaves_nothing(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(venv, "one-1.0", {"one.py": "1", "other.py": "2"})
    archive = packed(venv)
    emptied(venv)
    rename = os.rename

    def refuse(source: str, target: str) -> None:
        if source.startswith(installed_files.ASIDE) and target.endswith("dist-info/RECORD"):
            raise PermissionError(target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    (venv / SITE / "one-1.0.dist-info").mkdir(exist_ok=True)
    assert not laid_out(str(archive), [])
    assert installed_files.files_of_venv() == {f"{SITE}/there.py"}


@pytest.mark.parametrize(
    ("line", "extras", "added"),
    [
        ("pytest>=7; extra == 'test'", ("test",), ("pytest>=7",)),
        ("pytest>=7 ; extra == 'test'", ("docs",), ()),
        ("pytest", ("test",), ()),
        ("x[y]; extra == 'test' and python_version >= '3.9'", ("docs", "test"), ("x[y]",)),
        ("x; extra == 'test' and python_version < '3.9'", ("test",), ()),
        ("x; extra == 'test' or python_version >= '3.9'", ("test",), ()),
        ("x; extra == 'test' and platform_release >= '6'", ("test",), None),
        ("not a requirement at all ===", ("test",), None),
        ("not a requirement at all ===", (), ()),
    ],
)
def test_what_extras_add(line: str, extras: tuple[str, ...], added: tuple[str, ...] | None) -> None:
    assert requirements_of_extras([line], TARGET, extras) == added


class Making:
    """Stands for the sandbox that a set is made in: counts, and writes what it is told to."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, ...]] = []
        self.content = b'{"pytest-9.0.dist-info": []}\n'
        self.seeded = frozenset({"pip"})

    def venv(self, *_: object) -> PreparedVenv:
        layout = VenvLayout(
            entries=(), heavy=(), purelib=SITE, platlib=SITE, scripts="bin", data="", seeded=self.seeded
        )
        return PreparedVenv(layout=layout, folder=Path("nowhere"))

    def make(self, errand: Errand, _: object, folder: Path) -> None:
        self.wanted.append(errand.request.pip)
        if not self.content:
            raise SandboxError("no room")
        (folder / "installed").write_bytes(self.content)


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    found = Making()
    monkeypatch.setattr(suite_requirements, "prepared_venv", found.venv)
    monkeypatch.setattr(suite_requirements, "_make", found.make)
    return found


def trial(folder: Path, *, requires: tuple[str, ...] = ("pytest",), **fields: object) -> TrialRequest:
    """A trial whose tests require pytest, which lies in a folder with what it requires."""
    required = folder / "required"
    if not required.exists():
        build_wheel(required, {"pytest.py": "9"}, name="pytest", version="9.0", tag="py3-none-any")
    settings = SuiteSettings(command=("pytest",), requires=requires)
    request = TrialRequest(
        wheel=make_facts().wheel,
        facts=make_facts(requires_dist=("tomli; extra == 'test'",)),
        target=TARGET,
        image=Image(
            name="debian-12",
            digest="sha256:1",
            source=ImageSource.ARCHIVE,
            arch="x86_64",
            root=str(folder),
        ),
        suite=SuiteRequest(settings=settings, required=required),
    )
    return replace(request, **fields)  # type: ignore[arg-type]


def kept(request: TrialRequest, folder: Path) -> KeptInstallation | None:
    stores = Stores(kept=folder / "kept", venvs=folder / "venvs")
    suite = with_kept_installation(request, cast(Engine, None), stores).suite
    assert suite is not None
    return suite.installed


def test_a_set_is_made_when_it_is_wanted_again(making: Making, tmp_path: Path) -> None:
    assert kept(trial(tmp_path), tmp_path) is None
    assert making.wanted == []
    found = [kept(trial(tmp_path), tmp_path) for _ in range(2)]
    assert len(making.wanted) == 1
    assert "--no-compile" not in making.wanted[0]
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[0].path.read_bytes() == making.content


def test_other_requirements_and_other_wheels_are_another_set(making: Making, tmp_path: Path) -> None:
    for _ in range(2):
        kept(trial(tmp_path), tmp_path)
    assert kept(trial(tmp_path, requires=("pytest>8",)), tmp_path) is None
    (tmp_path / "required").joinpath("x-1-py3-none-any.whl").write_bytes(b"")
    assert kept(trial(tmp_path), tmp_path) is None
    assert len(making.wanted) == 1


def test_extras_of_the_wheel_are_asked_for_by_what_they_add(making: Making, tmp_path: Path) -> None:
    settings = SuiteSettings(command=("pytest",), extras=("test",))
    suite = SuiteRequest(settings=settings, required=tmp_path / "required")
    for _ in range(2):
        kept(replace(trial(tmp_path), suite=suite), tmp_path)
    assert [arguments[-1] for arguments in making.wanted] == ["tomli"]


def test_where_it_cannot_be_made_pip_is_called(making: Making, tmp_path: Path) -> None:
    making.content = b""
    assert [kept(trial(tmp_path), tmp_path) for _ in range(3)] == [None, None, None]


def test_what_replaces_the_venvs_own_is_left_to_pip(making: Making, tmp_path: Path) -> None:
    making.seeded = frozenset({"pip", "pytest"})
    assert [kept(trial(tmp_path), tmp_path) for _ in range(3)] == [None, None, None]
    assert making.wanted == []


@pytest.mark.parametrize(
    ("content", "present"),
    [("9", ("pytest-9.0.dist-info",)), ("another", None)],
    ids=["the same wheel", "another of the same name"],
)
def test_what_the_wheel_itself_brings_along(
    making: Making, tmp_path: Path, content: str, present: tuple[str, ...] | None
) -> None:
    assert making.wanted == []
    folder = tmp_path / "dependencies"
    build_wheel(folder, {"pytest.py": content}, name="pytest", version="9.0", tag="py3-none-any")
    request = trial(tmp_path, dependencies=folder)
    kept(request, tmp_path)
    found = kept(request, tmp_path)
    assert (None if found is None else found.present) == present


def test_a_set_that_has_the_project_itself_is_not_taken(making: Making, tmp_path: Path) -> None:
    making.content = json.dumps({"demo-1.0.dist-info": [], "pytest-9.0.dist-info": []}).encode() + b"\n"
    assert [kept(trial(tmp_path), tmp_path) for _ in range(3)] == [None, None, None]
