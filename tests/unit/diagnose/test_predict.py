from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elf_files import Want
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_values import (
    imported,
    make_distro,
    make_elf,
    make_facts,
    make_observation,
    make_target,
    raised,
)
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.cli import main
from pytest_manylinux.diagnose.forecast import forecasts, reach_of
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.libraries import may_be_of_dependency
from pytest_manylinux.diagnose.predict import (
    Certainty,
    predict,
    predict_target,
    targets_on,
    with_survey,
)
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.inspect.wheel_file import glance
from pytest_manylinux.model.distro import Distro, Survey, SurveyedLibrary
from pytest_manylinux.model.policy import musl
from pytest_manylinux.model.verdict import Foretold, Severity
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.report.phrases import prediction_words


def facts_wanting(
    version: str,
    *,
    needed: tuple[str, ...] = (),
    **fields: Any,  # noqa: ANN401
) -> WheelFacts:
    elf = make_elf(needed=("libc.so.6", *needed), version_needs=(("libc.so.6", (version,)),))
    return make_facts(elf=(elf,), extension_paths=(("demo._native", elf.path),), **fields)


def release(family: str, number: str, minor: int, **fields: object) -> Distro:
    return make_distro(
        id=f"{family}-{number}", family=family, release=number, glibc=(2, minor), **fields
    )


@settings(deadline=None)  # the first call imports every check
@given(wanted=st.integers(5, 45), offered=st.integers(17, 45))
def test_a_symbol_is_too_new_exactly_where_glibc_is_older(wanted: int, offered: int) -> None:
    prediction = predict_target(facts_wanting(f"GLIBC_2.{wanted}"), make_target(glibc=(2, offered)))
    assert prediction.works == (wanted <= offered)
    assert {f.name for f in prediction.errors} <= {"symbol-too-new"}


def test_other_libraries_are_held_against_the_figures_of_the_row() -> None:
    elf = make_elf(version_needs=(("libstdc++.so.6", ("GLIBCXX_3.4.30", "CXXABI_FLOAT128")),))
    facts = make_facts(elf=(elf,), extension_paths=(("demo._native", elf.path),))
    old = make_target(symbol_maxima=(("GLIBCXX", "3.4.28"),))
    (finding,) = predict_target(facts, old).errors
    assert "GLIBCXX_3.4.30" in finding.message
    assert any("debian-11 offers" in line or "offers up to" in line for line in finding.evidence)
    assert predict_target(facts, make_target()).works  # the row says nothing of libstdc++


def test_what_the_wheel_brings_is_not_asked_of_the_distro() -> None:
    own = make_elf("demo.libs/libstdc++-0a1b2c3d.so.6", soname="libstdc++-0a1b2c3d.so.6")
    elf = make_elf(
        needed=("libstdc++-0a1b2c3d.so.6",),
        rpath=("$ORIGIN/../demo.libs",),
        version_needs=(("libstdc++-0a1b2c3d.so.6", ("GLIBCXX_3.4.30",)),),
    )
    facts = make_facts(elf=(elf, own), extension_paths=(("demo._native", elf.path),))
    assert predict_target(facts, make_target(symbol_maxima=(("GLIBCXX", "3.4.20"),))).works


def test_files_that_nothing_loads_do_not_count() -> None:
    plugin = make_elf("demo/plugins/libx.so", version_needs=(("libc.so.6", ("GLIBC_2.40",)),))
    elf = make_elf(needed=("libc.so.6",))
    facts = make_facts(elf=(elf, plugin), extension_paths=(("demo._native", elf.path),))
    assert predict_target(facts, make_target(glibc=(2, 31))).works


@pytest.mark.parametrize(
    ("fields", "certainty"),
    [
        ({}, Certainty.FIGURES),
        ({"libraries": frozenset({"libc.so.6"})}, Certainty.SURVEYED),
    ],
)
def test_certainty(fields: dict[str, object], certainty: Certainty) -> None:
    assert predict_target(make_facts(), make_target(**fields)).certainty is certainty


