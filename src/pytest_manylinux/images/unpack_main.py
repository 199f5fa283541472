"""Finish a root whose packages were only unpacked, because its architecture is not this machine's.

mmdebstrap calls it with the root after unpacking (`--extract-hook`), and names the packages in
MMDEBSTRAP_ESSENTIAL. What the packages' own scripts would do, and a trial needs, is done here: accounts
(base-passwd), the certificates' bundle (ca-certificates), the first files of base-files, awk, dpkg's
list of what is installed, and the bytecode of Python's own library. Only the last runs a program of the
root, that Python; PM_STARTED_BY is what lets it run. Standard library only.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_KEPT = ("conffiles", "md5sums", "shlibs", "symbols", "triggers")
# What the scripts of base-passwd, libc-bin and base-files copy: source -> target, unless it is there.
_FIRST_FILES = {
    "usr/share/base-passwd/passwd.master": "etc/passwd",
    "usr/share/base-passwd/group.master": "etc/group",
    "usr/share/libc-bin/nsswitch.conf": "etc/nsswitch.conf",
    "usr/share/base-files/nsswitch.conf": "etc/nsswitch.conf",
    "usr/share/base-files/profile": "etc/profile",
    "usr/share/base-files/dot.bashrc": "root/.bashrc",
    "usr/share/base-files/dot.profile": "root/.profile",
}
# What update-alternatives would choose: link -> candidates, best first.
_FOLDERS = (
    *("proc", "sys", "run", "mnt", "home", "root", "media", "opt", "srv", "var/lib/dpkg/updates"),
    *("usr/local/bin", "usr/local/sbin", "usr/local/lib", "usr/local/include", "usr/local/share"),
)
_CORES = os.cpu_count() or 1
_COMPILE = """
import py_compile, sys
for name in sys.stdin.read().split("\\0"):
    py_compile.compile(name, quiet=1)
"""
_ALTERNATIVES = {"usr/bin/awk": ("gawk", "mawk"), "usr/bin/which": ("which.debianutils",)}


def main() -> None:
    """Do all of it, for the root in argv[1]."""
    root = Path(sys.argv[1])
    debs = [root / word.lstrip("/") for word in os.environ["MMDEBSTRAP_ESSENTIAL"].split()]
    register(root, debs)
    for source, target in _FIRST_FILES.items():
        if (root / source).is_file() and not (root / target).exists():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / source, root / target)
    bundle_certificates(root)
    set_time_zone(root)
    for link, candidates in _ALTERNATIVES.items():
        place = root / link
        found = [name for name in candidates if (place.parent / name).exists()]
        if found and not os.path.lexists(place):
            place.symlink_to(found[0])
    compile_libraries(root)
    make_folders(root)


def register(root: Path, debs: list[Path]) -> None:
    """Write dpkg's database: what is installed, its files and their checksums (deb(5))."""
    database = root / "var/lib/dpkg"
    (database / "info").mkdir(parents=True, exist_ok=True)
    stanzas = []
    for deb in debs:
        files = control_files(deb)
        lines = files["control"].decode("utf-8", "replace").strip().split("\n")
        fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
        same = fields.get("Multi-Arch") == "same"
        name = fields["Package"] + f":{fields['Architecture']}" * same
        stanzas.append("\n".join([lines[0], "Status: install ok installed", *lines[1:], ""]))
        for kind in _KEPT:
            if kind in files:
                (database / "info" / f"{name}.{kind}").write_bytes(files[kind])
        listed = "".join(f"{path}\n" for path in _listed(files.get("md5sums", b"").decode()))
        (database / "info" / f"{name}.list").write_text(f"/.\n{listed}", encoding="utf-8")
    (database / "status").write_text("\n".join(stanzas), encoding="utf-8")
    for empty in ("available", "diversions", "statoverride"):
        (database / empty).touch()


def control_files(deb: Path) -> dict[str, bytes]:
    """The members of a package's control archive by name."""
    done = subprocess.run(["dpkg-deb", "--ctrl-tarfile", str(deb)], check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = ((entry, archive.extractfile(entry)) for entry in archive if entry.isfile())
        return {entry.name.removeprefix("./"): file.read() for entry, file in members if file}


def _listed(sums: str) -> Iterator[str]:
    """The folders and files that a package's checksums name."""
    seen = set()
    for line in sums.splitlines():
        path = Path("/", line.partition("  ")[2])
        for folder in reversed(path.parents):
            if folder != Path("/") and folder not in seen:
                seen.add(folder)
                yield str(folder)
        yield str(path)


def bundle_certificates(root: Path) -> None:
    """Join all certificates, as update-ca-certificates does; without the file pip does not start."""
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    if certificates:
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_bytes(b"".join(path.read_bytes().rstrip() + b"\n" for path in certificates))


def make_folders(root: Path) -> None:
    """Have the folders and links that base-files and Python make, and where programs are put by hand.

    Python's own for that is on its path where it is there.
    """
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for version, _ in _libraries(root):
        (root / f"usr/local/lib/python{version}/dist-packages").mkdir(parents=True, exist_ok=True)
    (root / "run/lock").mkdir(exist_ok=True)
    (root / "run/lock").chmod(0o1777)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        if (root / name).is_dir() and not (root / name).is_symlink():
            (root / name).rmdir()
            (root / name).symlink_to(target)


def set_time_zone(root: Path) -> None:
    """Have UTC, as tzdata's scripts choose where nothing else was said."""
    if (root / "usr/share/zoneinfo/Etc/UTC").exists() and not os.path.lexists(root / "etc/localtime"):
        (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
        (root / "etc/timezone").write_text("Etc/UTC\n")


def compile_libraries(root: Path) -> None:
    """Compile each Python's own library by that Python, on all cores.

    Without it a root works as well, but each start of Python would compile what it imports: nothing can
    be written there. What other packages bring is not compiled.
    """
    with ThreadPoolExecutor(_CORES) as pool:
        done = [
            pool.submit(_compile, root, version, sources[start::_CORES])
            for version, sources in _libraries(root)
            for start in range(_CORES)
        ]
    for one in done:
        if error := one.exception():
            sys.stdout.write(f"W: not all of Python's library is compiled: {error}\n")


def _libraries(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Each Python, with the files that the scripts of its packages would have it compile."""
    for folder in sorted(root.glob("usr/lib/python3.*")):
        version = folder.name.removeprefix("python")
        inside = (f"/{path.relative_to(root)}" for path in sorted(folder.rglob("*.py")))
        if (root / "usr/bin" / f"python{version}").exists():
            yield (
                version,
                [path for path in inside if not path.startswith(f"/usr/lib/{folder.name}/config-")],
            )


def _compile(root: Path, version: str, sources: list[str]) -> None:
    if not sources:
        return
    subprocess.run(
        (
            *shlex.split(os.environ.get("PM_STARTED_BY", "")),
            *("chroot", str(root), f"/usr/bin/python{version}", "-E", "-S", "-c", _COMPILE),
        ),
        input="\0".join(sources).encode(),
        check=True,
    )


if __name__ == "__main__":
    main()
