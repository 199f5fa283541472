"""The audit: the tag deserved, whether the name's tags are true, and what decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_files import ElfSpec, Want
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.inspect import audit as audit_module
from pytest_manylinux.inspect.audit import audit_wheel, reference_audit
from pytest_manylinux.inspect.audit_policies import version_key
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.wheel import Audit, WheelFacts

X = "demo/_x.cpython-311-x86_64-linux-gnu.so"
LINUX = "cp311-cp311-linux_x86_64"


def facts_of(folder: Path, files: dict[str, ElfSpec], tag: str = NATIVE) -> WheelFacts:
    content: dict[str, bytes | str] = {path: spec.build() for path, spec in files.items()}
    return read_wheel(open_wheel(build_wheel(folder, {"demo/__init__.py": "", **content}, tag=tag)))


def audit(folder: Path, files: dict[str, ElfSpec], tag: str = NATIVE) -> Audit:
    return audit_wheel(facts_of(folder, files, tag))


def glibc(version: str, symbol: str = "memcpy") -> Want:
    return Want(symbol, f"GLIBC_{version}", "libc.so.6")


@pytest.mark.parametrize(
    ("version", "deserved"),
    [
        ("2.2.5", "manylinux_2_5_x86_64"),
        ("2.14", "manylinux_2_17_x86_64"),
        ("2.28", "manylinux_2_28_x86_64"),
        ("2.99", "linux_x86_64"),
        ("PRIVATE", "linux_x86_64"),
    ],
)
def test_symbols_decide(version: str, deserved: str, tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", wants=(glibc(version),))}, LINUX)

    assert answer.deserved == deserved
    assert answer.true


def test_a_promise_that_one_symbol_breaks(tmp_path: Path) -> None:
    files = {X: extension_spec("_x", wants=(glibc("2.2.5"), glibc("2.33", "stat")))}

    answer = audit(tmp_path, files, "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")

    assert answer.promised == ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
    assert answer.deserved == "manylinux_2_34_x86_64"
    assert not answer.true
    assert answer.reasons[0] == (
        f"{X}: wants stat@GLIBC_2.33 from libc.so.6; allowed up to GLIBC_2.17 (manylinux_2_17_x86_64)"
    )


def test_grafted_files_count(tmp_path: Path) -> None:
    files = {
        X: extension_spec("_x", needed=("libfoo-1.so", "libc.so.6"), rpath="$ORIGIN/../demo.libs"),
        "demo.libs/libfoo-1.so": ElfSpec(wants=(glibc("2.33", "stat"),), needed=("libc.so.6",)),
    }

    answer = audit(tmp_path, files)

    assert not answer.true
    assert answer.reasons[0].startswith("demo.libs/libfoo-1.so: wants stat@GLIBC_2.33")


@pytest.mark.parametrize(
    ("rpath", "deserved"),
    [
        ("$ORIGIN/../demo.libs", "manylinux_2_5_x86_64"),
        ("${ORIGIN}/../demo.libs", "manylinux_2_5_x86_64"),
        ("/opt:$ORIGIN/nowhere:$ORIGIN/../demo.libs", "manylinux_2_5_x86_64"),
        ("", "linux_x86_64"),
        ("$ORIGIN", "linux_x86_64"),
        ("$ORIGIN/../../demo.libs", "linux_x86_64"),
        ("/demo.libs", "linux_x86_64"),
    ],
)
def test_a_grafted_library_must_be_found(rpath: str, deserved: str, tmp_path: Path) -> None:
    for field in ("rpath", "runpath"):
        files = {
            X: extension_spec("_x", needed=("libfoo-1.so", "libc.so.6"), **{field: rpath}),
            "demo.libs/libfoo-1.so": ElfSpec(needed=("libc.so.6",), wants=(glibc("2.2.5"),)),
        }

        answer = audit(tmp_path, files, LINUX)

        assert answer.deserved == deserved
        if deserved.startswith("linux"):
            assert "needs libfoo-1.so" in answer.reasons[0]


def test_a_library_that_nobody_grafted(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", needed=("libfoo.so.1", "libc.so.6"))})

    assert (answer.deserved, answer.true) == ("linux_x86_64", False)
    assert answer.reasons[0].startswith(f"{X}: needs libfoo.so.1")


def test_libraries_of_the_policy_may_come_from_the_system(tmp_path: Path) -> None:
    needed = ("libGL.so.1", "libX11.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2", "libc.so.6")

    assert audit(tmp_path, {X: extension_spec("_x", needed=needed)}).true


def test_a_library_that_only_newer_policies_allow(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", needed=("libexpat.so.1", "libc.so.6"))}, LINUX)

    assert answer.deserved == "manylinux_2_12_x86_64"
    assert "libexpat.so.1" in answer.reasons[0]


def test_forbidden_symbols_of_an_allowed_library(tmp_path: Path) -> None:
    wants = (glibc("2.2.5"), Want("uncompress2"))
    files = {X: extension_spec("_x", needed=("libz.so.1", "libc.so.6"), wants=wants)}

    answer = audit(tmp_path, files)

    assert not answer.true
    assert "uses uncompress2 of libz.so.1" in answer.reasons[0]


def test_instructions_beyond_the_baseline(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", isa=3)})

    assert (answer.deserved, answer.true) == ("linux_x86_64", False)
    assert "x86-64-v3" in answer.reasons[0]


def test_a_python_with_fpectl(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", wants=(glibc("2.2.5"), Want("PyFPE_jbuf")))})

    assert not answer.true
    assert "PyFPE_jbuf" in answer.reasons[0]


def test_a_pure_wheel(tmp_path: Path) -> None:
    answer = audit(tmp_path, {}, "py3-none-any")

    assert (answer.deserved, answer.true, answer.promised) == ("any", True, ("any",))


def test_native_code_in_a_wheel_that_says_any(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x")}, "py3-none-any")

    assert (answer.deserved, answer.true) == ("manylinux_2_5_x86_64", False)
    assert answer.reasons[0].startswith(X)


def test_native_code_in_purelib(tmp_path: Path) -> None:
    answer = audit(tmp_path, {f"demo-1.0.data/purelib/{X}": extension_spec("_x")})

    assert (answer.deserved, answer.true) == ("", False)
    assert "purelib" in answer.reasons[0]


@pytest.mark.parametrize("arch", ["aarch64", "s390x", "ppc64le", "armv7l", "i686", "riscv64"])
def test_other_architectures_are_judged_on_any_machine(arch: str, tmp_path: Path) -> None:
    version, tag = ("2.27", "manylinux_2_31") if arch == "riscv64" else ("2.17", "manylinux_2_17")
    spec = extension_spec("_x", arch=arch, wants=(glibc(version),))

    answer = audit(tmp_path, {X: spec}, f"cp311-cp311-{tag}_{arch}")

    assert answer.deserved == f"{tag}_{arch}"
    assert answer.true


def test_files_of_another_architecture_only(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x", arch="aarch64")})

    assert (answer.deserved, answer.true) == ("", False)
    assert answer.reasons == (f"{X}: made for aarch64, the name says x86_64",)


def test_a_policy_older_than_the_architecture(tmp_path: Path) -> None:
    spec = extension_spec("_x", arch="aarch64", wants=(glibc("2.17"),))

    answer = audit(tmp_path, {X: spec}, "cp311-cp311-manylinux2010_aarch64")

    assert not answer.true
    assert "wants memcpy@GLIBC_2.17 from libc.so.6; allowed up to GLIBC_2.0" in answer.reasons[0]
    assert "no policy that old is known for aarch64" in answer.reasons[1]


@pytest.mark.parametrize(
    ("version", "true"), [("2.27", True), ("2.28", True), ("2.29", False), ("2.38", False)]
)
def test_a_tag_of_a_glibc_before_the_oldest_policy_is_kept_by_what_files_want(
    tmp_path: Path, version: str, *, true: bool
) -> None:
    """glibc is there for riscv64 since 2.27; auditwheel's policies begin with 2.31."""
    spec = extension_spec("_x", arch="riscv64", wants=(glibc(version),))

    answer = audit(tmp_path, {X: spec}, "cp313-cp313-manylinux_2_28_riscv64")

    assert answer.true == true
    assert any(f"GLIBC_{version}" in reason for reason in answer.reasons) == (not true)


