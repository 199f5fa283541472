"""Run the scripts of packages that were unpacked at one go, each once, by the root's own dpkg.

    python configure_main.py ROOT

mmdebstrap calls it after fetch_main.py. What scripts do at length is done outside of them, with the
same result: bytecode (`_Bytecode`), and the bundle of certificates (`_Certificates`) where the tool
that makes it is one that is known. Ends with the words FAILED where this way does not work. Standard
library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FAILED = "E: these packages cannot be configured at one go"
LEFT = "run/pytest-manylinux-left-to-dpkg"
ADDITIONAL = "run/pytest-manylinux-additional"
"""The same as in fetch_main.py."""
_CORES = os.cpu_count() or 1
_MAINTSCRIPT_HELPER = """#!/bin/sh
case $1 in rm_conffile | mv_conffile | symlink_to_dir | dir_to_symlink) exit ;; esac
exec "$0.real" "$@"
"""
"""These do something to files of an earlier version and else nothing (dpkg-maintscript-helper(1))."""
_SYSTEMD_HELPER = """#!/bin/sh
case $* in "unmask "* | "--quiet was-enabled "*) exit ;; esac
exec "$0.real" "$@"
"""
"""No unit of a package that was never there is masked, and each is as if it had been enabled."""
_SYSTEMD_HELPERS = frozenset({"ff5c49492222", "a895d5f07765"})
"""Digests of the deb-systemd-helper of which that was read: Debian 11, 12 to 14."""
_IN_A_CHROOT = "#!/bin/sh\n"
"""An ischroot(1) that says so. The real one may not see it, and libc6 then waits a second for init."""
_CERTIFICATE_TOOLS = frozenset({"395364bffc7c", "2cb06c85b5f0"})
"""Digests of the update-ca-certificates that `_Certificates` stands for: Debian 11, 12 to 14."""


@dataclass(frozen=True)
class ListedPackage:
    """A package in dpkg's database, by the fields of its stanza."""

    root: Path
    fields: Mapping[str, str]
    stanza: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.fields["Package"]

    def info(self, kind: str) -> str:
        """What dpkg keeps of it under that name; empty if there is none."""
        try:
            return self.path(kind).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    def path(self, kind: str) -> Path:
        """Where dpkg keeps it."""
        same = self.fields.get("Multi-Arch") == "same"
        name = f"{self.name}:{self.fields['Architecture']}" if same else self.name
        return self.root / "var/lib/dpkg/info" / f"{name}.{kind}"


def listed_packages(root: Path) -> list[ListedPackage]:
    """The packages of dpkg's database, in its order."""
    stanzas = (root / "var/lib/dpkg/status").read_text("utf-8").split("\n\n")
    packages = []
    for stanza in filter(str.strip, stanzas):
        lines = stanza.strip().splitlines()
        fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
        packages.append(ListedPackage(root, fields, stanza.strip() + "\n"))
    return packages


def main() -> None:
    """Do all of it; a failure is told by FAILED."""
    root = Path(sys.argv[1])
    with ThreadPoolExecutor(_CORES) as pool:
        try:
            _configure(root, pool)
            mark_automatic(root)
        except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
            sys.exit(f"{FAILED}: {error}")


def _configure(root: Path, pool: ThreadPoolExecutor) -> None:
    packages = listed_packages(root)
    bytecode, certificates = _Bytecode(root, packages, pool), _Certificates(root)
    bytecode.begin()
    sys.stdout.write("I: configuring packages\n")
    sys.stdout.flush()
    with _first_installation(root), bytecode.deferred(), certificates.deferred():
        for package in sorted(packages, key=lambda package: package.name != "base-passwd"):
            if package.path("preinst").exists():
                _run_preinst(package)
        if left := (root / LEFT).read_text().split():
            debs = (f"/var/cache/apt/archives/{name}" for name in left)
            _chroot(root, "dpkg", "--force-depends", "--unpack", *debs)
        _chroot(root, "dpkg", "--configure", "--pending")
    (root / LEFT).unlink()
    bytecode.finish()
    certificates.finish()


