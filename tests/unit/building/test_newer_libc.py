"""Causes in a build's output that a newer glibc would remove, and the policy that `auto` takes then."""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_manylinux.building.api import BuildInputs, BuildRequest, Pip, Toolchain
from pytest_manylinux.building.manylinux_image import _KNOWN_FAILURES as OF_IMAGES
from pytest_manylinux.building.newer_libc import newer_libc
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.source import Snapshot
from pytest_manylinux.building.wheelhouse import PolicyMemory
from pytest_manylinux.building.zig import _KNOWN_FAILURES as OF_ZIG
from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import BuildError
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import BuildRecord
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run.builder_choice import for_the_policy_it_needs
from pytest_manylinux.run.subjects import BuildJob, Built, ProjectSubject

SYMBOLS = {
    "getrandom": frozenset({(2, 25)}),
    "getentropy": frozenset({(2, 25)}),
    "statx": frozenset({(2, 28)}),
    "secure_getenv": frozenset({(2, 17)}),
    "memcpy": frozenset({(2, 2, 5), (2, 14)}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain(Toolchain):
    def offered(self) -> dict[str, frozenset[tuple[int, ...]]]:
        return SYMBOLS


def chain(version: tuple[int, int] = (2, 5), *, image: bool = False) -> Toolchain:
    policies = tuple(Policy((2, minor)) for minor in (5, 12, 17, 24, 28, 34, 39))
    return Chain(
        policy=Policy(version),
        policies=policies,
        python="",
        tools_python="",
        pip=Pip(command=("pip",)),
        known_failures=OF_IMAGES if image else OF_ZIG,
    )


# As zig 0.17.1, GCC, Meson 1.9, CMake 4 and Autoconf say it.
@pytest.mark.parametrize(
    ("words", "because"),
    [
        (
            (
                "a.c:3:30: error: call to undeclared function 'getrandom'; ISO C99 and later do not "
                "support implicit function declarations [-Wimplicit-function-declaration]"
            ),
            "getrandom wants glibc 2.25",
        ),
        ("ld.lld: error: undefined symbol: statx\n>>> referenced by l.c:3", "statx wants glibc 2.28"),
        ("a.c:3: undefined reference to `secure_getenv'", "secure_getenv wants glibc 2.17"),
        (
            "a.cpp:3:9: error: 'getentropy' was not declared in this scope",
            "getentropy wants glibc 2.25",
        ),
        (
            "ld.lld: error: undefined reference: memcpy@GLIBC_2.14\n>>> referenced by libz.so",
            "memcpy wants glibc 2.14",
        ),
        (
            (
                "ld.lld: error: undefined reference: dlerror@GLIBC_2.34\n"
                "ld.lld: error: undefined reference: getauxval@GLIBC_2.16"
            ),
            "dlerror wants glibc 2.34",
        ),
        (
            (
                "s.c:2:16: error: static assertion failed due to requirement '5 >= 17': too old\n"
                '    2 | _Static_assert(__GLIBC_MINOR__ >= 17, "too old");'
            ),
            "its own check wants glibc 2.17",
        ),
        (
            (
                "s.c:2:16: error: static assertion failed due to requirement '5 > 17'\n"
                "    2 | static_assert(__GLIBC_MINOR__ > 17);"
            ),
            "its own check wants glibc 2.18",
        ),
        ('s.c:3:2: error: "glibc 2.17 or newer is needed"', "its own check wants glibc 2.17"),
        (
            "meson.build:4:2: ERROR: Problem encountered: needs glibc >= 2.28",
            "its own check wants glibc 2.28",
        ),
        (
            "x.h:9:2: error: no member named 'align_val_t' in namespace 'std'",
            "std::align_val_t wants glibc 2.16",
        ),
        (
            "ld.lld: error: undefined symbol: operator new(unsigned long, std::align_val_t)",
            "std::align_val_t wants glibc 2.16",
        ),
        (
            (
                'Checking for function "getrandom" : NO\n'
                "meson.build:4:2: ERROR: Problem encountered: no entropy"
            ),
            "getrandom wants glibc 2.25",
        ),
        (
            (
                "-- Looking for statx - not found\n-- Looking for getrandom - not found\n"
                "CMake Error at CMakeLists.txt:5: statx is required"
            ),
            "statx wants glibc 2.28",
        ),
        (
            "checking for secure_getenv... no\nconfigure: error: it cannot be done without",
            "secure_getenv wants glibc 2.17",
        ),
    ],
)
def test_causes_that_a_newer_glibc_would_remove(words: str, because: str) -> None:
    found = newer_libc(chain(), words, words)
    assert found is not None
    assert found.because == because


@pytest.mark.parametrize(
    "words",
    [
        "a.c:1:1: error: call to undeclared function 'memcpy'",
        "a.c:1:1: error: call to undeclared function 'nobody_has_it'",
        "a.c:1:10: fatal error: 'zlib.h' file not found",
        'Checking for function "memcpy" : NO\nERROR: nothing',
        "s.c:3:2: error: glibc 2.4 is needed",
    ],
)
def test_what_no_glibc_would_cure(words: str) -> None:
    assert newer_libc(chain(), words, words) is None


def test_what_the_policy_has_is_not_the_cause() -> None:
    words = "ld.lld: error: undefined symbol: statx"
    assert newer_libc(chain((2, 28)), words, words) is None


def test_an_old_compiler_of_an_image_knows_no_cxx17() -> None:
    words = 'cc1plus: error: unrecognized command line option "-std=c++17"'
    found = newer_libc(chain(image=True), words, words)
    assert found is not None
    assert found.because == "C++17 wants glibc 2.17"


def test_where_no_version_is_named_the_next_usual_policy_is_taken() -> None:
    assert str(chain().next_usual()) == "manylinux2010"
    assert str(chain((2, 17)).next_usual()) == "manylinux_2_28"
    assert chain((2, 39)).next_usual() is None


AUTO = PolicyChoice(Policy((2, 5)), auto=True)


def job(choice: PolicyChoice) -> BuildJob:
    python = parse_python("cp311")
    project = Project(path=Path("demo"), is_sdist=False)
    subject = ProjectSubject(project=project, settings=merge([]), group="demo")
    build = PlannedBuild(python=python, choice=choice, arch="x86_64", root=None)
    return BuildJob(subject=subject, build=build)


def built_for(policy: str, why: str) -> Built:
    record = BuildRecord(project="demo", python="cp311", policy=policy, builder="zig", policy_why=why)
    return Built(wheel=Path("demo.whl"), record=record)


class Attempts:
    """Builds that fail for what `asks` says of a policy."""

    def __init__(self, asks: dict[str, str]) -> None:
        self.asks = asks
        self.made: list[str] = []
        self.said: list[str] = []

    async def one(self, job: BuildJob, why: str) -> Built:
        policy = str(job.build.policy)
        self.made.append(policy)
        if asked := self.asks.get(policy, ""):
            # under xdist it comes from another process
            raise pickle.loads(pickle.dumps(BuildError("demo", policy=asked, because=f"it, {asked}")))  # noqa: S301
        return built_for(policy, why)

    def built(self, choice: PolicyChoice = AUTO, first: Built | None = None) -> Built:
        return asyncio.run(for_the_policy_it_needs(job(choice), first, self.one, self.said.append))


AUTO = PolicyChoice(Policy((2, 5)), auto=True)


def test_auto_takes_the_policy_that_a_failure_asks_for() -> None:
    attempts = Attempts({"manylinux1": "manylinux2014"})
    built = attempts.built()
    assert attempts.made == ["manylinux1", "manylinux2014"]
    assert (built.record.policy, built.record.policy_why) == ("manylinux2014", "it, manylinux2014")
    (said,) = attempts.said
    assert said.endswith(": it, manylinux2014: building for manylinux2014, not for manylinux1")


def test_a_newer_policy_is_taken_once() -> None:
    attempts = Attempts({"manylinux1": "manylinux2014", "manylinux2014": "manylinux_2_28"})
    with pytest.raises(BuildError) as caught:
        attempts.built()
    assert attempts.made == ["manylinux1", "manylinux2014"]
    assert caught.value.policy == "manylinux_2_28"
    assert caught.value.why.endswith("manylinux1 was tried first: it, manylinux2014")


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        (PolicyChoice(Policy((2, 5))), "manylinux2014"),
        (PolicyChoice(Policy((2, 17)), auto=True), "manylinux2014"),
        (PolicyChoice(Policy((2, 17)), auto=True), "manylinux1"),
        (AUTO, "musllinux_1_2"),
    ],
)
def test_a_strict_policy_and_one_that_would_not_help_fail_at_once(
    choice: PolicyChoice, asked: str
) -> None:
    attempts = Attempts({str(choice.policy): asked})
    with pytest.raises(BuildError):
        attempts.built(choice)
    assert attempts.made == [str(choice.policy)]


