"""Readers of single values. Each takes what TOML or a command line gave, and the place's name.

All raise UsageError with the place, the value and what would be right.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from pytest_manylinux.config.settings import (
    WHOLE,
    GateRule,
    IgnoreRule,
    IndexChoice,
    as_percentage,
)
from pytest_manylinux.errors import UsageError, nearest
from pytest_manylinux.host.architecture import ARCHITECTURE_WORDS, ARCHITECTURES, X86_64_MODELS
from pytest_manylinux.model.distro import image_file
from pytest_manylinux.model.observation import ALL_LEVELS, ImportDepth
from pytest_manylinux.model.packages import check_names
from pytest_manylinux.model.policy import AUTO_POLICY, LibcKind, PolicyChoice, parse_policy_choice
from pytest_manylinux.model.selection import EVERYTHING, PythonChoice, parse_patterns, parse_pythons
from pytest_manylinux.model.system_calls import DISTRO_KERNEL, kernel_number, parse_kernel
from pytest_manylinux.model.verdict import Expectation


def _wrong(where: str, raw: object, right: str) -> UsageError:
    return UsageError(f"{where}: {raw!r} cannot be used", remedy=right)


def text(raw: object, where: str) -> str:
    """A non-empty string."""
    if isinstance(raw, str) and raw.strip():
        return raw.strip()
    raise _wrong(where, raw, "give a string that is not empty")


def words(raw: object, where: str) -> tuple[str, ...]:
    """A list of strings, or one string with commas or spaces between; order kept, no repeats."""
    if isinstance(raw, str):
        found = [word for word in re.split(r"[\s,]+", raw) if word]
    elif isinstance(raw, list) and all(isinstance(word, str) and word.strip() for word in raw):
        found = [word.strip() for word in raw]
    else:
        raise _wrong(where, raw, "give a list of strings")
    return tuple(dict.fromkeys(found))


def some_words(raw: object, where: str) -> tuple[str, ...]:
    """The same, and at least one."""
    if found := words(raw, where):
        return found
    raise _wrong(where, raw, "name at least one, or leave the setting out")


_NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?", re.ASCII | re.IGNORECASE)


def names(raw: object, where: str) -> tuple[str, ...]:
    """Names of extras or dependency groups (PEP 685 and 735: written as those of projects are)."""
    found = words(raw, where)
    if wrong := next((word for word in found if not _NAME.fullmatch(word)), ""):
        raise UsageError(
            f"{where}: {wrong!r} is not a name",
            remedy="letters and digits, with -, _ or . between them",
        )
    return found


INSTALLERS = ("pip", "uv")


def installers(raw: object, where: str) -> tuple[str, ...]:
    """The programs that install each wheel; pip is always one of them."""
    found = words(raw, where)
    if unknown := next((word for word in found if word not in INSTALLERS), ""):
        hint = nearest(unknown, INSTALLERS)
        raise UsageError(
            f"{where}: there is no installer {unknown!r}", remedy=f"{hint}use {', '.join(INSTALLERS)}"
        )
    if "pip" not in found:
        raise UsageError(
            f"{where}: pip is missing",
            why="what the distro's own pip has installed is what is imported; uv only installs",
            remedy='write installer = ["pip", "uv"]',
        )
    return tuple(word for word in INSTALLERS if word in found)


def package_names(raw: object, where: str) -> tuple[str, ...]:
    """Names of distro packages, in the grammar of at least one package manager."""
    return check_names(words(raw, where), where=where)


def command_lines(raw: object, where: str) -> tuple[str, ...]:
    """A list of command lines, or a single one."""
    if isinstance(raw, str) and raw.strip():
        return (raw.strip(),)
    if isinstance(raw, list) and all(isinstance(line, str) and line.strip() for line in raw):
        return tuple(line.strip() for line in raw)
    raise _wrong(where, raw, "give a command line, or a list of them")


def program_lines(raw: object, where: str) -> tuple[str, ...]:
    """Command lines that are split into words as a shell does, and run without one."""
    lines = command_lines(raw, where)
    for line in lines:
        try:
            found = shlex.split(line)
        except ValueError as error:
            raise _wrong(where, line, f"quote its words as for a shell: {error}") from error
        if not found[0]:
            raise _wrong(where, line, "begin it with the name of a program")
    return lines


def import_depth(raw: object, where: str) -> ImportDepth:
    """`all` or a number from 0, with `:error` behind it where failures are to be errors."""
    word, colon, weight = str(raw).strip().partition(":")
    levels = {"all": ALL_LEVELS, "0": 0}.get(word, _count(word))
    if levels is None or isinstance(raw, bool) or (colon and weight != "error"):
        raise _wrong(where, raw, "give all or a number from 0, with :error behind it if wanted")
    return ImportDepth(levels=levels, decides=bool(colon))


def path(raw: object, where: str) -> Path:
    """A path, as written; who uses it resolves it against the root folder."""
    try:
        return Path(text(raw, where)).expanduser()
    except RuntimeError as error:  # ~ or ~NAME without a home
        raise UsageError(
            f"{where}: {raw!r} cannot be used",
            why="there is no such user, or no home folder",
            remedy="write the folder out",
        ) from error


def policies(raw: object, where: str) -> tuple[PolicyChoice, ...]:
    """Policies by any name, or `auto`; several are for one run, of one C library or of two."""
    found = tuple(dict.fromkeys(parse_policy_choice(word, where=where) for word in words(raw, where)))
    if not found:
        raise _wrong(where, raw, "name a policy, or several with commas between")
    chosen = [choice for choice in found if choice.auto]
    others = [str(choice) for choice in found if not choice.auto and choice.kind is LibcKind.GLIBC]
    if chosen and others:
        raise UsageError(
            f"{where}: {AUTO_POLICY!r} stands beside {', '.join(others)}",
            why=f"{AUTO_POLICY!r} chooses the manylinux policy, which may be the same one",
            remedy=f"leave one of them out; a musllinux policy may stand beside {AUTO_POLICY!r}",
        )
    return found


def pythons(raw: object, where: str) -> PythonChoice:
    """Pythons by name, range or comparison."""
    return parse_pythons(_strings(raw, where), where=where)


def build_patterns(raw: object, where: str) -> tuple[str, ...]:
    """Patterns of build identifiers; without any, all."""
    return parse_patterns(_strings(raw, where), where=where) or EVERYTHING


def skip_patterns(raw: object, where: str) -> tuple[str, ...]:
    """Patterns of build identifiers."""
    return parse_patterns(_strings(raw, where), where=where)


def _strings(raw: object, where: str) -> list[str]:
    """A string, or a list of them."""
    found = [raw] if isinstance(raw, str) else raw
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return found
    raise _wrong(where, raw, "give a list of strings")


def architectures(raw: object, where: str) -> tuple[str, ...]:
    """Cibuildwheel's words for architectures, and names of them."""
    known = (*ARCHITECTURE_WORDS, *ARCHITECTURES)
    read = choice("architecture", known)
    return tuple(str(read(word, where)) for word in some_words(raw, where))


