from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_manylinux.building.project import LEGACY_BACKEND, read_project
from pytest_manylinux.errors import ExitCode, ProjectError

SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=68"]\nbuild-backend = "setuptools.build_meta"\n'


def folder(path: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def sdist(path: Path, files: Mapping[str, str], *, top: str = "demo-1.0") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}" if top else name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_declared_project(tmp_path: Path) -> None:
    table = '[project]\nname = "De_Mo.x"\nversion = "1.0"\nrequires-python = ">=3.9"\n'
    project = read_project(folder(tmp_path, {"pyproject.toml": SETUPTOOLS + table}))
    assert (project.name, project.version, project.requires_python) == ("de-mo-x", "1.0", ">=3.9")
    assert project.backend == "setuptools.build_meta"
    assert project.build_requires == ("setuptools>=68",)
    assert not project.is_sdist
    assert not project.native
    assert not project.limited_api


def test_setup_py_alone_is_a_legacy_project_and_is_never_run(tmp_path: Path) -> None:
    text = 'raise SystemExit\nsetuptools.setup(name="demo", version=V, python_requires=">=3.8")\n'
    project = read_project(folder(tmp_path, {"setup.py": text}))
    assert project.backend == LEGACY_BACKEND
    assert (project.name, project.version, project.requires_python) == ("demo", "", ">=3.8")


def test_setup_cfg_knows_what_setup_py_does_not(tmp_path: Path) -> None:
    config = "[metadata]\nname = demo\nversion = attr: demo.V\n[options]\npython_requires = >=3.7\n"
    project = read_project(folder(tmp_path, {"setup.py": "setup()", "setup.cfg": config}))
    assert (project.name, project.version, project.requires_python) == ("demo", "", ">=3.7")


def test_an_sdist_says_more_than_its_project_table(tmp_path: Path) -> None:
    path = sdist(
        tmp_path / "demo-1.0.tar.gz",
        {
            "pyproject.toml": SETUPTOOLS + '[project]\nname = "demo"\ndynamic = ["version"]\n',
            "PKG-INFO": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n\nVersion: 2\n",
        },
    )
    project = read_project(path)
    assert project.is_sdist
    assert (project.name, project.version) == ("demo", "1.0")


@pytest.mark.parametrize(
    ("files", "native"),
    [
        ({"setup.py": "setup(ext_modules=[Extension('x', ['x.c'])])", "x.c": ""}, True),
        ({"setup.py": "setup(ext_modules=cythonize('x.pyx'))", "src/x.pyx": ""}, True),
        ({"setup.py": "setup(ext_modules=mypycify(['x.py']))", "x.py": ""}, False),
        ({"setup.py": "setup()", "data/x.c": ""}, False),
        ({"setup.py": "setup(ext_modules=[])", "tests/x.c": ""}, False),
        (
            {"pyproject.toml": SETUPTOOLS + '[[tool.setuptools.ext-modules]]\nname="x"\n', "x.c": ""},
            True,
        ),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "mesonpy"\n',
                "meson.build": "subdir('src')",
                "src/meson.build": "py.extension_module('x', 'x.cpp')",
                "src/x.cpp": "",
            },
            True,
        ),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "mesonpy"\n',
                "meson.build": "py.install_sources('x.py')",
                "x.c": "",
            },
            False,
        ),
        (
            {
                "pyproject.toml": "[build-system]\nrequires = []\n"
                'build-backend = "scikit_build_core.build"\n',
                "CMakeLists.txt": "",
                "x.cpp": "",
            },
            True,
        ),
        (
            {
                "pyproject.toml": "[build-system]\nrequires = []\n"
                'build-backend = "scikit_build_core.build"\n'
                "[tool.scikit-build]\nwheel.platlib = false\n",
                "CMakeLists.txt": "",
                "x.cpp": "",
            },
            False,
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_native_sources_need_a_declaration_and_a_source(
    tmp_path: Path, files: dict[str, str], *, native: bool, packed: bool
) -> None:
    path = sdist(tmp_path / "demo-1.0.tar.gz", files) if packed else folder(tmp_path, files)
    assert bool(read_project(path).native) is native


@pytest.mark.parametrize(
    ("files", "asks"),
    [
        (
            {"pyproject.toml": '[build-system]\nrequires = ["Setuptools_SCM[toml]>=8"]\n'},
            True,
        ),
        ({"pyproject.toml": '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n'}, True),
        ({"setup.py": "", "versioneer.py": ""}, True),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = ["pdm-backend"]\n'
                '[tool.pdm.version]\nsource = "scm"\n'
            },
            True,
        ),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = ["meson-python"]\n',
                "meson.build": "project('demo', version: run_command('git', 'describe').stdout())",
            },
            True,
        ),
        ({"pyproject.toml": '[build-system]\nrequires = ["setuptools"]\n'}, False),
    ],
)
def test_whether_git_knows_the_version(tmp_path: Path, files: dict[str, str], *, asks: bool) -> None:
    path = folder(tmp_path / "repository/packages/demo", files)
    assert not read_project(path).asks_git, "there is no repository to ask"
    (tmp_path / "repository/.git").mkdir()
    assert read_project(path).asks_git is asks
    packed = sdist(tmp_path / "repository/demo-1.0.tar.gz", files)
    assert not read_project(packed).asks_git, "PKG-INFO has it"


