"""What a wheel's Python sources tell without being run.

Which libraries they open by ctypes or cffi: a search for the calls and for the names of libraries near
them; code that computes a name is told as the pattern `*`. It is a hint that a library may be in the
process before a module needs it, no more. Which Python they are for: they are compiled, and parsed for
older versions where they look as if they used newer syntax. What a package's `__init__` imports first,
and what every import of the wheel imports and opens: what stands unindented in the modules that its
top-level names lead to, and so is in no function, condition or `try`.
"""

from __future__ import annotations

import json
import keyword
import marshal
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path

from pytest_manylinux.inspect.names import makes_modules, module_place
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import ImportEffect, ModuleFile, SyntaxNeed

MAX_SOURCE = 1024 * 1024
"""Bytes of a source that is looked at; tables of generated data are larger, code is not."""

OPENS_TO_ALL = (b"RTLD_GLOBAL", b"setdlopenflags", b"mode=")
"""Words of code that may open a library for all others to find its symbols in (ctypes, sys)."""

_CALLS = (b"CDLL", b"LoadLibrary", b"dlopen")
_CALL = re.compile(rb"(?:CDLL|LoadLibrary|dlopen)\s*\(\s*(?P<what>[^\s,)]*)")
# Arguments that name no file of the wheel: the process itself, or what the system is asked for.
_NOT_OURS = re.compile(rb"None|(?:ctypes\.util\.)?find_library|['\"]")
_NAME = re.compile(rb"['\"](?P<name>[^'\"\n]{1,200}\.so(?:\.[^'\"\n/]{0,20})?\*?)['\"]")
_HOLES = re.compile(r"\{[^}]*\}|%\w|%\([^)]*\)\w")


def opened_libraries(data: bytes) -> tuple[str, ...]:
    """Patterns of the library file names that a source opens by itself, sorted."""
    if not any(call in data for call in _CALLS):
        return ()
    names = {_HOLES.sub("*", m["name"].decode("utf-8", "replace")) for m in _NAME.finditer(data)}
    if names:
        return tuple(sorted(name.rpartition("/")[2] for name in names))
    calls = [call["what"] for call in _CALL.finditer(data)]
    return () if all(map(_NOT_OURS.match, calls)) else ("*",)


# A module of the name in {0} is imported: by a statement, or by a call.
_IMPORTED = (
    r"^[ \t]*(?:from[^\n]*\bimport[ \t]*\([^)]*\b{0}\b|(?:from|import)\b[^\n]*\b{0}\b)"
    r"|(?:import_module|__import__)[ \t]*\([^)]*\b{0}\b"
)


def without_named(
    modules: Iterable[ModuleFile], elf: Iterable[ElfFacts], sources: Collection[bytes]
) -> tuple[ModuleFile, ...]:
    """Files called like modules, but for those that are only called so.

    Such a file makes no module of anything, and code of the wheel names it by its path (memray has a
    debugger load one into another process) while nothing imports it.
    """
    idle = {file.path for file in elf if not makes_modules(file)}
    return tuple(
        one
        for one in modules
        if one.has_init or one.path not in idle or not _is_named(one.path, sources)
    )


def _is_named(path: str, sources: Iterable[bytes]) -> bool:
    """Whether a source has the file's name in a string, perhaps with holes, and none imports it."""
    file = path.rpartition("/")[2]
    stem = file.partition(".")[0]
    imported = re.compile(_IMPORTED.format(re.escape(stem)).encode(), re.MULTILINE)
    named = False
    for data in (data for data in sources if stem.encode() in data):
        if imported.search(data):
            return False
        words = (m["name"].decode("utf-8", "replace").rpartition("/")[2] for m in _NAME.finditer(data))
        patterns = (_HOLES.sub("*", word) for word in words)
        named = named or any(stem in one and fnmatchcase(file, one) for one in patterns)
    return named


NEWEST = sys.version_info.minor
"""The minor version of the Python that runs this, whose compiler is asked."""

LAST_GRAMMAR = 15
"""The newest minor version of Python 3 whose new syntax the signs below know."""

MAX_CODE = 64 * 1024 * 1024
"""Bytes of one wheel's sources that are compiled."""

COMPILE_TIMEOUT = 60.0
"""Seconds for all compiling of one wheel."""

_SHARE = 1 << 18
"""Bytes of code that are worth a process of their own."""
_PROCESSES = 4
"""The most that compile for one wheel; other wheels are read at the same time."""
_Asked = dict[str, tuple[bytes, bool]]
_Answer = dict[str, tuple[int | None, int, str]]

