from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from auditwheel.libc import Libc as AuditLibc
from hypothesis import given
from hypothesis import strategies as st
from packaging import _musllinux
from packaging.tags import Tag, parse_tag

from pytest_manylinux.errors import UsageError
from pytest_manylinux.host.architecture import ARCHITECTURES
from pytest_manylinux.inspect.audit_policies import load_rules
from pytest_manylinux.model.distro import (
    ArchiveRecipe,
    Distro,
    Interpreter,
    InterpreterOrigin,
    Target,
    split_target_id,
)
from pytest_manylinux.model.policy import (
    ALIASES,
    Libc,
    LibcKind,
    Policy,
    PolicyChoice,
    musl,
    parse_policy,
    policy_of_platform_tag,
)
from pytest_manylinux.model.policy import glibc as glibc_of
from pytest_manylinux.model.python import PythonVersion, parse_python
from pytest_manylinux.model.wheel_tags import (
    oldest_built,
    platform_tags,
    supported_tags,
)
from pytest_manylinux.plan import (
    ProjectPlan,
    accepts_python,
    added_interpreter,
    check_policy,
    other_targets,
    plan_project,
    targets_of,
    wheel_targets,
)


def distro(id_: str, glibc: int, *minors: int, arch: str = "x86_64", headers: bool = True) -> Distro:
    return Distro(
        id=id_,
        family=id_.partition("-")[0],
        release=id_.partition("-")[2],
        title=id_,
        libc=Libc(LibcKind.GLIBC, (2, glibc)),
        architectures=(arch,),
        interpreters=tuple(
            Interpreter(
                version=PythonVersion(3, minor),
                executable="/usr/bin/python3",
                packages=("python3",),
                headers=("python3-dev",) if headers else (),
            )
            for minor in minors
        ),
        package_manager="apt",
        archive=ArchiveRecipe(origin="debian", suite=id_),
    )


LIBCS = (glibc_of(2, 17), glibc_of(2, 36), musl(1, 1, 24), musl(1, 2, 0), musl(1, 2, 5), musl(1, 2, 6))
NAMES = ("manylinux2014", "manylinux_2_28", "musllinux_1_1", "musllinux_1_2")
POLICIES = tuple(map(parse_policy, NAMES))
DEBIANS = (
    distro("debian-11", 31, 9),
    distro("debian-12", 36, 11),
    distro("debian-13", 41, 13),
    distro("debian-testing", 43, 14),
)
TARGETS = targets_of(DEBIANS, "x86_64", ())


def ids(targets: tuple[Target, ...]) -> list[str]:
    return [target.id for target in targets]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("cp311-cp311-manylinux1_x86_64", ["debian-12-cp311-x86_64"]),
        ("cp39-abi3-manylinux2014_x86_64", ids(TARGETS)),
        ("cp312-abi3-manylinux2014_x86_64", ids(TARGETS[2:])),
        ("py3-none-any", ids(TARGETS)),
        ("py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64", ids(TARGETS)),
        ("cp313-cp313-manylinux_2_41_x86_64", ids(TARGETS[2:3])),
        ("cp311-cp311-manylinux_2_37_x86_64", []),
        ("cp311-cp311-linux_x86_64", ["debian-12-cp311-x86_64"]),
        ("cp311-cp311-musllinux_1_2_x86_64", []),
        ("cp311-cp311-manylinux2014_aarch64", []),
        ("cp313-cp313t-manylinux2014_x86_64", []),
        ("cp311-cp311-win_amd64", []),
        ("pp310-pypy310_pp73-manylinux2014_x86_64", []),
        ("cp27-cp27mu-manylinux1_x86_64", []),
    ],
)
def test_wheels_go_where_their_tags_fit(tag: str, expected: list[str]) -> None:
    assert ids(wheel_targets(parse_tag(tag), "", TARGETS)) == expected


