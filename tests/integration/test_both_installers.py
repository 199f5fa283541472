"""pip and uv side by side, in real sandboxes, on wheels that they do not treat alike."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import ImagePurpose, Target
from pytest_manylinux.model.verdict import Finding, Outcome, Severity, Verdict
from pytest_manylinux.trials.trial import TrialRequest, run_trial
from pytest_manylinux.trials.uv_program import uv_program

pytestmark = pytest.mark.integration

NAME = "installers-disagree"
ONE = b"Wheel-Version: 1\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
Judge = Callable[[Path], Verdict]


@pytest.fixture(scope="module", params=["debian-11", "debian-12"])
def judged(request: pytest.FixtureRequest) -> Judge:
    row = load_catalogue().get(request.param)
    target = Target(distro=row, arch="x86_64", interpreter=row.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=target.interpreter)
    engine = select_engine("bubblewrap")

    def run(path: Path) -> Verdict:
        wheel = open_wheel(path)
        facts = read_wheel(wheel)
        trial = TrialRequest(wheel=wheel, facts=facts, target=target, image=image)
        trial = replace(trial, cache=cache_root() / "venvs", uv=uv_program())
        return judge(facts, run_trial(trial, engine), target, wheel=wheel)

    return run


def finding_of(verdict: Verdict) -> Finding:
    (finding,) = (finding for finding in verdict.findings if finding.name == NAME)
    return finding


def wheel_of(folder: Path, **settings: object) -> Path:
    files: Mapping[str, str] = {"demo/__init__.py": "VALUE = 1\n" * 50}
    return build_wheel(folder, files, **settings)  # type: ignore[arg-type]


def test_they_agree_on_a_usual_wheel(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(wheel_of(tmp_path, entry_points={"demo": "demo:main"}))
    assert NAME not in {finding.name for finding in verdict.findings}
    assert verdict.observation is not None
    assert verdict.observation.uv is not None
    assert verdict.observation.uv.ok
    assert verdict.observation.uv.version[0].isdigit()


def variant_of(folder: Path, label: str) -> Path:
    """A wheel variant (PEP 825); `null` is the one without properties, which fits everywhere."""
    properties = {} if label == "null" else {"x86_64": {"level": ["v3"]}}
    document = {
        "$schema": "https://variants-schema.wheelnext.dev/peps/825/v0.1.1.json",
        "default-priorities": {"namespace": ["x86_64"]},
        "variants": {label: properties},
    }
    files = {
        "demo/__init__.py": "VALUE = 1\n",
        "demo-1.0.dist-info/variant.json": json.dumps(document),
    }
    return build_wheel(folder, files, filename=f"demo-1.0-py3-none-any-{label}.whl")


def test_uv_takes_a_wheel_variant_that_fits(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(variant_of(tmp_path, "null"))
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.observation is not None
    assert verdict.observation.uv is not None
    assert verdict.observation.uv.ok
    assert NAME not in {finding.name for finding in verdict.findings}


def test_a_wheel_variant_that_uv_finds_unfit_is_no_fault(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(variant_of(tmp_path, "x86_64_v3"))
    finding = finding_of(verdict)
    assert (verdict.outcome, finding.severity) == (Outcome.PORTABLE, Severity.INFORMATION)
    assert "the wheel variant x86_64_v3" in finding.message


def test_a_wheel_version_that_uv_does_not_know(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(wheel_of(tmp_path, wheel_file=ONE))
    finding = finding_of(verdict)
    assert (verdict.outcome, finding.severity) == (Outcome.NOT_PORTABLE, Severity.ERROR)
    assert "pip " in finding.message
    assert " installs it; uv " in finding.message
    assert "Wheel-Version" in finding.message


def test_a_method_of_packing_that_uv_does_not_know(judged: Judge, tmp_path: Path) -> None:
    finding = finding_of(judged(wheel_of(tmp_path, method=zipfile.ZIP_BZIP2)))
    assert finding.severity is Severity.ERROR
    assert "compression method" in finding.message


def test_a_script_that_the_archive_does_not_make_executable(judged: Judge, tmp_path: Path) -> None:
    built = build_wheel(
        tmp_path, {"demo/__init__.py": "", "demo-1.0.data/scripts/demo-sh": "#!/bin/sh\necho hello\n"}
    )
    plain = tmp_path / "plain" / built.name
    plain.parent.mkdir()
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(plain, "w") as new:
        for info in old.infolist():
            info.external_attr = 0o100644 << 16
            new.writestr(info, old.read(info))
    finding = finding_of(judged(plain))
    assert finding.severity is Severity.WARNING
    assert "bin/demo-sh differently: not executable by pip, executable by uv" in finding.message