def choice(what: str, known: tuple[str, ...]) -> Callable[[object, str], str]:
    """Make a reader for one word out of `known`."""

    def read(raw: object, where: str) -> str:
        if isinstance(raw, str) and raw.strip() in known:
            return raw.strip()
        hint = nearest(str(raw), known)
        raise UsageError(f"{where}: there is no {what} {raw!r}", remedy=f"{hint}use {', '.join(known)}")

    return read


FOREIGN = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+")
"""The name of an engine or toolchain that a plugin brings (hookspecs.py): it has a dot."""


def choice_or_foreign(what: str, known: tuple[str, ...]) -> Callable[[object, str], str]:
    """Make a reader for one word out of `known`, or a plugin's; whether there is one is seen later."""
    word = choice(what, known)

    def read(raw: object, where: str) -> str:
        if isinstance(raw, str) and FOREIGN.fullmatch(raw.strip()):
            return raw.strip()
        return word(raw, where)

    return read


def builder(known: tuple[str, ...]) -> Callable[[object, str], str]:
    """Make a reader for one word out of `known`, or an image: its name has a `/` or `:`, or a file."""
    word = choice_or_foreign("builder", known)

    def read(raw: object, where: str) -> str:
        name = raw.strip() if isinstance(raw, str) else ""
        if image_file(name) or (re.search(r"[/:@]", name) and not re.search(r"\s|://", name)):
            return name
        try:
            return word(raw, where)
        except UsageError as error:
            error.remedy += " or an image of the manylinux layout, as NAME:TAG or docker-archive:FILE"
            raise

    return read


def kernel(raw: object, where: str) -> str:
    """A kernel's version, `distro` for that of each distro's row, or empty for this machine's."""
    word = "" if raw == "" else text(raw, where)
    return word if word in {"", DISTRO_KERNEL} else kernel_number(parse_kernel(word, where))


def processor(raw: object, where: str) -> str:
    """A level of x86-64 that can be emulated, or empty for this machine's processor."""
    return "" if raw == "" else choice("processor", tuple(X86_64_MODELS))(raw, where)


LONGEST = 86400
"""Seconds of a time limit; under an emulator it is fifteen times as long. poll(2) takes 24 days."""


def seconds(raw: object, where: str) -> float:
    """A positive number of seconds, at most LONGEST."""
    value = _number(raw)
    if not 0 < value <= LONGEST:
        raise _wrong(where, raw, f"give a number of seconds above 0, at most {LONGEST}, a day")
    return value


