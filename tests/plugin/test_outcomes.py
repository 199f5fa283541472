"""How items end, and the run with them, where no sandbox is needed to know it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from lxml import etree
from wheels import build_wheel, extension_spec

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.proof import read_proof

SCHEMA = Path(__file__).parents[1] / "data" / "junit.xsd"
NAME = "sample-1.0-py3-none-any.whl"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    pytester.makeini("[pytest]")
    return pytester.runpytest("--manylinux", "--manylinux-distros=debian-12", *arguments)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_MANYLINUX_ENGINE", "bubblewrap")


def good_wheel(folder: Path) -> Path:
    folder.mkdir()
    return build_wheel(folder, name="sample", version="1.0", files={"sample.py": b""})


def test_a_file_that_is_no_zip_fails_with_one_clear_line(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    (pytester.path / "dist" / NAME).write_bytes(b"not a zip")
    result = run(pytester, "-k", "audit", "dist")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*wheel-malformed*", f"*{NAME}*"])
    assert "Traceback" not in result.stdout.str()


def test_a_name_that_is_no_wheel_s_fails_and_is_not_tried(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    (pytester.path / "dist" / "sample.whl").write_bytes(b"")
    result = run(pytester, "dist")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.assert_outcomes(failed=1)


def test_a_wheel_that_nobody_takes_ends_the_run_as_not_proven(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    name = "sample-1.0-cp27-cp27mu-manylinux1_x86_64.whl"
    (pytester.path / "dist" / name).write_bytes(b"")
    result = run(pytester, "-k", "no-target", "-rs", "dist")
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines(
        ["*nothing was tried*", "SKIPPED*dist*.whl: it is for cp27, *no chosen distro*"]
    )
    result.assert_outcomes(skipped=1)
    result = run(pytester, "-k", "no-target", "--manylinux-untargeted=warn", "-Wdefault", "dist")
    result.assert_outcomes(skipped=1, warnings=1)
    result = run(pytester, "-k", "no-target", "--manylinux-untargeted=fail", "dist")
    result.assert_outcomes(failed=1)
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines(["*not proven*", "*for cp27, which no chosen distro has*"])


@pytest.mark.parametrize(("asked", "said"), [(">=3.10", True), (">=3.9", False)])
def test_a_distro_that_the_project_leaves_out_is_named(
    pytester: pytest.Pytester, asked: str, *, said: bool
) -> None:
    (pytester.path / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\n[project]\nname = "x"\nrequires-python = "{asked}"\n'
    )
    distros = "--manylinux-distros=debian-11,debian-12"
    result = run(pytester, distros, "--manylinux-python=cp39,cp311,cp313", "-k", "no-target")
    assert result.ret == ExitCode.NOT_PROVEN
    words = f"no trial on debian-11, since requires-python '{asked}' admits no Python there"
    assert (words in result.stdout.str()) == said


def test_a_wheel_that_nobody_takes_is_one_row_and_one_subject(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    wheel = build_wheel(
        pytester.path / "dist",
        name="sample",
        version="1.0",
        files={"sample.py": b""},
        tag="py2-none-manylinux1_x86_64",
    )
    result = run(pytester, "--manylinux-proof=proof.json", "--manylinux-untargeted=fail", "dist")
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines([f"{wheel.name}: not proven", "*because no target can take it"])
    verdicts = read_proof(pytester.path / "proof.json").record.verdicts
    assert len({(verdict.wheel, verdict.wheel_sha256) for verdict in verdicts}) == 1
    assert len(verdicts) == 2


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_audits_stand_and_trials_are_not_proven(
    pytester: pytest.Pytester,
) -> None:
    good_wheel(pytester.path / "dist")
    result = run(pytester, "--manylinux-proof=proof.json", "dist")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines(["*engine: none*bubblewrap*", "*next: *install bubblewrap*"])
    verdicts = read_proof(pytester.path / "proof.json").record.verdicts
    assert [v.outcome.value for v in verdicts] == ["portable", "not-proven"]
    assert verdicts[1].cause is not None
    assert verdicts[1].cause.value == "engine"


@pytest.mark.usefixtures("no_engine")
def test_the_gate_within_a_run_refuses_what_was_not_tried(pytester: pytest.Pytester) -> None:
    good_wheel(pytester.path / "dist")
    result = run(pytester, "--manylinux-gate", "-k", "audit", "dist")
    result.assert_outcomes(passed=1, deselected=1)
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines(["*gate: sample-1.0*"])


def test_junit_holds_the_properties(pytester: pytest.Pytester) -> None:
    wheel = good_wheel(pytester.path / "dist")
    result = run(pytester, "-k", "audit", "--junitxml=junit.xml", "dist")
    assert result.ret == 0
    root = ET.parse(pytester.path / "junit.xml").getroot()  # noqa: S314 - just written
    case = root.find(".//testcase")
    assert case is not None
    assert case.get("name") == "audit"
    found = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert found["manylinux.wheel"] == wheel.name
    assert found["manylinux.verdict"] == "portable"
    assert {"manylinux.distro", "manylinux.libc", "manylinux.image", "manylinux.pip"} <= set(found)


PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "demo"
version = "1"
"""