def test_a_limited_api_is_hinted_at(tmp_path: Path) -> None:
    files = {"setup.py": "setup(options={'bdist_wheel': {'py_limited_api': 'cp39'}})"}
    assert read_project(folder(tmp_path, files)).limited_api


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"neither a \[build-system\] table"),
        ({"pyproject.toml": "[tool.black]\n"}, r"neither a \[build-system\] table"),
        ({"pyproject.toml": "[build-system\n"}, "not valid TOML"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_build_system_is_the_users_mistake(
    tmp_path: Path, files: dict[str, str], words: str, *, packed: bool
) -> None:
    files = {"README": "", **files}
    path = sdist(tmp_path / "demo-1.0.tar.gz", files) if packed else folder(tmp_path, files)
    with pytest.raises(ProjectError, match=words) as caught:
        read_project(path)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_path_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="does not exist"):
        read_project(tmp_path / "gone")
    (tmp_path / "demo.rpm").touch()
    with pytest.raises(ProjectError, match="no sdist's suffix"):
        read_project(tmp_path / "demo.rpm")


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    path.write_bytes(b"not an archive")
    with pytest.raises(ProjectError, match="cannot be read as an sdist"):
        read_project(path)


def test_an_archive_that_ends_early(tmp_path: Path) -> None:
    path = sdist(tmp_path / "demo-1.0.tar.gz", {"setup.py": "x" * 100_000})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ProjectError, match="cannot be read as an sdist"):
        read_project(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "demo-1.0/../../x", "other/x", "setup.py", "../x"])
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    files = {"demo-1.0/setup.py": "setup()", name: ""}
    with pytest.raises(ProjectError, match="no sound sdist"):
        read_project(sdist(tmp_path / "demo-1.0.tar.gz", files, top=""))


@pytest.mark.parametrize(
    ("target", "sound"),
    [("setup.py", True), ("src/x", True), ("../setup.py", False), ("/etc/passwd", False)],
)
def test_links_stay_inside(tmp_path: Path, target: str, *, sound: bool) -> None:
    path = sdist(tmp_path / "demo-1.0.tar", {"setup.py": "setup()"})
    with tarfile.open(path, "w") as archive:
        plain = tarfile.TarInfo("demo-1.0/setup.py")
        archive.addfile(plain, io.BytesIO())
        link = tarfile.TarInfo("demo-1.0/link")
        link.type, link.linkname = tarfile.SYMTYPE, target
        archive.addfile(link)
    path = path.rename(tmp_path / "demo-1.0.tar.xz")
    if sound:
        assert read_project(path).is_sdist
    else:
        with pytest.raises(ProjectError, match="links to"):
            read_project(path)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("demo-1.0/x")
        member.type = kind
        archive.addfile(member)
    with pytest.raises(ProjectError, match="device or pipe"):
        read_project(path)


def test_a_hard_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("demo-1.0/x")
        member.type, member.linkname = tarfile.LNKTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ProjectError, match="cannot be read as an sdist"):
        read_project(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("build-system = 1", "it is not a table"),
        ("[build-system]\nbuild-backend = 'x'", "has no `requires`"),
        ("[build-system]\nrequires = 'x'", "`requires` is not an array"),
        ("[build-system]\nrequires = [1]", "`requires` is not an array"),
        ("[build-system]\nrequires = []\nbuild-backend = 1", "`build-backend` is not a string"),
        ("[build-system]\nrequires = []\nbackend-path = '.'", "`backend-path` is not an array"),
    ],
)
def test_a_build_system_table_that_breaks_the_specification(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "setup.py").touch()
    with pytest.raises(ProjectError, match="is not valid") as caught:
        read_project(tmp_path)
    assert why in caught.value.why


def test_a_tool_that_is_no_table_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 3\n[build-system]\nrequires = []\n")
    assert read_project(tmp_path).native == ()
