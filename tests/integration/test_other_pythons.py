"""Pythons that no distro packages, built from a source package and mounted into real roots.

The source is a stand-in for CPython's: `configure` and `make` as CPython has them, and what they
install is the distro's own Python under another prefix. The real one takes minutes (`-m index`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.host.architecture import MACHINES
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof

PORTABLE = Path(__file__).parents[2] / "sample_projects" / "portable"
CONFIGURE = """#!/bin/sh
for word; do case "$word" in --prefix=*) prefix=${word#--prefix=};; esac; done
printf 'all:\\n\\ninstall:\\n\\tmkdir -p $(DESTDIR)%s/bin\\n' "$prefix" > Makefile
printf '\\tln -s /usr/bin/python3 $(DESTDIR)%s/bin/python3\\n' "$prefix" >> Makefile
"""
CROSS = """#!/bin/sh
set -e
for word; do case "$word" in
  --prefix=*) prefix=${word#--prefix=};;
  --host=*) host=${word#--host=};;
  --with-openssl=*) openssl=${word#--with-openssl=};;
  --with-build-python=*) python=${word#--with-build-python=};;
esac; done
"$python" -c 'import sys; assert sys.version_info[:2] == (3, 13)'
echo '#include <ffi.h>
#include <openssl/ssl.h>
#include <zlib.h>
int main(void) { return SSL_library_init() && zlibVersion() && sizeof(ffi_cif) ? 0 : 1; }' > linked.c
$CC -I"$openssl/include" linked.c -o "linked-$host" -L"$openssl/lib" -lssl -lcrypto -lz -lffi
printf 'all:\\n\\ninstall:\\n\\tmkdir -p $(DESTDIR)%s/bin\\n' "$prefix" > Makefile
printf '\\tmkdir $(DESTDIR)%s/lib\\n' "$prefix" >> Makefile
printf '\\tln -s /usr/bin/python3 $(DESTDIR)%s/bin/python3\\n' "$prefix" >> Makefile
printf '\\tcp linked-* $(DESTDIR)%s/bin\\n' "$prefix" >> Makefile
printf '\\techo "CC = %s -c" > $(DESTDIR)%s/lib/words\\n' "$CC" "$prefix" >> Makefile
"""
"""As a configure that cross-compiles, which tries a program with the libraries that it is given."""
SYSCONFIG = b"""# system configuration generated and used by the sysconfig module
build_time_vars = {
    "prefix": "/install"
}
"""
SHELL = b'#!/bin/sh\nexec /usr/bin/python3 "$@"\n'
NO_AGENT = b"""#!/bin/sh
[ "$2" = -S ] && exit 70
exec /usr/bin/python3 "$@"
"""
"""A Python that does all but see to a trial, which the agent's `-I -S` begins."""
BROKEN = "#!/bin/sh\necho 'configure: error: no acceptable C compiler' >&2; exit 77\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder with this machine's roots, and no Pythons."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for part in ("images", "recipes", "apt", "locks"):
        (cache_root() / part).mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(cache_root() / part)
    return folder


def keep_source(cache: Path, configure: str) -> None:
    """Put a source archive where one is kept that was fetched."""
    folder = cache / "pythons" / "sources" / "python3.13"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "python3.13_3.13.5.orig.tar.xz", "w:xz") as tar:
        member = tarfile.TarInfo("Python-3.13.5/configure")
        member.size, member.mode = len(configure), 0o755
        tar.addfile(member, io.BytesIO(configure.encode()))
    (folder / "suite").write_text("trixie")


