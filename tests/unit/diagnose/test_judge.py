from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_values import (
    imported,
    make_elf,
    make_facts,
    make_observation,
    make_target,
    make_wheel,
    raised,
    refused,
)

from pytest_manylinux.diagnose.check_registry import checks, make_finding
from pytest_manylinux.diagnose.checks.environment_files import changed_by_others
from pytest_manylinux.diagnose.judge import judge, judge_audit, judge_unreadable
from pytest_manylinux.diagnose.predict import merged
from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.model.observation import (
    ImportKind,
    ImportOutcome,
    ImportStatus,
    LoaderCheck,
    Observation,
)
from pytest_manylinux.model.verdict import Cause, Outcome, Severity, Verdict
from pytest_manylinux.model.wheel import Audit, WheelFacts

NATIVE = make_facts(
    elf=(make_elf(needed=("libfoo.so.1", "libc.so.6")),),
    extension_modules=("demo._native",),
    extension_paths=(("demo._native", "demo/_native.so"),),
)


def verdict_on(*imports: ImportOutcome, facts: WheelFacts = NATIVE, **fields: object) -> Verdict:
    observation = make_observation(*imports, **fields)  # type: ignore[arg-type]
    return judge(facts, observation, make_target(), wheel=facts.wheel)


def names(verdict: Verdict) -> list[str]:
    return [finding.name for finding in verdict.errors]


def seen(verdict: Verdict) -> list[tuple[str, Severity]]:
    """What the trial itself amounts to, without the word on the prediction."""
    found = [(finding.name, finding.severity) for finding in verdict.findings]
    return [pair for pair in found if pair[0] != "prediction-wrong"]


def test_a_wheel_that_imports_is_portable() -> None:
    facts = make_facts(elf=(make_elf(needed=("libc.so.6",)),))
    verdict = verdict_on(imported(), facts=facts)
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.findings == ()
    assert verdict.subject == "debian-12-cp311-x86_64"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (raised("ImportError", "libfoo.so.1: cannot open shared object file: x"), "missing-library"),
        (raised("ImportError", "libusb-1.0.so.0: cannot open shared object file: x"), "runtime-dlopen"),
        (raised("OSError", "libusb-1.0.so.0: cannot open shared object file: x"), "runtime-dlopen"),
        (
            raised(
                "ImportError",
                "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found "
                "(required by /v/demo/_native.so)",
            ),
            "symbol-too-new",
        ),
        (
            raised(
                "ImportError",
                "/v/demo/_native.so: cannot enable executable stack as shared object requires: Invalid",
            ),
            "executable-stack",
        ),
        (raised("ImportError", "/v/demo/_native.so: undefined symbol: frobnicate"), "undefined-symbol"),
        (raised("ModuleNotFoundError", "No module", missing_module="yaml"), "undeclared-dependency"),
        (raised("ModuleNotFoundError", "No module", missing_module="demo.lost"), "import-error"),
        (raised("ModuleNotFoundError", "No module", missing_module="_tkinter"), "import-error"),
        (raised("ValueError", "no"), "import-error"),
        (imported(status=ImportStatus.EXITED, exit_code=0), "import-exited"),
        (imported(status=ImportStatus.SIGNALLED, signal=11), "crash"),
        (imported(status=ImportStatus.HUNG, duration=10.0), "hang"),
    ],
)
def test_a_top_level_import_that_fails_decides(outcome: ImportOutcome, expected: str) -> None:
    verdict = verdict_on(outcome)
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert names(verdict) == [expected]
    assert verdict.reason == verdict.errors[0].message
    assert verdict.errors[0].remedy


def test_a_module_of_the_wheel_for_another_python_is_a_mismatch() -> None:
    facts = make_facts(files=("demo/_native.cpython-310-x86_64-linux-gnu.so", "demo/__init__.py"))
    outcome = raised("ModuleNotFoundError", "No module", missing_module="demo._native")
    assert names(verdict_on(outcome, facts=facts)) == ["python-mismatch"]


