"""What `--collect-only` shows: ids, selection, usage errors. Nothing here is built or run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from collecting import FOUR, WHEEL, ids, make_project, make_wheel
from wheels import build_wheel

from pytest_manylinux import workspace
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import run_images
from pytest_manylinux.images.lock_file import NAME as LOCK
from pytest_manylinux.images.lock_file import Lock, LockedImage, write_lock


def collect(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    pytester.makeini("[pytest]")  # makes this the root folder, whatever the arguments are
    return pytester.runpytest("--manylinux", "--collect-only", "-q", *arguments)


def test_a_project_collects_a_build_an_audit_and_trials_for_each_python(
    pytester: pytest.Pytester,
) -> None:
    make_project(pytester.path / "projects" / "sample")
    result = collect(pytester, FOUR, "projects")
    assert ids(result) == [
        f"projects/sample::{kind}"
        for python, distro in [
            ("cp39", "debian-11"),
            ("cp311", "debian-12"),
            ("cp313", "debian-13"),
            ("cp314", "debian-testing"),
        ]
        for kind in (
            f"build[{python}-manylinux_auto_x86_64]",
            f"audit[{python}-manylinux_auto_x86_64]",
            f"trial[{python}-manylinux_auto_x86_64-{distro}]",
        )
    ]
    assert result.ret == pytest.ExitCode.OK


def test_a_wheel_collects_an_audit_and_its_trials(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    expected = [f"dist/{WHEEL}::audit", f"dist/{WHEEL}::trial[debian-12-cp311]"]
    assert ids(collect(pytester, FOUR, "dist")) == expected
    assert ids(collect(pytester, FOUR, f"dist/{WHEEL}")) == expected


def test_a_wheel_that_no_target_takes_is_a_visible_item(pytester: pytest.Pytester) -> None:
    wheel = make_wheel(pytester.path / "dist", "sample-1.0-cp27-cp27mu-manylinux1_x86_64.whl")
    assert ids(collect(pytester, FOUR, "dist")) == [
        f"dist/{wheel.name}::audit",
        f"dist/{wheel.name}::trial[no-target]",
    ]


def test_an_sdist_collects_like_a_project(pytester: pytest.Pytester) -> None:
    import tarfile  # noqa: PLC0415

    project = make_project(pytester.path / "sample-1.0")
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
    (pytester.path / "sdists").mkdir()
    with tarfile.open(pytester.path / "sdists" / "sample-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "sample-1.0")
    found = ids(collect(pytester, FOUR, "--manylinux-python=cp311", "sdists"))
    assert found[0] == "sdists/sample-1.0.tar.gz::build[cp311-manylinux_auto_x86_64]"
    assert len(found) == 3


def test_bare_means_the_root_project_and_only_its_portability_items(
    pytester: pytest.Pytester,
) -> None:
    make_project(pytester.path)
    make_project(pytester.path / "below")
    pytester.makepyfile(test_ordinary="def test_one(): pass")
    found = ids(collect(pytester, FOUR, "--manylinux-python=cp311"))
    assert [name.partition("::")[2] for name in found] == [
        "build[cp311-manylinux_auto_x86_64]",
        "audit[cp311-manylinux_auto_x86_64]",
        "trial[cp311-manylinux_auto_x86_64-debian-12]",
    ]


def test_ordinary_tests_are_collected_where_they_are_asked_for(pytester: pytest.Pytester) -> None:
    project = make_project(pytester.path / "sample")
    (project / "test_ordinary.py").write_text("def test_one(): pass\n")
    assert "test_ordinary" not in str(ids(collect(pytester, FOUR, "sample")))
    found = ids(collect(pytester, FOUR, "--manylinux-python=cp311", "--manylinux-with-tests", "sample"))
    assert "sample/test_ordinary.py::test_one" in found
    assert "sample::build[cp311-manylinux_auto_x86_64]" in found


def test_bare_in_a_folder_without_a_project_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = collect(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*is not a Python project*", "*pytest --manylinux PATH*"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-k", "debian-12"), ["trial[debian-12-cp311]"]),
        (("-k", "debian-12", "-m", "manylinux"), ["trial[debian-12-cp311]"]),
        (("-k", "cp311"), ["trial[debian-12-cp311]"]),
        (("-m", "not manylinux"), []),
        (("-k", "audit"), ["audit"]),
    ],
)
def test_selection_by_keyword_and_marker(
    pytester: pytest.Pytester, arguments: tuple[str, ...], expected: list[str]
) -> None:
    # The wheel's own name holds cp311, as every name of an item below it then does.
    make_wheel(pytester.path / "dist", "sample-1.0-py3-none-any.whl")
    found = ids(collect(pytester, FOUR, *arguments, "dist"))
    assert [name.partition("::")[2] for name in found] == expected


def test_an_id_as_printed_selects_that_item(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample")
    wanted = "sample::audit[cp313-manylinux_auto_x86_64]"
    assert ids(collect(pytester, FOUR, wanted)) == [wanted]


def test_the_project_s_own_table_sets_its_policy(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample", '[tool.pytest-manylinux]\npolicy = "manylinux2014"\n')
    found = ids(collect(pytester, FOUR, "--manylinux-python=cp311", "sample"))
    assert found[0] == "sample::build[cp311-manylinux2014_x86_64]"
    flagged = ids(
        collect(
            pytester, FOUR, "--manylinux-python=cp311", "--manylinux-policy=manylinux_2_12", "sample"
        )
    )
    assert flagged[0] == "sample::build[cp311-manylinux2010_x86_64]"


@pytest.mark.parametrize("distros", ["debian-13,musl-1.2.5", "auto"])
def test_several_policies_are_built_for_each_its_own_targets(
    pytester: pytest.Pytester, distros: str
) -> None:
    make_project(
        pytester.path / "sample",
        '[tool.pytest-manylinux]\npolicy = ["manylinux2014", "musllinux_1_2"]\n',
    )
    given = (f"--manylinux-distros={distros}", "--manylinux-build=cp313-*")
    assert ids(collect(pytester, *given, "--manylinux-engine=bubblewrap", "sample")) == [
        "sample::build[cp313-manylinux2014_x86_64]",
        "sample::audit[cp313-manylinux2014_x86_64]",
        "sample::trial[cp313-manylinux2014_x86_64-debian-13]",
        "sample::build[cp313-musllinux_1_2_x86_64]",
        "sample::audit[cp313-musllinux_1_2_x86_64]",
        "sample::trial[cp313-musllinux_1_2_x86_64-musl-1.2.5]",
    ]


def test_a_policy_without_a_target_is_a_visible_item(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample")
    policies = "--manylinux-policy=manylinux1,musllinux_1_2"
    found = ids(collect(pytester, "--manylinux-distros=debian-13", policies, "sample"))
    assert found[-1] == "sample::build[musllinux_1_2-no-target]"
    assert len(found) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--manylinux-policy=manylinx1"], "*manylinx1*not a policy*"),
        (["--manylinux-distros=debain-12"], "*debain-12*"),
        (["--manylinux-engine=dockr"], "*--manylinux-engine*dockr*"),
        (["--manylinux-python=311"], "*--manylinux-python*311*"),
    ],
)
def test_a_wrong_flag_is_one_usage_error(
    pytester: pytest.Pytester, arguments: list[str], said: str
) -> None:
    make_project(pytester.path / "sample")
    result = collect(pytester, *arguments, "sample")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_wrong_table_is_a_usage_error_that_names_the_file(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample", '[tool.pytest-manylinux]\npolcy = "manylinux1"\n')
    result = collect(pytester, "sample")
    assert result.ret == ExitCode.USAGE
    text = result.stdout.str() + result.stderr.str()
    assert "sample/pyproject.toml: tool.pytest-manylinux: there is no setting 'polcy'" in text
    assert "perhaps you meant 'policy'" in text
    assert "Traceback" not in text


def test_flags_without_the_switch_are_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--manylinux-engine=docker")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--manylinux-engine does nothing without --manylinux*"])


def test_a_key_without_a_proof_is_a_usage_error(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    result = collect(pytester, "--manylinux-sign-key=key", "dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--manylinux-sign-key has nothing to sign*", "*--manylinux-proof=FILE*"]
    )


def test_a_key_that_cannot_sign_is_told_before_anything_runs(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    result = collect(pytester, "--manylinux-sign-key=key", "--manylinux-proof=proof.json", "dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *key: the key cannot be read"])


@pytest.mark.parametrize("flag", ["proof", "html", "markdown", "sbom", "history", "sign-key"])
def test_a_flag_whose_value_is_empty_is_a_usage_error(pytester: pytest.Pytester, flag: str) -> None:
    make_wheel(pytester.path / "dist")
    result = collect(pytester, f"--manylinux-{flag}=", "dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --manylinux-{flag} has no value"])


@pytest.mark.parametrize("flag", ["proof", "html", "markdown", "sbom"])
def test_a_wheel_that_a_flag_without_its_file_takes_for_it_is_kept(
    pytester: pytest.Pytester, flag: str
) -> None:
    wheel = make_wheel(pytester.path / "dist")
    content = wheel.read_bytes()
    result = collect(pytester, f"--manylinux-{flag}", f"dist/{WHEEL}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --manylinux-{flag}: *is no earlier report"])
    assert wheel.read_bytes() == content


@pytest.mark.parametrize("setting", ["expect", "ignore"])
@pytest.mark.parametrize("place", [".", "project"])
def test_a_finding_that_there_is_not_is_told_at_once(
    pytester: pytest.Pytester, setting: str, place: str
) -> None:
    row = f'[[tool.pytest-manylinux.{setting}]]\nfinding = "missing-libary"\nreason = "known"\n'
    make_project(pytester.path / place, row)
    result = collect(pytester, FOUR, place)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{setting}: no finding is called 'missing-libary'" in f"{result.stdout}{result.stderr}"
    assert "perhaps you meant 'missing-library'" in f"{result.stdout}{result.stderr}"


def test_without_the_switch_wheels_and_projects_are_not_collected(
    pytester: pytest.Pytester,
) -> None:
    make_wheel(pytester.path / "sample")
    make_project(pytester.path / "sample")
    result = pytester.runpytest("--collect-only", "-q", "sample")
    assert ids(result) == []


def test_without_the_switch_nothing_heavy_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.startswith("pytest_manylinux")}
            assert ours == {
                "pytest_manylinux",
                "pytest_manylinux.plugin",
                "pytest_manylinux.hookspecs",
                "pytest_manylinux.config",
                "pytest_manylinux.config.options",
            }
            assert not {"auditwheel", "elftools", "rich", "packaging.metadata"} & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_assertions_of_tests_are_rewritten_and_our_modules_are_not(pytester: pytest.Pytester) -> None:
    """But for the few that come before it is known that a run is wanted, and those of an engine."""
    pytester.makeconftest(
        """
        import sys

        def pytest_terminal_summary(terminalreporter):
            ours = {name: m for name, m in sys.modules.items() if name.startswith("pytest_manylinux.")}
            for name, module in ours.items():
                kind = type(module.__spec__.loader).__module__.partition(".")[0]
                terminalreporter.write_line(f"{kind}: {name}")
        """
    )
    pytester.makepyfile("def value(): return 1\ndef test_it(): assert value() == 2")
    make_wheel(pytester.path)
    result = pytester.runpytest_subprocess(
        "--manylinux", "--manylinux-with-tests", "-k", "test_it", "."
    )
    result.stdout.fnmatch_lines(["*where 1 = value()"])
    found = Counter(line.partition(":")[0] for line in result.outlines if ": pytest_manylinux." in line)
    assert found["_frozen_importlib_external"] > 100
    assert found["_pytest"] < 20


SILENT, MIRROR = "the registry docker.io does not answer: no route", "mirror.example"


@pytest.mark.parametrize(
    ("arguments", "why", "some"),
    [
        (("--manylinux-engine=docker",), "", {"ubuntu-24.04", "opensuse-leap-16.0"}),
        (("--manylinux-engine=podman",), "", {"debian-12", "fedora-44"}),
        (
            ("--manylinux-engine=docker", "--manylinux-image-source=archive"),
            "image-source is archive",
            {"debian-11"},
        ),
        (("--manylinux-engine=bubblewrap",), SILENT, {"debian-11", "debian-testing"}),
        ((), SILENT, {"debian-11"}),  # bubblewrap is asked first
        (("--manylinux-engine=bubblewrap", f"--manylinux-registry-mirror={MIRROR}"), "", {"fedora-44"}),
    ],
)
def test_the_usual_distros_are_what_the_engine_can_have(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    why: str,
    some: set[str],
) -> None:
    monkeypatch.setattr(run_images, "_ANSWERS", {"docker.io": SILENT, MIRROR: ""})
    monkeypatch.setattr(run_images, "_TOOLS", ())  # the machine may have none
    make_wheel(pytester.path / "dist", "sample-1.0-py3-none-any.whl")
    result = pytester.runpytest("--manylinux", "--collect-only", *arguments, "dist")
    assert result.ret == pytest.ExitCode.OK
    line = next(line for line in result.outlines if line.startswith("manylinux distros: "))
    assert line.endswith(f"  (auto: group embedded: {why})" if why else "  (auto: group default)")
    assert some <= set(line.split())
    assert ("ubuntu-24.04" in line) == (not why)


def lock(pytester: pytest.Pytester, *distros: str) -> None:
    digest = "sha256:" + "a" * 64
    pins = {distro: LockedImage(image=f"{distro}:1", digest=digest) for distro in distros}
    write_lock(pytester.path / LOCK, Lock(catalogue="sha256:0", distros=pins))


def test_the_header_says_that_a_lock_does_not_bind_roots_of_an_archive(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the machine may have none
    engine = SimpleNamespace(name="bubblewrap", version=lambda: "1", caution="", close=lambda: None)
    monkeypatch.setattr(workspace, "select_engine", lambda *_, **__: engine)
    make_wheel(pytester.path / "dist")
    lock(pytester, "debian-12")
    options = ("--manylinux-distros=debian-12", "--manylinux-engine=bubblewrap", "-k", "nothing")
    result = pytester.runpytest("--manylinux", *options, "dist")
    result.stdout.fnmatch_lines(["manylinux lock: manylinux-lock.json, not used: *from the archive"])


def test_the_header_says_that_a_lock_is_not_used_without_an_engine(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    make_wheel(pytester.path / "dist")
    lock(pytester, "debian-12")
    options = ("--manylinux-distros=debian-12", "--manylinux-engine=bubblewrap", "-k", "nothing")
    result = pytester.runpytest("--manylinux", *options, "dist")
    result.stdout.fnmatch_lines(["manylinux lock: manylinux-lock.json, not used: there is no engine"])


def test_a_damaged_lock_is_a_usage_error(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    (pytester.path / LOCK).write_text("{}")
    result = collect(pytester, "dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*manylinux-lock.json is no lock of images*", "*catalogue pin*"])


def test_the_header_says_what_is_used_and_where_it_came_from(pytester: pytest.Pytester) -> None:
    make_wheel(pytester.path / "dist")
    result = pytester.runpytest(
        "--manylinux", "--collect-only", "--manylinux-distros=debian-12", "dist"
    )
    result.stdout.fnmatch_lines(
        [
            "manylinux policy: auto",
            "manylinux distros: debian-12  (from --manylinux-distros)",
            "manylinux engine: auto",
            "manylinux builder: auto",
        ]
    )


@pytest.mark.parametrize(
    ("text", "collected"),
    [
        ("# [build-system] is for those who build\n[tool.other]\n", False),
        ("[ build-system ]\nrequires = ['setuptools']\n[project]\nname = 'a'\nversion = '1'\n", True),
    ],
    ids=["only a comment", "spaced"],
)
def test_a_project_is_known_by_its_table_not_by_the_letters(
    pytester: pytest.Pytester, text: str, *, collected: bool
) -> None:
    folder = pytester.path / "folder" / "below"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(text)
    (folder / "test_ordinary.py").write_text("def test_one(): pass\n")
    found = ids(collect(pytester, FOUR, "folder"))
    assert any("::build[" in line for line in found) is collected


def test_build_and_skip_choose_among_targets_and_builds(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample")
    make_wheel(pytester.path / "dist")
    builds = ids(collect(pytester, FOUR, "--manylinux-build=cp3{9,13}-* *-musllinux_*", "sample"))
    assert [item.partition("::")[2][:10] for item in builds] == [
        *("build[cp39", "audit[cp39", "trial[cp39"),
        *("build[cp31", "audit[cp31", "trial[cp31"),
    ]
    assert all("cp313" in item for item in builds[3:])
    audit, no_target = (f"dist/{WHEEL}::{item}" for item in ("audit", "trial[no-target]"))
    skip = "--manylinux-skip=*-manylinux_{x86_64,i686} pp*"
    assert ids(collect(pytester, FOUR, skip, "dist")) == [audit, no_target]
    result = collect(pytester, FOUR, "--manylinux-skip=musl*", "dist")
    assert result.ret == ExitCode.USAGE
    result.stderr.fnmatch_lines(["*--manylinux-skip: 'musl[*]' matches no build identifier*"])


def test_bare_above_projects_names_them(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "packages" / "one")
    make_project(pytester.path / "two")
    make_project(pytester.path / ".hidden")
    result = collect(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pytest --manylinux two packages/one; or name them in*"])


@pytest.mark.parametrize(
    ("word", "folder"), [("pyproject.toml", "."), ("sample/pyproject.toml", "sample")]
)
def test_a_projects_file_is_named_by_its_folder(
    pytester: pytest.Pytester, word: str, folder: str
) -> None:
    make_project(pytester.path / folder)
    result = collect(pytester, word)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*pytest --manylinux {folder}"])


def test_the_wheelhouse_is_not_tried_unless_it_is_named(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "sample")
    wheel = "wheelhouse/demo-1.0-py3-none-any.whl"
    (pytester.path / "wheelhouse").mkdir()
    (pytester.path / wheel).touch()
    assert "demo-1.0" not in str(ids(collect(pytester, FOUR, ".")))
    assert f"{wheel}::audit" in ids(collect(pytester, FOUR, "wheelhouse"))


def test_what_failed_is_run_again_alone(pytester: pytest.Pytester) -> None:
    """By pytest's own `--lf`, which compares ids part by part: an item's has brackets in its name."""
    make_project(pytester.path)
    build_wheel(pytester.path / "wheels", {"sample.py": ""}, tag="py2-none-any")
    arguments = ("--manylinux", "--manylinux-skip=*", FOUR, ".")
    pytester.runpytest(*arguments).assert_outcomes(passed=1, failed=1, skipped=1)
    again = pytester.runpytest(*arguments, "--lf", "--collect-only", "-q")
    assert ids(again) == [".::build[manylinux1-no-target]"]
