"""The project's own tests in real sandboxes: each way that a suite can go wrong has its verdict."""

from __future__ import annotations

import socket
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from engine_daemons import engine_running
from installed_wheels import pack_installed
from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.api import Completed, Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import SuiteOutcome
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.trials.inside.suite_results import RESULTS
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import Errand
from pytest_manylinux.trials.suite import SuiteRequest, SuiteSettings
from pytest_manylinux.trials.suite_requirements import Stores, with_kept_installation
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = pytest.mark.integration

UNITTEST = "python -m unittest -v"


@dataclass(frozen=True)
class Place:
    """A wheel and a target to run suites on."""

    request: TrialRequest
    engine: Engine
    pool: PreloadedPool | None = None

    def judged(self, *command: str, tree: Path | None = None, **settings: object) -> Verdict:
        suite = SuiteSettings(command=command, timeout=60.0)
        suite = replace(suite, **settings)  # type: ignore[arg-type]
        return self.tried(SuiteRequest(settings=suite, tree=tree))

    def tried(self, suite: SuiteRequest) -> Verdict:
        request = replace(self.request, suite=suite)
        seen = run_trial(request, self.engine, self.pool)
        return judge(request.facts, seen, request.target, wheel=request.wheel)

    def with_kept(self, suite: SuiteRequest, folder: Path) -> SuiteRequest:
        """With the installed files of what it requires, made by the second trial that wants them."""
        stores = Stores(kept=folder / "installed", venvs=cache_root() / "venvs")
        request = replace(self.request, suite=suite)
        found = [with_kept_installation(request, self.engine, stores).suite for _ in range(2)]
        assert found[0] == suite
        assert found[1] is not None
        assert found[1].installed is not None
        return found[1]


def suite_of(verdict: Verdict) -> SuiteOutcome:
    assert verdict.observation is not None
    assert verdict.observation.tests is not None
    return verdict.observation.tests


def root_of(distro: str) -> tuple[Target, Image]:
    row = load_catalogue().get(distro)
    target = Target(distro=row, arch="x86_64", interpreter=row.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=target.interpreter)
    return target, image


@pytest.fixture(
    scope="module",
    params=[("bubblewrap", True), ("bubblewrap", False), ("docker", True), ("podman", True)],
    ids=lambda param: param[0] if param[1] else f"{param[0]}-alone",
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """On each engine in a preloaded process, as a run has it, and in a sandbox of its own."""
    name, preloaded = request.param
    with ExitStack() as stack:
        if name != "bubblewrap":
            stack.enter_context(engine_running(name, shared=True))
        engine = select_engine(name)
        stack.callback(engine.close)
        pool = PreloadedPool(engine) if preloaded else None
        if pool is not None:
            stack.callback(pool.close)
        yield Place(trial_of_a_wheel(tmp_path_factory), engine, pool)


def trial_of_a_wheel(tmp_path_factory: pytest.TempPathFactory) -> TrialRequest:
    folder = tmp_path_factory.mktemp("wheel")
    path = build_wheel(
        folder, {"demo/__init__.py": "VALUE = 1\n", "demo/data.h": ""}, tag="py3-none-any"
    )
    wheel = open_wheel(path)
    target, image = root_of("debian-12")
    return TrialRequest(
        wheel=wheel,
        facts=read_wheel(wheel),
        target=target,
        image=image,
        timeout=60.0,
        cache=cache_root() / "venvs",
    )


def heredoc(text: str) -> str:
    """A shell command that writes tests into the working folder."""
    return f"cat > test_it.py <<'EOF'\nimport os, sys, time, unittest\n{text}\nEOF\n"


def cases(body: str) -> str:
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return heredoc(f"class T(unittest.TestCase):\n    def test_it(self):\n{lines}")


def test_a_suite_that_passes(place: Place) -> None:
    verdict = place.judged(cases("import demo; assert demo.VALUE == 1") + UNITTEST)
    assert verdict.outcome is Outcome.PORTABLE
    assert suite_of(verdict).counts == (("passed", 1),)


def test_a_suite_that_fails_names_its_tests(place: Place) -> None:
    verdict = place.judged(cases("assert False") + UNITTEST)
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert [finding.name for finding in verdict.errors] == ["tests-failed"]
    assert "1 of 1 tests failed: test_it (test_it.T" in verdict.errors[0].message


def test_a_suite_that_hangs_is_ended(place: Place) -> None:
    verdict = place.judged(cases("time.sleep(600)") + UNITTEST, timeout=3.0)
    assert "did not end within" in verdict.errors[0].message


def test_a_crash_is_told(place: Place) -> None:
    verdict = place.judged(cases("import ctypes; ctypes.string_at(0)") + UNITTEST)
    assert "exit code 139, killed by SIGSEGV" in verdict.errors[0].message


def test_a_session_that_leaves_half_way_with_code_0_is_no_pass(place: Place) -> None:
    told = '{"kind": "start"}\\n{"kind": "begin", "test": "a.py::test_b"}\\n'
    verdict = place.judged(f"printf '{told}' > {RESULTS}; exit 0")
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert "broke off while a.py::test_b ran (exit code 0)" in verdict.errors[0].message


def test_forged_results_do_not_outweigh_the_exit_code(place: Place) -> None:
    told = '{"kind": "start"}\\n{"kind": "test", "test": "x", "status": "passed"}\\n{"kind": "end"}\\n'
    verdict = place.judged(f"printf '{told}' > {RESULTS}; exit 1")
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert verdict.errors[0].message == "the tests failed: exit code 1"


@pytest.mark.parametrize(
    "command",
    [
        UNITTEST,
        "no-such-command",
        f'printf \'{{"kind": "start"}}\\n{{"kind": "end"}}\\n\' > {RESULTS}',
        "exit 5",
    ],
)
def test_a_suite_without_a_test_is_not_proven(place: Place, command: str) -> None:
    verdict = place.judged(command)
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.TESTS)
    assert "tests-not-run" in {finding.name for finding in verdict.findings}
    (finding,) = [one for one in verdict.findings if one.name == "tests-not-run"]
    assert ("test-requires" in finding.remedy) is (command == "no-such-command")