@pytest.mark.parametrize(
    ("outcome", "decides"),
    [
        (raised("ImportError", "libfoo.so.1: cannot open shared object file: x"), True),
        (raised("ImportError", "x.so: cannot allocate memory in static TLS block"), True),
        (imported(status=ImportStatus.SIGNALLED, signal=6), True),
        (raised("OSError", "libcuda.so.1: cannot open shared object file: x"), False),
        (raised("RuntimeError", "no display"), False),
        (raised("ModuleNotFoundError", "No module", missing_module="yaml"), False),
        (imported(status=ImportStatus.EXITED, exit_code=1), False),
        (imported(status=ImportStatus.HUNG), False),
    ],
)
def test_an_extension_module_decides_only_through_loader_or_crash(
    outcome: ImportOutcome, *, decides: bool
) -> None:
    fields = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
    extension = ImportOutcome(**(fields | {"name": "demo._native", "kind": ImportKind.EXTENSION}))
    verdict = verdict_on(imported(), extension)
    assert (verdict.outcome is Outcome.NOT_PORTABLE) == decides
    weight = Severity.ERROR if decides else Severity.INFORMATION
    assert [severity for _, severity in seen(verdict)] == [weight]


MISSING = LoaderCheck(path="/v/site-packages/demo/_native.so", missing=("libfoo.so.1",))


def test_what_the_loader_misses_is_a_warning_beside_an_import_that_went_well() -> None:
    extension = imported("demo._native", kind=ImportKind.EXTENSION)
    verdict = verdict_on(imported(), extension, loader=(MISSING,))
    assert verdict.outcome is Outcome.PORTABLE
    assert seen(verdict) == [("missing-library", Severity.WARNING)]


def test_what_the_loader_misses_is_an_error_where_the_import_failed_too() -> None:
    extension = raised("RuntimeError", "no display", "demo._native", kind=ImportKind.EXTENSION)
    verdict = verdict_on(imported(), extension, loader=(MISSING,))
    assert names(verdict) == ["missing-library"]


def test_loader_and_import_make_one_finding() -> None:
    words = "libfoo.so.1: cannot open shared object file: No such file or directory"
    extension = raised("ImportError", words, "demo._native", kind=ImportKind.EXTENSION)
    verdict = verdict_on(raised("ImportError", words), extension, loader=(MISSING,))
    assert [f.name for f in verdict.findings] == ["missing-library"]
    assert verdict.findings[0].files == ("demo/_native.so",)


def test_a_library_that_a_dependencys_library_needs_is_missing_and_not_looked_for() -> None:
    words = "libgthread-2.0.so.0: cannot open shared object file: No such file or directory"
    listing = LoaderCheck(path="lib/site-packages/demo/_native.so", missing=("libgthread-2.0.so.0",))
    assert names(verdict_on(raised("ImportError", words), loader=(listing,))) == ["missing-library"]
    assert names(verdict_on(raised("ImportError", words))) == ["runtime-dlopen"]


PROGRAM = make_facts(
    top_level=(),
    elf=(make_elf("demo-1.0.data/scripts/demo", needed=("libfoo.so.1",)),),
    programs=("demo-1.0.data/scripts/demo",),
)


def test_a_program_that_the_loader_resolves_is_proof_enough() -> None:
    verdict = verdict_on(facts=PROGRAM, loader=(LoaderCheck(path="/v/bin/demo"),))
    assert verdict.outcome is Outcome.PORTABLE
    assert "loader" in verdict.reason


def test_a_resolved_module_is_no_proof_where_its_name_was_not_imported() -> None:
    """As with `import-skip = "*"`: the loader's word is no import, and the module no program."""
    check = LoaderCheck(path="/v/site-packages/demo/_native.so")
    verdict = verdict_on(facts=NATIVE, loader=(check,))
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.NOTHING_TO_IMPORT)


def test_a_program_that_lacks_a_library_is_not_portable() -> None:
    check = LoaderCheck(path="/v/bin/demo", missing=("libfoo.so.1",))
    assert names(verdict_on(facts=PROGRAM, loader=(check,))) == ["missing-library"]