def cases(path: Path) -> list[ET.Element]:
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(etree.parse(path))
    return list(ET.parse(path).getroot().iter("testcase"))  # noqa: S314 - just written


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_junit_groups_the_root_project_under_its_name_with_what_was_said(
    pytester: pytest.Pytester, workers: str
) -> None:
    """The engine is missing, so that the build fails at once; its words are the testcase's log."""
    pytester.makepyprojecttoml(PROJECT)
    result = run(pytester, "-n", workers, "--junitxml=junit.xml", "--manylinux-proof=proof.json")
    assert result.ret == ExitCode.NOT_PROVEN
    found = cases(pytester.path / "junit.xml")
    assert {case.get("classname") for case in found} == {pytester.path.name.replace(".", "_")}
    assert {str(case.get("name")).partition("[")[0] for case in found} == {"build", "audit", "trial"}
    (build,) = (case for case in found if str(case.get("name")).startswith("build["))
    skips = {case.get("name"): skip for case in found for skip in case.iter("skipped")}
    assert {str(name).partition("[")[0] for name in skips} == {"audit", "trial"}
    assert {skip.get("message") for skip in skips.values()} == {
        f"there is no wheel: {build.get('name')} failed"
    }
    assert "bubblewrap" in (build.findtext("system-out") or "")
    verdicts = read_proof(pytester.path / "proof.json").record.verdicts
    assert {verdict.wheel for verdict in verdicts} == {pytester.path.name}


@pytest.mark.usefixtures("no_engine")
def test_without_its_build_an_audit_tells_of_the_build_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(PROJECT)
    result = run(pytester, "-k", "audit")
    assert result.ret == ExitCode.NOT_PROVEN
    found = result.parseoutcomes()
    assert found["failed"] >= 1
    assert "skipped" not in found
    result.stdout.fnmatch_lines(["*bubblewrap*"])