def _run_preinst(package: ListedPackage) -> None:
    """Run it where dpkg does, with the package's other control files beside it: debconf looks there."""
    folder = package.root / "var/lib/dpkg/tmp.ci"
    folder.mkdir()
    for kind in ("preinst", "templates", "config"):
        if (source := package.path(kind)).exists():
            shutil.copy(source, folder / kind)
    (folder / "control").write_text(package.stanza, "utf-8")
    about = {
        "DPKG_MAINTSCRIPT_PACKAGE": package.name,
        "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT": "1",
        "DPKG_MAINTSCRIPT_ARCH": package.fields["Architecture"],
        "DPKG_MAINTSCRIPT_NAME": "preinst",
        "DPKG_ADMINDIR": "/var/lib/dpkg",
        "DPKG_ROOT": "",
    }
    _chroot(package.root, "/var/lib/dpkg/tmp.ci/preinst", "install", environment=about)
    shutil.rmtree(folder)


def _chroot(root: Path, *argv: str, environment: Mapping[str, str] | None = None) -> None:
    own = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    subprocess.run(
        ("chroot", str(root), *argv),
        env={**own, **(environment or {})},
        stdin=subprocess.DEVNULL,
        check=True,
    )


def _digest(program: Path) -> str:
    """A digest of a program, empty if there is none."""
    return hashlib.sha256(program.read_bytes()).hexdigest()[:12] if program.is_file() else ""


@contextlib.contextmanager
def _instead(program: Path, stub: str) -> Iterator[Path]:
    """Have a script in the place of a program, which goes by another name for now."""
    real = program.with_name(f"{program.name}.real")
    program.rename(real)
    try:
        program.write_text(stub, "utf-8")
        program.chmod(0o755)
        yield real
    finally:
        real.replace(program)


@contextlib.contextmanager
def _first_installation(root: Path) -> Iterator[None]:
    """Spare scripts what they do for packages that were there in an earlier version."""
    with contextlib.ExitStack() as stack:
        programs = root / "usr/bin"
        systemd = programs / "deb-systemd-helper"
        stubs = {
            programs / "dpkg-maintscript-helper": _MAINTSCRIPT_HELPER,
            programs / "ischroot": _IN_A_CHROOT,
            systemd: _SYSTEMD_HELPER if _digest(systemd) in _SYSTEMD_HELPERS else "",
        }
        for program, stub in stubs.items():
            if stub and program.is_file():
                stack.enter_context(_instead(program, stub))
        yield