@pytest.mark.parametrize(
    ("tag", "taken"),
    [
        ("pp39-pypy39_pp73-manylinux2014_x86_64", True),
        ("pp39-none-any", True),
        ("pp38.pp39-none-any", True),
        ("pp39-pypy39_pp80-manylinux2014_x86_64", False),
        ("py3-none-any", False),
        ("py39-none-manylinux2014_x86_64", False),
        ("cp39-abi3-manylinux2014_x86_64", False),
        ("pp38-none-any", False),
    ],
)
def test_a_python_for_what_names_it_is_left_out_otherwise(tag: str, *, taken: bool) -> None:
    own = Interpreter(
        version=parse_python("pp39"), executable="/usr/bin/pypy3", packages=(), only_named=True
    )
    place = replace(TARGETS[1], interpreter=own)
    assert bool(wheel_targets(parse_tag(tag), "", (place,))) == taken


def test_no_build_is_planned_for_a_python_that_only_names_bring() -> None:
    others = tuple(
        replace(one, interpreter=replace(one.interpreter, only_named=True)) for one in TARGETS[1:]
    )
    plan = plan_project(
        policy=PolicyChoice(parse_policy("manylinux2014")),
        requires_python="",
        targets=(TARGETS[0], *others),
        builders=DEBIANS,
        pythons=(),
        arch="x86_64",
    )
    assert [build.python.id for build, _ in plan.builds] == ["cp39"]


def test_requires_python_keeps_a_wheel_from_older_interpreters() -> None:
    found = wheel_targets(parse_tag("py3-none-any"), ">=3.11", TARGETS)
    assert ids(found) == ids(TARGETS[1:])


glibcs = st.integers(min_value=17, max_value=50)


@given(glibc=glibcs, minor=glibcs)
def test_a_perennial_tag_fits_exactly_where_glibc_is_not_older(glibc: int, minor: int) -> None:
    target = targets_of((distro("any-1", glibc, 11),), "x86_64", ())
    tags = parse_tag(f"cp311-cp311-manylinux_2_{minor}_x86_64")
    assert bool(wheel_targets(tags, "", target)) == (minor <= glibc)


@given(glibc=glibcs, arch=st.sampled_from(["x86_64", "i686", "aarch64", "ppc64le"]))
def test_platform_tags_begin_with_the_newest_and_hold_no_other_architecture(
    glibc: int, arch: str
) -> None:
    tags = platform_tags(Libc(LibcKind.GLIBC, (2, glibc)), arch)
    assert tags[0] == f"manylinux_2_{glibc}_{arch}"
    assert tags[-1] == f"linux_{arch}"
    assert len(set(tags)) == len(tags)
    policies = [found[0] for tag in tags[:-1] if (found := policy_of_platform_tag(tag))]
    assert policies == sorted(policies, reverse=True)
    assert ("manylinux1_x86_64" in tags) == (arch == "x86_64")


@given(st.integers(5, 99))
def test_policies_are_read_back_from_every_name(minor: int) -> None:
    policy = Policy((2, minor))
    assert parse_policy(policy.name) == parse_policy(str(policy)) == policy
    for tag in policy.platform_tags("x86_64"):
        assert policy_of_platform_tag(tag) == (policy, "x86_64")


@given(st.integers(0, 9), st.sampled_from(["x86_64", "aarch64", "s390x"]))
def test_a_musllinux_policy_is_read_back_and_has_one_tag(minor: int, arch: str) -> None:
    policy = parse_policy(f"musllinux_1_{minor}")
    assert (policy.libc, policy.alias) == (musl(1, minor), None)
    [tag] = policy.platform_tags(arch)
    assert policy_of_platform_tag(tag) == (policy, arch)