def test_junit_names_a_wheel_s_class_without_its_dots(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    (pytester.path / "dist" / NAME).write_bytes(b"not a zip")
    run(pytester, "-k", "audit", "--junitxml=junit.xml", "--junit-prefix=night.x86_64", "dist")
    (case,) = cases(pytester.path / "junit.xml")
    assert case.get("classname") == "night.x86_64.dist.sample-1_0-py3-none-any"
    assert case.find("system-out") is None  # there was no trial, so nothing was said


def test_a_declared_fault_shows_its_reason_and_no_code_of_ours(pytester: pytest.Pytester) -> None:
    files = {"sample/__init__.py": b"", "sample/_x.so": extension_spec("_x").build()}
    build_wheel(pytester.path / "dist", files, name="sample")
    fault = 'distro = "audit"\nfinding = "elf-in-pure-wheel"\nreason = "until it is split"\n'
    pytester.makepyprojecttoml(f"[[tool.pytest-manylinux.expect]]\n{fault}")
    found = ("-rx", "--xfail-tb", "-k", "audit", "dist")
    result = pytester.runpytest("--manylinux", "--manylinux-distros=debian-12", *found)
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*XFAIL*audit*until it is split*"])
    assert "nodes.py" not in result.stdout.str()


def test_reports_are_written_only_when_asked(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_MANYLINUX_CACHE", str(tmp_path_factory.mktemp("cache")))
    good_wheel(pytester.path / "dist")
    before = set(pytester.path.rglob("*"))
    assert run(pytester, "-p", "no:cacheprovider", "-k", "audit", "dist").ret == 0
    new = {path.name for path in set(pytester.path.rglob("*")) - before}
    assert new <= {"tox.ini"}  # the test's own
    reports = ("--manylinux-html=a.html", "--manylinux-markdown=a.md", "--manylinux-history=h")
    assert run(pytester, "-k", "audit", *reports, "dist").ret == 0
    assert (pytester.path / "a.html").stat().st_size > 0
    assert (pytester.path / "a.md").stat().st_size > 0
    assert len(list((pytester.path / "h").iterdir())) == 1


def test_shards_divide_the_items_and_nothing_is_lost(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist").mkdir()
    for name in ("one", "two", "three"):
        (pytester.path / "dist" / f"{name}-1.0-py3-none-any.whl").write_bytes(b"")
    seen: list[str] = []
    for shard in ("1/2", "2/2"):
        result = run(pytester, "--collect-only", "-q", f"--manylinux-shard={shard}", "dist")
        seen += [line for line in result.outlines if "::" in line]
    assert len(seen) == len(set(seen)) == 6


def test_workers_of_xdist_give_one_record(pytester: pytest.Pytester) -> None:
    good_wheel(pytester.path / "dist")
    pytester.makeini("[pytest]")
    # A process of its own: this one may be a worker itself, and workers have no workers.
    result = pytester.runpytest_subprocess(
        *("--manylinux", "--manylinux-distros=debian-12", "-n", "2", "-k", "audit"),
        *("--manylinux-proof=proof.json", "dist"),
    )
    result.assert_outcomes(passed=1)
    assert len(read_proof(pytester.path / "proof.json").record.verdicts) == 1


@pytest.mark.parametrize("processes", [(), ("-p", "xdist", "-n2")], ids=["one", "three"])
def test_a_silent_registry_is_asked_one_question_in_a_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, processes: tuple[str, ...]
) -> None:
    """By all processes together; one line says that it had its two seconds, and what is taken now."""
    for name in ("skopeo", "bsdtar"):  # the machine may have none
        tool = pytester.mkdir(name) / name
        tool.touch(0o755)
        monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    good_wheel(pytester.path / "dist")
    with silent_server() as (address, questions):
        mirror = f"--manylinux-registry-mirror={address}/hub"
        words = ("--manylinux", "--manylinux-engine=bubblewrap", mirror, "-k", "audit", *processes)
        result = pytester.runpytest_subprocess(*words, "dist")
    assert result.ret == pytest.ExitCode.OK
    told = f"(auto: group embedded: the registry {address} does not answer: not within 2 s)"
    (line,) = (line for line in result.outlines if "does not answer" in line)
    assert line == f"manylinux distros: debian-11 debian-12 debian-13 debian-testing  {told}"
    assert questions == ["GET /v2/ HTTP/1.1"]


@contextmanager
def silent_server() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that takes connections and says nothing; the first line of each."""
    questions: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            questions.append(self.rfile.readline().decode().rstrip())
            self.rfile.read()  # until the other side hangs up

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", questions
        server.shutdown()
        thread.join()
