"""`pytest-manylinux plan`: where a run would try a release's wheels, told from their names alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_json, plain_line

TYPE_CHECKING = False  # `typing` and all else is imported when the command runs
if TYPE_CHECKING:
    from pytest_manylinux.run.collection import Context

_SDIST = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
_FLAGS = {
    "distros": "ids, aliases or groups of distros, separated by commas",
    "python": "Pythons, such as 3.11, cp314t, pp311, gp312, >=3.11",
    "build": "patterns of builds, such as cp3{11,12}-*",
    "skip": "patterns of builds to leave out, such as *-musllinux_*",
    "archs": "architectures: auto, native, all, or names such as aarch64",
    "other-pythons": "Pythons that no chosen distro packages: standalone, source, any, none",
}
_NAMED = 3  # wheels named after a reason; --verbose and --json name all


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWheel:
    """A wheel by its name: `targets` are ids, `reason` says why there is none.

    `interpreter` is its Python or its stable ABI (`cp314t`, `pp311`, `abi3`), `platform` is `manylinux`
    for Linux with glibc, `musllinux` for one with musl alone, or `other`. `origins` say where the
    targets have their Pythons from: `distro`, `standalone`, `source`.
    """

    name: str
    project: str
    interpreter: str
    platform: str
    arch: str
    targets: tuple[str, ...]
    origins: frozenset[str] = frozenset()
    reason: str = ""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan`."""
    parser = subparsers.add_parser(
        "plan",
        help="tell from wheels' names on which targets a run would try them, and why not on others",
        description="Plan wheels as `pytest --manylinux` would in this folder, by their names alone: "
        "they need not be there, and nothing is built or tried. Exit code 0 if the share with a target "
        "is at least what --require-coverage asks for, else 3.",
    )
    parser.add_argument(
        "wheels", nargs="*", metavar="NAME", help="wheels' file names, addresses, files or folders"
    )
    parser.add_argument(
        "--names", metavar="FILE", help="read more names from a file, one a line; - for standard input"
    )
    for name, words in _FLAGS.items():
        parser.add_argument(
            f"--{name}",
            f"--manylinux-{name}",
            dest=f"manylinux_{name.replace('-', '_')}",
            metavar=name.upper(),
            help=f"{words} (default: as `pytest --manylinux` here)",
        )
    parser.add_argument(
        "--require-coverage",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="how many of the wheels must have a target (default: at least one wheel)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print each wheel and its targets")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(func=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.config.settings import as_percentage  # noqa: PLC0415
    from pytest_manylinux.run.collection import context_here  # noqa: PLC0415

    least = as_percentage(arguments.require_coverage, "--require-coverage")
    context = context_here(vars(arguments), show=print, only_planned=True)
    found = planned_wheels(context, _names(arguments))
    share = 100 * sum(bool(wheel.targets) for wheel in found) / len(found)
    if arguments.json:
        print(plain_json(json.dumps(_as_json(found), indent=2)))
    else:
        distros = ", ".join(distro.id for distro in context.run.distros(context.run.settings))
        print(f"Planned for {distros}")
        print("\n".join(plain_line(line) for line in _lines(found, verbose=arguments.verbose)))
    if share == 0 or share < least:
        return ExitCode.NOT_PROVEN
    return ExitCode.OK


def planned_wheels(context: Context, names: Iterable[str]) -> list[PlannedWheel]:
    """Plan each wheel as a run does whose path is its name."""
    from pytest_manylinux.report.labels import wheel_name  # noqa: PLC0415

    found = []
    for name in names:
        subject, targets = context.plan_wheel(Path(name))
        if not subject.tags:
            reason = "its name is not that of a wheel: NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        else:
            reason = "" if targets else str(context.why_untargeted(subject))
        parts = wheel_name(name)
        found.append(
            PlannedWheel(
                name=name,
                project=parts.project if parts else name,
                interpreter=_interpreter(parts.python) if parts else "?",
                platform=_platform(tag.platform for tag in subject.tags),
                arch=(parts.arch or parts.policy) if parts else "?",
                targets=tuple(target.id for target in targets),
                origins=frozenset(target.interpreter.origin.value for target in targets),
                reason=reason,
            )
        )
    return found


def _interpreter(python: str) -> str:
    """`cp39-abi3` counts as abi3, `pp311-pypy311_pp73` as pp311."""
    tag, _, abi = python.partition("-")
    stable = [word for word in abi.split(".") if word.startswith("abi3")]
    return max(stable, default=tag)


def _platform(tags: Iterable[str]) -> str:
    known = list(tags)
    if any(tag.startswith(("manylinux", "linux_")) for tag in known):
        return "manylinux"
    return "musllinux" if any(tag.startswith("musllinux") for tag in known) else "other"


def _names(arguments: argparse.Namespace) -> list[str]:
    """All names, each once; raises UsageError where there is none, or something is not a wheel's."""
    found = [*_from_words(arguments.wheels)]
    if arguments.names is not None:
        found += _from_file(arguments.names)
    if not found:
        raise UsageError(
            "no wheels are named",
            remedy="name wheels, or a folder of them, or a file with names: --names FILE",
        )
    return list(dict.fromkeys(found))


def _from_words(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = [entry.name for entry in sorted(path.glob("*.whl"))]
            if not inside:
                raise UsageError(f"{word}: no wheel there", remedy="name a folder that holds some")
            yield from inside
        elif (name := _base_name(word)).endswith(".whl"):
            yield name
        else:
            raise UsageError(
                f"{word}: neither a wheel's name nor a folder",
                remedy="name wheels; `pytest --manylinux --collect-only PATH` shows a project's plan",
            )


def _from_file(file: str) -> Iterator[str]:
    """The wheels' names in a file; sdists, blank lines and comments are skipped."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read", why=str(error)) from error
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        name = _base_name(word)
        if name.endswith(".whl"):
            yield name
        elif not name.endswith(_SDIST):
            raise UsageError(
                f"{file}, line {number}: {word!r} is not a wheel's name",
                remedy="write a file name a line: demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
            )


def _base_name(word: str) -> str:
    """The file's name in a path or an address, as `pip download` and indexes print them."""
    path = unquote(urlsplit(word).path) if "://" in word else word
    return PurePosixPath(path).name


def _lines(found: Sequence[PlannedWheel], *, verbose: bool) -> Iterator[str]:
    if verbose:
        for wheel in found:
            yield f"{wheel.name}: {' '.join(wheel.targets) or 'no target'}"
        yield ""
    projects = len({wheel.project for wheel in found})
    yield f"{_share(found)} have a target ({projects} {'project' if projects == 1 else 'projects'})"
    yield from _added(found)
    for title, key in (("architecture", "arch"), ("interpreter", "interpreter")):
        yield ""
        yield from _table(title, key, found)
    yield from _reasons([wheel for wheel in found if not wheel.targets], verbose=verbose)


_ORIGINS = {
    "standalone": "standalone Pythons alone, which uv lists; a run fetches each once, a plan none",
    "source": "Pythons alone that a run builds from source, each once",
}


def _added(found: Iterable[PlannedWheel]) -> Iterator[str]:
    """How many wheels would have no target but for Pythons that no chosen distro packages."""
    others = [wheel.origins for wheel in found if wheel.origins and "distro" not in wheel.origins]
    for origin, words in _ORIGINS.items():
        if count := sum(origin in origins for origins in others):
            yield f"{count:>6,} of them on {words}"


def _share(found: Sequence[PlannedWheel]) -> str:
    count = sum(bool(wheel.targets) for wheel in found)
    noun = "wheel" if len(found) == 1 else "wheels"
    return f"{count:,} of {len(found):,} {noun} ({_percent(count, len(found))})"


def _percent(count: int, total: int) -> str:
    """Rounded down, so that only all of them are 100 %."""
    return f"{100 * count // total} %"


def _table(title: str, key: str, found: Sequence[PlannedWheel]) -> Iterator[str]:
    """A row for each value of an attribute, Pythons in their order; a column for each platform."""
    from pytest_manylinux.report.matrix import wheel_order  # noqa: PLC0415

    platforms = [p for p in ("manylinux", "musllinux", "other") if any(w.platform == p for w in found)]
    values = sorted({getattr(wheel, key) for wheel in found}, key=lambda value: wheel_order(value, ""))
    width = max(len(title), len("all"), *map(len, values))
    yield f"{title:<{width}}" + "".join(f"  {platform:>20}" for platform in platforms)
    for value in [*values, "all"]:
        rows = [wheel for wheel in found if value in {getattr(wheel, key), "all"}]
        cells = (_cell([w for w in rows if w.platform == platform]) for platform in platforms)
        yield (f"{value:<{width}}" + "".join(f"  {cell:>20}" for cell in cells)).rstrip()


def _cell(wheels: Sequence[PlannedWheel]) -> str:
    if not wheels:
        return ""
    count = sum(bool(wheel.targets) for wheel in wheels)
    return f"{count:,} of {len(wheels):>5,}  {_percent(count, len(wheels)):>5}"


def _reasons(left: Sequence[PlannedWheel], *, verbose: bool) -> Iterator[str]:
    """Each reason once, with the wheels that it is for."""
    if not left:
        return
    yield ""
    yield f"{len(left):,} without a target:"
    for reason, count in Counter(wheel.reason for wheel in left).most_common():
        names = [wheel.name for wheel in left if wheel.reason == reason]
        yield f"{count:>6,}: {reason}"
        shown = names if verbose else names[:_NAMED]
        yield from (f"          {name}" for name in shown)
        if len(shown) < count:
            yield f"          and {count - len(shown):,} more"


def _as_json(found: Sequence[PlannedWheel]) -> dict[str, object]:
    return {
        "wheels": [
            {
                "file": wheel.name,
                "project": wheel.project,
                "interpreter": wheel.interpreter,
                "platform": wheel.platform,
                "architecture": wheel.arch,
                "targets": list(wheel.targets),
                "pythons": sorted(wheel.origins),
                "reason": wheel.reason,
            }
            for wheel in found
        ],
        "planned": sum(bool(wheel.targets) for wheel in found),
        "total": len(found),
    }
