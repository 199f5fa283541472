"""`pytest-manylinux predict`: where wheels will work, without a sandbox."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_json, plain_line

TYPE_CHECKING = False  # `typing` and all else is imported when the command runs
if TYPE_CHECKING:
    from requests import Session
    from rich.table import Table

    from pytest_manylinux.diagnose.forecast import CoveredDistro, FamilyReach, Forecast
    from pytest_manylinux.diagnose.predict import Prediction
    from pytest_manylinux.indexes import IndexFile
    from pytest_manylinux.inspect.remote_wheel import RemoteWheels
    from pytest_manylinux.model.distro import Distro, Target
    from pytest_manylinux.model.verdict import Finding
    from pytest_manylinux.model.wheel import Wheel, WheelFacts


_OURS = ("manylinux", "musllinux", "linux_", "any")
_SDIST = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
_INTERVAL = 0.02  # seconds that a thread may keep the interpreter while others wait
_WIDEST = 10_000  # columns of a table that is not to be folded
_SHOWN = 8  # distros named in a line; --json has all


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `predict`."""
    parser = subparsers.add_parser(
        "predict",
        help="tell from a wheel's bytes on which distros it will work, and why not on others",
        description="Hold wheels against every distro of the catalogue, without a sandbox. Wheels of "
        "one project and version are taken together. Exit code 0 if each project is served somewhere; "
        "with --strict, wheels are judged one by one.",
    )
    parser.add_argument(
        "wheels",
        nargs="+",
        metavar="WHEEL",
        help="wheel files, folders of them, addresses (https://…), or releases (NAME==VERSION)",
    )
    parser.add_argument(
        "--index-url",
        metavar="URL",
        help="the index that has the releases (default: the indexes that pip is set to)",
    )
    parser.add_argument(
        "--distros", default="", metavar="WORDS", help="ids, aliases, groups (default: all rows)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="a line for each wheel; exit code 1 unless each works on every supported distro that its "
        "tags promise, 3 if there is none (for cibuildwheel's audit-command)",
    )
    parser.add_argument(
        "--for",
        dest="counted",
        metavar="WORDS",
        help="with --strict: the distros that count, by ids, aliases, groups (default: supported)",
    )
    parser.add_argument(
        "--policies",
        action="store_true",
        help="what each policy would cost: distros won and lost, what stands in the way, what would "
        "win most (--distros: default supported)",
    )
    parser.add_argument(
        "--shares",
        type=Path,
        metavar="FILE",
        help="with --policies: users by distro, TOML or JSON (default: the setting distro-shares)",
    )
    parser.set_defaults(func=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    # A tenth of the time went into looking for cycles among facts, of which there are none; as much
    # into handing the interpreter to and fro between imports and the threads that unpack.
    interval = sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_INTERVAL)
    try:
        _check_flags(arguments)
        with _subjects(arguments) as subjects:
            if arguments.policies:
                return _policies(arguments, subjects)
            return (_strict if arguments.strict else _answer)(arguments, subjects)
    finally:
        sys.setswitchinterval(interval)
        gc.enable()


def _check_flags(arguments: argparse.Namespace) -> None:
    if arguments.counted is not None and not arguments.strict:
        raise UsageError(
            "--for says which distros count with --strict, which is not here",
            remedy="add --strict, or name the distros to look at by --distros",
        )
    releases = [word for word in arguments.wheels if _is_remote(word) and "://" not in word]
    if arguments.index_url is not None and not releases:
        raise UsageError(
            "--index-url says where releases are, and none is named",
            remedy="name one: NAME==VERSION, or leave --index-url out",
        )
    if arguments.shares is not None and not arguments.policies:
        raise UsageError(
            "--shares says how many users each distro has, for --policies, which is not here",
            remedy="add --policies, or leave --shares out",
        )
    for flag in ("distros", "json", "policies"):
        if arguments.strict and getattr(arguments, flag):
            raise UsageError(
                f"--strict and --{flag} do not go together",
                why="--strict prints a line for each wheel, and --for says which distros count",
                remedy=f"leave --{flag} out, or --strict",
            )