def test_a_step_before_the_tests_that_fails_is_not_proven(place: Place) -> None:
    verdict = place.judged("true", before=("echo sorry", "false"))
    assert (verdict.outcome, verdict.cause) == (Outcome.NOT_PROVEN, Cause.TESTS)
    assert "before-test failed (exit code 1): sorry" in verdict.reason


def test_a_flood_of_output_is_cut(place: Place) -> None:
    verdict = place.judged(f"yes 0123456789 | head -c 100000000; {cases('pass')}{UNITTEST}")
    assert verdict.outcome is Outcome.PORTABLE
    assert len(suite_of(verdict).output) < 100_000
    assert "bytes left out" in suite_of(verdict).output


def test_daemons_are_gone_and_do_not_hold_the_trial(place: Place) -> None:
    verdict = place.judged("(setsid sleep 500 &) ; setsid sleep 500 & echo begun")
    assert verdict.outcome is Outcome.PORTABLE
    assert suite_of(verdict).output == "begun\n"


def test_what_one_suite_writes_no_other_sees(place: Place) -> None:
    spoilt = 'echo "raise SystemError" > "$(python -c "import demo; print(demo.__file__)")"'
    assert place.judged(f"{spoilt} && python -c 'import demo'").outcome is Outcome.NOT_PORTABLE
    assert place.judged("python -c 'import demo'").outcome is Outcome.PORTABLE


# Bytecode and the lines of RECORD for it are all that may differ: pip does not compile in a trial.
LISTING = """python - <<'EOF'
import hashlib, os, sys
for folder, _, names in sorted(os.walk(sys.prefix)):
    for name in sorted(names):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            content = file.read()
        if name == "RECORD":
            content = b"".join(sorted(line for line in content.splitlines() if b".pyc," not in line))
        if not name.endswith(".pyc") and "/pip" not in path and "/setuptools" not in path:
            print(path[14:], oct(os.stat(path).st_mode), hashlib.sha256(content).hexdigest()[:16])
EOF"""
COMPILED = """cd $VIRTUAL_ENV/lib/python3*/site-packages/_pytest
ls *.py | wc -l; ls __pycache__/*.pyc | wc -l"""
PRETENDS = """
import pathlib, sysconfig
folder = pathlib.Path(sysconfig.get_path("purelib"), "pytest-99.dist-info")
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: pytest\\nVersion: 99\\n")
"""