@given(libc=st.sampled_from(LIBCS), arch=st.sampled_from(["x86_64", "i686", "aarch64", "armv7l"]))
def test_platform_tags_are_those_of_packaging(libc: Libc, arch: str) -> None:
    """The reference is what pip itself counts down on such a machine (packaging/_musllinux.py)."""
    tags = [tag for tag in platform_tags(libc, arch) if tag.startswith("musllinux")]
    version = _musllinux._MuslVersion(*libc.version[:2])
    with patch.object(_musllinux, "_get_musl_version", lambda _: version):
        wanted = list(_musllinux.platform_tags([arch]))
    assert tags == (wanted if libc.is_musl() else [])


@given(libc=st.sampled_from(LIBCS), policy=st.sampled_from(POLICIES))
def test_a_tag_fits_exactly_where_the_c_library_keeps_its_policy(libc: Libc, policy: Policy) -> None:
    target = targets_of((replace(distro("any-1", 31, 11), libc=libc),), "x86_64", ())
    tags = parse_tag(f"cp311-cp311-{policy.name}_x86_64")
    assert bool(wheel_targets(tags, "", target)) == libc.keeps(policy)
    assert libc.keeps(policy) == (libc.kind is policy.kind and libc >= policy.libc)


def test_aliases_mean_what_the_specifications_say() -> None:
    assert {alias: parse_policy(alias).name for alias in ALIASES} == {
        "manylinux1": "manylinux_2_5",
        "manylinux2010": "manylinux_2_12",
        "manylinux2014": "manylinux_2_17",
    }


@pytest.mark.parametrize("text", ["cp311", "3.11", " cp311 "])
def test_python_versions_are_read(text: str) -> None:
    assert parse_python(text) == PythonVersion(3, 11)


def test_cp310_is_three_ten() -> None:
    assert parse_python("cp310") == PythonVersion(3, 10)


@pytest.mark.parametrize(
    ("texts", "id_", "tag", "abi"),
    [
        (("cp314t", "3.14t"), "cp314t", "cp314", "cp314t"),
        (("pp311", "pypy3.11"), "pp311", "pp311", "pypy311_pp73"),
        (("gp312_250", "gp312", "graalpy3.12"), "gp312_250", "graalpy312", "graalpy250_312_native"),
        (("gp313_253", "graalpy313"), "gp313_253", "graalpy313", "graalpy253_313_native"),
        (("gp314", "graalpy3.14"), "gp314", "graalpy314", "graalpy_314_native"),
        (("cp37", "3.7"), "cp37", "cp37", "cp37m"),
        (("cp315", "3.15"), "cp315", "cp315", "cp315"),
    ],
)
def test_other_pythons_are_read(texts: tuple[str, ...], id_: str, tag: str, abi: str) -> None:
    for text in texts:
        version = parse_python(text)
        assert (version.id, version.tag, version.abi) == (id_, tag, abi)


@pytest.mark.parametrize(
    "text",
    [
        *("cp312t", "3.9t", "pp311t", "py3", "cp3", "3.11.2", "cp311-cp311"),
        *("gp312t", "graalpy3.13t", "gp312_242", "cp312_250", "gp314_1"),
    ],
)
def test_what_is_no_python_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_python(text)


def test_pythons_are_ordered() -> None:
    texts = ["cp39", "cp311", "gp311_242", "pp311", "cp314", "cp314t", "cp315"]
    assert [one.id for one in sorted(map(parse_python, reversed(texts)))] == texts