def test_a_static_program_keeps_a_tag_that_no_policy_says(tmp_path: Path) -> None:
    program = {"demo-1.0.data/scripts/demo": ElfSpec(arch="riscv64", e_type=2, dynamic=False)}

    assert audit(tmp_path, program, "py3-none-manylinux_2_28_riscv64").true


@pytest.mark.parametrize(
    ("tag", "deserved", "true"),
    [
        ("musllinux_1_2_x86_64", "musllinux_1_2_x86_64", True),
        ("musllinux_1_1_x86_64", "musllinux_1_1_x86_64", True),
        ("linux_x86_64", "musllinux_1_2_x86_64", True),
    ],
)
def test_musl(tag: str, deserved: str, true: bool, tmp_path: Path) -> None:  # noqa: FBT001
    spec = extension_spec("_x", needed=("libc.musl-x86_64.so.1",), wants=(Want("memcpy"),))

    answer = audit(tmp_path, {X: spec}, f"cp311-cp311-{tag}")

    assert (answer.deserved, answer.true) == (deserved, true)


def test_musl_with_a_library_from_outside(tmp_path: Path) -> None:
    needed = ("libstdc++.so.6", "libc.musl-x86_64.so.1")
    spec = extension_spec("_x", needed=needed, wants=(Want("memcpy"),))

    answer = audit(tmp_path, {X: spec}, "cp311-cp311-musllinux_1_2_x86_64")

    assert (answer.deserved, answer.true) == ("linux_x86_64", False)
    assert "libstdc++.so.6" in answer.reasons[0]


