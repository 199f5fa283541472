from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from run_records import hostile_text

from pytest_manylinux.report.labels import grouped_labels, wheel_labels
from pytest_manylinux.report.matrix import wheel_order

NUMPY = "numpy-2.2.6-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
NUMPY_39 = "numpy-2.2.6-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
NUMPY_ARM = "numpy-2.2.6-cp311-cp311-manylinux2014_aarch64.whl"
RUFF = "ruff-0.4.0-py3-none-manylinux1_x86_64.whl"
CRYPTOGRAPHY = "cryptography-44.0-1-cp39-abi3-manylinux_2_28_x86_64.whl"


def test_a_label_says_name_version_python_and_platform() -> None:
    assert wheel_labels([NUMPY, CRYPTOGRAPHY, RUFF], 80) == (
        "numpy 2.2.6 cp311 manylinux2014_x86_64",
        "cryptography 44.0-1 cp39-abi3 manylinux_2_28_x86_64",
        "ruff 0.4.0 py3 manylinux1_x86_64",
    )


def test_what_all_share_is_dropped_first() -> None:
    assert wheel_labels([NUMPY, NUMPY_39], 32) == (
        "numpy 2.2.6 cp311 manylinux2014",
        "numpy 2.2.6 cp39 manylinux2014",
    )
    assert wheel_labels([NUMPY, NUMPY_39], 20) == ("numpy 2.2.6 cp311", "numpy 2.2.6 cp39")
    assert wheel_labels([NUMPY, NUMPY_39], 12) == ("numpy cp311", "numpy cp39")


def test_what_tells_two_apart_stays() -> None:
    assert wheel_labels([NUMPY, NUMPY_ARM], 30) == (
        "numpy 2.2.6 cp311 x86_64",
        "numpy 2.2.6 cp311 aarch64",
    )


def test_the_project_s_name_is_cut_last() -> None:
    long = "a_very_long_project_name_indeed-1.0-cp39-abi3-manylinux1_x86_64.whl"
    (label,) = wheel_labels([long], 20)
    assert label == "a_very_lon…me_indeed"
    assert len(label) == 20


def test_a_projects_own_wheels_are_told_apart_by_their_pythons() -> None:
    project = "a_very_long_project_name_indeed"
    wheels = [f"{project}-1.0-{tag}-{tag}-manylinux1_x86_64.whl" for tag in ("cp39", "cp311", "cp313")]
    assert wheel_labels([*wheels, RUFF], 24) == (
        "a_very_lo…e_indeed cp39",
        "a_very_lo…e_indeed cp311",
        "a_very_lo…e_indeed cp313",
        "ruff",
    )


def test_only_what_differs_within_a_project_is_kept() -> None:
    assert wheel_labels([NUMPY, NUMPY_ARM, CRYPTOGRAPHY], 24) == (
        "numpy cp311 x86_64",
        "numpy cp311 aarch64",
        "cryptography cp39-abi3",
    )