class _Bytecode:
    """The bytecode of Python's own library and of packages, compiled by several processes at once.

    Scripts ask for it by py_compile.py and py3compile, whose calls are noted; by then the work has
    begun for what the scripts are going to name. What they name otherwise is done after them, and what
    they did not name is removed.
    """

    _NOTED = "/run/pytest-manylinux-compile"
    _PROGRAM = "/run/pytest-manylinux-compiler.py"
    _COMPILER = """import sys
if __name__ == "__main__" and sys.argv[1:] and "-" not in sys.argv and not sys.flags.optimize:
    with open("{noted}", "a") as noted:
        noted.writelines("{version}\\t" + name + "\\n" for name in sys.argv[1:])
else:
    with open("{real}") as real:
        exec(compile(real.read(), __file__, "exec"))
"""
    _PY3COMPILE = """#!/bin/sh
printf '%s\\t' py3compile "$@" >> {noted}
echo >> {noted}
"""

    def __init__(self, root: Path, packages: Sequence[ListedPackage], pool: ThreadPoolExecutor) -> None:
        self._root, self._pool = root, pool
        self._packages = {package.name: package for package in packages}
        found = sorted(root.glob("usr/lib/python3.*/py_compile.py"))
        self._compilers = {path.parent.name.removeprefix("python"): path for path in found}
        self._begun: list[Future[None]] = []
        self._done: set[str] = set()

    def begin(self) -> None:
        """Compile what scripts are going to name, if there is one Python."""
        if len(self._compilers) != 1 or any(self._root.glob("usr/share/python3/bcep/*")):
            return
        (version, compiler) = next(iter(self._compilers.items()))
        shutil.copyfile(compiler, self._root / self._PROGRAM[1:])
        scripts = (package.info("postinst") for package in self._packages.values())
        foreseen = {name for script in scripts for name in self._foreseen(script)}
        # For a while another file lies in the compiler's place.
        self._done = foreseen - {f"/{compiler.relative_to(self._root)}"}
        named = sorted(self._done)
        for part in (named[start::_CORES] for start in range(_CORES)):
            self._begun.append(self._pool.submit(self._compile, version, part))

    def _foreseen(self, script: str) -> Iterator[str]:
        if "/py_compile.py $files" in script:
            for match in re.finditer(r"dpkg -L (\S+)", script):
                name = match[1].partition(":")[0]
                yield from (
                    path for path in self._sources(name) if path.startswith("/usr/lib/python3.")
                )
        for match in re.finditer(r"\bpy3compile (-p \S+(?: +/\S+)?)", script):
            yield from self._asked(match[1].split()) or ()

    def _sources(self, name: str) -> list[str]:
        package = self._packages.get(name)
        paths = package.info("list").splitlines() if package else ()
        return [path for path in paths if path.endswith(".py")]

    def _asked(self, words: Sequence[str]) -> list[str] | None:
        """The files that `py3compile` with these words is about, None where that is not known."""
        match list(words):
            case ["-p", name, *_] if name not in self._packages:
                return None
            case ["-p", name]:
                public = "/usr/lib/python3/dist-packages/"
                sources = self._sources(name)
                if any(path.startswith("/usr/lib/python3.") for path in sources):
                    return None
                return [path for path in sources if path.startswith(public)]
            case ["-p", name, folder]:
                return [path for path in self._sources(name) if path.startswith(folder)]
            case _:
                return None

    def _compile(self, version: str, names: Sequence[str]) -> None:
        if names:
            # The scripts, one after the other, are what is waited for.
            root = ("nice", "chroot", str(self._root))
            subprocess.run(
                (*root, f"/usr/bin/python{version}", "-E", "-S", self._PROGRAM, "-"),
                input="".join(f"{name}\n" for name in names).encode(),
                check=True,
            )

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Have calls noted instead of done; the compilers that run have read their program already."""
        with contextlib.ExitStack() as stack:
            if self._begun:
                noted = self._NOTED
                ((version, compiler),) = self._compilers.items()
                real = f"/{compiler.relative_to(self._root)}.real"
                stub = self._COMPILER.format(noted=noted, version=version, real=real)
                stack.enter_context(_instead(compiler, stub))
                py3compile = self._root / "usr/bin/py3compile"
                if py3compile.is_file():
                    stack.enter_context(_instead(py3compile, self._PY3COMPILE.format(noted=noted)))
            yield

    def finish(self) -> None:
        """Have exactly what was asked for."""
        for future in self._begun:
            future.result()
        if not self._begun:
            return
        asked, left = self._noted()
        for name in self._done - asked:
            for path in Path(f"{self._root}{name}").parent.glob(f"__pycache__/{Path(name).stem}.*.pyc"):
                path.unlink()
            with contextlib.suppress(OSError):
                (Path(f"{self._root}{name}").parent / "__pycache__").rmdir()
        self._compile(next(iter(self._compilers)), sorted(asked - self._done))
        for words in left:
            _chroot(self._root, "py3compile", *words)
        (self._root / self._PROGRAM[1:]).unlink()

    def _noted(self) -> tuple[set[str], list[list[str]]]:
        """The files that were asked for, and the calls of py3compile that it has to be asked about."""
        path = Path(f"{self._root}{self._NOTED}")
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        asked: set[str] = set()
        left = []
        for line in lines:
            program, *words = line.rstrip("\t").split("\t")
            names = words if program != "py3compile" else self._asked(words)
            if names is None:
                left.append(words)
            else:
                asked.update(names)
        return asked, left


class _Certificates:
    """/etc/ssl/certs, made once, without the some hundred processes of update-ca-certificates(8).

    Nor those by which the package's config script looks for each certificate among the ones that are
    distrusted and trusted by now: both are none where its file is not there yet.
    """

    _LOOK = re.compile(r'\(echo "\$CERTS_(DISABLED|TRUST)" \| grep -F -q -x "\$crt"\) > /dev/null 2>&1')

    def __init__(self, root: Path) -> None:
        self._root = root
        self._config = root / "var/lib/dpkg/info/ca-certificates.config"
        self._tool = root / "usr/sbin/update-ca-certificates"
        self._known = _digest(self._tool) in _CERTIFICATE_TOOLS and not any(
            root.glob("usr/local/share/ca-certificates/*")
        )

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Have the tool do nothing, if it is one that is known, and the script find nothing."""
        with contextlib.ExitStack() as stack:
            if self._config.is_file() and not (self._root / "etc/ca-certificates.conf").exists():
                script = self._LOOK.sub("false", self._config.read_text("utf-8"))
                stack.enter_context(_instead(self._config, script))
            if self._known:
                stack.enter_context(_instead(self._tool, "#!/bin/sh\n"))
            yield

    def finish(self) -> None:
        """Link and bundle what ca-certificates.conf names, in its order; openssl adds hashed links."""
        if not self._known:
            return
        if any(self._root.glob("etc/ca-certificates/update.d/*")):
            _chroot(self._root, "update-ca-certificates")
            return
        folder, bundle = self._root / "etc/ssl/certs", b""
        for line in (self._root / "etc/ca-certificates.conf").read_text("utf-8").splitlines():
            certificate = f"/usr/share/ca-certificates/{line}"
            if line and line[0] not in "#!" and Path(f"{self._root}{certificate}").is_file():
                link = folder / f"{_link_name(line)}.pem"
                link.unlink(missing_ok=True)
                link.symlink_to(certificate)
                content = Path(f"{self._root}{certificate}").read_bytes()
                bundle += content if content.endswith(b"\n") else content + b"\n"
        _chroot(self._root, "openssl", "rehash", "/etc/ssl/certs")
        (folder / "ca-certificates.crt").write_bytes(bundle)
        (folder / "ca-certificates.crt").chmod(0o644)


