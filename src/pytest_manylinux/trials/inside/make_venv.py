"""A venv made as `python3 -m venv` makes it, without compiling pip twice again.

ensurepip runs pip out of a wheel, where each import compiles a source, and pip then compiles all that
it has installed: three quarters of the time that a venv takes. A distro that has pip as a package has
the same files compiled already. Here ensurepip's pip is imported from those, where each file is equal
byte for byte, and what it installs gets their bytecode, with its own path in it. All else is the
distro's: its venv, its ensurepip, its pip. What is not equal is imported and compiled as ever.

Runs inside the distro: Python 3.6 or later, standard library only. Arguments: the venv's folder; in the
venv's own Python, which this program starts in ensurepip's place: `--seed`, the distro's folders of
packages, `--`, ensurepip's arguments.
"""

import importlib.util
import marshal
import os
import runpy
import subprocess
import sys
import zipfile

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

SEED = "--seed"
END = "--"
HEADER = 16  # bytes of a compiled file before its code (PEP 552)


def main() -> int:
    """Make the venv, or seed one; gives the exit code."""
    if sys.argv[1] != SEED:
        return make(sys.argv[1])
    end = sys.argv.index(END)
    return seed(sys.argv[2:end], sys.argv[end + 1 :])


def make(place: str) -> int:
    """Have the distro's own `venv` make it, with this program where it would start ensurepip."""
    import venv

    started = subprocess.check_output

    def start(command: "Iterable[str]", *positional: object, **named: object) -> object:
        return started(in_its_place(list(command)), *positional, **named)  # type: ignore[call-overload]

    subprocess.check_output = start  # type: ignore[assignment]
    venv.main([place])
    return 0


def in_its_place(command: "list[str]") -> "list[str]":
    """The command that starts this program, for one that starts ensurepip; any other as it is."""
    if "ensurepip" not in command:
        return command
    at = command.index("ensurepip")
    isolated = ["-I"] if command[at - 1] == "-Im" else []
    before, arguments = command[: at - 1], command[at + 1 :]
    return [*before, *isolated, os.path.abspath(__file__), SEED, *sites(), END, *arguments]


def sites() -> "list[str]":
    """The folders of packages of the Python that makes the venv."""
    ends = ("site-packages", "dist-packages")
    return [path for path in sys.path if os.path.basename(path) in ends and os.path.isdir(path)]


def seed(folders: "list[str]", arguments: "list[str]") -> int:
    """Be ensurepip, but for where its pip is imported from, and how it compiles."""
    import compileall
    import ensurepip
    import tempfile

    compiles = compileall.compile_file

    def compile_file(path: str, *positional: object, **named: object) -> bool:
        return lent(folders, path) or compiles(path, *positional, **named)  # type: ignore[arg-type]

    with tempfile.TemporaryDirectory() as links:

        def run_pip(words: "list[str]", additional_paths: "Iterable[str] | None" = None) -> int:
            wheels = [str(path) for path in additional_paths or ()]
            link_equals(wheels, folders, links)
            sys.path[:] = [links, *wheels, *sys.path]
            sys.argv[1:] = words
            return run_module("pip")

        compileall.compile_file = compile_file  # type: ignore[assignment]
        # Its parts, not its interface: where they are other ones, the venv is made without us.
        ensurepip._run_pip = run_pip  # type: ignore[attr-defined]  # noqa: SLF001
        return ensurepip._main(arguments) or 0  # type: ignore[attr-defined]  # noqa: SLF001


def run_module(name: str) -> int:
    """Run a module as `-m` does; gives its exit code."""
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def link_equals(wheels: "list[str]", folders: "list[str]", links: str) -> None:
    """Lay links to those of the distro's packages whose sources are those of a package in a wheel.

    The metadata are not among them: pip would take what it is going to install as installed.
    """
    for wheel in wheels:
        for package, sources in packages_of(wheel).items():
            for folder in folders:
                there = os.path.join(folder, package)
                if is_equal(there, sources) and not os.path.lexists(os.path.join(links, package)):
                    os.symlink(there, os.path.join(links, package))


def packages_of(wheel: str) -> "dict[str, dict[str, bytes]]":
    """The files of each package at the top of a wheel, by their paths below it."""
    found = {}  # type: dict[str, dict[str, bytes]]
    if not zipfile.is_zipfile(wheel):
        return found
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            package, _, path = name.partition("/")
            if package.isidentifier() and path and not path.endswith("/"):
                found.setdefault(package, {})[path] = archive.read(name)
    return found


def is_equal(folder: str, files: "dict[str, bytes]") -> bool:
    """Whether a folder has these files, and no other Python file."""
    own = {
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.endswith(".py")
    }
    return own <= set(files) and all(
        content == read(os.path.join(folder, path)) for path, content in files.items()
    )


def lent(folders: "list[str]", path: str) -> bool:
    """Give a source the bytecode that an equal one of the distro has; tells whether there is any."""
    relative = inside_site(path)
    source = read(path) if relative else None
    if source is None or not hasattr(compile("", "", "exec"), "replace"):  # from Python 3.8 on
        return False
    for folder in folders:
        there = os.path.join(folder, relative)
        if read(there) == source:
            code = compiled(there)
            return code is not None and write(path, source, renamed(code, there, path))
    return False


def inside_site(path: str) -> str:
    """A path below the folder of packages that it is in; empty where it is in none."""
    _, found, relative = path.partition("/site-packages/")
    return relative if found else ""


def compiled(path: str) -> "CodeType | None":
    """The code in a source's compiled file, if that is of this Python and of this source."""
    content = read(importlib.util.cache_from_source(path)) or b""
    status = os.stat(path)
    if content[:HEADER] != header(int(status.st_mtime), status.st_size):
        return None
    return marshal.loads(content[HEADER:])  # type: ignore[no-any-return]  # noqa: S302 - imports do


def header(modified: int, size: int) -> bytes:
    """The beginning of a compiled file that is good for one date of its source (PEP 552)."""
    words = (number & 0xFFFFFFFF for number in (0, modified, size))
    return importlib.util.MAGIC_NUMBER + b"".join(word.to_bytes(4, "little") for word in words)


def renamed(code: "CodeType", old: str, new: str) -> "CodeType":
    """The same code for a source in another place."""
    constants = tuple(
        renamed(one, old, new) if isinstance(one, type(code)) else one for one in code.co_consts
    )
    name = new if code.co_filename == old else code.co_filename
    return code.replace(co_filename=name, co_consts=constants)


def write(path: str, source: bytes, code: "CodeType") -> bool:
    """Write a source's compiled file, with the rights that py_compile gives it."""
    place = importlib.util.cache_from_source(path)
    status = os.stat(path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        file.write(header(int(status.st_mtime), len(source)) + marshal.dumps(code))
    os.chmod(place, status.st_mode & 0o666 | 0o200)
    return True


def read(path: str) -> "bytes | None":
    """What is in a file; None if there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
