"""Projects' own tests that do their worst: each has its verdict on every engine, and leaves nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from installed_wheels import pack_installed
from sandboxes import OWN, eventually, processes_with
from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, Target
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.trials.inside.suite_results import RESULTS
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.suite import SuiteRequest, SuiteSettings
from pytest_manylinux.trials.suite_requirements import Stores, with_kept_installation
from pytest_manylinux.trials.trial import TrialRequest, run_trial

MARK = f"5217.5{OWN}"  # seconds that nobody else sleeps
PYTEST = "pytest -p no:cacheprovider test_it.py"
LIMIT = 120.0


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A test file, the verdict on it, and words of that; `after` follows the pytest command."""

    body: str
    outcome: Outcome = Outcome.NOT_PORTABLE
    words: str
    timeout: float = LIMIT
    after: str = ""


SPOIL = """
import demo, os, pathlib, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
pathlib.Path(demo.__file__).write_text("raise SystemError('spoilt')")
(site / "sitecustomize.py").write_text("raise SystemError('spoilt')")
(site / "spoilt.pth").write_text("import spoilt_by_another_suite")
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/usr/lib/python3/dist-packages", "/scratch"):
    try:
        pathlib.Path(folder, "spoilt").write_text("spoilt")
    except OSError:
        pass
"""
DAEMONS = f"""
import os, subprocess
for _ in range(5):
    subprocess.Popen(["sleep", "{MARK}"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execvp("sleep", ["sleep", "{MARK}"])
"""
FORGED = (
    f"""; printf '{{"kind": "start"}}\\n{{"kind": "test", "test": "x", "status": "passed"}}\\n"""
    f"""{{"kind": "end"}}\\n' > {RESULTS}; """
    """echo '<testsuites><testsuite tests="1" failures="0"><testcase name="x"/></testsuite>"""
    """</testsuites>' > junit.xml; exit 1"""
)


def case(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"import os, time\ndef test_before(): pass\ndef test_it():\n{lines}\n"


SUITES = {
    "hangs": Hostile(body=case("time.sleep(600)"), words="did not end within", timeout=8.0),
    "crashes": Hostile(body=case("import ctypes; ctypes.string_at(0)"), words="killed by SIGSEGV"),
    "exits 0 half-way": Hostile(body=case("os._exit(0)"), words="broke off while test_it.py::test_it"),
    "kills everything": Hostile(body=case("os.kill(-1, 9)"), words="broke off"),
    "prints 100 MB": Hostile(
        body=case("for _ in range(100): os.write(1, b'x' * 999999 + b'\\n')"),
        outcome=Outcome.PORTABLE,
        words="",
    ),
    "forks daemons": Hostile(body=case(DAEMONS), outcome=Outcome.PORTABLE, words=""),
    "writes to site-packages": Hostile(body=case(SPOIL), outcome=Outcome.PORTABLE, words=""),
    "forges results": Hostile(body=case("assert False"), words="exit code 1", after=FORGED),
    "runs no test": Hostile(body="", outcome=Outcome.NOT_PROVEN, words="pytest found no test"),
    "runs no test, says 0": Hostile(
        body="", outcome=Outcome.NOT_PROVEN, words="pytest found no test", after="; exit 0"
    ),
    "skips every test": Hostile(
        body="import pytest\npytestmark = pytest.mark.skip\n" + case("pass"),
        outcome=Outcome.NOT_PROVEN,
        words="every test was skipped",
    ),
    "cannot be started": Hostile(
        body="", outcome=Outcome.NOT_PROVEN, words="cannot be started", after="; no-such-program"
    ),
}
NEXT = """
import demo, os, sys, glob
assert demo.VALUE == 1
assert "site-packages" not in getattr(sys.modules.get("sitecustomize"), "__file__", "")
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/usr/lib/python3/dist-packages", "/scratch"):
    assert not os.path.exists(folder + "/spoilt"), folder
assert not glob.glob("/scratch/venv/lib/*/site-packages/spoilt*")
"""

Judge = Callable[..., Verdict]


@pytest.fixture(scope="session")
def required(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_installed(tmp_path_factory.mktemp("required"), "pytest")


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Where a run keeps what its suites require, once pip has installed it."""
    return Stores(kept=tmp_path_factory.mktemp("kept"), venvs=cache_root() / "venvs")


@pytest.fixture(scope="module")
def judged(
    engine: Engine,
    image: Image,
    required: Path,
    stores: Stores,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Judge]:
    """The verdict on a wheel with a test file for its suite, tried as a run does."""
    distro = load_catalogue().get("debian-12")
    target = Target(distro=distro, arch=image.arch, interpreter=distro.interpreters[0])
    wheel = open_wheel(
        build_wheel(tmp_path_factory.mktemp("wheel"), {"demo/__init__.py": "VALUE = 1\n"})
    )
    facts, warm = read_wheel(wheel), PreloadedPool(engine)

    def run(body: str, after: str = "", timeout: float = LIMIT, *, network: bool = False) -> Verdict:
        command = f"cat > test_it.py <<'EOF'\n{body}\nEOF\n{PYTEST}{after}"
        settings = SuiteSettings(
            command=(command,), requires=("pytest",), timeout=timeout, network=network
        )
        request = TrialRequest(
            wheel=wheel,
            facts=facts,
            target=target,
            image=image,
            timeout=LIMIT,
            suite=SuiteRequest(settings=settings, required=required),
        )
        request = with_kept_installation(request, engine, stores)
        return judge(facts, run_trial(request, engine, warm), target, wheel=wheel)

    yield run
    warm.close()


@pytest.mark.attack("suite", by="name")
@pytest.mark.parametrize("name", SUITES)
def test_each_has_its_verdict_and_the_next_is_untouched(judged: Judge, name: str) -> None:
    suite = SUITES[name]
    verdict = judged(suite.body, suite.after, suite.timeout)
    assert verdict.outcome is suite.outcome, verdict
    said = [verdict.reason, *(finding.message for finding in verdict.findings)]
    assert suite.words in " ".join(said)
    if suite.outcome is Outcome.NOT_PROVEN:
        assert verdict.cause is Cause.TESTS
    assert verdict.observation is not None
    assert verdict.observation.tests is not None
    assert len(verdict.observation.tests.output) < 100_000
    assert eventually(lambda: processes_with(f"sleep {MARK}") == [])
    follows = judged(case(NEXT))
    assert follows.outcome is Outcome.PORTABLE, follows
    assert follows.observation is not None
    assert follows.observation.tests is not None
    assert dict(follows.observation.tests.counts) == {"passed": 2}


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine's loopback interface where connections are accepted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_suite_that_needs_the_network_fails_unless_it_is_given(judged: Judge, port: int) -> None:
    body = case(f"import socket; socket.create_connection(('127.0.0.1', {port}), 20).close()")
    alone = judged(body)
    assert alone.outcome is Outcome.NOT_PORTABLE
    assert [finding.name for finding in alone.errors] == ["tests-failed"]
    assert "1 of 2 tests failed: test_it.py::test_it" in alone.errors[0].message
    assert judged(body, network=True).outcome is Outcome.PORTABLE