class _Subjects:
    """The wheels that were named, on disk and on servers; `foreign` are other systems'."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.files: list[IndexFile] = []
        self.foreign: list[str] = []
        self.remote: RemoteWheels | None = None
        self.released = False

    def facts(self) -> Iterator[WheelFacts]:
        """The facts of each; raises UsageError if all are for other systems."""
        from pytest_manylinux.inspect.wheel_file import glance  # noqa: PLC0415

        found = False
        remote = (
            self.remote.read((f.url, f.filename, f.sha256) for f in self.files) if self.remote else ()
        )
        for facts in chain(map(glance, self.paths), remote):
            if _for_linux(facts.wheel):
                found = True
                yield facts
            else:
                self.foreign.append(facts.wheel.filename)
        if not found:
            raise _not_for_linux(self.foreign)

    def fetched(self) -> str:
        """A sentence on what was fetched; empty if everything was on disk."""
        if self.remote is None or not self.remote.transfer.size:
            return ""
        transfer = self.remote.transfer
        share = transfer.fetched / transfer.size
        words = f"fetched {transfer.fetched:,} of {transfer.size:,} bytes ({share:.0%})"
        words += f" in {transfer.requests} requests"
        if transfer.whole:
            words += f"; whole, since ranges did not do: {', '.join(transfer.whole)}"
        return plain_line(words)


@contextmanager
def _subjects(arguments: argparse.Namespace) -> Iterator[_Subjects]:
    found = _Subjects()
    remote = [word for word in arguments.wheels if _is_remote(word)]
    found.paths += _paths([word for word in arguments.wheels if not _is_remote(word)])
    if not remote:
        yield found
        return
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from pytest_manylinux.indexes import index_session  # noqa: PLC0415
    from pytest_manylinux.inspect.remote_wheel import RemoteWheels  # noqa: PLC0415

    session = index_session()
    with (
        TemporaryDirectory(prefix="pytest-manylinux-predict-") as folder,
        RemoteWheels(session, Path(folder)) as found.remote,
    ):
        _add_remote(found, remote, arguments.index_url, session)
        yield found


def _is_remote(word: str) -> bool:
    return word.startswith(("http://", "https://")) or ("==" in word and not Path(word).exists())


def _add_remote(found: _Subjects, words: Sequence[str], index: str | None, session: Session) -> None:
    from pytest_manylinux.indexes import file_at, index_urls, release_wheels  # noqa: PLC0415
    from pytest_manylinux.inspect.wheel_file import named_wheel  # noqa: PLC0415

    for word in words:
        if "://" in word:
            files: Sequence[IndexFile] = (file_at(word),)
            if files[0].filename.endswith(_SDIST):
                raise _sdist(word)
        else:
            files = release_wheels(word, (index,) if index else index_urls(), session)
            found.released = True
        for file in files:
            if _for_linux(named_wheel(Path(file.filename))):
                found.files.append(file)
            else:
                found.foreign.append(file.filename)


def _answer(arguments: argparse.Namespace, subjects: _Subjects) -> int:
    found, version = _forecasts(subjects, arguments.distros)
    if arguments.json:
        from pytest_manylinux.diagnose.forecast import to_json  # noqa: PLC0415

        print(plain_json(to_json(found, catalogue_version=version, left_out=subjects.foreign)))
    else:
        if subjects.released:
            _show_release(found)
        for forecast in found:
            _show(forecast)
        for name in subjects.foreign:
            print(f"left out, not for Linux: {plain_line(name)}")
    if words := subjects.fetched():
        print(words, file=sys.stderr)
    served = all(forecast.reach.served for forecast in found)
    return ExitCode.OK if served else ExitCode.NOT_PORTABLE


def _policies(arguments: argparse.Namespace, subjects: _Subjects) -> int:
    from pytest_manylinux.commands.predict_policies import show_policies  # noqa: PLC0415

    code = show_policies(
        subjects.facts(),
        distros=_words(arguments.distros),
        shares=arguments.shares,
        as_json=arguments.json,
        left_out=subjects.foreign,
    )
    if words := subjects.fetched():
        print(words, file=sys.stderr)
    return code


def _show_release(found: Sequence[Forecast]) -> None:
    """A row for each wheel: on how many distros it works or fails, how many lack its Python."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from pytest_manylinux.diagnose.forecast import reach_of_wheel  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("wheel", "works on", "fails on", "no such Python", "fails most by"):
        table.add_column(heading, no_wrap=True)
    for forecast in found:
        for wheel in forecast.wheels:
            reach = reach_of_wheel(wheel, forecast.predictions[wheel.filename])
            counts = (reach.works, reach.fails, reach.without_python)
            shown = (str(len(distros)) for distros in counts)
            table.add_row(escape(plain_line(wheel.filename)), *shown, reach.reason)
    console = Console()
    unlimited = console.options.update(max_width=_WIDEST)
    width = Measurement.get(console, unlimited, table).maximum  # a name is in one piece, to be found
    Console(width=max(width, console.width)).print(table)
    print("(distros, by their own Pythons; one that has none for a wheel is not a failure of it)\n")