def test_further_pythons_begin_where_the_first_ended() -> None:
    attempts = Attempts({})
    built = attempts.built(first=built_for("manylinux2014", "it"))
    assert attempts.made == ["manylinux2014"]
    assert built.record.policy_why == "it"
    attempts.built(first=built_for("manylinux1", ""))
    attempts.built(PolicyChoice(Policy((2, 12))), first=built_for("manylinux2014", "it"))
    assert attempts.made == ["manylinux2014", "manylinux1", "manylinux2010"]


def test_a_further_python_on_a_newer_distro_takes_a_newer_policy_still() -> None:
    attempts = Attempts({"manylinux2014": "manylinux_2_28"})
    built = attempts.built(first=built_for("manylinux2014", "it"))
    assert attempts.made == ["manylinux2014", "manylinux_2_28"]
    assert (built.record.policy, built.record.policy_why) == ("manylinux_2_28", "it, manylinux_2_28")
    (said,) = attempts.said
    assert said.endswith(": building for manylinux_2_28, not for manylinux2014")


def request(tmp_path: Path, **changes: object) -> BuildRequest:
    image = Image(name="root", arch="x86_64", digest="sha256:0", source=ImageSource.ARCHIVE)
    values: dict[str, object] = {
        "project": tmp_path,
        "python": parse_python("cp311"),
        "policy": Policy((2, 5)),
        "arch": "x86_64",
        "image": image,
        "wheelhouse": tmp_path / "wheelhouse",
        "cache": tmp_path / "cache",
        "log": tmp_path / "log",
        "auto": True,
    }
    return BuildRequest(**{**values, **changes})  # type: ignore[arg-type]