# Signs of syntax by the first minor version of Python 3 that has it (the grammars of 3.7 to 3.15; PEPs
# 563, 572, 570, 614, 634, 646, 654, 695, 750, 758, 798, 810). What they find is parsed, so that a false
# hit costs time only, or an answer.
_SIGNS = {
    7: rb"^from[ \t]+__future__[ \t]+import\b[^\n]*(?:\bannotations\b|\()",
    8: (
        rb":=|,[ \t]*/[ \t]*[,)]|^[ \t]*/[ \t]*,|\bf?r?f?['\"][^'\"\n]*=\}"
        rb"|\b(?:return|yield)\b[^\n]*\*"
    ),
    9: rb"^[ \t]*(?:async[ \t]+)?with[ \t]*\(|^[ \t]*@(?:\(|[\w.]+\[|[\w.]+\([^)\n]*\)[.\[(])",
    10: rb"^[ \t]*match\b[^=\n]*:[ \t]*(?:#.*)?$|[\[{][^\n]*:=",
    11: rb"\bexcept[ \t]*\*|[\w)\]][ \t]*\[[^\]\n]*\*|\*\w+[ \t]*:[ \t]*\*",
    12: rb"^[ \t]*type[ \t]+\w+[ \t]*[=\[]|^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+\w+[ \t]*\[",
    14: rb"\bexcept\b[^:(\n]*,|(?i:\b(?:t|rt|tr))['\"]",
    15: rb"[\[{(][ \t]*\*{1,2}[^\n]*\bfor\b|^[ \t]*lazy[ \t]+(?:from|import)\b",
}
# What an f-string may hold from Python 3.12 on (PEP 701): quotes of its own kind, a backslash or the
# end of the line in an expression; looked for roughly.
_PEP_701 = 12
_FSTRING = (
    rb"(?i:\b(?:f|rf|fr))(?:\"\"\"|'{3}"
    rb"|\"[^\"\n]*\{[^\"}\n]*(?:[\"\\]|$)|'[^'\n]*\{[^'}\n]*(?:['\\]|$))"
)
_COMPILER = Path(__file__).with_name("compile_sources.py")
_WORD = rf"(?!(?:__future__|{'|'.join(keyword.kwlist)})\b)[A-Za-z_]\w*"
_PATH = rf"{_WORD}(?:\.{_WORD})*"
# Lines that every Python 3 compiles: remarks, imports, a string.
_NAMES, _PATHS = (rf"{one}(?: as {_WORD})?(?:, {one}(?: as {_WORD})?)*" for one in (_WORD, _PATH))
_PLAIN = re.compile(
    rf"(?:[ \t]*(?:#(?![^\n]*coding)[ -~]*)?\n|{_WORD} = \"[\w.+ -]*\"\n"
    rf"|import {_PATHS}\n|from (?:\.+(?:{_PATH})?|{_PATH}) import {_NAMES}\n)*".encode()
)
_IMPORT = re.compile(
    r"^(?:from[ \t]+(?P<where>\.[\w.]*)[ \t]+import[ \t]+(?P<what>\([^)]*\)|[^\n]+)"
    r"|import[ \t]+(?P<whole>[\w., \t]+))",
    re.MULTILINE,
)
_STATEMENT = (
    r"(?:from[ \t]*(?P<dots>\.*)[ \t]*(?P<where>[\w.]*)[ \t]+import\b[ \t]*(?P<what>\([^)]*\)|[^\n]+)"
    r"|import[ \t]+(?P<whole>[^\n;]+))"
)
# As setuptools had namespace packages begin: __import__('pkg_resources').declare_namespace(__name__).
_IMPORT_CALL = (
    r"(?:\w+[ \t]*=[ \t]*)?(?:__import__|(?:importlib\.)?import_module)"
    r"[ \t]*\([ \t]*(?P<quote>['\"])(?P<called>\w[\w.]*)(?P=quote)"
)
_ALWAYS = re.compile(f"^(?:{_STATEMENT}|{_IMPORT_CALL})", re.MULTILINE)
_ANYWHERE = re.compile(f"^[ \\t]*{_STATEMENT}", re.MULTILINE)
_CONDITION = re.compile(r"\s*(?:if|elif|else|try|except|finally|match|case|while)\b")
_OPENING = re.compile(
    rb"^(?!def\b|class\b|from\b|import\b|async\b)\w[^#\n]*(?:CDLL|LoadLibrary|dlopen)\s*\(",
    re.MULTILINE,
)
_OPENS = re.compile(r"(?:CDLL|LoadLibrary|dlopen)[ \t]*\(")
_RAISES = re.compile(r"^[ \t]*raise[ \t]+(?:ImportError|OSError|RuntimeError)\b", re.MULTILINE)
_BLOCK = re.compile(r"(?:async[ \t]+)?(?:def|class)[ \t]+(?P<name>\w+)|if[ \t]+__name__\b")
_TEXT = re.compile(rb"(?P<quotes>\"\"\"|'{3}).*?(?P=quotes)", re.DOTALL)


