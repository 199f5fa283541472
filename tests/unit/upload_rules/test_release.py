"""A release of 90 files judged as a whole, sound and with one fault at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from run_records import make_run, make_verdict, make_wheel_record
from upload_cases import metadata, sdist
from wheels import build_wheel

from pytest_manylinux.artifacts import collect_artifacts
from pytest_manylinux.cli import main
from pytest_manylinux.commands.gate_command import whole_release
from pytest_manylinux.config.settings import IndexChoice
from pytest_manylinux.errors import ExitCode, PackageIndexError, UsageError
from pytest_manylinux.indexes import IndexAccess, index_urls, listed_files
from pytest_manylinux.report.proof import write_proof
from pytest_manylinux.run.collection import build_sdist
from pytest_manylinux.upload_rules.index_rules import index_rules
from pytest_manylinux.upload_rules.release import (
    FAULTS,
    ReleaseFault,
    SdistBuild,
    last_release,
    release_fault_lines,
    release_faults,
    release_file,
)
from pytest_manylinux.upload_rules.review import review

PYTHONS = tuple(range(8, 16))
PLATFORMS = (
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "manylinux_2_28_s390x",
    "musllinux_1_2_x86_64",
    "musllinux_1_2_aarch64",
    "macosx_10_13_x86_64",
    "macosx_11_0_arm64",
    "win32",
    "win_amd64",
    "win_arm64",
    "manylinux_2_31_riscv64",
)
FIELDS = (
    "Requires-Python: >=3.8",
    *(f"Classifier: Programming Language :: Python :: 3.{n}" for n in range(8, 15)),
)
X86 = PLATFORMS[0]


def make_wheel(folder: Path, tag: str, *fields: str, **made: str) -> Path:
    lines = metadata(*(fields or FIELDS))
    return build_wheel(folder, {"demo.py": "x = 1\n"}, tag=tag, metadata=lines, **made)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """88 wheels for eight Pythons and eleven platforms, a free-threaded one, the sdist."""
    folder = tmp_path_factory.mktemp("release")
    for minor in PYTHONS:
        for platform in PLATFORMS:
            make_wheel(folder, f"cp3{minor}-cp3{minor}-{platform}")
    make_wheel(folder, f"cp314-cp314t-{X86}")
    sdist(pkg_info=metadata(*FIELDS))(folder)
    assert len(list(folder.iterdir())) == 90
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound release, to do something to."""
    for path in sound.iterdir():
        os.link(path, tmp_path / path.name)
    return tmp_path


def faults_of(folder: Path, last: tuple[str, ...] = ()) -> tuple[ReleaseFault, ...]:
    artifacts = collect_artifacts([folder])
    rules = index_rules(IndexChoice())
    return whole_release(artifacts, {a.path: review(a.path, rules) for a in artifacts}, last=last)


def test_a_sound_release_of_ninety_files(sound: Path) -> None:
    assert faults_of(sound) == ()