@pytest.mark.parametrize(
    ("python", "takes", "refuses"),
    [
        ("cp314t", "cp314-cp314t cp314-none py3-none py314-none", "cp314-cp314 cp314-abi3 cp39-abi3"),
        ("cp315t", "cp315-cp315t cp315-abi3t cp315-none", "cp315-cp315 cp315-abi3 pp311-pypy311_pp73"),
        ("cp315", "cp315-cp315 cp39-abi3 cp315-none", "cp315-abi3t cp315-cp315t"),
        ("pp311", "pp311-pypy311_pp73 pp311-none py3-none", "cp311-cp311 cp39-abi3 pp310-pypy310_pp73"),
        (
            "gp312",
            "graalpy312-graalpy250_312_native graalpy312-none py3-none py312-none",
            "graalpy312-graalpy242_312_native graalpy311-graalpy242_311_native cp312-cp312 cp39-abi3",
        ),
        ("cp37", "cp37-cp37m cp36-abi3", "cp37-cp37"),
    ],
)
def test_tags_of_other_pythons(python: str, takes: str, refuses: str) -> None:
    interpreter = Interpreter(version=parse_python(python), executable="python3", packages=())
    target = Target(distro=DEBIANS[0], arch="x86_64", interpreter=interpreter)
    platform = "manylinux_2_17_x86_64"
    tags = set(map(str, supported_tags(target)))
    assert {f"{pair}-{platform}" for pair in takes.split()} <= tags
    assert not {f"{pair}-{platform}" for pair in refuses.split()} & tags


@pytest.mark.parametrize(
    ("specifier", "minor", "accepted"),
    [
        ("", 9, True),
        (">=3.9", 9, True),
        (">=3.9.5", 9, True),
        (">=3.10", 9, False),
        ("<3.14", 14, False),
        ("!=3.13.*", 13, False),
        ("not a specifier", 9, True),
        (">=3.8,<4", 14, True),
        ("===3.11.2", 11, True),
        (">=3.11.1,<3.11.90", 11, True),
        ("===3.11.2", 13, False),
    ],
)
def test_requires_python(specifier: str, minor: int, *, accepted: bool) -> None:
    assert accepts_python(specifier, PythonVersion(3, minor)) is accepted


MANYLINUX1 = Policy((2, 5))


def plan(
    policy: Policy = MANYLINUX1, requires: str = "", pythons: tuple[PythonVersion, ...] = ()
) -> ProjectPlan:
    return plan_project(
        policy=PolicyChoice(policy),
        requires_python=requires,
        targets=TARGETS,
        builders=DEBIANS,
        pythons=pythons,
        arch="x86_64",
    )


def rows(found: ProjectPlan) -> list[tuple[str, list[str]]]:
    return [(build.id, ids(targets)) for build, targets in found.builds]


def test_a_project_is_built_once_for_each_python_oldest_first() -> None:
    assert rows(plan()) == [
        ("cp39-manylinux1_x86_64", ["debian-11-cp39-x86_64"]),
        ("cp311-manylinux1_x86_64", ["debian-12-cp311-x86_64"]),
        ("cp313-manylinux1_x86_64", ["debian-13-cp313-x86_64"]),
        ("cp314-manylinux1_x86_64", ["debian-testing-cp314-x86_64"]),
    ]


def test_requires_python_leaves_builds_out() -> None:
    assert [row[0][:5] for row in rows(plan(requires=">=3.11"))] == ["cp311", "cp313", "cp314"]


def test_a_policy_newer_than_a_distro_leaves_its_trial_out_but_not_the_build() -> None:
    assert rows(plan(policy=Policy((2, 34))))[0] == ("cp39-manylinux_2_34_x86_64", [])


def test_a_policy_is_for_targets_of_its_own_c_library() -> None:
    alpine = replace(distro("alpine-3.24", 0, 13), libc=musl(1, 2, 6), archive=None)
    policy = parse_policy("musllinux_1_2")
    found = plan_project(
        policy=PolicyChoice(policy),
        requires_python="",
        targets=(*TARGETS, *targets_of([alpine], "x86_64", ())),
        builders=DEBIANS,
        pythons=(),
        arch="x86_64",
    )
    assert rows(found) == [("cp313-musllinux_1_2_x86_64", ["alpine-3.24-cp313-x86_64"])]
    assert plan(policy=policy) == ProjectPlan(builds=(), without_target=(policy,))


def test_a_python_that_no_root_has_headers_for_is_told() -> None:
    found = plan(pythons=(PythonVersion(3, 10), PythonVersion(3, 11)))
    assert found.unbuildable == (PythonVersion(3, 10),)
    assert len(rows(found)) == 1