SURVEY = Survey(
    distro="debian-12",
    image="sha256:1",
    arch="x86_64",
    libraries=(
        SurveyedLibrary(
            soname="libc.so.6",
            path="/lib/libc.so.6",
            versions=frozenset(
                {"GLIBC_2.2.5", "GLIBC_2.5", "GLIBC_2.38", "GLIBC_PRIVATE", "GLIBC_ABI_DT_RELR"}
            ),
        ),
        SurveyedLibrary(soname="libGL.so.1", path="/lib/libGL.so.1"),
    ),
)


def test_a_survey_replaces_figures() -> None:
    surveyed = with_survey(make_distro(), SURVEY)
    assert dict(surveyed.symbol_maxima) == {"GLIBC": "2.38", "GLIBC_ABI": "DT_RELR"}
    wants_gl = facts_wanting("GLIBC_2.38", needed=("libGL.so.1",))
    (target,) = targets_on([surveyed], "x86_64")
    assert predict_target(wants_gl, target).works
    assert {f.name for f in predict_target(wants_gl, make_target()).errors} == {
        "missing-library",
        "symbol-too-new",
    }
    lacking = facts_wanting("GLIBC_2.2.5", needed=("libusb-1.0.so.0",))
    assert not predict_target(lacking, target).works


def test_with_dependencies_an_unknown_library_is_no_certain_fault() -> None:
    lonely = facts_wanting("GLIBC_2.5", needed=("libtorch.so",))
    accompanied = facts_wanting("GLIBC_2.5", needed=("libtorch.so",), requires_dist=("torch",))
    assert not predict_target(lonely, make_target()).works
    assert predict_target(accompanied, make_target()).works
    assert predict_target(accompanied, make_target()).findings


DISTROS = (
    release("debian", "10", 28, python="3.11", pip="18.1"),
    release("debian", "11", 31),
    release("debian", "12", 36),
    release("ubuntu", "22.04", 35, python="3.10"),
    release("fedora", "39", 38),
)


def test_reach_names_the_oldest_release_and_why_the_next_fails() -> None:
    facts = facts_wanting("GLIBC_2.34")
    reach = reach_of({"demo.whl": predict(facts, targets_on(DISTROS, "x86_64"))})
    assert (reach.served, reach.total) == (2, 5)
    debian, fedora, ubuntu = reach.families
    assert debian.oldest is not None
    assert debian.oldest.distro.id == "debian-12"
    assert debian.first_unserved is not None
    assert debian.first_unserved.distro.id == "debian-11"
    assert debian.reason is not None
    assert debian.reason.name == "symbol-too-new"
    assert fedora.first_unserved is None
    assert ubuntu.oldest is None
    assert ubuntu.reason is not None
    assert ubuntu.reason.name == "python-mismatch"


def test_the_change_that_wins_most_is_named() -> None:
    facts = facts_wanting("GLIBC_2.34")
    older = (*DISTROS, release("debian", "9", 30), release("alma", "9", 29))
    reach = reach_of({"demo.whl": predict(facts, targets_on(older, "x86_64"))})
    assert reach.widest is not None
    assert reach.widest.words == "build for an older policy"
    assert set(reach.widest.gains) == {
        "debian-11",
        "debian-9",
        "alma-9",
    }  # debian-10's pip is too old as well


def test_wheels_of_one_version_count_together() -> None:
    names = [f"demo-1.0-cp3{n}-cp3{n}-manylinux_2_17_x86_64.whl" for n in (10, 11)]
    all_facts = [facts_wanting("GLIBC_2.17", filename=name) for name in names]
    (forecast,) = forecasts(all_facts, DISTROS)
    assert forecast.reach.served == 4  # debian-10's pip does not know the tag
    assert forecast.reach.widest is not None
    assert forecast.reach.widest.gains == ("debian-10",)


def test_no_distro_no_reach() -> None:
    assert reach_of({}).share == 0.0
    assert reach_of({}).widest is None


