"""Fetch the packages of a root, and unpack each as soon as apt has verified it, several at a time.

    python fetch_main.py ROOT SUITE ARCHITECTURE PACKAGE...

mmdebstrap calls it with an empty root whose package lists are there. apt resolves, downloads and
verifies, as for mmdebstrap itself; dpkg-deb and tar unpack, and dpkg's database gets the packages as
unpacked. No program of the root is run: that is configure_main.py's part.

A package with a script that may want to be run before its files are there is not unpacked: its file is
named in LEFT, for dpkg. Ends with the words FAILED where this way does not work, so that the root is
made in mmdebstrap's own one. Standard library only.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FAILED = "E: these packages cannot be unpacked at one go"
LEFT = "run/pytest-manylinux-left-to-dpkg"
"""A file of the root that names packages' files, below its own /var/cache/apt/archives, a line each."""
ADDITIONAL = "run/pytest-manylinux-additional"
"""A file of the root that names the packages that apt added to those it was asked for, a line each."""

_LOOK_UP = 0.05
# apt's own package has the folder that apt downloads to, as user _apt; unpacked, it would be root's.
_APT = "apt_"
_CORES = os.cpu_count() or 1
_VERSION = re.compile(r"\d[\w.+~:-]*")
# Scripts outside of the base system that do the same after unpacking as before, where the package was
# never installed, by `digest_of`. Each was read, and tried on Debian 11 to 14.
_PREINSTS = frozenset(
    {
        "aeef7bf3cc53",  # adduser: nothing but upgrades
        *("bba47ea48a3b", "09ea0665b990", "69d161103ab1", "ecab6a10c606"),  # libc6: checks the kernel
        "453fa83e6850",  # libreadline8t64: diverts names before /usr was merged
        *("2ee89c3b5d16", "adf0385180b6", "8839c0deeb41"),  # python3: nothing but upgrades
        "e373891578d8",  # python3.N-minimal: notes that it is new
        "39cf1461a4eb",  # usr-is-merged: checks that /usr is
        "7cd893f013c8",  # util-linux-extra: nothing but upgrades
    }
)
_IDLE_LINE = re.compile(
    r"\s*(#.*|set -e"
    r"|dpkg-maintscript-helper (rm_conffile|mv_conffile|symlink_to_dir|dir_to_symlink) .*)?"
)
"""A line of a script that does nothing on a first installation (dpkg-maintscript-helper(1))."""


@dataclass(frozen=True)
class UnpackedPackage:
    """A package that was unpacked. `files` are as tar names them, `control` the members by name."""

    deb: Path
    fields: Mapping[str, str]
    control: Mapping[str, bytes]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return self.fields["Package"]

    @property
    def qualified(self) -> str:
        """The name that dpkg's files about it have."""
        same = self.fields.get("Multi-Arch") == "same"
        return f"{self.name}:{self.fields['Architecture']}" if same else self.name

    @property
    def is_base(self) -> bool:
        """Whether it is unpacked before any of its scripts is run, as mmdebstrap does."""
        return self.fields.get("Essential") == "yes" or self.fields.get("Priority") == "required"

    @property
    def is_left_to_dpkg(self) -> bool:
        """Whether it has a script that may want to be run before its files are there."""
        script = self.control.get("preinst")
        return script is not None and not (self.is_base or _may_be_late(script))


def _may_be_late(script: bytes) -> bool:
    """Whether a preinst may be run when the package's files are there already."""
    lines = script.decode("utf-8", "replace").splitlines()
    return all(map(_IDLE_LINE.fullmatch, lines)) or digest_of(script) in _PREINSTS


def digest_of(script: bytes) -> str:
    """A digest of a script that does not depend on the versions it names."""
    return hashlib.sha256(_VERSION.sub("0", script.decode("utf-8", "replace")).encode()).hexdigest()[
        :12
    ]


def main() -> None:
    """Do all of it. apt's failure is the end; any other one is told by FAILED."""
    root, (suite, architecture, *packages) = Path(sys.argv[1]), sys.argv[2:]
    with ThreadPoolExecutor(_CORES + 1) as pool:  # one hears apt
        try:
            wanted = (*_base_system(suite, architecture), *packages)
            found = _fetch_and_unpack(root, wanted, pool)
            register(root, [package for package in found if not package.is_left_to_dpkg])
            left = (f"{package.deb.name}\n" for package in found if package.is_left_to_dpkg)
            (root / LEFT).write_text("".join(left))
        except (
            OSError,
            KeyError,
            ValueError,
            subprocess.CalledProcessError,
            tarfile.TarError,
        ) as error:
            sys.exit(f"{FAILED}: {error}")