@pytest.fixture(scope="module")
def required(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_installed(tmp_path_factory.mktemp("required"), "pytest")


def requiring(required: Path, *command: str) -> SuiteRequest:
    settings = SuiteSettings(command=command, requires=("pytest",), timeout=60.0)
    return SuiteRequest(settings=settings, required=required)


def test_what_is_kept_of_an_installation_is_what_pip_installs(
    place: Place, required: Path, tmp_path: Path
) -> None:
    suite = requiring(required, "python -m pip list", LISTING)
    by_pip = suite_of(place.tried(suite)).output
    assert "/_pytest/main.py" in by_pip
    assert "bytes left out" not in by_pip
    kept = place.with_kept(suite, tmp_path)
    assert suite_of(place.tried(kept)).output == by_pip
    compiled = replace(kept, settings=replace(suite.settings, command=(COMPILED,)))
    modules, bytecode = suite_of(place.tried(compiled)).output.split()
    assert modules == bytecode


def test_what_a_suite_writes_into_kept_files_no_other_sees(
    place: Place, required: Path, tmp_path: Path
) -> None:
    run = heredoc("def test_it(): pass") + "pytest test_it.py"
    spoil = "echo 'raise SystemError' > $(python -c 'import pytest; print(pytest.__file__)')"
    kept = place.with_kept(requiring(required, run), tmp_path)
    settings = replace(kept.settings, command=(f"{spoil}\n{run}",))
    assert place.tried(replace(kept, settings=settings)).outcome is Outcome.NOT_PORTABLE
    after = place.tried(kept)
    assert after.outcome is Outcome.PORTABLE
    assert suite_of(after).counts == (("passed", 1),)


def test_where_a_wheel_has_changed_what_is_installed_pip_decides(
    place: Place, required: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A wheel that brings a file of what its tests require, and one that pretends to be that."""
    kept = place.with_kept(requiring(required, LISTING), tmp_path)
    for files in ({"demo.py": "", "pytest/py.typed": "mine"}, {"demo.py": PRETENDS}):
        path = build_wheel(tmp_path_factory.mktemp("wheel"), files, tag="py3-none-any")
        wheel = open_wheel(path)
        own = replace(place, request=replace(place.request, wheel=wheel, facts=read_wheel(wheel)))
        by_pip = suite_of(own.tried(replace(kept, installed=None)))
        assert suite_of(own.tried(kept)).output == by_pip.output
        assert by_pip.output


NETWORK = 'python -c "import socket; print(len(socket.if_nameindex()))"'


def test_there_is_no_network_unless_it_is_asked_for(place: Place) -> None:
    alone = suite_of(place.judged(NETWORK)).output
    assert int(alone) == 1
    seen = suite_of(place.judged(NETWORK, network=True)).output
    assert int(seen) == len(socket.if_nameindex())


def test_a_suite_that_kills_the_trial_has_failed(place: Place) -> None:
    verdict = place.judged('python -c "import os; os.kill(-1, 9)"')
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert "broke off" in verdict.errors[0].message


def test_the_tree_is_there_without_what_is_installed(place: Place, tmp_path: Path) -> None:
    tree = tmp_path / "project" / "src" / "demo"
    tree.mkdir(parents=True)
    (tree / "__init__.py").write_text("raise ImportError('the source tree')\n")
    (tree / "other.c").touch()
    (tree / "data.h").touch()
    (tmp_path / "project" / "tests").mkdir()
    (tmp_path / "project" / "tests" / "test_a.py").touch()
    with tarfile.open(tmp_path / "tree.tar", "w") as archive:
        archive.add(tmp_path / "project", "project")
    verdict = place.judged(
        "cd {project} && find . -type f | sort",
        "cd src && python -c 'import demo' && find {project}/../cwd",
        tree=tmp_path / "tree.tar",
        sources=("tests",),
    )
    assert verdict.outcome is Outcome.PORTABLE, suite_of(verdict).output
    lines = suite_of(verdict).output.split()
    assert lines[:3] == ["./src/demo/data.h", "./src/demo/other.c", "./tests/test_a.py"]
    assert lines[-1].endswith("cwd/tests/test_a.py")


def test_a_suite_that_is_left_out_is_no_fault_and_no_pass_of_tests(place: Place) -> None:
    verdict = place.judged("false", skip="test-skip has 'debian-*'")
    assert verdict.outcome is Outcome.PORTABLE
    assert not suite_of(verdict).passed


def test_where_processes_are_ready_one_runs_the_suite(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Completed | None] = []
    attempt = PreloadedPool.attempt

    def seen(pool: PreloadedPool, errand: Errand, more: int = 0) -> Completed | None:
        ended.append(attempt(pool, errand, more))
        return ended[-1]

    monkeypatch.setattr(PreloadedPool, "attempt", seen)
    assert place.judged("true").outcome is Outcome.PORTABLE
    assert [one is not None and one.ok for one in ended] == [True] * (place.pool is not None)