def test_a_prediction_that_was_wrong_is_told_with_both_sides() -> None:
    facts = facts_wanting("GLIBC_2.38")
    verdict = judge(facts, make_observation(imported()), make_target(), wheel=facts.wheel)
    (finding,) = verdict.findings
    assert verdict.prediction is Foretold.WRONG
    assert (finding.name, finding.severity) == ("prediction-wrong", Severity.INFORMATION)
    assert any(line.startswith("predicted: symbol-too-new") for line in finding.evidence)
    assert any(line.startswith("seen: ") for line in finding.evidence)


def test_a_fault_that_the_bytes_should_have_shown_is_a_disagreement() -> None:
    facts = facts_wanting("GLIBC_2.5")
    words = "/lib/libc.so.6: version `GLIBC_2.5' not found (required by /v/demo/_native.so)"
    seen = make_observation(raised("ImportError", words))
    verdict = judge(facts, seen, make_target(), wheel=facts.wheel)
    assert [f.name for f in verdict.findings] == ["symbol-too-new", "prediction-wrong"]
    assert verdict.prediction is Foretold.WRONG


def test_what_bytes_cannot_show_is_no_disagreement() -> None:
    facts = facts_wanting("GLIBC_2.5")
    seen = make_observation(raised("ValueError", "no"))
    verdict = judge(facts, seen, make_target(), wheel=facts.wheel)
    assert [f.name for f in verdict.findings] == ["import-error"]
    assert verdict.prediction is Foretold.BEYOND


def test_a_file_that_code_moves_before_it_loads_it_is_beyond_prediction() -> None:
    module = make_elf(needed=("libx-1.so", "libc.so.6"), runpath=("$ORIGIN/../demo.libs",))
    grafted = make_elf(path="demo.libs/libx-1.so", soname="libx-1.so", needed=("libc.so.6",))
    facts = make_facts(elf=(module, grafted), extension_paths=(("demo._native", module.path),))
    words = "libx-1.so: cannot open shared object file: No such file or directory"
    verdict = judge(
        facts, make_observation(raised("ImportError", words)), make_target(), wheel=facts.wheel
    )
    (finding,) = verdict.findings
    assert (finding.name, finding.files) == ("rpath-lost", ())
    assert "out of reach from where its asker was loaded" in finding.message
    assert verdict.prediction is Foretold.BEYOND


def test_what_went_as_predicted_is_counted_so_either_way() -> None:
    good, bad = facts_wanting("GLIBC_2.5"), facts_wanting("GLIBC_2.38")
    words = "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /v/demo/_native.so)"
    worked = judge(good, make_observation(imported()), make_target(), wheel=good.wheel)
    seen = make_observation(raised("ImportError", words))
    failed = judge(bad, seen, make_target(), wheel=bad.wheel)
    assert (worked.prediction, failed.prediction) == (Foretold.RIGHT, Foretold.RIGHT)
    assert prediction_words([worked, failed]) == "2 of 2 trials as predicted"
    assert prediction_words([]) == ""
    beyond = replace(worked, prediction=Foretold.BEYOND)
    wrong = replace(worked, prediction=Foretold.WRONG)
    assert prediction_words([worked, wrong, beyond]) == (
        "1 of 2 trials as predicted, 1 fault that no file shows"
    )