def test_what_a_library_of_one_distro_asks_for_is_not_kept_for_another(tmp_path: Path) -> None:
    how = BuildInputs(builder="zig", policy="manylinux1", tools=(), index="")
    newer = Image(name="newer", arch="x86_64", digest="sha256:1", source=ImageSource.ARCHIVE)

    def built(**changes: object) -> None:
        with PolicyMemory(request(tmp_path, build_packages=("zlib1g-dev",), **changes)).of(
            "abc", Snapshot(epoch=0), how
        ):
            pass

    with (
        pytest.raises(BuildError, match="too old"),
        PolicyMemory(request(tmp_path, build_packages=("zlib1g-dev",), image=newer)).of(
            "abc", Snapshot(epoch=0), how
        ),
    ):
        raise BuildError("too old", policy="manylinux2014", because="b")
    with pytest.raises(BuildError, match="too old"):
        built(image=newer)
    built()


def test_a_second_run_does_not_fail_first(tmp_path: Path) -> None:
    how = BuildInputs(builder="zig", policy="manylinux1", tools=(), index="")
    snapshot = Snapshot(epoch=0)
    told = BuildError("too old", why="w", remedy="r", policy="manylinux2014", because="b")

    def built(digest: str = "abc", **changes: object) -> None:
        with PolicyMemory(request(tmp_path, **changes)).of(digest, snapshot, how):
            pass

    with pytest.raises(BuildError), PolicyMemory(request(tmp_path)).of("abc", snapshot, how):
        raise told
    with pytest.raises(BuildError) as caught:
        built(python=parse_python("cp313"))
    assert (str(caught.value), caught.value.policy, caught.value.because) == (
        str(told),
        "manylinux2014",
        "b",
    )
    built("another source")
    built(auto=False)
    built(fresh=True)
    built(build_packages=("zlib1g-dev",))


def test_a_failure_that_no_policy_cures_is_not_remembered(tmp_path: Path) -> None:
    how, snapshot = (
        BuildInputs(builder="zig", policy="manylinux1", tools=(), index=""),
        Snapshot(epoch=0),
    )
    for _ in range(2):
        with (
            pytest.raises(BuildError, match="once more"),
            PolicyMemory(request(tmp_path)).of("abc", snapshot, how),
        ):
            raise BuildError("once more")