@cache
def _signs(above: int, up_to: int) -> re.Pattern[bytes]:
    """Signs of syntax that came after one minor version, and with another at the latest."""
    wanted = [signs for minor, signs in _SIGNS.items() if above < minor <= up_to]
    wanted += [_FSTRING] if above < _PEP_701 <= up_to else []
    return re.compile(b"|".join(wanted) or rb"(?!)", re.MULTILINE)


def syntax_needs(sources: Mapping[str, bytes], lowest: int) -> tuple[SyntaxNeed, ...]:
    """The sources that not every Python from 3.`lowest` on compiles, by path.

    They are compiled by a process of its own with this very Python, since a source made for it can
    crash a compiler. Its parser knows older grammars too. On newer Pythons the answer for a source that
    it refuses is the same, unless there are signs of syntax that came later.
    """
    asked = {path: code for path, code in sources.items() if not _PLAIN.fullmatch(code)}
    if not asked:
        return ()
    if sum(map(len, asked.values())) > MAX_CODE:
        return (_untold(min(asked), f"the wheel has more than {MAX_CODE} bytes of Python code"),)
    older, newer = _signs(lowest, NEWEST), _signs(NEWEST, LAST_GRAMMAR)
    found = _compiled(lowest, {path: (code, bool(older.search(code))) for path, code in asked.items()})
    if found is None:
        return (_untold(min(asked), "the compiler gave no answer"),)
    return tuple(
        _need(path, *told, later=bool(newer.search(asked[path])))
        for path, told in sorted(found.items())
    )


def _need(path: str, since: int | None, line: int, message: str, *, later: bool) -> SyntaxNeed:
    if line < 0:
        return _untold(path, message)
    last = NEWEST if since is not None or later else max(NEWEST, LAST_GRAMMAR)
    return SyntaxNeed(path=path, since=since, refused_by=last, line=line, message=message)


def _untold(path: str, why: str) -> SyntaxNeed:
    return SyntaxNeed(path=path, since=None, refused_by=0, line=0, message=why)