def test_a_name_stays_whole_where_fewer_parts_tell_its_wheels_apart() -> None:
    numpys = [
        "numpy-2.0.2-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "numpy-2.5.5-cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "numpy-2.5.5-cp314-cp314-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    ]
    others = [
        "cryptography-43.0.3-cp39-abi3-manylinux_2_17_x86_64.whl",
        "cryptography-50.0.2-cp311-abi3-manylinux2014_x86_64.whl",
    ]
    assert wheel_labels([*numpys, *others], 25) == (
        "numpy 2.0.2 cp39",
        "numpy 2.5.5 cp313",
        "numpy 2.5.5 cp314",
        "cryptography cp39-abi3",
        "cryptography cp311-abi3",
    )


_NAMES = st.lists(
    st.sampled_from([NUMPY, NUMPY_39, NUMPY_ARM, RUFF, CRYPTOGRAPHY]) | hostile_text.filter(bool),
    unique=True,
    max_size=6,
)


@given(_NAMES, st.integers(1, 60))
def test_labels_differ_and_fit(wheels: list[str], width: int) -> None:
    labels = wheel_labels(wheels, width)
    assert len(labels) == len(wheels)
    assert len(set(labels)) == len(set(wheels))
    assert all(len(label) <= max(width, 8) for label in labels)
    assert all(label.isprintable() for label in labels)


def test_wheels_sort_as_people_count() -> None:
    wheels = [NUMPY, NUMPY_39, "numpy-2.10.0-cp39-cp39-linux_x86_64.whl", CRYPTOGRAPHY]
    assert sorted(wheels, key=lambda wheel: wheel_order(wheel, "")) == [
        CRYPTOGRAPHY,
        NUMPY_39,
        NUMPY,
        "numpy-2.10.0-cp39-cp39-linux_x86_64.whl",
    ]


@given(st.lists(hostile_text, max_size=6))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert len(sorted(names, key=lambda name: wheel_order(name, ""))) == len(names)


def test_a_releases_wheels_are_in_the_order_of_interpreters_then_architectures() -> None:
    """Not in that of the names of their policies."""
    ordered = [
        f"demo-1.0-{python}-{platform}.whl"
        for python in ("cp39-cp39", "cp314-cp314", "cp314-cp314t", "cp315-cp315", "pp311-pypy311_pp73")
        for platform in (
            "manylinux_2_28_aarch64",
            "musllinux_1_2_aarch64",
            "manylinux2014_x86_64.manylinux_2_17_x86_64",
            "musllinux_1_2_x86_64",
        )
    ]
    assert sorted(sorted(ordered), key=lambda wheel: wheel_order(wheel, "")) == ordered


_PYTHONS = ("cp39-cp39", "cp39-abi3", "cp314-cp314", "cp314-cp314t", "pp311-pypy311_pp73")
_PLATFORMS = tuple(
    f"{policy}_{arch}"
    for arch in ("aarch64", "armv7l", "i686", "ppc64le", "riscv64", "s390x", "x86_64")
    for policy in ("manylinux_2_28", "manylinux2014", "musllinux_1_2")
)
_RELEASES = st.lists(
    st.builds(
        "{}-{}-{}-{}.whl".format,
        st.sampled_from(["demo", "charset_normalizer", "a_very_long_project_name_indeed_of_words"]),
        st.sampled_from(["1.0", "2.10.0"]),
        st.sampled_from(_PYTHONS),
        st.sampled_from(_PLATFORMS),
    ),
    unique=True,
    max_size=60,
).map(lambda wheels: sorted(wheels, key=lambda wheel: wheel_order(wheel, "")))


@given(_RELEASES, st.integers(8, 60))
def test_a_releases_tags_are_whole_in_any_width(wheels: list[str], width: int) -> None:
    groups = grouped_labels(wheels, width, most=71)
    places = iter(wheels)
    headings = [group.heading for group in groups if group.heading]
    assert len(headings) == len(set(headings))
    for group in groups:
        own = [next(places) for _ in group.labels]
        assert len(set(group.labels)) == len(own)
        if not group.heading:
            continue
        assert not any("…" in label or "~" in label for label in group.labels)
        assert {" ".join(wheel.split("-")[:2]) for wheel in own} == {group.heading}
        known = {"cp39", "cp39-abi3", "cp314", "cp314t", "pp311-pypy311_pp73"}
        tags = known | {part for p in _PLATFORMS for part in (p, *p.rsplit("_", 1))} | {"x86_64"}
        tags |= {p.removesuffix("_x86_64") for p in _PLATFORMS}
        assert {word for label in group.labels for word in label.split()} <= tags
    assert next(places, None) is None


def test_few_wheels_are_not_grouped() -> None:
    wheels = [f"demo-1.0-cp3{minor}-cp3{minor}-manylinux1_x86_64.whl" for minor in range(6, 14)]
    (group,) = grouped_labels(wheels, 60)
    assert group.heading == ""
    assert group.labels == wheel_labels(wheels, 60)


def test_many_wheels_of_a_release_have_its_name_once() -> None:
    wheels = [f"demo-1.0-cp3{minor}-cp3{minor}-manylinux1_x86_64.whl" for minor in range(6, 15)]
    (group,) = grouped_labels([*wheels], 30, indent="  ")
    assert group.heading == "demo 1.0"
    assert group.labels[:2] == ("  cp36 manylinux1_x86_64", "  cp37 manylinux1_x86_64")
    (narrow,) = grouped_labels(wheels, 8, most=60)
    assert narrow.labels[-1] == "cp314"


def test_what_became_no_wheel_stands_outside_of_a_releases_group() -> None:
    wheels = [f"demo-1.0-cp3{minor}-cp3{minor}-manylinux1_x86_64.whl" for minor in range(6, 15)]
    groups = grouped_labels(["broken_project", *wheels], 30, indent="  ")
    assert [(group.heading, len(group.labels)) for group in groups] == [("", 1), ("demo 1.0", 9)]
    assert groups[0].labels == ("broken_project",)