def test_glibc_code_under_a_musl_name(tmp_path: Path) -> None:
    answer = audit(tmp_path, {X: extension_spec("_x")}, "cp311-cp311-musllinux_1_2_x86_64")

    assert not answer.true


BOTH = "py3-none-manylinux1_x86_64.musllinux_1_1_x86_64"


def test_a_static_program_keeps_glibc_and_musl_at_once(tmp_path: Path) -> None:
    answer = audit(tmp_path, {"demo-1.0.data/scripts/tool": ElfSpec(e_type=2, dynamic=False)}, BOTH)

    assert (answer.deserved, answer.true) == ("manylinux_2_5_x86_64", True)


def test_a_linked_program_keeps_only_one(tmp_path: Path) -> None:
    loader = "/lib64/ld-linux-x86-64.so.2"
    spec = ElfSpec(e_type=2, interpreter=loader, needed=("libc.so.6",), wants=(glibc("2.2.5"),))

    answer = audit(tmp_path, {"demo-1.0.data/scripts/tool": spec}, BOTH)

    assert (answer.deserved, answer.true) == ("manylinux_2_5_x86_64", False)
    assert answer.reasons == (
        "demo-1.0.data/scripts/tool: linked with glibc, musllinux_1_1_x86_64 promises musl",
    )


def test_a_name_that_promises_two_architectures(tmp_path: Path) -> None:
    tag = "cp311-cp311-manylinux_2_17_x86_64.manylinux_2_17_aarch64"

    answer = audit(tmp_path, {X: extension_spec("_x")}, tag)

    assert not answer.true
    assert answer.reasons == ("manylinux_2_17_aarch64: the files are made for x86_64",)


@pytest.mark.parametrize("platform", ["macosx_11_0_arm64", "win_amd64", "android_21_arm64_v8a"])
def test_platforms_that_are_not_linux(platform: str, tmp_path: Path) -> None:
    answer = audit(tmp_path, {}, f"cp311-cp311-{platform}")

    assert (answer.deserved, answer.true) == ("", False)
    assert answer.reasons == (f"{platform} is no Linux platform",)


def test_reasons_are_bounded(tmp_path: Path) -> None:
    spec = extension_spec("_x", needed=("libnone.so.1", "libc.so.6"))
    files = {f"demo/_x{n}.so": spec for n in range(audit_module.MAX_REASONS + 10)}

    answer = audit(tmp_path, files)

    assert len(answer.reasons) == audit_module.MAX_REASONS + 1
    assert answer.reasons[-1] == "and more of the kind"


def test_the_reference_says_the_same(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {X: extension_spec("_x", wants=(glibc("2.28"),))})

    ours, theirs = audit_wheel(facts), reference_audit(facts)

    assert (theirs.deserved, theirs.true) == (ours.deserved, ours.true)
    assert theirs.deserved == "manylinux_2_28_x86_64"
    assert theirs.tool.startswith("auditwheel ")


def test_the_reference_on_wheels_that_it_refuses(tmp_path: Path) -> None:
    pure = reference_audit(facts_of(tmp_path, {}, "py3-none-any"))
    misplaced = f"demo-1.0.data/purelib/{X}"
    impure = reference_audit(facts_of(tmp_path, {misplaced: extension_spec("_x")}))

    assert (pure.deserved, pure.true) == ("any", True)
    assert (impure.deserved, impure.true) == ("", False)
    assert impure.reasons


def test_versions_are_ordered_by_value_whatever_their_length() -> None:
    ordered = ["GLIBC_2.2.5", "GLIBC_2.05", "GLIBC_2.12", f"GLIBC_2.{'9' * 5000}"]
    mixed = [ordered[place] for place in (3, 0, 2, 1)]
    assert sorted(mixed, key=version_key) == ordered