def test_data_alone_is_proven_by_its_installation() -> None:
    facts = make_facts(filename="demo-1.0-py3-none-any.whl", top_level=(), files=("demo.csv",))
    verdict = verdict_on(facts=facts)
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.reason


@pytest.mark.parametrize("facts", [make_facts(), make_facts(top_level=(), elf=(make_elf(),))])
def test_what_could_be_tried_and_was_not_is_not_proven(facts: WheelFacts) -> None:
    verdict = verdict_on(facts=facts)
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.NOTHING_TO_IMPORT)


def test_a_trial_without_an_installation_is_not_proven() -> None:
    observation = Observation(
        target="t", image="i", image_name="n", image_source="s", engine="e", python="", libc="",
        install=None,
    )  # fmt: skip
    verdict = judge(NATIVE, observation, make_target(), wheel=make_wheel())
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.ENGINE)


@pytest.mark.parametrize(
    ("words", "filename", "expected"),
    [
        (
            "ERROR: demo-1.0.whl is not a supported wheel on this platform.",
            "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
            "tag-unsupported-by-pip",
        ),
        (
            "ERROR: demo-1.0.whl is not a supported wheel on this platform.",
            "demo-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
            "python-mismatch",
        ),
        (
            "ERROR: demo-1.0.whl is not a supported wheel on this platform.",
            "demo-1.0-cp311-cp311-manylinux_2_39_x86_64.whl",
            "glibc-too-old",
        ),
        (
            "ERROR: demo-1.0.whl is not a supported wheel on this platform.",
            "demo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl",
            "wrong-architecture",
        ),
        (
            "ERROR: Package 'demo' requires a different Python: 3.11.2 not in '>=3.12'",
            "demo-1.0-py3-none-any.whl",
            "requires-python",
        ),
        (
            "ERROR: Wheel 'demo' located at /x.whl is invalid.",
            "demo-1.0-py3-none-any.whl",
            "wheel-malformed",
        ),
        ("ERROR: the moon is full", "demo-1.0-py3-none-any.whl", "install-failed"),
        ("", "demo-1.0-py3-none-any.whl", "install-failed"),
    ],
)
def test_what_pip_refuses(words: str, filename: str, expected: str) -> None:
    verdict = verdict_on(facts=make_facts(filename=filename), install=refused(words))
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert names(verdict) == [expected]


def test_a_dependency_that_cannot_be_had_leaves_the_wheel_unproven() -> None:
    words = (
        "ERROR: Could not find a version that satisfies the requirement numpy>=9 (from demo)\n"
        "ERROR: No matching distribution found for numpy>=9"
    )
    verdict = verdict_on(install=refused(words))
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.DEPENDENCY)
    assert "numpy>=9" in verdict.reason
    assert [f.name for f in verdict.findings] == ["dependency-unavailable"]


def test_the_audit_is_true_or_not() -> None:
    kept = Audit(promised=("manylinux2014_x86_64",), deserved="manylinux_2_5_x86_64", true=True)
    assert judge_audit(NATIVE, kept).outcome is Outcome.PORTABLE
    broken = Audit(promised=("manylinux1_x86_64",), deserved="", true=False, reasons=("why",))
    verdict = judge_audit(NATIVE, broken)
    assert names(verdict) == ["policy-mismatch"]
    assert verdict.errors[0].evidence == ("why",)


def test_a_file_that_cannot_be_read() -> None:
    verdict = judge_unreadable("x.whl", MalformedWheelError("x.whl: not a zip", why="no header"))
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert names(verdict) == ["wheel-malformed"]
    assert verdict.errors[0].evidence == ("no header",)