def test_a_survey_of_the_image_stands_in_for_the_figures() -> None:
    """By the figures libGL is missing; on this image it is there."""
    facts = facts_wanting("GLIBC_2.5", needed=("libGL.so.1",))
    seen = make_observation(imported())
    verdict = judge(facts, seen, make_target(), wheel=facts.wheel)
    assert verdict.prediction is Foretold.WRONG
    assert "the prediction stands on: figures" in verdict.findings[0].evidence
    verdict = judge(facts, seen, make_target(), wheel=facts.wheel, survey=SURVEY)
    assert (verdict.prediction, verdict.findings) == (Foretold.RIGHT, ())


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = "demo/_x.cpython-311-x86_64-linux-gnu.so"
    spec = extension_spec("_x", wants=(Want("fcntl64", "GLIBC_2.28", "libc.so.6"),))
    wheel = build_wheel(tmp_path, {module: spec.build(), "demo/__init__.py": ""}, tag=NATIVE)
    assert main(["predict", str(tmp_path), "--distros", "debian-*"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert wheel.name in said
    assert "Reach: 1 of" in said
    served, failing = re.findall(r"debian +12 +(1/\d+) +11 and (\d+) more ", said)[0]
    assert int(served[2:]) == 1 + 1 + int(failing)
    assert main(["predict", str(wheel), "--json", "--distros", "debian-12,debian-11"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    (project,) = told["projects"]
    works = {p["distro"]: p["works"] for p in project["wheels"][0]["predictions"]}
    assert works == {"debian-12": True, "debian-11": False}
    assert project["reach"]["families"][0]["oldest"] == "debian-12"
    assert main(["predict", str(wheel), "--distros", "debian-11"]) == ExitCode.NOT_PORTABLE
    assert main(["predict", str(tmp_path / "none.whl")]) == ExitCode.USAGE


def test_a_wheel_is_held_against_distros_with_its_own_c_library(tmp_path: Path) -> None:
    rows = (make_distro(id="debian-12"), replace(make_distro(id="musl-1"), libc=musl(1, 2, 5)))
    tags = ("cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux_2_17_x86_64", "py3-none-any")
    held = []
    for tag in tags:
        facts = glance(build_wheel(tmp_path, {"demo/__init__.py": ""}, tag=tag))
        (found,) = forecasts([facts], rows)
        (predictions,) = found.predictions.values()
        held.append([p.target.distro.id for p in predictions if p.works])
        assert len(held[-1]) == len(predictions)
    assert held == [["musl-1"], ["debian-12"], ["debian-12", "musl-1"]]
    facts = glance(build_wheel(tmp_path, {"demo/__init__.py": ""}, tag=tags[0]))
    (found,) = forecasts([facts], rows[:1])
    (error,) = found.predictions[facts.wheel.filename][0].errors
    assert (error.name, error.message) == (
        "wrong-architecture",
        "the tag musllinux_1_2_x86_64 is not for x86_64 with glibc",
    )


def test_what_cannot_be_predicted_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sdist = tmp_path / "demo-1.0.tar.gz"
    sdist.touch()
    assert main(["predict", str(sdist)]) == ExitCode.USAGE
    assert "an sdist; only wheels can be predicted" in capsys.readouterr().err
    windows = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag="cp311-cp311-win_amd64")
    mac = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag="cp311-cp311-macosx_11_0_arm64")
    assert main(["predict", str(windows), str(mac)]) == ExitCode.USAGE
    assert f"{windows.name}, {mac.name}" in capsys.readouterr().err
    pure = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag="py3-none-any")
    assert main(["predict", str(mac), str(pure), "--distros", "debian-12"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"left out, not for Linux: {mac.name}" in said
    assert "Reach: 1 of 1" in said
    assert main(["predict", str(windows), str(pure), "--json", "--distros", "debian-12"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["left-out"] == [windows.name]


_NESTED = "cmeel.prefix/lib/python3.11/site-packages/inner/_x.abi3.so"


@pytest.mark.parametrize(
    ("requires", "python", "predicted"),
    [
        (("cmeel",), "3.11", ["missing-library"]),
        (("cmeel",), "3.13", []),  # the folder is another Python's
        ((), "3.11", []),  # nothing that could lead there
        (("torch",), "3.11", []),  # may bring that library
    ],
)
def test_modules_that_a_dependency_leads_to(
    tmp_path: Path, requires: tuple[str, ...], python: str, predicted: list[str]
) -> None:
    lines = "".join(f"Requires-Dist: {name}\n" for name in requires)
    spec = replace(extension_spec("_x"), needed=("libc.so.6", "libgomp.so.1"))
    wheel = build_wheel(
        tmp_path,
        {_NESTED: spec.build(), "demo/__init__.py": ""},
        tag="cp36-abi3-manylinux_2_17_x86_64",
        metadata=f"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n{lines}".encode(),
    )
    facts = glance(wheel)
    assert facts.extension_paths == (("inner._x", _NESTED),)
    assert facts.extension_modules == ()
    assert facts.top_level == ("demo",)
    target = make_target(python=python, libraries=frozenset({"libc.so.6"}))
    assert [finding.name for finding in predict_target(facts, target).errors] == predicted


_OF_NUMPY_1 = b"numpy.core._multiarray_umath\0_ARRAY_API\0"
_IMPORT_ARRAY = b"module compiled against ABI version 0x%x but this version of numpy is 0x%x\0"
_OF_NUMPY_2 = b"numpy._core._multiarray_umath\0" + _OF_NUMPY_1


@pytest.mark.parametrize(
    ("rodata", "requires", "python", "told"),
    [
        (_OF_NUMPY_1, ("numpy>=1.19",), "3.11", True),
        (_OF_NUMPY_1, ("numpy>=1.12; python_version<'3.9'", "numpy>=1.23"), "3.13", True),
        (_OF_NUMPY_1, ("numpy<2,>=1.19",), "3.11", False),
        (_OF_NUMPY_1, ("numpy~=1.21",), "3.11", False),
        (_OF_NUMPY_1, ("numpy; extra == 'arrays'",), "3.11", False),
        (_OF_NUMPY_1, (), "3.11", False),
        (_OF_NUMPY_1, ("numpy>=1.19",), "3.8", False),  # NumPy 2 is not for it
        (_OF_NUMPY_2, ("numpy>=1.19",), "3.11", False),
        (b"numpy.core.multiarray failed to import\0", ("numpy>=1.19",), "3.11", False),
    ],
)
def test_modules_for_numpy_1_under_numpy_2(
    tmp_path: Path,
    rodata: bytes,
    requires: tuple[str, ...],
    python: str,
    told: bool,  # noqa: FBT001
) -> None:
    native = extension_spec("_x", rodata=rodata).build()
    files: dict[str, bytes | str] = {"demo/__init__.py": "", "demo/_x.abi3.so": native}
    tag = "cp36-abi3-manylinux_2_17_x86_64"
    facts = glance(build_wheel(tmp_path, files, tag=tag, requires=list(requires)))
    found = predict_target(facts, make_target(python=python)).findings
    weights = [one.severity for one in found if one.name == "dependency-abi"]
    assert weights == [Severity.WARNING] * told


@pytest.mark.parametrize(
    ("requires", "init", "arch", "severity"),
    [
        (("numpy>=1.19",), "from . import _x", "x86_64", Severity.ERROR),
        (("numpy>=1.19", "scipy>=0.19"), "from ._x import f", "aarch64", Severity.ERROR),
        (("numpy>=1.19", "other<3"), "from . import _x", "x86_64", Severity.WARNING),
        (("numpy>=1.19", "other<3; extra=='x'"), "from . import _x", "x86_64", Severity.ERROR),
        (("numpy>=1.19",), "", "x86_64", Severity.WARNING),
        (("numpy>=1.19",), "from . import _x", "s390x", Severity.WARNING),  # no wheels of NumPy
    ],
)
def test_numpy_2_is_sure_where_nothing_keeps_pip_from_it(
    tmp_path: Path, requires: tuple[str, ...], init: str, arch: str, severity: Severity
) -> None:
    native = extension_spec("_x", rodata=_OF_NUMPY_1 + _IMPORT_ARRAY).build()
    files: dict[str, bytes | str] = {"demo/__init__.py": f"{init}\n", "demo/_x.abi3.so": native}
    tag = f"cp36-abi3-manylinux_2_17_{arch}"
    facts = glance(build_wheel(tmp_path, files, tag=tag, requires=list(requires)))
    target = replace(make_target(python="3.11"), arch=arch)
    found = predict_target(facts, target).findings
    assert [one.severity for one in found if one.name == "dependency-abi"] == [severity]


def test_pybind11_asks_for_numpy_only_when_it_is_used(tmp_path: Path) -> None:
    native = extension_spec("_x", rodata=_OF_NUMPY_1).build()
    files: dict[str, bytes | str] = {
        "demo/__init__.py": "from . import _x\n",
        "demo/_x.abi3.so": native,
    }
    tag = "cp36-abi3-manylinux_2_17_x86_64"
    facts = glance(build_wheel(tmp_path, files, tag=tag, requires=["numpy>=1.19"]))
    findings = predict_target(facts, make_target(python="3.11")).findings
    assert [f.severity for f in findings if f.name == "dependency-abi"] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("requires", "library", "perhaps"),
    [
        (("intel-cmplr-lib-ur==2026.2.0",), "libsvml.so", False),
        (("intel-cmplr-lib-ur==2026.2.0",), "libur_loader.so.0", True),
        (("umf", "tbb"), "libtbb.so.12", True),
        (("umf", "other"), "libsvml.so", True),
        ((), "libsvml.so", False),
    ],
)
def test_what_the_wheels_of_known_projects_do_not_bring(
    requires: tuple[str, ...], library: str, *, perhaps: bool
) -> None:
    assert may_be_of_dependency(library, make_facts(requires_dist=requires)) is perhaps


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        ((("libX11.so.6",), ("libwayland-client.so.0",)), True),
        ((("libX11.so.6",), ()), False),  # one of them opens
        (((),), False),
    ],
)
def test_libraries_that_only_code_opens(
    tmp_path: Path,
    needs: tuple[tuple[str, ...], ...],
    told: bool,  # noqa: FBT001
) -> None:
    files: dict[str, bytes | str] = {
        f"demo/{number}/libdemo.so": extension_spec("_x", needed=needed, exports=("f",)).build()
        for number, needed in enumerate(needs)
    }
    files["demo/__init__.py"] = "import ctypes\n\n\ndef load(path):\n    return ctypes.CDLL(path)\n"
    files["demo/more.py"] = "x = 1\n"
    facts = glance(build_wheel(tmp_path, files, tag="py3-none-manylinux_2_17_x86_64"))
    target = make_target(libraries=frozenset({"libc.so.6"}))
    prediction = predict_target(facts, target)
    assert prediction.works
    assert any(finding.name == "missing-library" for finding in prediction.findings) == told


@pytest.mark.parametrize(
    ("rodata", "words", "foretold"),
    [
        (_OF_NUMPY_1, "numpy.dtype size changed, may indicate binary incompatibility", Foretold.UNSURE),
        (_OF_NUMPY_2, "numpy.dtype size changed, may indicate binary incompatibility", Foretold.BEYOND),
        (_OF_NUMPY_1, "something else", Foretold.BEYOND),
    ],
)
def test_a_fault_that_a_warning_foretold(
    tmp_path: Path, rodata: bytes, words: str, foretold: Foretold
) -> None:
    native = extension_spec("_x", rodata=rodata).build()
    files: dict[str, bytes | str] = {"demo/__init__.py": "", "demo/_x.abi3.so": native}
    tag = "cp36-abi3-manylinux_2_17_x86_64"
    facts = glance(build_wheel(tmp_path, files, tag=tag, requires=["numpy>=1.19"]))
    seen = make_observation(raised("ValueError", words))
    verdict = judge(facts, seen, make_target(), wheel=facts.wheel)
    assert verdict.prediction is foretold
    told = {
        Foretold.UNSURE: "1 fault foretold as possible",
        Foretold.BEYOND: "1 fault that no file shows",
    }
    assert prediction_words([verdict]) == told[foretold]


def test_the_version_of_a_symbol_may_be_longer_than_python_reads() -> None:
    facts = facts_wanting(f"GLIBC_2.{'9' * 5000}")
    (found,) = forecasts([facts], (make_distro(id="debian-12"),))
    ((prediction,),) = found.predictions.values()
    assert [error.name for error in prediction.errors] == ["symbol-too-new"]
