"""Standalone Pythons: builds for every distro, as `uv python install` gives them to uv's users.

uv itself fetches them, by its own settings: `UV_PYTHON_INSTALL_MIRROR`, `UV_PYPY_INSTALL_MIRROR`,
`UV_GRAALPY_INSTALL_MIRROR` and `UV_PYTHON_DOWNLOADS_JSON_URL`, or their keys in uv.toml (uv's reference
of settings). It checks what it downloads against the digests in its list.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version

from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import ImageError, ManylinuxError
from pytest_manylinux.escape import redact
from pytest_manylinux.host.shutdown import run_program
from pytest_manylinux.images.api import Say
from pytest_manylinux.model.distro import AddedPython, InterpreterOrigin, added_prefix
from pytest_manylinux.model.python import Implementation, PythonVersion
from pytest_manylinux.pythons.kept import FOLDER, kept_python, write_record

_MIRRORS = {
    Implementation.CPYTHON: "UV_PYTHON_INSTALL_MIRROR",
    Implementation.PYPY: "UV_PYPY_INSTALL_MIRROR",
    Implementation.GRAALPY: "UV_GRAALPY_INSTALL_MIRROR",
}
"""The variables by which uv takes the Pythons of an implementation from elsewhere."""

_FORMAT = 1  # of what is kept; part of the key
_ARCHITECTURES = {
    "x86_64": "x86_64",
    "i686": "x86",
    "aarch64": "aarch64",
    "armv7l": "armv7",
    "ppc64le": "powerpc64le",
    "s390x": "s390x",
    "riscv64": "riscv64gc",
}
"""uv's names (those of Rust's targets) for the architectures of platform tags."""
_LIBCS = ("gnu", "gnueabihf")
_LIST = ("python", "list", "--only-downloads", "--all-platforms", "--all-arches", "--all-versions")
_LIST_TIMEOUT = 60.0
_INSTALL_TIMEOUT = 900.0
_QUICK = {"UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_RETRIES": "0", "UV_NO_PROGRESS": "1"}
"""What uv is told unless the user has: whether an address answers is known soon."""
_FIRST_ONLY_PP80 = "-v7."  # in the addresses of PyPy's releases whose ABI the wheels on the index have


class Download(msgspec.Struct, frozen=True):
    """An entry of uv's list, as `uv python list --output-format json` has it."""

    key: str
    version: str
    os: str
    variant: str
    implementation: str
    arch: str
    libc: str
    url: str | None = None


def find_uv() -> Path | None:
    """The program uv: on PATH, or of this Python's distribution uv; None if it is not installed."""
    if (found := shutil.which("uv")) is not None:
        return Path(found)
    if importlib.util.find_spec("uv") is None:
        return None
    try:
        return Path(importlib.import_module("uv").find_uv_bin())
    except FileNotFoundError:
        return None