def _number(raw: object) -> float:
    """A number, or a string that is one; not a number (NaN) for anything else."""
    if isinstance(raw, (int, float, str)) and not isinstance(raw, bool):
        with contextlib.suppress(ValueError, OverflowError):
            return float(raw)
    return math.nan


def address(raw: object, where: str) -> str:
    """A scheduler's address: `HOST:PORT`, with `tcp://`, `tls://` or the like before it."""
    word = text(raw, where)
    if re.fullmatch(r"([a-z]+://)?[^\s/@]+:\d+", word) is None:
        raise _wrong(
            where, raw, "give the address that the scheduler prints, such as tcp://192.0.2.7:8786"
        )
    return word


def job_count(raw: object, where: str) -> int:
    """`auto` (0) or a number from 1."""
    count = 0 if raw == "auto" else _count(raw)
    if count is None:
        raise _wrong(where, raw, f"give auto or a number from 1, of {_DIGITS} digits at most")
    return count


MOST_TRIES = 1000
_DIGITS = 9  # more than any count has; Python itself refuses to read some thousands of them


def repetitions(raw: object, where: str) -> int:
    """A number from 1 to MOST_TRIES."""
    count = _count(raw)
    if count is None or count > MOST_TRIES:
        raise _wrong(where, raw, f"give a number from 1 to {MOST_TRIES}")
    return count


def _count(raw: object) -> int | None:
    """A whole number from 1; None for anything else."""
    if isinstance(raw, (int, str)) and not isinstance(raw, bool):
        digits = str(raw).strip()
        if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS and int(digits):
            return int(digits)
    return None


_LIBRARY_VERSION = re.compile(r"\d[\w.]*")


def library_bounds(raw: object, where: str) -> Mapping[str, str]:
    """A table of libraries and versions, or words of `NAME=VERSION`; names in lower case."""
    if isinstance(raw, dict):
        pairs = list(raw.items())
    else:
        pairs = [(word.partition("=")[0], word.partition("=")[2]) for word in words(raw, where)]
    for name, value in pairs:
        if not isinstance(value, str) or not _LIBRARY_VERSION.fullmatch(value):
            raise _wrong(f"{where}: {name}", value, 'give a version as a string, such as "3.0.16"')
    return {name.lower(): value for name, value in pairs}


def distro_shares(raw: object, where: str) -> Mapping[str, float]:
    """A table of distros and numbers from 0 on, in any unit; not all of them 0."""
    if not isinstance(raw, dict):
        raise _wrong(where, raw, 'write it as a table: { "debian-12" = 31.5, other = 12 }')
    for name, value in raw.items():
        if isinstance(value, str) or not 0 <= _number(value) < math.inf:
            raise _wrong(f"{where}: {name}", value, "give a number of users or of per cent, from 0 on")
    if raw and not any(raw.values()):
        raise _wrong(where, raw, "give at least one distro a number above 0, or leave the table out")
    return {str(name): float(value) for name, value in raw.items()}


def _tables(raw: object, where: str) -> list[Mapping[str, object]]:
    if isinstance(raw, list) and all(isinstance(row, dict) for row in raw):
        return raw
    raise _wrong(where, raw, f"write it as tables: [[{where.rsplit(': ', maxsplit=1)[-1]}]]")


