from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag
from trial_values import (
    make_distro,
    make_facts,
    make_observation,
    make_target,
    make_wheel,
    refused,
)

from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.diagnose.tags import Misfit, best_fit, misfit_of
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.verdict import Foretold, Severity
from pytest_manylinux.model.wheel_tags import supported_tags

_INTERPRETERS = st.sampled_from(
    [
        "cp37",
        "cp39",
        "cp310",
        "cp311",
        "cp312",
        "cp313t",
        "py2",
        "py3",
        "py39",
        "py311",
        "py313",
        "pp39",
    ]
)
_ABIS = st.sampled_from(["none", "abi3", "cp39", "cp311", "cp312", "cp37m", "cp313t"])
_PLATFORMS = st.sampled_from(
    [
        "any",
        "linux_x86_64",
        "linux_aarch64",
        "manylinux1_x86_64",
        "manylinux2014_x86_64",
        "manylinux_2_28_x86_64",
        "manylinux_2_40_x86_64",
        "manylinux2014_aarch64",
        "musllinux_1_2_x86_64",
        "macosx_11_0_arm64",
        "win_amd64",
    ]
)
_TAGS = st.builds(Tag, interpreter=_INTERPRETERS, abi=_ABIS, platform=_PLATFORMS)


@settings(deadline=None)
@given(tag=_TAGS)
def test_what_fits_is_what_the_specification_supports(tag: Tag) -> None:
    target = make_target(pip="26.0")
    assert (misfit_of(tag, target) is None) == (tag in supported_tags(target))


@pytest.mark.parametrize(
    ("pip", "platform", "misfit"),
    [
        ("8.0", "manylinux1_x86_64", Misfit.PIP),
        ("8.1", "manylinux1_x86_64", None),
        ("18.1", "manylinux2010_x86_64", Misfit.PIP),
        ("19.0.1", "manylinux2010_x86_64", None),
        ("19.2", "manylinux2014_x86_64", Misfit.PIP),
        ("20.2", "manylinux_2_17_x86_64", Misfit.PIP),
        ("20.3.4", "manylinux_2_17_x86_64", None),
        ("9.0", "linux_x86_64", None),
        ("", "manylinux_2_17_x86_64", None),
        ("what", "manylinux_2_17_x86_64", None),
    ],
)
def test_an_old_pip_does_not_know_a_new_tag(pip: str, platform: str, misfit: Misfit | None) -> None:
    assert misfit_of(Tag("cp311", "cp311", platform), make_target(pip=pip)) is misfit


@pytest.mark.parametrize(
    ("pip", "platform", "misfit"),
    [
        ("23.0.1", "manylinux_2_31_riscv64", Misfit.PIP),
        ("24.0", "manylinux_2_36_riscv64", Misfit.PIP),
        ("24.1", "manylinux_2_31_riscv64", None),
        ("23.0.1", "linux_riscv64", None),  # any pip takes its own platform
        ("23.0.1", "manylinux_2_36_loongarch64", Misfit.PIP),
        ("25.1.1", "manylinux_2_36_loongarch64", None),
        ("23.0.1", "manylinux_2_17_aarch64", None),
        ("25.1.1", "manylinux_2_12_aarch64", Misfit.PIP),  # no pip counts down to it
        ("25.1.1", "manylinux2010_s390x", Misfit.PIP),
    ],
)
def test_pips_learned_of_some_processors_late(pip: str, platform: str, misfit: Misfit | None) -> None:
    arch = platform.rpartition("_")[2]
    target = replace(make_target(pip=pip), arch=arch)
    tag = Tag("cp311", "cp311", platform)
    assert misfit_of(tag, target) is misfit
    facts = make_facts(filename=f"demo-1.0-cp311-cp311-{platform}.whl")
    told = [finding.name for finding in predict_target(facts, target).errors]
    assert ("tag-unsupported-by-pip" in told) == (misfit is not None)


@pytest.mark.parametrize(
    ("packages", "misfit"),
    [
        (("python3.13", "python3-pip"), Misfit.PIP),  # the default Python's pip, which is old
        (("python3.13", "python3.13-pip"), None),  # another one, of which nothing is known
    ],
)
def test_a_second_python_without_a_recorded_pip(
    packages: tuple[str, ...], misfit: Misfit | None
) -> None:
    distro = make_distro(pip="19.0")
    [first] = distro.interpreters
    first = replace(first, packages=("python3", "python3-pip"))
    second = replace(first, version=parse_python("3.13"), packages=packages, pip="")
    distro = replace(distro, interpreters=(first, second))
    target = Target(distro=distro, arch="x86_64", interpreter=second)
    assert misfit_of(Tag("cp313", "cp313", "manylinux2014_x86_64"), target) is misfit


def test_the_nearest_miss_is_told() -> None:
    wheel = make_wheel("demo-1.0-cp311-cp311-manylinux2014_aarch64.manylinux_2_39_x86_64.whl")
    fit = best_fit(wheel.tags, make_target())
    assert fit.misfit is Misfit.LIBC_VERSION
    assert fit.tag.platform == "manylinux_2_39_x86_64"


@pytest.mark.parametrize("specifier", [">=3.11.3", "===3.11.2", "!=3.11.7"])
def test_a_bound_within_a_series_is_told_and_decides_nothing(specifier: str) -> None:
    predicted = predict_target(make_facts(requires_python=specifier), make_target(python="3.11"))

    found = [finding for finding in predicted.findings if finding.name == "requires-python"]
    assert [finding.severity for finding in found] == [Severity.INFORMATION]
    assert predicted.works


def test_a_refused_python_is_told_with_its_release() -> None:
    facts = make_facts(requires_python=">=3.11.3")
    words = "ERROR: Package 'demo' requires a different Python: 3.11.2 not in '>=3.11.3'"
    seen = make_observation(install=refused(words))

    verdict = judge(facts, seen, make_target(python="3.11"), wheel=facts.wheel)

    assert verdict.errors[0].message == "the wheel requires Python >=3.11.3; debian-12 has 3.11.2"
    assert verdict.prediction is Foretold.BEYOND