class StandalonePythons:
    """The standalone Pythons of one machine, kept below `cache` (the cache folder). Thread-safe.

    `uv` gives the program, None where there is none. With `only_listed` nothing is fetched to see
    whether it can be: uv's list, which it carries along, is taken at its word.
    """

    def __init__(
        self,
        cache: Path,
        *,
        say: Say,
        uv: Callable[[], Path | None] = find_uv,
        only_listed: bool = False,
    ) -> None:
        self._root = cache / FOLDER
        self._say = say
        self._uv = uv
        self._only_listed = only_listed
        self._lock = threading.RLock()
        self._downloads: tuple[Download, ...] | None = None
        self._answers: dict[Implementation, str] = {}

    def why_not(self, version: PythonVersion, arch: str) -> str:
        """Why a Python cannot be provided; empty if it is kept, or can be fetched as far as is known.

        The first one of an implementation is fetched, which shows whether uv reaches where it is from.
        """
        if kept_python(self._folder(version, arch)) is not None:
            return ""
        try:
            self._chosen(version, arch)
        except ManylinuxError as error:
            return _short(error)
        if self._only_listed:
            return ""
        with self._lock:
            if version.implementation not in self._answers:
                self._answers[version.implementation] = self._try(version, arch)
            return self._answers[version.implementation]

    def _try(self, version: PythonVersion, arch: str) -> str:
        try:
            self.provide(version, arch)
        except ManylinuxError as error:
            return _short(error)
        return ""

    def provide(self, version: PythonVersion, arch: str) -> AddedPython:
        """A Python, fetched if it is not kept. Raises ImageError with uv's words, and StoreError."""
        folder = self._folder(version, arch)
        if (kept := kept_python(folder)) is not None:
            return kept
        download = self._chosen(version, arch)
        make_once(
            folder,
            lambda place: self._fetch(download, version, place),
            announce=lambda: self._say(f"fetching {version.title} for {arch} by uv, once"),
        )
        if (found := kept_python(folder)) is None:
            raise ImageError(f"{download.key} could not be kept in {folder}", remedy="run it again")
        return found

    def _folder(self, version: PythonVersion, arch: str) -> Path:
        return self._root / f"standalone-{_FORMAT}-{arch}-{version.id}"

    def _chosen(self, version: PythonVersion, arch: str) -> Download:
        """The newest release of a Python that uv lists; raises ImageError where there is none."""
        fitting = [one for one in self._listed() if _is_of(one, version, arch)]
        if not fitting:
            remedy = _or_otherwise(version).removeprefix(", or ")
            raise ImageError(f"uv has no {version.title} for {arch}", remedy=remedy)
        if version.implementation is Implementation.PYPY:
            wanted = [one for one in fitting if _FIRST_ONLY_PP80 in (one.url or "")]
            fitting = wanted or fitting
        return max(fitting, key=_newness)

    def _listed(self) -> Iterable[Download]:
        with self._lock:
            if self._downloads is None:
                output = self._run(*_LIST, "--output-format", "json", timeout=_LIST_TIMEOUT)
                self._downloads = decode_json(output, tuple[Download, ...])
            return self._downloads

    def _fetch(self, download: Download, version: PythonVersion, place: Path) -> None:
        work = place / "uv"
        words = ("--install-dir", str(work), "--no-bin", "--no-progress", download.key)
        try:
            self._run("python", "install", *words, timeout=_INSTALL_TIMEOUT)
        except ImageError as error:
            raise ImageError(
                f"{version.implementation.full_name} cannot be fetched by uv",
                why=error.why or error.what,
                remedy=f"name a mirror in {_MIRRORS[version.implementation]} or "
                f"UV_PYTHON_DOWNLOADS_JSON_URL{_or_otherwise(version)}",
            ) from error
        came, prefix = work / download.key, place / "prefix"
        # Its library's folder has a t since the first of them: "What's New in Python 3.13", PEP 703.
        name = f"python{version.dotted}t"
        if (came / "lib" / name).is_dir() is not version.free_threaded:
            raise ImageError(
                f"{download.key} is not {version.title}",
                why=f"it has {'no' if version.free_threaded else 'a'} folder lib/{name}",
                remedy="see that the list in UV_PYTHON_DOWNLOADS_JSON_URL names the right builds",
            )
        _settle(came, added_prefix(version))
        came.rename(prefix)
        shutil.rmtree(work)
        write_record(
            place,
            version=version,
            release=download.version,
            origin=InterpreterOrigin.STANDALONE,
            source=download.key,
        )

    def _run(self, *words: str, timeout: float) -> bytes:
        program = self._uv()
        if program is None:
            raise ImageError(
                "standalone Pythons are fetched by uv, which is not installed",
                remedy=f"pip install uv, or {_OTHERWISE}",
            )
        environment: Mapping[str, str] = {**_QUICK, **os.environ, "NO_COLOR": "1"}
        try:
            done = run_program((str(program), *words), environment=environment, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ImageError(f"uv {' '.join(words[:2])} failed", why=str(error)) from error
        if done.returncode:
            raise ImageError(f"uv {' '.join(words[:2])} failed", why=_decisive(done.stdout))
        return done.stdout


_OTHERWISE = "use other-pythons = source, which builds CPython from the archive's source package"


def _or_otherwise(version: PythonVersion) -> str:
    """The other way, for what has one: only CPython is built from source."""
    return f", or {_OTHERWISE}" if version.implementation is Implementation.CPYTHON else ""


def _is_of(one: Download, version: PythonVersion, arch: str) -> bool:
    variant = "freethreaded" if version.free_threaded else "default"
    return (
        one.implementation == version.implementation.full_name.lower()
        and one.os == "linux"
        and one.libc in _LIBCS
        and one.arch == _ARCHITECTURES.get(arch)
        and one.variant == variant
        and one.version.startswith(f"{version.dotted}.")
    )


def _newness(one: Download) -> tuple[bool, Version]:
    """Final releases before others, then by version."""
    try:
        version = Version(one.version)
    except InvalidVersion:
        version = Version("0")
    return not version.is_prerelease, version


def _settle(came: Path, prefix: str) -> None:
    """Have a Python's own texts name its prefix in roots, not where uv has put it; add bin/python3."""
    program = came / "bin" / "python3"
    if not program.exists():
        names = sorted(path.name for path in (came / "bin").glob("py*3*") if not path.is_dir())
        if not names:
            raise ImageError(f"{came.name} has no program in its folder bin")
        program.symlink_to(names[0])
    own = str(came).encode()
    for pattern in ("lib/**/_sysconfigdata*.py", "lib/pkgconfig/*.pc", "bin/*-config"):
        for path in came.glob(pattern):
            if path.is_file() and not path.is_symlink() and own in (text := path.read_bytes()):
                path.write_bytes(text.replace(own, prefix.encode()))


def _decisive(output: bytes) -> str:
    """Uv's first line, and the innermost cause."""
    lines = redact(output.decode("utf-8", "replace")).strip().splitlines()
    if not lines:
        return "it said nothing"
    first = next((line for line in lines if line.startswith("error:")), lines[0])
    causes = [
        line.strip() for line in lines if line.strip().lower().startswith(("cause:", "caused by:"))
    ]
    return f"{first}; {causes[-1]}" if causes else first


def _short(error: ManylinuxError) -> str:
    why = f": {error.why}" if error.why else ""
    return f"{error.what}{why} ({error.remedy})" if error.remedy else f"{error.what}{why}"