def check_keys(row: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Raise UsageError for a key that is not known, with the nearest that is."""
    for key in row:
        if key not in known:
            raise UsageError(
                f"{where}: there is no setting {key!r}",
                remedy=f"{nearest(key, known)}known are {', '.join(sorted(known))}",
            )


def _required(row: Mapping[str, object], key: str, where: str) -> str:
    if key not in row:
        raise UsageError(f"{where}: {key!r} is missing", remedy=f'add {key} = "…"')
    return text(row[key], f"{where}: {key}")


def _distro_words(raw: object, where: str) -> tuple[str, ...]:
    return words(raw, where) or ("*",)


READY_MADE = {
    "needs-driver": "the library of a device's driver is on no machine without that device",
}
"""Faults that are declared by their name alone, on all distros, and the reason that stands for them."""


OF_A_TEST = "tests-failed"
"""The finding that a declaration of a single test speaks of."""


def expectations(raw: object, where: str) -> tuple[Expectation, ...]:
    """Tables of distro (an id, a list of ids, or `*`), finding or test, reason; or a known word."""
    found: list[Expectation] = []
    rows = raw if isinstance(raw, list) else [raw]
    for word in (row for row in rows if isinstance(row, str)):
        if word not in READY_MADE:
            raise UsageError(
                f"{where}: no ready-made expectation is called {word!r}",
                remedy=f"write it as tables; known by their word alone: {', '.join(READY_MADE)}",
            )
        found.append(Expectation(distro="*", finding=word, reason=READY_MADE[word]))
    tables = raw if isinstance(raw, dict) else [row for row in rows if not isinstance(row, str)]
    for row in _tables(tables, where):
        check_keys(row, ("distro", "finding", "test", "reason"), where)
        test = text(row["test"], f"{where}: test") if "test" in row else ""
        finding = OF_A_TEST if test and "finding" not in row else _required(row, "finding", where)
        reason = _required(row, "reason", where)
        if test and finding != OF_A_TEST:
            raise UsageError(
                f"{where}: a single test is declared for {OF_A_TEST} only, not for {finding!r}",
                remedy='leave out either "test" or "finding"',
            )
        found += [
            Expectation(distro=distro, finding=finding, reason=reason, test=test)
            for distro in _distro_words(row.get("distro", "*"), f"{where}: distro")
        ]
    return tuple(found)


_LOWERED = choice("severity", ("ignore", "information", "warning"))


def ignore_rules(raw: object, where: str) -> tuple[IgnoreRule, ...]:
    """Tables of finding, reason and, where they narrow it, distro, file and severity."""
    found: list[IgnoreRule] = []
    for row in _tables(raw, where):
        check_keys(row, ("finding", "reason", "distro", "file", "severity"), where)
        found += [
            IgnoreRule(
                finding=_required(row, "finding", where),
                reason=_required(row, "reason", where),
                distro=distro,
                file=text(row.get("file", "*"), f"{where}: file"),
                severity=_LOWERED(row.get("severity", "ignore"), f"{where}: severity"),
            )
            for distro in _distro_words(row.get("distro", "*"), f"{where}: distro")
        ]
    return tuple(found)


def rows(raw: object, where: str) -> tuple[Mapping[str, object], ...]:
    """Catalogue rows; the catalogue itself reads what is in them."""
    if isinstance(raw, str) or (isinstance(raw, list) and any(isinstance(row, str) for row in raw)):
        raise _wrong(
            where,
            raw,
            "perhaps you meant distros, which names those to try; a row of your own is a table",
        )
    return tuple(dict(row) for row in _tables(raw, where))


_GATE_KEYS = (
    "require",
    "max-age",
    "allow-ignored",
    "require-tests",
    "signed-by",
    "other-platforms",
    "require-coverage",
    "index",
    "release",
    "require-same-as-last",
    "build-sdist",
)
_INDEX_KEYS = ("rules", "without", "platforms", "max-file-size")
_INDEXES = ("pypi", "none")
_LET_THROUGH = choice("way with other platforms", ("refuse", "allow"))


def _flag(row: Mapping[str, object], key: str, where: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise _wrong(f"{where}: {key}", value, "give true or false")
    return value


def gate_rule(raw: object, where: str) -> GateRule:
    """The gate's table."""
    if not isinstance(raw, dict):
        raise _wrong(where, raw, "write it as a table")
    check_keys(raw, _GATE_KEYS, where)
    age = raw.get("max-age", 0)
    if age != 0 and not 0 < _number(age) < math.inf:
        raise _wrong(f"{where}: max-age (days)", age, "give a number of days above 0")
    return GateRule(
        require=words(raw.get("require", []), f"{where}: require"),
        max_age=float(age),
        allow_ignored=_flag(raw, "allow-ignored", where),
        require_tests=_flag(raw, "require-tests", where),
        signed_by=words(raw.get("signed-by", []), f"{where}: signed-by"),
        other_platforms=_LET_THROUGH(raw.get("other-platforms", "refuse"), f"{where}: other-platforms"),
        require_coverage=as_percentage(
            raw.get("require-coverage", WHOLE), f"{where}: require-coverage"
        ),
        index=index_choice(raw.get("index", "pypi"), f"{where}: index"),
        release=_flag(raw, "release", where),
        require_same_as_last=_flag(raw, "require-same-as-last", where),
        build_sdist=_flag(raw, "build-sdist", where),
    )


def index_choice(raw: object, where: str) -> IndexChoice:
    """`pypi`, `none`, or a table of what a private index asks for."""
    if not isinstance(raw, dict):
        return IndexChoice(name=choice("index", _INDEXES)(raw, where))
    check_keys(raw, _INDEX_KEYS, where)
    size = raw.get("max-file-size", 0)
    if size != 0 and (size := _count(size) or 0) == 0:
        raise _wrong(f"{where}: max-file-size", raw["max-file-size"], "give a number of MiB from 1")
    return IndexChoice(
        name="private",
        rules=words(raw.get("rules", []), f"{where}: rules"),
        without=words(raw.get("without", []), f"{where}: without"),
        platforms=words(raw.get("platforms", []), f"{where}: platforms"),
        max_file_size=size,
    )
