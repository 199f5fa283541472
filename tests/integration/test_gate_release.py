"""A release from end to end with real parts: project, proof, gate, twine, index, pip elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from loopback_index import Index, index_running
from lxml import etree
from wheels import build_wheel

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.report.proof import read_proof
from pytest_manylinux.report.signing import load_public_key

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests" / "data" / "junit.xsd"
DISTROS = "debian-12,debian-13"


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command as a user types it, without this run's own pytest settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def cli(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(Path(sys.executable).with_name("pytest-manylinux"), *arguments, cwd=cwd)


@dataclass(frozen=True)
class Release:
    """A folder after the run: proofs, reports, and wheels under dist/ and faulty/."""

    folder: Path
    pytest: subprocess.CompletedProcess[str]

    @property
    def wheel(self) -> Path:
        (found,) = self.folder.glob("dist/*.whl")
        return found

    @property
    def faulty(self) -> Path:
        (found,) = self.folder.glob("faulty/*.whl")
        return found

    def copy_of(self, file: Path, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy2(file, folder / file.name))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """One run over a project and a wheel that cannot be imported; its proof is signed."""
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(ROOT / "sample_projects" / "portable" / "abi3_extension", folder / "abi3_extension")
    build_wheel(folder / "faulty", {"broken.py": "raise ImportError('no')\n"}, name="broken")
    assert cli("proof", "keygen", "key", cwd=folder).returncode == 0
    done = run(
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "--manylinux",
        "abi3_extension",
        "faulty",
        f"--manylinux-distros={DISTROS}",
        "--manylinux-python=3.11,3.13",
        "--manylinux-wheelhouse=dist",
        "--manylinux-proof=proof.json",
        "--manylinux-sign-key=key",
        "--manylinux-html=report.html",
        "--manylinux-markdown=report.md",
        "--junitxml=junit.xml",
        "--rootdir=.",
        cwd=folder,
    )
    assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout + done.stderr
    return Release(folder, done)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with index_running(tmp_path / "index") as running:
        yield running


def upload(release: Release, index: Index, *files: Path, **changes: str) -> tuple[int, str]:
    """What `pytest-manylinux upload` says; a bystander's repository settings play no part."""
    settings = {"--proof": "proof.json", "--signed-by": "key.pub", **changes}
    twine = [f"--twine=--repository-url={index.url}", "--twine=--username=a", "--twine=--password=b"]
    options = [part for pair in settings.items() for part in pair]
    done = cli("upload", *files, *options, *twine, cwd=release.folder)
    return done.returncode, done.stdout + done.stderr


def test_a_proven_wheel_is_uploaded_and_installs_on_another_distro(
    release: Release, index: Index
) -> None:
    code, words = upload(release, index, release.wheel)
    assert code == ExitCode.OK, words
    assert index.held() == [release.wheel.name]
    assert (index.folder / release.wheel.name).read_bytes() == release.wheel.read_bytes()
    assert install_elsewhere(index, "abi3-extension", "abi3_extension") == "imported\n"


def install_elsewhere(index: Index, project: str, module: str) -> str:
    """What Python says in a fresh sandbox of debian-13, whose own pip took the project from there."""
    distro = load_catalogue().get("debian-13")
    images = ArchiveImages(ImageStore())
    interpreter = distro.interpreters[0]
    image = images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=interpreter)
    engine = select_engine("bubblewrap")
    script = f"""
        set -e
        {interpreter.executable} -m venv /scratch/venv
        /scratch/venv/bin/pip install -q --isolated --index-url {index.url}simple/ {project} >&2
        /scratch/venv/bin/python -c 'import {module}; print("imported")'
    """
    with engine.open(SandboxSpec(image=image, network=True)) as sandbox:
        command = Command(argv=("/bin/sh", "-c", script), cwd=PurePosixPath("/scratch"), timeout=300)
        done = sandbox.exec(command)
    engine.close()
    assert done.ok, done.stderr.decode()
    return done.stdout.decode()


