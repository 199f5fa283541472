"""Whatever the wheel, our audit from facts and auditwheel's own analysis give the same tag."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from auditwheel.libc import Libc
from elf_files import ElfSpec, Want
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from popular_wheels import auditwheel_tag
from wheels import build_wheel

from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.audit_policies import load_rules
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel

# Libraries that no machine has, one that every glibc machine has, and one allowed from 2.12 on that
# is never opened because policies are asked first. A library that is allowed but missing here would
# make auditwheel's answer depend on this machine.
NAMES = ("liba.so.1", "libb.so.1", "libc.so.6", "libd-1234abcd.so")
FOLDERS = ("demo", "demo/inner", "demo.libs", "demo-1.0.data/platlib/other")
PATHS = (
    "",
    "$ORIGIN",
    "$ORIGIN/../demo.libs",
    "${ORIGIN}/..",
    "$ORIGIN/../../demo.libs",
    "/nowhere",
    ":",
)
WANTS = (
    Want("memcpy", "GLIBC_2.2.5", "libc.so.6"),
    Want("memcpy", "GLIBC_2.14", "libc.so.6"),
    Want("stat", "GLIBC_2.33", "libc.so.6"),
    Want("private", "GLIBC_PRIVATE", "libc.so.6"),
    Want("pow", "GLIBC_2.29", "libm.so.6"),
    Want("own", "LIBA_9", "liba.so.1"),
    Want("__cxa_thread_atexit_impl"),
    Want("__cxa_thread_atexit_impl", weak=True),
    Want("PyFPE_jbuf"),
)

elf = st.builds(
    ElfSpec,
    needed=st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple),
    wants=st.lists(st.sampled_from(WANTS), unique=True, max_size=3).map(tuple),
    rpath=st.sampled_from(PATHS),
    runpath=st.sampled_from(PATHS),
    exports=st.sampled_from([(), ("PyInit_ext",), ("initext",), ("plain",)]),
    isa=st.sampled_from([0, 0, 0, 0, 1, 2]),
    arch=st.sampled_from(["x86_64", "x86_64", "x86_64", "x86_64", "x86_64", "aarch64"]),
)
place = st.tuples(st.sampled_from(FOLDERS), st.sampled_from([*NAMES, "ext.so", "other.so"]))
wheel = st.dictionaries(place.map("/".join), elf, min_size=1, max_size=6)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(files=wheel)
def test_same_tag_as_auditwheel(files: dict[str, ElfSpec]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content: dict[str, bytes | str] = {name: spec.build() for name, spec in files.items()}
        path = build_wheel(Path(folder), content, tag="cp311-cp311-manylinux_2_17_x86_64")
        ours = audit_wheel(read_wheel(open_wheel(path)))

        assert ours.deserved == auditwheel_tag(path)
        assert ours.reasons


@pytest.mark.parametrize("name", ["demo/ext.so", "demo/other.so"])
def test_the_comparison_can_tell_apart(name: str, tmp_path: Path) -> None:
    tags = set()
    for number, want in enumerate(WANTS[:3]):
        spec = ElfSpec(needed=("libc.so.6",), wants=(want,))
        tags.add(
            auditwheel_tag(
                build_wheel(
                    tmp_path / str(number),
                    {name: spec.build()},
                    tag="cp311-cp311-manylinux_2_17_x86_64",
                )
            )
        )

    assert len(tags) == 3


def test_a_policy_that_allows_no_version_of_a_kind_is_an_obstacle(tmp_path: Path) -> None:
    rules = load_rules(Libc.GLIBC, "x86_64")
    kinds = {(prefix, r.name) for r in rules for prefix, known in r.versions.items() if not known}
    assert kinds, "auditwheel's data has changed: this test says nothing any more"
    prefix = next(iter(kinds))[0]
    version = next(v for r in rules for v in r.versions.get(prefix, ()))
    spec = ElfSpec(needed=("libc.so.6",), wants=(Want("any", version, "libc.so.6"),))
    path = build_wheel(tmp_path, {"demo/ext.so": spec.build()}, tag="cp311-cp311-manylinux1_x86_64")

    ours = audit_wheel(read_wheel(open_wheel(path)))

    assert ours.deserved == auditwheel_tag(path)
    assert any("no version is allowed" in reason for reason in ours.reasons)