def from_source(version: PythonVersion, place: Target) -> Interpreter | None:
    """Every CPython can be built; PyPy and GraalPy cannot."""
    if not version.tag.startswith("cp"):
        return None
    return added_interpreter(version, place.distro, InterpreterOrigin.SOURCE)


def plan_on_added(
    policy: str = "manylinux2014",
    python: str = "cp313t",
    *,
    builders: tuple[Distro, ...] = DEBIANS,
    targets: tuple[Target, ...] = (),
) -> ProjectPlan:
    return plan_project(
        policy=PolicyChoice(parse_policy(policy)),
        requires_python="",
        targets=targets,
        builders=builders,
        pythons=(parse_python(python),),
        arch="x86_64",
        chosen=TARGETS,
        add=from_source,
    )


def test_a_python_that_no_distro_packages_is_built_and_tried_on_the_oldest_and_the_newest() -> None:
    found = plan_on_added()
    places = ["debian-11+cp313t-x86_64", "debian-testing+cp313t-x86_64"]
    assert rows(found) == [("cp313t-manylinux2014_x86_64", places)]
    (build, targets) = found.builds[0]
    assert build.root == targets[0], "its headers come with it, into a root that is wanted anyway"
    assert rows(plan_on_added("manylinux_2_40"))[0][1] == [
        "debian-13+cp313t-x86_64",
        "debian-testing+cp313t-x86_64",
    ]


def test_a_python_that_is_named_with_a_distro_is_built_there() -> None:
    version = parse_python("cp313t")
    added = added_interpreter(version, TARGETS[2].distro, InterpreterOrigin.SOURCE)
    named = replace(TARGETS[2], interpreter=added)
    found = plan_on_added(targets=(named,))
    assert [(build.root, targets) for build, targets in found.builds] == [(named, (named,))]


def test_a_python_of_a_chosen_distro_is_not_added() -> None:
    """Too old a distro for the policy is the reason then, not that there was no such Python."""
    assert rows(plan_on_added("manylinux_2_34", "cp39")) == [("cp39-manylinux_2_34_x86_64", [])]


def test_no_wheel_for_musl_pypy_or_graalpy_is_built_with_an_added_python() -> None:
    assert plan_on_added("musllinux_1_2").unbuildable == (parse_python("cp313t"),)
    for name in ("pp311", "gp312"):
        assert plan_on_added(python=name).unbuildable == (parse_python(name),)


@pytest.mark.parametrize(("python", "caretaker"), [("gp312", "/usr/bin/python3"), ("pp311", "")])
def test_a_python_that_cannot_fork_has_another_see_to_its_trials(python: str, caretaker: str) -> None:
    version = parse_python(python)
    found = added_interpreter(version, TARGETS[2].distro, InterpreterOrigin.STANDALONE)
    assert found.executable == f"/opt/python/{version.id}/bin/python3"
    assert found.caretaker == caretaker


def test_the_place_of_an_added_graalpy_is_read_back() -> None:
    added = added_interpreter(parse_python("gp312"), TARGETS[2].distro, InterpreterOrigin.STANDALONE)
    place = replace(TARGETS[2], interpreter=added)
    assert place.id == "debian-13+gp312_250-x86_64"
    assert split_target_id(place.id) == ("debian-13", "gp312_250", "x86_64")
    without = tuple(replace(one, archive=None) for one in DEBIANS)
    assert plan_on_added("manylinux_2_43", builders=without).builds, "debian-testing can be made"
    assert plan_on_added("manylinux_2_44", builders=without).unbuildable


