"""What the bytes of each kind of wheel tell: the audit, and predictions for four Debian releases."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds_of_wheels import ROOTS, WORKS, WheelKind
from wheel_kinds import KINDS

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.model.distro import Target


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_bytes_of_each_kind_tell_what_they_can(kind: WheelKind, tmp_path: Path) -> None:
    path = kind.make(tmp_path)
    facts = read_wheel(open_wheel(path))
    verdict = judge_audit(facts, audit_wheel(facts))
    assert {f.name: f.severity.value for f in verdict.findings} == kind.audit
    catalogue = load_catalogue()
    quick = glance(path)
    for root in ROOTS:
        distro = catalogue.get(root)
        target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
        for one in (facts, quick):
            errors = [finding.name for finding in predict_target(one, target).errors]
            assert (errors or [WORKS])[0] == kind.on(root)[0], (root, errors)


def test_each_kind_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
