"""What the bytes of wheels for both C libraries tell: the audit, and predictions for a root of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds_of_wheels import WORKS
from musl_kinds import BOTH, GLIBC_ROOT, MUSL_ALONE, MUSL_KINDS, MUSL_ROOT, UNIVERSAL, MuslKind

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.model.distro import Target


@pytest.mark.parametrize("kind", MUSL_KINDS, ids=lambda kind: kind.name)
def test_the_audit_of_a_wheel_for_musl_alone(kind: MuslKind, tmp_path: Path) -> None:
    facts = read_wheel(open_wheel(kind.make(tmp_path, MUSL_ALONE)))
    verdict = judge_audit(facts, audit_wheel(facts))
    assert {f.name: f.severity.value for f in verdict.findings} == kind.audit


@pytest.mark.parametrize("tag", [BOTH, UNIVERSAL], ids=["both", "universal"])
@pytest.mark.parametrize("kind", MUSL_KINDS, ids=lambda kind: kind.name)
def test_one_file_is_foretold_by_the_c_library_of_each_root(
    kind: MuslKind, tag: str, tmp_path: Path
) -> None:
    path = kind.make(tmp_path, tag)
    for root in (GLIBC_ROOT, MUSL_ROOT):
        distro = load_catalogue().get(root)
        target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
        for facts in (read_wheel(open_wheel(path)), glance(path)):
            errors = [finding.name for finding in predict_target(facts, target).errors]
            assert (errors or [WORKS])[0] == kind.on(root)[0], (root, errors)
