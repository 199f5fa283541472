"""`predict --strict`: whether a wheel works wherever its tags promise it, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_files import Want
from packaging.tags import parse_tag
from trial_values import make_distro
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.plan import promised_targets

CP311 = "demo/_x.cpython-311-x86_64-linux-gnu.so"
PYPY_TAG = "pp311-pypy311_pp73-manylinux_2_28_x86_64"
PYPY = "demo/_x.pypy311-pp73-x86_64-linux-gnu.so"
MUSL_TAG = "cp311-cp311-musllinux_1_2_x86_64"
MUSL = "demo/_x.cpython-311-x86_64-linux-musl.so"
PYPY_WANTS = (Want("memcpy", "GLIBC_2.2.5", "libc.so.6"), Want("PyPyModule_Create2"))
MUSL_FIELDS = {
    "needed": ("libc.musl-x86_64.so.1",),
    "wants": (Want("memcpy"), Want("PyModule_Create2")),
}


def native(folder: Path, *, tag: str = NATIVE, module: str = CP311, **fields: object) -> Path:
    """A wheel with one extension module, crafted."""
    files: dict[str, bytes | str] = {
        "demo/__init__.py": "",
        module: extension_spec("_x", **fields).build(),
    }
    return build_wheel(folder, files, tag=tag)


def strict(*words: str | Path) -> int:
    return main(["predict", "--strict", *map(str, words)])


def test_a_sound_wheel_takes_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = native(tmp_path)
    assert strict(wheel, "--for", "debian-12, debian-13,embedded") == ExitCode.OK
    said = capsys.readouterr()
    counted = "4 (debian-12, debian-13, embedded)"
    assert said.out == f"{wheel.name}: works on every distro that its tags promise: {counted}\n"
    assert said.err == ""


def test_supported_distros_count_unless_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert strict(native(tmp_path)) == ExitCode.OK
    assert capsys.readouterr().out.endswith(" (supported)\n")


def test_a_finding_is_told_once_with_its_distros(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = native(tmp_path, stack="rwx")
    assert main(["predict", str(wheel)]) == ExitCode.OK, "without --strict: it works somewhere"
    capsys.readouterr()
    assert strict(wheel, "--for", "debian-12,debian-13,ubuntu-26.04") == ExitCode.NOT_PORTABLE
    first, sentence, places, remedy = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{wheel.name}: fails on 2 of the distros that its tags promise: 3 ")
    assert sentence.startswith(f"  executable-stack: {CP311} asks for an executable stack")
    assert places == "    on debian-13+cp311, ubuntu-26.04+cp311"
    assert remedy.startswith("    remedy: ")


def test_different_faults_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = native(tmp_path, needed=("libc.so.6", "libone.so.1", "libtwo.so.2"))
    assert strict(wheel, "--for", "debian-12,debian-13") == ExitCode.NOT_PORTABLE
    said = capsys.readouterr().out
    assert said.count("libone.so.1") >= 1
    assert said.count("libtwo.so.2") >= 1
    assert said.count("    on debian-12-cp311, debian-13+cp311") == 2


def test_only_what_the_tags_promise_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wants = (Want("fcntl64", "GLIBC_2.35", "libc.so.6"),)
    true = native(tmp_path, tag="cp311-cp311-manylinux_2_35_x86_64", wants=wants)
    assert strict(true, "--for", "debian-11,debian-12") == ExitCode.OK
    assert "promise: 1 (" in capsys.readouterr().out
    untrue = native(tmp_path, wants=wants)
    assert strict(untrue, "--for", "debian-11,debian-12") == ExitCode.NOT_PORTABLE
    assert "    on debian-11+cp311\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tag", "counted", "why"),
    [
        ("cp311-cp311-linux_x86_64", "debian-12", "repair the wheel first"),
        (NATIVE, "musl-1.2.5", "choose others by --for"),
        (MUSL_TAG, "default", "choose others by --for"),
        ("cp311-cp311-manylinux_2_36_x86_64", "debian-11", "choose others by --for"),
    ],
)
def test_where_no_distro_counts_it_is_not_a_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tag: str, counted: str, why: str
) -> None:
    wheel = native(tmp_path, tag=tag)
    assert strict(wheel, "--for", counted) == ExitCode.NOT_PROVEN
    said = capsys.readouterr().out
    assert f"{wheel.name}: not judged: " in said
    assert why in said


def test_the_worst_wheel_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native(tmp_path)
    native(tmp_path, tag="cp311-cp311-linux_x86_64")
    assert strict(tmp_path, "--for", "debian-13") == ExitCode.NOT_PROVEN
    native(tmp_path, tag="cp311-cp311-manylinux_2_28_x86_64", stack="rwx")
    assert strict(tmp_path, "--for", "debian-13") == ExitCode.NOT_PORTABLE
    capsys.readouterr()


def test_musl_and_pypy_wheels_are_held_against_what_they_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    native(tmp_path, tag=MUSL_TAG, module=MUSL, **MUSL_FIELDS)
    pypy = native(tmp_path, tag=PYPY_TAG, module=PYPY, wants=PYPY_WANTS)
    assert strict(tmp_path, "--for", "debian-12,debian-13,musl-1.2.5") == ExitCode.OK
    one, other = sorted(capsys.readouterr().out.splitlines())
    assert "musllinux" in one
    assert "promise: 1 (" in one
    assert "promise: 2 (" in other
    native(tmp_path, tag=PYPY_TAG, module=PYPY, wants=PYPY_WANTS, stack="rwx")
    assert strict(pypy, "--for", "debian-12,debian-13") == ExitCode.NOT_PORTABLE
    assert "    on debian-13-pp311\n" in capsys.readouterr().out
    musl = native(tmp_path, tag=MUSL_TAG, module=MUSL, needed=("libgone.so.1",))
    assert strict(musl, "--for", "musl-1.2.5") == ExitCode.NOT_PORTABLE
    assert "    on musl-1.2.5+cp311\n" in capsys.readouterr().out


def test_wheels_for_other_systems_are_named_and_alone_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag="cp311-cp311-win_amd64")
    assert strict(windows) == ExitCode.USAGE
    assert strict(windows, native(tmp_path), "--for", "debian-12") == ExitCode.OK
    assert f"{windows.name}: left out, not for Linux" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--for", "debian-12"], "--for says which distros count with --strict"),
        (["--strict", "--distros", "debian-12"], "--strict and --distros do not go together"),
        (["--strict", "--json"], "--strict and --json do not go together"),
        (["--strict", "--for", "suported"], "--for: no distro is called 'suported'"),
        (["--strict", "--for", ","], "--for names no distro"),
    ],
)
def test_a_mistake_in_the_flags_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["predict", str(native(tmp_path)), *words]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_the_distros_own_pythons_come_before_one_from_elsewhere() -> None:
    distros = (make_distro(id="debian-12"), make_distro(id="old-1", glibc=(2, 12)))
    (own,) = promised_targets(parse_tag(NATIVE), "", distros)
    assert own.place == "debian-12-cp311"
    (brought,) = promised_targets(parse_tag("cp39-cp39-manylinux_2_17_x86_64"), "", distros)
    assert brought.place == "debian-12+cp39"
    assert promised_targets(parse_tag("cp311-cp311-manylinux_2_17_sparc"), "", distros) == ()


def test_requires_python_chooses_the_python_from_elsewhere() -> None:
    distros = (make_distro(id="debian-12"),)
    tags = parse_tag("cp39-abi3-manylinux_2_17_x86_64")
    assert [t.place for t in promised_targets(tags, ">=3.9", distros)] == ["debian-12-cp311"]
    assert promised_targets(tags, "<3.9", distros) == ()