def removed(pattern: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found
        for path in found:
            path.unlink()

    return remove


def replaced(tag: str, *fields: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (folder / f"demo-1.0-{tag}.whl").unlink()
        make_wheel(folder, tag, *fields)

    return put


ONES = f"cp310-cp310-{X86}"
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "projects-mixed": (
        lambda folder: build_wheel(
            folder, {"x.py": ""}, name="other", tag=ONES, metadata=metadata("Name: other", *FIELDS)
        ),
        "2 projects in one release: demo (90), other (1)",
    ),
    "versions-mixed": (
        lambda folder: make_wheel(folder, ONES, "Version: 1.1", *FIELDS, version="1.1"),
        "2 versions in one release: 1.0 (90), 1.1 (1)",
    ),
    "sdist-missing": (removed("*.tar.gz"), "there is no source distribution with the wheels"),
    "sdist-twice": (
        sdist(filename="demo-1.0.0.tar.gz", pkg_info=metadata(*FIELDS)),
        "2 source distributions: demo-1.0.0.tar.gz, demo-1.0.tar.gz",
    ),
    "python-missing": (
        removed("*-cp313-*"),
        "no wheel is for Python 3.13, which the metadata promises",
    ),
    "platform-hole": (
        removed("*-cp313-cp313-musllinux_1_2_aarch64.whl"),
        "musllinux aarch64 has no wheel for Python 3.13, which other platforms have",
    ),
    "same-tags": (
        lambda folder: make_wheel(folder, ONES, filename=f"demo-1.0-1-{ONES}.whl"),
        f"for the same tags: demo-1.0-1-{ONES}.whl, demo-1.0-{ONES}.whl",
    ),
    "abi3-shadowed": (
        lambda folder: make_wheel(folder, "cp313-abi3-win_arm64"),
        (
            "on Python 3.13 installers take demo-1.0-cp313-cp313-win_arm64.whl,"
            " not demo-1.0-cp313-abi3-win_arm64.whl"
        ),
    ),
    "never-chosen": (
        lambda folder: make_wheel(folder, f"cp37-cp37m-{X86}"),
        f"no installer takes demo-1.0-cp37-cp37m-{X86}.whl (Requires-Python: >=3.8)",
    ),
    "metadata-differs": (
        replaced("cp311-cp311-win32", *FIELDS, "Requires-Dist: attrs"),
        "Requires-Dist of demo-1.0-cp311-cp311-win32.whl is not that of the other wheels",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_fault_among_ninety_files_is_named(name: str, folder: Path) -> None:
    change, words = CASES[name]
    change(folder)
    found = faults_of(folder)
    assert words in {fault.text for fault in found if fault.name == name}
    assert {fault.name for fault in found} == {name}
    assert all(fault.remedy and fault.code == FAULTS[name][0] for fault in found)


def test_what_the_last_release_had_and_this_one_has_not(folder: Path, sound: Path) -> None:
    before = [path.name.replace("demo-1.0", "demo-0.9") for path in sound.iterdir()]
    last = (*before, "demo-0.9-cp37-cp37m-win32.whl")
    removed("*-cp313-cp313-musllinux_1_2_aarch64.whl")(folder)
    found = [fault for fault in faults_of(folder, last) if fault.name == "missing-since-last"]
    assert [fault.text for fault in found] == [
        "cp313 musllinux_aarch64 was there in 0.9 and is missing"
    ]


def test_what_the_sdist_builds_to_is_held_against_the_wheel() -> None:
    given = (
        "demo/a.py",
        "demo/b.py",
        "demo.libs/libx-0a1b2c3d.so.1",
        "demo-1.0.dist-info/sboms/x.json",
    )
    build = SdistBuild(sdist="demo-1.0.tar.gz", wheel="demo.whl", built=("demo/a.py",), given=given)
    (lacking,) = release_faults([], build=build)
    assert (lacking.code, lacking.name, lacking.refuses) == ("IX612", "sdist-differs", True)
    assert lacking.text == "a wheel built from demo-1.0.tar.gz lacks demo/b.py, which demo.whl has"
    more = replace(build, built=("demo/a.py", "demo/b.py", "demo/c.py"))
    assert [fault.text for fault in release_faults([], build=more)] == [
        "a wheel built from demo-1.0.tar.gz has demo/c.py, which demo.whl lacks"
    ]
    assert release_faults([], build=replace(build, built=("demo/b.py", "demo/a.py"))) == ()
    (failed,) = release_faults([], build=replace(build, failure="no compiler"))
    assert failed.text == "demo-1.0.tar.gz does not build: no compiler"


def test_another_wheel_may_serve_what_the_last_release_had(tmp_path: Path) -> None:
    make_wheel(tmp_path, f"cp38-abi3-{X86}")
    sdist(pkg_info=metadata(*FIELDS))(tmp_path)
    assert faults_of(tmp_path, (f"demo-0.9-cp312-cp312-{X86}.whl",)) == ()


def test_a_pure_release_serves_every_python(tmp_path: Path) -> None:
    make_wheel(tmp_path, "py3-none-any")
    sdist(pkg_info=metadata(*FIELDS))(tmp_path)
    assert faults_of(tmp_path) == ()


def test_files_of_one_name_are_told_as_such() -> None:
    """As `gate a/demo.whl b/demo.whl` has them."""
    name = "demo-1.0-py3-none-any.whl"
    files = [file for file in (release_file(name), release_file(name)) if file is not None]
    texts = [fault.text for fault in release_faults(files) if fault.name == "same-tags"]
    assert texts == [f"2 files are called {name}: an index takes one of a name"]


def test_the_last_release_is_the_newest_final_one_before() -> None:
    this = release_file("demo-2.0.tar.gz")
    assert this is not None
    names = ["demo-1.9.tar.gz", "demo-1.10.tar.gz", "demo-1.10-py3-none-any.whl", "demo-2.0rc1.tar.gz"]
    names += ["demo-2.1.tar.gz", "other-1.11.tar.gz", "index.html"]
    assert last_release("demo", this.version, names) == (
        "demo-1.10-py3-none-any.whl",
        "demo-1.10.tar.gz",
    )
    assert last_release("demo", this.version, ["demo-2.0.tar.gz"]) == ()


@pytest.mark.parametrize(
    ("tag", "chosen"),
    [
        ("cp311-cp310-win32", False),
        ("py2-none-any", False),
        ("py2.py3-none-any", True),
        ("cp38-abi3-win32", True),
        ("cp36-abi3-win32", True),
        ("pp37-pypy37_pp73-win32", False),
        ("pp311-pypy311_pp73-win32", True),
        ("graalpy311-graalpy240_311_native-win32", True),
        ("cp314-cp314t-win32", True),
    ],
)
def test_wheels_that_no_installer_takes(tag: str, chosen: bool, tmp_path: Path) -> None:  # noqa: FBT001
    make_wheel(tmp_path, tag, "Requires-Python: >=3.8")
    names = {fault.name for fault in faults_of(tmp_path)}
    assert ("never-chosen" in names) is not chosen


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--release",), 1)])
def test_the_gate_tells_and_refuses_only_if_asked(
    options: tuple[str, ...],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [make_wheel(tmp_path / "dist", f"cp3{n}-cp3{n}-{X86}") for n in (9, 11)]
    records, verdicts = [], []
    for artifact in collect_artifacts(paths):
        record = replace(make_wheel_record(artifact.filename), sha256=artifact.sha256)
        records.append(record)
        target = f"debian-11-{artifact.filename.split('-')[2]}-x86_64"
        verdicts += [make_verdict(record, "audit"), make_verdict(record, target)]
    run = replace(make_run(records, verdicts), distros=())
    write_proof(run, tmp_path / "proof.json")
    assert main(["gate", "dist", "--proof", "proof.json", *options]) == ExitCode(code)
    out = capsys.readouterr().out
    assert "release: there is no source distribution with the wheels (IX603 sdist-missing)" in out
    assert "release: no wheel is for Python 3.8, 3.10, 3.12, 3.13, 3.14" in out


SHADOWED = ("cp39-abi3", "cp311-cp311")
REBUILT = ("cp311-cp311", "1-cp311-cp311")


@pytest.mark.parametrize(
    ("tags", "proven", "options", "code", "said"),
    [
        (SHADOWED, 2, (), 0, "(IX608 abi3-shadowed)"),
        (SHADOWED, 2, ("--release",), 0, "(IX608 abi3-shadowed)"),
        (SHADOWED, 1, ("--release",), 3, "(IX608 abi3-shadowed)"),
        (REBUILT, 2, (), 0, "told only: with --release these refuse"),
        (REBUILT, 2, ("--release",), 1, "refused: the release: for the same tags: demo-1.0-1-cp311"),
        (REBUILT, 1, (), 3, "(IX607 same-tags)"),
        (REBUILT, 1, ("--release",), 1, "refused: the release: for the same tags: demo-1.0-1-cp311"),
    ],
)
def test_wheels_that_shadow_each_other_are_named_whether_or_not_they_refuse(
    *,
    tags: tuple[str, ...],
    proven: int,
    options: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the proof does not cover is not proven; a fault of the release outweighs that."""
    monkeypatch.chdir(tmp_path)
    fields = ("Requires-Python: >=3.11", "Classifier: Programming Language :: Python :: 3.11")
    sdist(pkg_info=metadata(*fields))(tmp_path / "dist")
    names = [f"demo-1.0-{tag}-{X86}.whl" for tag in tags]
    paths = [
        make_wheel(tmp_path / "dist", f"{tag.removeprefix('1-')}-{X86}", *fields, filename=name)
        for tag, name in zip(tags, names, strict=True)
    ]
    records, verdicts = [], []
    for artifact in collect_artifacts(paths[:proven]):
        record = replace(make_wheel_record(artifact.filename), sha256=artifact.sha256)
        records.append(record)
        verdicts += [make_verdict(record, "audit"), make_verdict(record, "debian-12-cp311-x86_64")]
    write_proof(replace(make_run(records, verdicts), distros=()), tmp_path / "proof.json")
    assert main(["gate", "dist", "--proof", "proof.json", *options]) == code
    told = capsys.readouterr()
    assert said in told.out
    assert all(name in told.out for name in names)
    alone = "each file alone is allowed, the release is refused"
    assert (alone in told.err) == (proven == len(tags) and code == ExitCode.NOT_PORTABLE)


def test_a_source_distribution_that_cannot_be_built_is_a_fault_of_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wheel = make_wheel(tmp_path, ONES)
    sdist(pkg_info=metadata(*FIELDS))(tmp_path)
    build = build_sdist(tmp_path / "demo-1.0.tar.gz", [wheel], say=print)
    assert [fault.text for fault in release_faults([], build=build)] == [
        (
            "demo-1.0.tar.gz does not build: it has neither a [build-system] table in pyproject.toml "
            "nor a setup.py"
        )
    ]


def test_lines_for_people() -> None:
    fault = ReleaseFault(code="IX603", name="sdist-missing", text="no sdist", remedy="build it")
    assert release_fault_lines((fault,)) == ["release: no sdist (IX603 sdist-missing); build it"]


PAGE = b'<a href="/f/demo-0.9-cp312-cp312-win32.whl#sha256=1">x</a><a href="../f/demo-0.9.tar.gz">y</a>'
JSON = b'{"files": [{"filename": "demo-0.9-cp312-cp312-win32.whl"}, {"filename": "demo-0.9.tar.gz"}]}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "names"),
    [
        (200, "text/html", PAGE, ("demo-0.9-cp312-cp312-win32.whl", "demo-0.9.tar.gz")),
        (
            200,
            "application/vnd.pypi.simple.v1+json",
            JSON,
            ("demo-0.9-cp312-cp312-win32.whl", "demo-0.9.tar.gz"),
        ),
        (404, "text/plain", b"no", ()),
    ],
)
def test_the_index_of_pip_lists_a_projects_files(
    status: int, kind: str, body: bytes, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(status, kind, body) as url:
        monkeypatch.setattr(
            "pytest_manylinux.indexes.host_index",
            lambda: IndexAccess(environment={"PIP_INDEX_URL": f"{url}/simple/"}),
        )
        assert listed_files("demo") == names


@pytest.mark.parametrize(
    ("status", "kind", "body"), [(500, "text/html", b""), (200, "application/json", b"[]")]
)
def test_an_index_that_does_not_tell(
    status: int, kind: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(status, kind, body) as url:
        monkeypatch.setattr(
            "pytest_manylinux.indexes.host_index",
            lambda: IndexAccess(environment={"PIP_INDEX_URL": url}),
        )
        with pytest.raises(PackageIndexError, match="has not told the files of demo"):
            listed_files("demo")


@pytest.mark.parametrize(
    "environment",
    [{"PIP_NO_INDEX": "1"}, {"PIP_INDEX_URL": "file:///mirror/simple"}],
)
def test_no_index_to_ask(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pytest_manylinux.indexes.host_index", lambda: IndexAccess(environment=environment)
    )
    with pytest.raises(UsageError, match="no index-url"):
        listed_files("demo")


def test_a_pip_that_is_set_to_no_index_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"PIP_EXTRA_INDEX_URL": "https://wheels.example/simple file:///mirror/simple"}
    monkeypatch.setattr("pytest_manylinux.indexes.host_index", lambda: IndexAccess(environment=extra))
    own, further = index_urls()
    assert own.startswith("https://")
    assert own.endswith("/simple")
    assert further == "https://wheels.example/simple"


@contextmanager
def served(status: int, kind: str, body: bytes) -> Iterator[str]:
    """One page for every address, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