def _base_system(suite: str, architecture: str) -> tuple[str, ...]:
    """What the variant minbase is, in the patterns (apt-patterns(7)) of mmdebstrap.

    One pattern and no two, and what few packages have first: apt tries it with each of 60,000.
    """
    base = "?or(?essential,?priority(required))"
    place = f"?architecture({architecture}),?or(?archive(^{suite}$),?codename(^{suite}$))"
    return (f"?narrow({base},{place})", "apt")


# Download and unpack


def _fetch_and_unpack(
    root: Path, wanted: Sequence[str], pool: ThreadPoolExecutor
) -> list[UnpackedPackage]:
    """Have apt fetch the packages, each unpacked as soon as apt has verified it; in apt's order."""
    archives, unpacking = root / "var/cache/apt/archives", _Unpacking(root, pool)
    earlier = set(archives.glob("*.deb"))
    sys.stdout.write("I: unpacking packages as they come\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder, "packages")
        argv, environment = _apt_get(names, wanted), _apt_environment()
        with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as apt:
            hearing = pool.submit(_hear, apt.stdout or ())
            while apt.poll() is None:
                for deb in ready(archives, earlier):
                    unpacking.add(deb)
                time.sleep(_LOOK_UP)
            additional = hearing.result()
        if apt.returncode != 0:
            sys.exit(apt.returncode)
        debs = [Path(line) for line in names.read_text("utf-8").splitlines()]
    for deb in debs:
        unpacking.add(deb)
    packages = unpacking.packages(debs)
    (root / ADDITIONAL).write_text("\n".join(additional))
    return packages


def ready(archives: Path, earlier: Container[Path]) -> list[Path]:
    """Packages that apt has verified, and that can be unpacked while it fetches others."""
    found = (deb for deb in sorted(archives.glob("*.deb")) if deb not in earlier)
    return [deb for deb in found if not deb.name.startswith(_APT)]


def _apt_get(names: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """apt-get fetches and verifies; where it would run dpkg, it writes the files' names, in order."""
    options = {
        "Debug::pkgDpkgPm": "1",  # do all but run dpkg (what mmdebstrap sets, too)
        "Debug::NoLocking": "1",
        "Dir::Log": "/dev/null",
        "DPkg::Use-Pty": "0",
        "DPkg::Pre-Install-Pkgs::": f"cat > {shlex.quote(str(names))}",
    }
    words = (f"-o{name}={value}" for name, value in options.items())
    return ("apt-get", "--yes", *words, "install", "--", *wanted)


def _apt_environment() -> dict[str, str]:
    return {**os.environ, "APT_CONFIG": os.environ["MMDEBSTRAP_APT_CONFIG"]}


def _hear(lines: Iterable[str]) -> list[str]:
    """Pass on what apt says; gives the names of the packages that it adds to those it was asked for."""
    names, is_list = [], False
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
        if line.startswith("  ") and is_list:
            names += line.split()
        else:
            is_list = line.startswith("The following additional packages")
    return names


class _Unpacking:
    """Packages that are being unpacked; base-files, with the first folders and links, before others."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor) -> None:
        self._root, self._pool = root, pool
        self._begun: dict[Path, Future[UnpackedPackage]] = {}
        self._waiting: list[Path] = []
        self._has_folders = False

    def add(self, deb: Path) -> None:
        """Unpack it, if that was not begun yet."""
        if deb in self._begun or deb in self._waiting:
            return
        if deb.name.startswith("base-files_"):
            self._begun[deb] = self._pool.submit(unpack, deb, self._root)
            self._begun[deb].result()
            self._has_folders = True
        elif not self._has_folders:
            self._waiting.append(deb)
            return
        for one in (*self._waiting, deb):
            if one not in self._begun:
                self._begun[one] = self._pool.submit(unpack, one, self._root)
        self._waiting = []

    def packages(self, debs: Sequence[Path]) -> list[UnpackedPackage]:
        """These packages, when all that was begun has ended."""
        if self._waiting:
            raise ValueError("base-files is missing")
        done = {deb: future.result() for deb, future in self._begun.items()}
        if strangers := done.keys() - set(debs):
            raise ValueError(f"{min(strangers).name} came unasked")
        return [done[deb] for deb in debs]


def unpack(deb: Path, root: Path) -> UnpackedPackage:
    """Unpack one package, unless that is left to dpkg. Links to folders stay as they are."""
    control = control_files(deb)
    lines = control["control"].decode("utf-8").splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
    package = UnpackedPackage(deb, fields, control, ())
    if package.is_left_to_dpkg:
        return package
    options = ("--verbose", "--quoting-style=literal", "--numeric-owner", "--same-permissions")
    tar = ("tar", "--extract", "--file=-", f"--directory={root}", "--keep-directory-symlink", *options)
    with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", str(deb)), stdout=subprocess.PIPE) as source:
        done = subprocess.run(tar, stdin=source.stdout, stdout=subprocess.PIPE, check=True)
    if source.returncode != 0:
        raise ValueError(f"{deb.name} cannot be unpacked")
    names = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    return UnpackedPackage(deb, fields, control, tuple(names))


def control_files(deb: Path) -> dict[str, bytes]:
    """The members of a package's control archive by name."""
    done = subprocess.run(("dpkg-deb", "--ctrl-tarfile", str(deb)), check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = ((entry, archive.extractfile(entry)) for entry in archive if entry.isfile())
        return {entry.name.removeprefix("./"): file.read() for entry, file in members if file}


# dpkg's database


def register(root: Path, packages: Iterable[UnpackedPackage]) -> None:
    """Enter packages as unpacked, as dpkg does it (deb(5), dpkg's doc/internals, deb-triggers(5))."""
    database = root / "var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (database / folder).mkdir(parents=True, exist_ok=True)
    stanzas: list[str] = []
    interests: dict[str, list[str]] = {}
    for package in packages:
        lines = package.control["control"].decode("utf-8").strip().split("\n")
        conffiles = list(_conffiles(root, package))
        stanzas.append("\n".join([lines[0], "Status: install ok unpacked", *lines[1:], *conffiles, ""]))
        _write_info(root, package)
        for trigger, word in _interests(package):
            interests.setdefault(trigger, []).append(word)
    (database / "status").write_text("\n".join(stanzas), "utf-8")
    (database / "info/format").write_text("1\n")
    for trigger, words in interests.items():
        if trigger.startswith("/"):
            with (database / "triggers/File").open("a") as file:
                file.writelines(f"{trigger} {word}\n" for word in words)
        else:
            (database / "triggers" / trigger).write_text("".join(f"{word}\n" for word in words))
    (database / "triggers/Unincorp").touch()


def _write_info(root: Path, package: UnpackedPackage) -> None:
    stem = f"{root}/var/lib/dpkg/info/{package.qualified}"
    for kind, content in package.control.items():
        if kind != "control":
            Path(f"{stem}.{kind}").write_bytes(content)
            Path(f"{stem}.{kind}").chmod(mode_of(kind))
    listed = "".join(f"{path_of(name) or '/.'}\n" for name in package.files)
    Path(f"{stem}.list").write_text(listed, "utf-8", "surrogateescape")
    if "md5sums" not in package.control:
        Path(f"{stem}.md5sums").write_text("".join(_sums(root, package)), "utf-8", "surrogateescape")


def mode_of(kind: str) -> int:
    """The permissions of a file of a control archive."""
    return 0o755 if kind in {"preinst", "postinst", "prerm", "postrm", "config"} else 0o644


def path_of(name: str) -> str:
    """The path in the root of what tar names; empty for the root itself."""
    return "/" + name.removeprefix("./").rstrip("/") if name.strip("./") else ""


def _sums(root: Path, package: UnpackedPackage) -> Iterator[str]:
    conffiles = package.control.get("conffiles", b"").decode().split()
    for path in sorted(map(path_of, package.files)):
        place = Path(f"{root}{path}")
        if place.is_file() and not place.is_symlink() and path not in conffiles:
            yield f"{_md5(place)}  {path[1:]}\n"


def _conffiles(root: Path, package: UnpackedPackage) -> Iterator[str]:
    """The lines of the field Conffiles: each is in its place, so that dpkg has nothing to ask."""
    lines = package.control.get("conffiles", b"").decode().splitlines()
    paths = [line for line in lines if line.startswith("/")]
    if paths:
        yield "Conffiles:"
    for path in paths:
        yield f" {path} {_md5(Path(f'{root}{path}'))}"


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()  # the sum that dpkg keeps


def _interests(package: UnpackedPackage) -> Iterator[tuple[str, str]]:
    for line in package.control.get("triggers", b"").decode().splitlines():
        kind, _, trigger = line.partition("#")[0].strip().partition(" ")
        if kind in {"interest", "interest-await"}:
            yield trigger.strip(), package.qualified
        elif kind == "interest-noawait":
            yield trigger.strip(), f"{package.qualified}/noawait"


if __name__ == "__main__":
    main()