def test_one_changed_byte_is_refused(release: Release, index: Index, tmp_path: Path) -> None:
    wheel = release.copy_of(release.wheel, tmp_path / "dist")
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    code, words = upload(release, index, wheel)
    assert code == ExitCode.NOT_PROVEN
    assert "nothing was uploaded" in words
    assert index.held() == []


def test_an_edited_proof_is_refused(release: Release, index: Index) -> None:
    edited = release.folder / "edited.json"
    envelope = json.loads((release.folder / "proof.json").read_text())
    at = len(envelope["payload"]) // 2
    letter = "A" if envelope["payload"][at] != "A" else "B"
    envelope["payload"] = envelope["payload"][:at] + letter + envelope["payload"][at + 1 :]
    edited.write_text(json.dumps(envelope))
    code, words = upload(release, index, release.wheel, **{"--proof": "edited.json"})
    assert code == ExitCode.BAD_SIGNATURE
    assert "signature does not fit" in words
    assert index.held() == []


def test_a_distro_that_is_not_proven_refuses(release: Release, index: Index) -> None:
    code, words = upload(release, index, release.wheel, **{"--require": "debian-12,debian-testing"})
    assert code == ExitCode.NOT_PROVEN
    assert "debian-testing: required, and not in the proof" in words
    assert index.held() == []


def test_a_faulty_wheel_is_refused_and_keeps_the_sound_one_back(release: Release, index: Index) -> None:
    code, words = upload(release, index, release.wheel, release.faulty)
    assert code == ExitCode.NOT_PORTABLE
    assert f"allowed: {release.wheel.name}" in words
    assert f"refused: {release.faulty.name}: not portable" in words
    assert index.held() == []


def test_another_index_that_refuses_is_told_apart_from_the_gate(release: Release, index: Index) -> None:
    assert upload(release, index, release.wheel)[0] == ExitCode.OK
    code, words = upload(release, index, release.wheel)
    assert code == ExitCode.UPLOAD_FAILED
    assert "HTTPError" in words  # the words of twine itself


def test_the_junit_file_fits_the_schema(release: Release) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    assert schema.validate(etree.parse(release.folder / "junit.xml")), schema.error_log


def test_a_trial_that_passed_has_its_log_in_the_junit_file(release: Release) -> None:
    cases = etree.parse(release.folder / "junit.xml").iter("testcase")
    passed = [c for c in cases if c.find("failure") is None and c.get("name", "").startswith("trial[")]
    assert len(passed) == 2
    for case in passed:
        assert "import abi3_extension: ok" in (case.findtext("system-out") or "")


def test_junit_proof_and_page_tell_the_same(release: Release) -> None:
    proof = read_proof(
        release.folder / "proof.json", keys=[load_public_key(release.folder / "key.pub")]
    )
    proven = sorted(
        (v.wheel_sha256, v.subject.split("-cp")[0], v.outcome.value) for v in proof.record.verdicts
    )
    assert len(proven) == 6  # two audits and four trials
    assert sorted(set(_in_junit(release.folder / "junit.xml"))) == proven
    assert _in_page(release.folder / "report.html") == sorted(
        (outcome.replace("-", " "), place) for _, place, outcome in proven
    )


def _in_junit(path: Path) -> list[tuple[str, str, str]]:
    found = []
    for case in etree.parse(path).iter("testcase"):
        values = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        verdict = values["manylinux.verdict"]
        if verdict not in {"built", "build-failed"}:
            place = values["manylinux.distro"] or "audit"
            found.append((values["manylinux.wheel.sha256"], place, verdict))
    return sorted(found)


def _in_page(path: Path) -> list[tuple[str, str]]:
    """Outcome and place of every mark, from its label: `portable: demo 1.0, debian-12 cp311`."""
    page = etree.parse(path, etree.HTMLParser())
    labels = [mark.get("aria-label", "") for mark in page.iter("button") if mark.get("data-i")]
    return sorted(
        (label.partition(":")[0], label.rpartition(", ")[2].partition(" ")[0]) for label in labels
    )


def test_the_terminal_shows_the_matrix(release: Release) -> None:
    assert ", 2 distros, 6 verdicts:  ✓ portable 4  ✗ not portable 2" in release.pytest.stdout
