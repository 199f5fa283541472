from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from elf_files import Want
from trial_values import imported, make_observation, make_target, raised
from triggers import (
    LIBC,
    MODULE,
    TRIGGERS,
    Trigger,
    auditwheel_sbom,
    library,
    native,
    wanting,
)
from wheels import NATIVE

from pytest_manylinux.diagnose.check_registry import checks, find_check
from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.model.verdict import Foretold, Outcome, Severity

# What only a build brings about; the builder's tests hold that.
OF_BUILDS = {"extension-not-built", "build-failed", "not-reproducible"}


def test_every_finding_has_a_trigger() -> None:
    assert {trigger.finding for trigger in TRIGGERS} | OF_BUILDS == {c.name for c in checks()}


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: trigger.finding)
def test_each_trigger_brings_its_finding_and_no_false_one(trigger: Trigger, tmp_path: Path) -> None:
    findings = trigger.pull(tmp_path)
    named = {finding.name for finding in findings}
    assert trigger.finding in named
    heavy = {f.name for f in findings if f.severity is not Severity.INFORMATION}
    assert heavy - {trigger.finding} <= trigger.also
    for finding in findings:
        assert finding.code == find_check(finding.name).code
        assert finding.message
        assert finding.remedy


def test_the_table_of_faulty_wheels(tmp_path: Path, show_table: Callable[[str], None]) -> None:
    lines = [f"{'finding':24} {'weight':12} {'others':18} how it came about"]
    for number, trigger in enumerate(TRIGGERS):
        found = {finding.name: finding for finding in trigger.pull(tmp_path / str(number))}
        main = found.pop(trigger.finding)
        others = " ".join(n for n, f in found.items() if f.severity is not Severity.INFORMATION)
        how = trigger.lesson or main.message.partition("\n")[0][:70]
        lines.append(f"{main.name:24} {main.severity.value:12} {others or '-':18} {how}")
        assert set(others.split()) <= trigger.also
    show_table("\n".join(lines))
    assert len(lines) == 1 + len(TRIGGERS)


@pytest.mark.parametrize(
    "files",
    [
        native(),
        native(needed=("libfoo.so.1", *LIBC), runpath="$ORIGIN/../demo.libs")
        | {"demo.libs/libfoo.so.1": library()},
        native(needed=("libfoo.so.1", *LIBC), rpath="$ORIGIN/../demo.libs")
        | {
            "demo.libs/libfoo.so.1": library(needed=("libbar.so.1", *LIBC)),
            "demo.libs/libbar.so.1": library(soname="libbar.so.1"),
        },
        wanting(Want("optional", weak=True)),
        native(rodata=b'\0OPENSSLDIR: "/dev/null"\0/etc/ssl/cert.pem\0'),
        {},
    ],
    ids=["plain", "runpath", "inherited-rpath", "weak", "paths-of-every-machine", "pure"],
)
def test_sound_wheels_bring_nothing_about(files: dict[str, bytes | str], tmp_path: Path) -> None:
    tag = NATIVE if files else "py3-none-any"
    grafted = [path.partition("/lib")[2].partition(".")[0] for path in files if ".libs/" in path]
    if grafted:  # accounted for, and with their licences
        named = [{"name": n, "version": "1", "purl": f"pkg:rpm/almalinux/{n}@1"} for n in grafted]
        info = "demo-1.0.dist-info"
        files = {**files, f"{info}/sboms/auditwheel.cdx.json": auditwheel_sbom(*named)}
        files |= {f"{info}/licenses/{name}.txt": "MIT" for name in grafted}
    facts = Trigger(finding="", files=files, tag=tag).facts(tmp_path)
    audit = judge_audit(facts, audit_wheel(facts))
    assert (audit.outcome, audit.findings) == (Outcome.PORTABLE, ())
    for fields in ({}, {"glibc": (2, 17)}, {"glibc": (2, 43)}):
        target = make_target(**fields)
        assert predict_target(facts, target).findings == ()
        verdict = judge(facts, make_observation(imported()), target, wheel=facts.wheel)
        assert (verdict.outcome, verdict.findings) == (Outcome.PORTABLE, ())


def test_a_symbol_that_the_interpreter_has_loaded_anyway_is_not_loose(tmp_path: Path) -> None:
    facts = Trigger(finding="", files=wanting(Want("dladdr")), tag=NATIVE).facts(tmp_path)
    assert predict_target(facts, make_target()).findings == ()


def test_a_symbol_that_another_file_of_the_wheel_has_may_be_loaded_by_then(tmp_path: Path) -> None:
    files = wanting(Want("frobnicate")) | {"demo/_core.so": library(exports=("frobnicate",))}
    code = {"demo/start.py": "import ctypes\nctypes.CDLL('_core.so', ctypes.RTLD_GLOBAL)\n"}
    facts = Trigger(finding="", files={**files, **code}, tag=NATIVE).facts(tmp_path)
    (finding,) = predict_target(facts, make_target()).findings
    assert (finding.name, finding.severity) == ("undefined-symbol", Severity.WARNING)


def test_a_symbol_of_another_file_is_not_found_if_nothing_opens_that_to_all(tmp_path: Path) -> None:
    files = wanting(Want("frobnicate")) | {"demo/_core.so": library(exports=("frobnicate",))}
    facts = Trigger(finding="", files=files, tag=NATIVE).facts(tmp_path)
    (finding,) = predict_target(facts, make_target()).findings
    assert (finding.name, finding.severity) == ("undefined-symbol", Severity.ERROR)


@pytest.mark.parametrize(
    ("symbol", "name", "gone", "there"),
    [("PyUnicodeUCS2_FromString", "ucs2", "3.3", "3.2"), ("PyFPE_jbuf", "fpe", "3.7", "3.6")],
)
def test_symbols_of_pythons_that_are_no_more(
    symbol: str, name: str, gone: str, there: str, tmp_path: Path
) -> None:
    """The prediction and the trial say the same of them."""
    tag = "py3-none-manylinux_2_17_x86_64"
    files = {"demo/_x.so": wanting(Want(symbol))[MODULE]}  # which every Python finds
    facts = Trigger(finding="", files=files, tag=tag).facts(tmp_path)
    (finding,) = predict_target(facts, make_target(python=gone)).errors
    assert finding.name == name
    assert predict_target(facts, make_target(python=there)).findings == ()
    seen = make_observation(raised("ImportError", f"/v/{MODULE}: undefined symbol: {symbol}"))
    verdict = judge(facts, seen, make_target(python="3.11"), wheel=facts.wheel)
    assert (verdict.outcome, verdict.prediction) == (Outcome.NOT_PORTABLE, Foretold.RIGHT)
    assert verdict.errors[0].name == name