def run(folder: Path, cache: Path, *arguments: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "dist", "-v"]
    command += ["--manylinux-engine=bubblewrap", "--manylinux-other-pythons=source"]
    command += ["--manylinux-proof=proof.json", "--junitxml=junit.xml", *arguments]
    environment = {**os.environ, "PYTEST_MANYLINUX_CACHE": str(cache)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def add_wheel(folder: Path) -> None:
    files = {"demo/__init__.py": b"import sys\nassert sys.version_info[:2] == (3, 13)\n"}
    build_wheel(folder / "dist", files, tag="cp313-none-any")


@pytest.mark.integration
def test_a_python_is_built_once_and_told_as_what_it_is(tmp_path: Path, cache: Path) -> None:
    add_wheel(tmp_path)
    keep_source(cache, CONFIGURE)
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313")
    assert code == ExitCode.OK, words
    assert "trial[debian-13+cp313] PASSED" in words
    assert "manylinux distros: debian-13+cp313" in words
    (trial,) = (v for v in read_proof(tmp_path / "proof.json").record.verdicts if v.observation)
    assert trial.observation is not None
    assert trial.subject == "debian-13+cp313-x86_64"
    assert trial.observation.added_python.startswith("CPython 3.13.")
    assert trial.observation.added_python.endswith(", from source")
    assert trial.observation.added_python_digest.startswith("sha256:")
    report = ET.parse(tmp_path / "junit.xml")  # noqa: S314 - our own report
    properties = {one.get("name"): one.get("value") for one in report.iter("property")}
    assert properties["manylinux.added.python"] == trial.observation.added_python
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313", "--manylinux-fresh")
    assert code == ExitCode.OK, words
    assert "building it from source" not in words, "it is kept"


@pytest.mark.emulated
def test_for_another_architecture_this_machines_processor_builds_it(
    tmp_path: Path, cache: Path
) -> None:
    """With the other root's headers and libraries; it is looked at and tried under the emulator."""
    add_wheel(tmp_path)
    keep_source(cache, CROSS)
    words = "--manylinux-distros=debian-13+cp313", "--manylinux-archs=aarch64"
    code, output = run(tmp_path, cache, *words)
    assert code == ExitCode.OK, output
    assert "trial[debian-13+cp313-aarch64] PASSED" in output
    prefix = cache / "pythons/source-1-debian-13-2.41-aarch64-cp313/prefix"
    header = (prefix / "bin/linked-aarch64-linux-gnu").read_bytes()[:20]
    assert header == MACHINES["aarch64"].header_of(3)
    assert (prefix / "lib/words").read_text() == "CC = gcc -c\n", "as if it were built in its root"


@pytest.mark.integration
def test_a_source_that_does_not_build_proves_nothing(tmp_path: Path, cache: Path) -> None:
    add_wheel(tmp_path)
    keep_source(cache, BROKEN)
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313")
    assert code == ExitCode.NOT_PROVEN, words
    assert "CPython 3.13.5 could not be built from source on debian-13" in words
    assert "no acceptable C compiler" in words
    outcomes = {v.subject: v.outcome for v in read_proof(tmp_path / "proof.json").record.verdicts}
    assert outcomes["debian-13+cp313-x86_64"] is Outcome.NOT_PROVEN


ROW = """
[[distro]]
id = "debian-12"
[[distro.interpreters]]
version = "3.12"
packages = ["python3", "python3-pip", "python3-venv"]
"""


@pytest.mark.integration
def test_a_row_that_lags_behind_is_planned_by_what_is_there(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "rows.toml").write_text(ROW)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest-manylinux]\ncatalogue = "rows.toml"\n')
    build_wheel(tmp_path / "dist", {"new.py": b"import sys\n"}, name="new", tag="cp312-none-any")
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-12")
    assert code == ExitCode.NOT_PROVEN, words
    assert "new-1.0-cp312-none-any.whl is not for it" in " ".join(words.split())
    build_wheel(tmp_path / "dist", {"old.py": b"import sys\n"}, name="old", tag="cp311-none-any")
    _, words = run(tmp_path, cache, "--manylinux-distros=debian-12")
    outcomes = {v.subject: v.outcome for v in read_proof(tmp_path / "proof.json").record.verdicts}
    assert outcomes["debian-12-cp311-x86_64"] is Outcome.PORTABLE, words
    assert "debian-12-cp312-x86_64" not in outcomes, words


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the program uv, from the index."""
    folder = tmp_path_factory.mktemp("uv")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), "uv"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "bin"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server on loopback for a folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def offer_python(folder: Path, address: str, implementation: str = "cpython") -> None:
    """A standalone Python 3.13 in uv's own forms: an archive, and the list that names it."""
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        # uv takes no links that lead out of the archive, and edits what sysconfig reads.
        files = {
            "bin/python3": NO_AGENT if implementation == "graalpy" else SHELL,
            "lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py": SYSCONFIG,
        }
        for name, content in files.items():
            member = tarfile.TarInfo(f"python/{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    entry = {
        "name": implementation,
        "arch": {"family": "x86_64", "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": 3,
        "minor": 13,
        "patch": 5,
        "prerelease": "",
        "url": f"{address}/python.tar.gz",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": "20261129",
    }
    (folder / "list.json").write_text(json.dumps({f"{implementation}-3.13.5-linux-x86_64-gnu": entry}))


@pytest.mark.integration
def test_a_standalone_python_comes_from_where_uv_is_told(
    tmp_path: Path, cache: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(tmp_path)
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("PATH", f"{uv}{os.pathsep}{os.environ['PATH']}")
    words = "--manylinux-distros=debian-13+cp313", "--manylinux-other-pythons=standalone"
    with served(tmp_path / "served") as address:
        offer_python(tmp_path / "served", address)
        monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", f"{address}/list.json")
        code, output = run(tmp_path, cache, *words)
    assert code == ExitCode.OK, output
    (trial,) = (v for v in read_proof(tmp_path / "proof.json").record.verdicts if v.observation)
    assert trial.observation is not None
    assert trial.observation.added_python == "CPython 3.13.5, standalone"
    code, output = run(tmp_path, cache, *words, "--manylinux-fresh")
    assert code == ExitCode.OK, "it is kept: " + output


@pytest.mark.integration
def test_a_graalpy_is_a_standalone_python_whose_trials_another_one_sees_to(
    tmp_path: Path, cache: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in ends where it is to be the agent, as one without os.fork would."""
    files = {"demo/__init__.py": b"", "demo/part.py": b""}
    build_wheel(tmp_path / "dist", files, tag="py3-none-any")
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("PATH", f"{uv}{os.pathsep}{os.environ['PATH']}")
    with served(tmp_path / "served") as address:
        offer_python(tmp_path / "served", address, "graalpy")
        monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", f"{address}/list.json")
        words = "--manylinux-distros=debian-13+graalpy3.13", "--manylinux-other-pythons=standalone"
        code, output = run(tmp_path, cache, *words)
    assert code == ExitCode.OK, output
    (trial,) = (v for v in read_proof(tmp_path / "proof.json").record.verdicts if v.observation)
    assert trial.subject == "debian-13+gp313_253-x86_64"
    assert trial.observation is not None
    assert trial.observation.added_python == "GraalPy 3.13.5, standalone"


@pytest.mark.integration
def test_a_wheel_is_not_tried_where_uv_reaches_nothing(
    tmp_path: Path, cache: Path, uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_wheel(tmp_path / "dist", {"demo/__init__.py": b""}, tag="cp312-none-manylinux_2_17_x86_64")
    monkeypatch.setenv("PATH", f"{uv}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    words = "--manylinux-distros=debian-13", "--manylinux-other-pythons=standalone"
    _, output = run(tmp_path, cache, *words)
    assert "CPython cannot be fetched by uv" in output
    assert "name a mirror in UV_PYTHON_INSTALL_MIRROR" in output
    assert output.count("1 of 1 wheel not tried") == 1


@pytest.mark.index
def test_a_real_free_threaded_wheel_on_cpython_from_source(tmp_path: Path) -> None:
    """The whole way, with the archive's source: some minutes, unless this machine has it already."""
    folder = tmp_path / "dist"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.13", "--implementation", "cp", "--abi", "cp313t"]
    command += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"]
    command += ["--dest", str(folder), "markupsafe==3.0.3"]
    subprocess.run(command, check=True, capture_output=True)
    code, words = run(tmp_path, cache_root(), "--manylinux-distros=debian-13")
    assert code == ExitCode.OK, words
    assert "trial[debian-13+cp313t] PASSED" in words
    shutil.rmtree(folder)


@pytest.mark.index
@pytest.mark.parametrize("python", ["cp313t", "cp314t"])
def test_a_wheel_is_built_for_a_python_from_source_and_proven_with_it(
    tmp_path: Path, python: str
) -> None:
    """Its headers come with it; no distro packages any of a free-threaded Python."""
    shutil.copytree(PORTABLE / "c_extension", tmp_path / "dist")
    words = "--manylinux-distros=debian-13", f"--manylinux-python={python}"
    code, output = run(tmp_path, cache_root(), *words)
    assert code == ExitCode.OK, output
    record = read_proof(tmp_path / "proof.json").record
    (wheel,) = record.wheels
    assert f"-{python[:-1]}-{python}-manylinux1_x86_64." in wheel.file
    (trial,) = (one for one in record.verdicts if one.observation)
    assert (trial.subject, trial.outcome) == (f"debian-13+{python}-x86_64", Outcome.PORTABLE)
