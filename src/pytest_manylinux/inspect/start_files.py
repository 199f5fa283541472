"""Files that every start of Python reads: path configuration files (.pth), `.start` files from 3.15 on.

The rules of the module site: they count directly in site-packages. A line of a `.pth` is a folder for
sys.path, or begins with `import` and is executed (to Python 3.17). PEP 829: a line of a `.start` is a
callable, `package.module:function`; they take the place of import lines in the `.pth` of its name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_manylinux.inspect.names import installed_path, module_place
from pytest_manylinux.inspect.python_code import syntax_needs
from pytest_manylinux.model.wheel import StartLine

_SUFFIXES = (".pth", ".start")
_IMPORT = re.compile(r"import[ \t]")
_PLAIN = re.compile(r"import[ \t]+(?P<names>[\w.]+(?:[ \t]*,[ \t]*[\w.]+)*)[ \t]*(?P<rest>;.*)?")
_CALLABLE = re.compile(r"(?P<module>\w+(?:\.\w+)*)[ \t]*:[ \t]*\w+(?:\.\w+)*")
# Words of code that may make modules importable which lie elsewhere.
_SEARCH = re.compile(
    rb"sys\.path|meta_path|path_hooks|addsitedir|sys\.modules|\bexec\b|__import__|import_module"
)


@dataclass(frozen=True, slots=True)
class StartFile:
    """The lines of one file that say something, with their numbers, and the folders among them.

    The folders are those below site-packages. `unreadable` says why a Python before 3.15 ends over it.
    """

    lines: tuple[tuple[int, str], ...] = ()
    folders: tuple[str, ...] = ()
    unreadable: str = ""


def is_start_file(name: str) -> bool:
    """Whether every start of Python reads the file of this name in a wheel."""
    return name.endswith(_SUFFIXES) and "/" not in (installed_path(name) or "/")


def read_start_file(name: str, data: bytes) -> StartFile:
    """Read such a file; one that is not UTF-8 has no lines."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return StartFile(unreadable=str(error))
    numbered = enumerate(data.decode("utf-8-sig").splitlines(), 1)
    lines = tuple((n, line) for n, line in numbered if line.strip() and not line.startswith("#"))
    if not name.endswith(".pth"):
        return StartFile(lines=lines)
    named = (posixpath.normpath(line.strip()) for _, line in lines if not _IMPORT.match(line))
    return StartFile(
        lines=lines,
        folders=tuple(one for one in named if one != "." and not one.startswith(("/", ".."))),
    )


def start_lines(
    files: Mapping[str, StartFile], sources: Mapping[str, bytes], lowest: int
) -> tuple[StartLine, ...]:
    """What the lines amount to. `sources` are the wheel's modules by their paths.

    The executed lines are compiled, by a process of its own, for Python 3.`lowest` and later.
    """
    code = {f"{path}:{n}": line.encode() for path, n, line in _each(files) if _IMPORT.match(line)}
    # A line is code by itself, so that each is compiled alone.
    wrong = {need.path: need.message for need in syntax_needs(code, lowest) if need.refused_by}
    modules = {place: data for path, data in sources.items() if (place := module_place(path))}
    unreadable = (
        StartLine(path=path, line=0, text="", error=file.unreadable, fatal=True)
        for path, file in files.items()
        if file.unreadable
    )
    told = (
        _line(path, n, line, wrong.get(f"{path}:{n}", ""), modules) for path, n, line in _each(files)
    )
    return (*unreadable, *told)


def _each(files: Mapping[str, StartFile]) -> Iterator[tuple[str, int, str]]:
    for path, file in files.items():
        yield from ((path, number, line) for number, line in file.lines)


def _line(path: str, number: int, line: str, error: str, modules: Mapping[str, bytes]) -> StartLine:
    if path.endswith(".start"):
        match = _CALLABLE.fullmatch(line.strip())
        found = match["module"] if match else ""
        wrong = "" if match else "it is not package.module:function"
        return StartLine(
            path=path,
            line=number,
            text=line,
            imports=(found,) if found else (),
            error=wrong,
            changes_search=True,
        )
    if not _IMPORT.match(line):
        return StartLine(path=path, line=number, text=line.strip(), folder=True)
    plain = _PLAIN.match(line)
    names = tuple(name.strip() for name in plain["names"].split(",")) if plain else ()
    simple = plain is not None and plain.end() == len(line.rstrip()) and not plain["rest"]
    code = (data for name in names for data in _code(name, modules))
    return StartLine(
        path=path,
        line=number,
        text=line,
        imports=names,
        error=error,
        changes_search=not simple or any(map(_SEARCH.search, code)),
    )


def _code(name: str, modules: Mapping[str, bytes]) -> Iterator[bytes]:
    place = name.replace(".", "/")
    yield from (modules[one] for one in (f"{place}.py", f"{place}/__init__.py") if one in modules)