def _compiled(lowest: int, asked: _Asked) -> _Answer | None:
    """The answer of compile_sources.py, for much code by several at once; None if one gave none."""
    size = sum(len(code) for code, _ in asked.values())
    shares = max(1, min(os.cpu_count() or 1, _PROCESSES, size // _SHARE))
    order = sorted(asked, key=lambda path: len(asked[path][0]), reverse=True)
    parts = [{path: asked[path] for path in order[first::shares]} for first in range(shares)]
    answer: _Answer = {}
    with ThreadPoolExecutor(shares, "compile") as pool:
        for part in pool.map(partial(_compiled_by_one, lowest), parts):
            if part is None:
                return None
            answer |= part
    return answer


def _compiled_by_one(lowest: int, asked: _Asked) -> _Answer | None:
    command = [sys.executable, "-I", "-S", "-W", "ignore", str(_COMPILER)]
    request = marshal.dumps((lowest, asked))
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, check=False, timeout=COMPILE_TIMEOUT
        )
        answer: _Answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return answer


def imported_modules(package: str, data: bytes) -> Iterator[str]:
    """Dotted names that a package's `__init__` may import from itself, by its unindented imports."""
    for match in _IMPORT.finditer(data.decode("utf-8", "replace")):
        if match["whole"]:
            yield from _words(match["whole"])
        elif match["where"].startswith(".") and not match["where"].startswith(".."):
            yield from _imported_from(f"{package}.{match['where'][1:]}".rstrip("."), match["what"])


def _imported_from(base: str, what: str) -> Iterator[str]:
    yield base
    yield from (f"{base}.{word}" for word in _words(re.sub(r"#.*|[()\\]", " ", what)))


def _words(names: str) -> Iterator[str]:
    return (word.split()[0] for word in names.split(",") if word.split())


def import_effects(sources: Mapping[str, bytes], top_level: Iterable[str]) -> tuple[ImportEffect, ...]:
    """What importing these names always does: modules from outside, and libraries that are opened.

    `sources` are the modules of the wheel by their paths. Of a module from outside the first part of
    its name is told, of libraries the patterns of `opened_libraries`; each once.
    """
    found = dict[tuple[str, bool], ImportEffect]()
    for path, code, outside in _run_on_import(sources, top_level):
        for line, name in outside:
            found.setdefault((name, False), ImportEffect(path=path, line=line, name=name))
        if (opening := _OPENING.search(code)) is not None:
            line = code.count(b"\n", 0, opening.start()) + 1
            for name in opened_libraries(sources[path]):
                effect = ImportEffect(path=path, line=line, name=name, opens=True)
                found.setdefault((name, True), effect)
    return tuple(found.values())


def _run_on_import(
    sources: Mapping[str, bytes], top_level: Iterable[str]
) -> Iterator[tuple[str, bytes, list[tuple[int, str]]]]:
    """The modules that importing these names always runs: path, code, and imports from outside.

    Of an import the line is told, and the first part of the name.
    """
    places = {place: path for path in sources if (place := module_place(path))}
    modules = {_dotted(place): (place, path) for place, path in places.items()}
    waiting = deque(name for name in top_level if name in modules)
    seen = set(waiting)
    while waiting:
        place, path = modules[waiting.popleft()]
        code, outside = _without_texts(sources[path]), []
        for line, name in _imported(_ALWAYS, place, code.decode("utf-8", "replace")):
            steps = [name.rsplit(".", up)[0] for up in range(name.count("."), -1, -1)]
            own = [step for step in steps if step in modules]
            if not own:
                outside.append((line, steps[0]))
            waiting.extend(step for step in own if step not in seen)
            seen.update(own)
        yield path, code, outside


def raises_without_library(sources: Mapping[str, bytes], top_level: Iterable[str]) -> bool:
    """Whether importing these names opens a library, perhaps in a function, and can raise on its own.

    That is code which looks for a library in several places, and raises an exception of its own, not in
    a function, where it found none.
    """
    opens = raises = False
    for _, code, _ in _run_on_import(sources, top_level):
        outer, functions = _parts(code.decode("utf-8", "replace"))
        opening = {name for name, body in functions.items() if _OPENS.search(body)}
        for _ in functions:  # and those that call them
            opening |= {name for name, body in functions.items() if _calls(opening, body)}
        opens = opens or bool(_OPENS.search(outer)) or _calls(opening, outer)
        raises = raises or _RAISES.search(outer) is not None
    return opens and raises


def _calls(names: Iterable[str], text: str) -> bool:
    return any(re.search(rf"(?<!def )\b{name}[ \t]*\(", text) for name in names)


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """What of a module runs when it is imported, and its functions and classes by name."""
    outer, inner, name = list[str](), dict[str, list[str]](), ""
    for line in text.split("\n"):
        if line[:1].strip(" \t\r#)]}"):
            found = _BLOCK.match(line)
            name = (found["name"] or "if") if found else ""
        (inner.setdefault(name, []) if name else outer).append(line)
    return "\n".join(outer), {name: "\n".join(lines) for name, lines in inner.items()}


def imports_of(names: Iterable[str], sources: Mapping[str, bytes]) -> tuple[ImportEffect, ...]:
    """Where code imports modules of these dotted names, in functions too; each name once.

    What stands under a condition or in a `try` does not count: there code can do without.
    """
    wanted = {name: name.rpartition(".")[2].encode() for name in names}
    found: dict[str, ImportEffect] = {}
    for path, source in sources.items() if wanted else ():
        place = module_place(path)
        if place is None or not any(word in source for word in wanted.values()):
            continue
        text = _without_texts(source).decode("utf-8", "replace")
        for line, name in _imported(_ANYWHERE, place, text):
            if name in wanted and not _is_conditional(text.split("\n"), line):
                found.setdefault(name, ImportEffect(path=path, line=line, name=name))
    return tuple(found.values())


def _is_conditional(lines: list[str], number: int) -> bool:
    """Whether the line of this number, from 1 on, is in a block that may not run or may fail."""
    depth = _depth(lines[number - 1])
    for line in reversed(lines[: number - 1]):
        if line.strip() and _depth(line) < depth and not line.lstrip().startswith("#"):
            if _CONDITION.match(line):
                return True
            depth = _depth(line)
    return False


def _depth(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())


def _without_texts(source: bytes) -> bytes:
    """A source with empty strings for those in three quotes, its lines where they were."""
    return _TEXT.sub(lambda text: b'""' + b"\n" * text[0].count(b"\n"), source)


def _dotted(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(pattern: re.Pattern[str], place: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import; of `from x import y` both `x` and `x.y` may be modules."""
    package = place.rpartition("/")[0].replace("/", ".")
    for match in pattern.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if called := match.groupdict().get("called"):
            yield line, called
            continue
        if match["whole"]:
            yield from ((line, name) for name in _words(match["whole"].partition("#")[0]))
            continue
        dots, name = match["dots"], match["where"]
        if dots:
            parents = (
                package.rsplit(".", len(dots) - 1)[0] if len(dots) <= package.count(".") + 1 else ""
            )
            name = f"{parents}.{name}".strip(".")
        if name:
            yield from ((line, one) for one in _imported_from(name, match["what"]))