def _not_for_linux(names: Sequence[str]) -> UsageError:
    return UsageError(
        "no wheel here is for Linux, which is what the catalogue's distros are",
        why=", ".join(names),
        remedy="name wheels whose platform tag is manylinux, musllinux, linux or any",
    )


def _forecasts(subjects: _Subjects, distros: str) -> tuple[tuple[Forecast, ...], str]:
    """The forecasts and the catalogue's version.

    Unpacking leaves the interpreter to others, so that the rest is imported meanwhile.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    facts = subjects.facts()
    with ThreadPoolExecutor(1, "first-wheel") as executor:
        first = executor.submit(next, facts)

        from pytest_manylinux.catalogue import load_catalogue  # noqa: PLC0415
        from pytest_manylinux.diagnose.check_registry import checks  # noqa: PLC0415
        from pytest_manylinux.diagnose.forecast import forecasts  # noqa: PLC0415

        checks()
        catalogue = load_catalogue()
        words = _words(distros)
        chosen = catalogue.select(words, where="--distros") if words else catalogue.distros
        return forecasts(chain((first.result(),), facts), chosen), catalogue.version


def _for_linux(wheel: Wheel) -> bool:
    return any(tag.startswith(_OURS) for tag in wheel.platforms)


def _paths(words: Sequence[str]) -> Iterator[Path]:
    for word in words:
        path = Path(word)
        inside = sorted(path.glob("*.whl")) if path.is_dir() else [path]
        if not inside or not inside[0].is_file():
            raise UsageError(
                f"{word}: no wheel there",
                remedy="name wheel files, a folder that holds some, an address, or NAME==VERSION",
            )
        if inside[0].name.endswith(_SDIST):
            raise _sdist(word)
        yield from inside


def _sdist(word: str) -> UsageError:
    return UsageError(
        f"{word}: an sdist; only wheels can be predicted",
        remedy=f"build a wheel of it (`pip wheel --no-deps {word}`), or build and try it on "
        f"distros: `pytest --manylinux {word}`",
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _strict(arguments: argparse.Namespace, subjects: _Subjects) -> int:
    """A line for each wheel that holds, and what fails where for each that does not."""
    from pytest_manylinux.catalogue import load_catalogue  # noqa: PLC0415

    words = _words("supported" if arguments.counted is None else arguments.counted)
    if not words:
        raise UsageError("--for names no distro", remedy="name ids, aliases or groups: --for supported")
    counted = load_catalogue().select(words, where="--for")
    codes = [_judge_strictly(facts, counted, ", ".join(words)) for facts in subjects.facts()]
    for name in subjects.foreign:
        print(f"{plain_line(name)}: left out, not for Linux")
    if fetched := subjects.fetched():
        print(fetched, file=sys.stderr)
    worst = (ExitCode.NOT_PORTABLE, ExitCode.NOT_PROVEN)
    return next((code for code in worst if code in codes), ExitCode.OK)


def _judge_strictly(facts: WheelFacts, counted: Sequence[Distro], words: str) -> ExitCode:
    from pytest_manylinux.diagnose.predict import predict  # noqa: PLC0415
    from pytest_manylinux.plan import promised_targets  # noqa: PLC0415

    wheel = facts.wheel
    targets = promised_targets(wheel.tags, facts.requires_python, counted)
    name, total = plain_line(wheel.filename), len({target.distro.id for target in targets})
    if not targets:
        print(f"{name}: not judged: its tags promise none of the distros that count ({words})")
        print(f"  {_why_none(wheel)}")
        return ExitCode.NOT_PROVEN
    failing = [prediction for prediction in predict(facts, targets) if not prediction.works]
    if wheel.variant:
        print(f"{name}: {variant_note(wheel)}")
    if not failing:
        print(f"{name}: works on every distro that its tags promise: {total} ({words})")
        return ExitCode.OK
    failed = len({prediction.target.distro.id for prediction in failing})
    print(f"{name}: fails on {failed} of the distros that its tags promise: {total} ({words})")
    for line in _strict_reasons(failing):
        print(f"  {plain_line(line)}")
    return ExitCode.NOT_PORTABLE


def _why_none(wheel: Wheel) -> str:
    if all(platform.startswith("linux_") for platform in wheel.platforms):
        return "a linux tag promises nothing: repair the wheel first, or give the repaired one"
    return "none has the C library, architecture and Python of its tags: choose others by --for"


def _strict_reasons(failing: Sequence[Prediction]) -> Iterator[str]:
    """Each fault once: its sentence, the distros and Pythons that it holds for, and the remedy."""
    found: dict[tuple[str, str], tuple[Finding, list[str]]] = {}
    for prediction in failing:
        for finding in prediction.errors:
            key = (finding.name, _apart_from(prediction.target, finding.message))
            places = found.setdefault(key, (finding, []))[1]
            if prediction.target.place not in places:
                places.append(prediction.target.place)
    for finding, places in found.values():
        yield f"{finding.name}: {finding.message}"
        yield f"  on {', '.join(places)}"
        yield f"  remedy: {finding.remedy}"


def _apart_from(target: Target, message: str) -> str:
    """The sentence without what differs from distro to distro, to find others that say the same."""
    distro = target.distro
    for own in (distro.id, distro.libc.number, distro.pip_of(target.interpreter)):
        message = message.replace(own, "") if own else message
    return message


def _show(forecast: Forecast) -> None:
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    reach = forecast.reach
    console.print(f"[bold]{forecast.title}[/]", highlight=False)
    for wheel in forecast.wheels:
        console.print(f"  {plain_line(wheel.filename)}", highlight=False, markup=False, soft_wrap=True)
    for wheel in forecast.wheels:
        if wheel.variant:
            console.print(variant_note(wheel), highlight=False, markup=False)
    console.print(_table(forecast))
    shown = (served for family in reach.families for served in (family.oldest, family.first_unserved))
    if any(served and _by_figures(served) for served in shown):
        console.print("~ known by public figures only", highlight=False)
    console.print(
        f"Reach: {reach.served} of {reach.total} distros of the catalogue ({reach.share:.0%}).",
        highlight=False,
    )
    if reach.widest is not None:
        gains = ", ".join(reach.widest.gains[:_SHOWN])
        gains += ", …" if len(reach.widest.gains) > _SHOWN else ""
        console.print("To widen it most: ", end="", highlight=False)
        console.print(
            f"{reach.widest.words} (+{len(reach.widest.gains)}: {gains})",
            highlight=False,
            markup=False,
        )
    console.print()


def variant_note(wheel: Wheel) -> str:
    """A sentence on a wheel variant, which is judged by its bytes and tags."""
    from pytest_manylinux.model.wheel_variants import VARIANTS_TAKEN  # noqa: PLC0415

    what = f"A wheel variant (PEP 825) with the label {wheel.variant}"
    return f"{what}: {VARIANTS_TAKEN}. Judged by its bytes."


def _table(forecast: Forecast) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("family", "works from", "on", "fails on", "because"):
        table.add_column(heading, overflow="fold")
    for family in forecast.reach.families:
        table.add_row(*_row(family, several=len(forecast.wheels) > 1))
    return table


def _row(family: FamilyReach, *, several: bool) -> tuple[str, str, str, str, str]:
    from rich.markup import escape  # noqa: PLC0415

    oldest, first, reason = family.oldest, family.first_unserved, family.reason
    served = sum(row.works for row in family.served)
    others = len(family.served) - served - 1
    more = f" and {others} more" if others > 0 else ""
    message = reason.message if reason else ""
    if several and first and reason and reason.name == "python-mismatch" and not reason.files:
        python = first.best.target.interpreter.version.dotted
        message = f"no wheel here is for Python {python}, the Python of {first.distro.id}"
    because = f"{reason.name}: {message}" if reason else ""
    return (
        family.family,
        f"[green]{_release(oldest)}[/]" if oldest else "[red]none[/]",
        f"{served}/{len(family.served)}",
        f"[red]{_release(first)}[/]{more}" if first else "",
        escape(because),
    )


def _release(served: CoveredDistro) -> str:
    """The release, with a mark where only figures are known of it."""
    return f"{'~' if _by_figures(served) else ''}{served.distro.release}"


def _by_figures(served: CoveredDistro) -> bool:
    return served.best.certainty.value == "figures"