_WORDS = st.sampled_from(["", "libfoo.so.1", ": cannot open shared object file", "GLIBC_2.99", "x"])
_OUTCOMES = st.builds(
    ImportOutcome,
    name=st.sampled_from(["demo", "demo._native", "other"]),
    kind=st.sampled_from(ImportKind),
    status=st.sampled_from(ImportStatus),
    exception=st.sampled_from(["ImportError", "OSError", "ValueError"]),
    message=st.lists(_WORDS).map("".join) | st.text(max_size=30),
    missing_module=st.sampled_from(["", "yaml", "demo.x", "distutils"]),
    signal=st.sampled_from([None, 4, 11]),
)


@settings(deadline=None)  # the first call imports every check
@given(outcomes=st.lists(_OUTCOMES, max_size=5))
def test_every_failed_top_level_import_decides(outcomes: list[ImportOutcome]) -> None:
    failed = [o for o in outcomes if o.kind is ImportKind.TOP_LEVEL and o.status is not ImportStatus.OK]
    verdict = verdict_on(*outcomes)
    if failed:
        assert verdict.outcome is Outcome.NOT_PORTABLE
    told = "\n".join(line for f in verdict.findings for line in f.evidence)
    for outcome in outcomes:
        if outcome.status is not ImportStatus.OK:
            verb = "entry point" if outcome.kind is ImportKind.ENTRY_POINT else "import"
            assert f"{verb} {outcome.name}: " in told


def test_merging_keeps_the_heaviest_and_all_evidence() -> None:
    one = make_finding("hang", "m", evidence=["a"], severity=Severity.INFORMATION)
    two = make_finding("hang", "m", evidence=["b", "a"], severity=Severity.ERROR)
    (both,) = merged([one, two])
    assert both.severity is Severity.ERROR
    assert both.evidence == ("a", "b")


def test_codes_and_names_are_unique_and_well_formed() -> None:
    found = checks()
    assert len({c.code for c in found}) == len({c.name for c in found}) == len(found)
    for check in found:
        assert check.code.startswith("ML")
        assert check.code[2:].isdigit()
        assert check.name == check.name.lower().replace("_", "-")


@pytest.mark.parametrize(
    ("path", "explained"),
    [
        ("bin/easy_install", True),
        ("bin/easy_install-3.9", True),
        ("lib/python3.9/site-packages/easy_install.py", True),
        ("lib/python3.9/site-packages/__pycache__/easy_install.cpython-39.pyc", True),
        ("lib/python3.9/site-packages/distutils-precedence.pth", True),
        ("bin/python3", False),
        ("bin/easy_installer", False),
        ("bin/pip", False),
    ],
)
def test_another_setuptools_explains_what_belongs_to_it(path: str, explained: bool) -> None:  # noqa: FBT001
    changed = tuple(changed_by_others(make_facts(), (path,), pip_changed=False))
    assert changed == (() if explained else (path,))


def test_crashes_with_the_same_last_words_are_one_finding_that_tells_them() -> None:
    words = "F0000 {} descriptor.cc:2519] Check failed: Add()\nFatal Python error: Aborted\n  File x\n"
    crashes = [
        imported(f"demo.{name}", status=ImportStatus.SIGNALLED, signal=6, output=words.format(number))
        for number, name in enumerate(("a", "b", "c"))
    ]
    other = imported("demo.d", status=ImportStatus.SIGNALLED, signal=11)
    verdict = verdict_on(*crashes, other)
    found = [one for one in verdict.findings if one.name == "crash"]
    assert [one.message for one in found] == [
        "import demo.a and 2 more: killed by SIGABRT",
        "import demo.d: killed by SIGSEGV",
    ]
    assert "it said: F0000 0 descriptor.cc:2519] Check failed: Add()" in found[0].evidence
    assert [line for line in found[0].evidence if "demo.c" in line]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_module_that_is_the_program_is_a_warning(exit_code: int) -> None:
    ended = imported(
        "demo.__main__:main",
        kind=ImportKind.ENTRY_POINT,
        status=ImportStatus.EXITED,
        exit_code=exit_code,
    )
    verdict = verdict_on(imported(), ended)
    (finding,) = (one for one in verdict.findings if one.name == "entry-point-broken")
    assert (finding.severity, verdict.outcome) == (Severity.WARNING, Outcome.PORTABLE)