@given(
    chosen=st.lists(st.sampled_from(DEBIANS), unique=True),
    minors=st.sets(st.integers(8, 15)),
    glibc=st.integers(5, 50),
)
def test_every_trial_of_a_plan_can_take_its_wheel(
    chosen: list[Distro], minors: set[int], glibc: int
) -> None:
    pythons = tuple(PythonVersion(3, minor) for minor in sorted(minors))
    targets = targets_of(chosen, "x86_64", pythons)
    found = plan_project(
        policy=PolicyChoice(Policy((2, glibc))),
        requires_python="",
        targets=targets,
        builders=DEBIANS,
        pythons=pythons,
        arch="x86_64",
    )
    planned = [target for _, some in found.builds for target in some]
    assert len(planned) == len(set(ids(tuple(planned))))
    for build, some in found.builds:
        tag = Tag(build.python.tag, build.python.tag, build.policy.platform_tags("x86_64")[0])
        assert all(tag in supported_tags(target) for target in some)
    unplanned = set(ids(targets)) - set(ids(tuple(planned)))
    assert all(not t.distro.libc.keeps(Policy((2, glibc))) for t in targets if t.id in unplanned)


def test_manylinux1_is_refused_where_it_was_never_defined() -> None:
    with pytest.raises(UsageError, match="manylinux2014"):
        check_policy(Policy((2, 5)), "aarch64", where="--manylinux-policy")


def test_builds_begin_where_auditwheel_has_rules() -> None:
    """riscv64 is younger than manylinux2014; pip's tags there begin with it all the same."""
    with pytest.raises(UsageError, match="manylinux_2_31"):
        check_policy(Policy((2, 17)), "riscv64", where="--manylinux-policy")
    for arch in ARCHITECTURES:
        rules = {rule.name for rule in load_rules(AuditLibc.GLIBC, arch)}
        oldest = oldest_built(LibcKind.GLIBC, arch)
        check_policy(oldest, arch, where="--manylinux-policy")
        assert f"{oldest.name}_{arch}" in rules


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("cp312-cp312-manylinux_2_17_x86_64", ["debian-11+cp312", "debian-testing+cp312"]),
        ("cp312-cp312-manylinux_2_35_x86_64", ["debian-12+cp312", "debian-testing+cp312"]),
        ("cp312-cp312-manylinux_2_42_x86_64", ["debian-testing+cp312"]),
        ("cp312-cp312-manylinux_2_99_x86_64", []),
        ("cp313-cp313-manylinux_2_17_x86_64", []),
        ("cp313-cp313-manylinux_2_42_x86_64", []),
        ("cp314-cp314t-manylinux_2_17_x86_64", ["debian-11+cp314t", "debian-testing+cp314t"]),
        ("cp315-abi3.abi3t-manylinux_2_17_x86_64", ["debian-11+cp315", "debian-testing+cp315"]),
        ("cp39-abi3-manylinux_2_17_x86_64", []),
        ("pp311-pypy311_pp73-manylinux_2_17_x86_64", []),
        ("cp312-cp312-manylinux_2_17_aarch64", []),
        ("py3-none-any", []),
    ],
)
def test_pythons_that_no_chosen_distro_packages(tag: str, expected: list[str]) -> None:
    """On the oldest and the newest distro that the policy admits, whatever lies between."""
    found = other_targets(parse_tag(tag), TARGETS, from_source)
    assert [target.place for target in found if target.interpreter.version.id != "cp315t"] == expected
    assert all(target.interpreter.origin is InterpreterOrigin.SOURCE for target in found)


def test_the_stable_abi_of_both_kinds_wants_both_kinds() -> None:
    found = other_targets(parse_tag("cp315-abi3.abi3t-manylinux_2_17_x86_64"), TARGETS, from_source)
    assert {target.interpreter.version.id for target in found} == {"cp315", "cp315t"}


@pytest.mark.parametrize("specifier", [f">=3.{'9' * 5000}", f"<={'9' * 5000}", "nonsense"])
def test_a_specifier_that_cannot_be_read_excludes_nothing(specifier: str) -> None:
    assert accepts_python(specifier, PythonVersion(3, 11))
