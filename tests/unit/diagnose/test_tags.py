from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag
from trial_values import make_target, make_wheel

from pytest_manylinux.diagnose.tags import Misfit, best_fit, misfit_of
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


def test_the_nearest_miss_is_told() -> None:
    wheel = make_wheel("demo-1.0-cp311-cp311-manylinux2014_aarch64.manylinux_2_39_x86_64.whl")
    fit = best_fit(wheel.tags, make_target())
    assert fit.misfit is Misfit.LIBC_VERSION
    assert fit.tag.platform == "manylinux_2_39_x86_64"