def _link_name(line: str) -> str:
    name = Path(line).name.removesuffix(".crt").replace(" ", "_").replace(",", "_")
    return name.replace("(", "=").replace(")", "=")


# apt's marks


def mark_automatic(root: Path) -> None:
    """Have apt know which packages only came for others, as after mmdebstrap's two steps.

    Those are all that apt added and that the essential ones do not need, which come without apt.
    """
    packages = listed_packages(root)
    automatic = set((root / ADDITIONAL).read_text().split()) - _needed(packages)
    own = (root / "var/lib/dpkg/arch").read_text().split()[0]
    stanzas = []
    for package in packages:
        if package.name in automatic:
            arch = package.fields["Architecture"]
            arch = own if arch == "all" else arch  # as apt notes it
            stanzas.append(f"Package: {package.name}\nArchitecture: {arch}\nAuto-Installed: 1\n\n")
    (root / "var/lib/apt/extended_states").write_text("".join(stanzas))
    (root / ADDITIONAL).unlink()


def _needed(packages: Sequence[ListedPackage]) -> set[str]:
    """Names of the essential packages, and of what they need."""
    offers: dict[str, list[ListedPackage]] = {}
    for package in packages:
        for name in (package.name, *_names(package.fields.get("Provides", ""))):
            offers.setdefault(name, []).append(package)
    needed: set[str] = set()
    waiting = [package for package in packages if package.fields.get("Essential") == "yes"]
    while waiting:
        package = waiting.pop()
        if package.name not in needed:
            needed.add(package.name)
            for field in ("Pre-Depends", "Depends"):
                for choice in package.fields.get(field, "").split(","):
                    found = [one for name in _names(choice) for one in offers.get(name, ())]
                    waiting.extend(found[:1])
    return needed


def _names(relation: str) -> list[str]:
    """The names in a relation between packages (deb-control(5))."""
    words = (word.strip() for word in re.split(r"[,|]", relation))
    return [re.split(r"[\s(:\[<]", word, maxsplit=1)[0] for word in words if word]


if __name__ == "__main__":
    main()
