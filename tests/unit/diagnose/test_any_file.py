"""Whatever an ELF file says of itself, prediction and judgement give findings, never a traceback."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from trial_values import imported, make_elf, make_facts, make_observation, make_target

from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.model.elf_facts import ElfFacts, LoadSegment, SymbolWant
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.model.wheel import WheelFacts

_NAMES = st.sampled_from(
    ["libc.so.6", "libfoo.so.1", "libfoo-0a1b2c3d.so.1", "libGL.so.1", "libpython3.11.so.1.0", "", "é/"]
)
_VERSIONS = st.sampled_from(["GLIBC_2.17", "GLIBC_2.99", "GLIBC_", "GLIBC_PRIVATE", "_", "é"])
_PATHS = st.sampled_from(["demo/_x.so", "demo.libs/libfoo-0a1b2c3d.so.1", "demo-1.0.data/purelib/x.so"])
_FOLDERS = st.sampled_from(["$ORIGIN", "${ORIGIN}/../demo.libs", "$ORIGIN/../../..", "", "/usr"])
_SIZES = st.sampled_from([0, 1, 7, 4096, 65536, 2**63])
_ELF = st.builds(
    make_elf,
    _PATHS,
    arch=st.sampled_from(["x86_64", "aarch64", "bpf"]),
    needed=st.lists(_NAMES, max_size=3).map(tuple),
    soname=_NAMES,
    rpath=st.lists(_FOLDERS, max_size=2).map(tuple),
    runpath=st.lists(_FOLDERS, max_size=2).map(tuple),
    wants=st.lists(
        st.builds(SymbolWant, name=_NAMES, version=_VERSIONS, weak=st.booleans()), max_size=3
    ).map(tuple),
    version_needs=st.lists(st.tuples(_NAMES, st.tuples(_VERSIONS)), max_size=2).map(tuple),
    loads=st.lists(
        st.builds(
            LoadSegment,
            offset=_SIZES,
            address=_SIZES,
            file_size=_SIZES,
            memory_size=_SIZES,
            align=_SIZES,
            flags=st.just("r-x"),
        ),
        max_size=2,
    ).map(tuple),
    static_tls=st.booleans(),
    tls_size=_SIZES,
    relr=st.booleans(),
    indirect_functions=st.booleans(),
    writes_to_read_only=st.booleans(),
    isa_level=st.integers(0, 4),
    executable_stack=st.booleans(),
)


def _facts(elf: list[ElfFacts]) -> WheelFacts:
    files = tuple({file.path: file for file in elf}.values())
    modules = tuple((f"demo.x{n}", file.path) for n, file in enumerate(files))
    return make_facts(elf=files, extension_paths=modules)


@settings(deadline=None)
@given(elf=st.lists(_ELF, max_size=4))
def test_any_file_gives_findings(elf: list[ElfFacts]) -> None:
    facts = _facts(elf)
    target = make_target()
    assert all(finding.message for finding in predict_target(facts, target).findings)
    judge_audit(facts, audit_wheel(facts))
    verdict = judge(facts, make_observation(imported()), target, wheel=facts.wheel)
    assert verdict.outcome is Outcome.PORTABLE  # what was seen decides, whatever was predicted
