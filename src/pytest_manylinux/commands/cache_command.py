"""`pytest-manylinux cache`: what the store holds, how to make room, and how to carry it elsewhere."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pytest_manylinux.cache.atomic import draft
from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.cache.paths import store_errors
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.host.path_checks import require_plain
from pytest_manylinux.images.cache_archive import parts_of, read_archive, write_archive
from pytest_manylinux.images.dpkg import verify
from pytest_manylinux.images.prune import PrunePolicy, prune, side_caches
from pytest_manylinux.images.store import ImageStore, StoredImage
from pytest_manylinux.pythons.kept import FOLDER as PYTHONS
from pytest_manylinux.pythons.kept import python_fault
from pytest_manylinux.report.phrases import counted
from pytest_manylinux.run.observation_memory import OBSERVATIONS, Memory

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[kMGT]?)i?B?", re.IGNORECASE)
_LONGEST = 40  # characters of a size
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SHOWN_FAULTS = 10


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; without an action it lists."""
    parser = subparsers.add_parser(
        "cache", help="list, verify, prune, export or import the images kept here"
    )
    parser.set_defaults(func=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="the images, newest use first (default)").set_defaults(func=_list)
    actions.add_parser("path", help="print the folder").set_defaults(func=_path)
    _add_verify(actions)
    _add_prune(actions)
    _add_forget(actions)
    _add_export(actions)
    _add_import(actions)


def _add_export(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "export",
        help="write what takes long to make into one file, for another machine or a CI system's cache",
        description="Roots, Pythons, and what was seen of images and wheels. What is made again in "
        "seconds stays behind.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="such as manylinux-cache.tar.zst")
    parser.add_argument(
        "--max-size",
        type=_bytes,
        metavar="SIZE",
        help="most recently used images, up to 2G or so on disk",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(func=_export)


def _add_import(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "import", help="take what `cache export` wrote; what is here already stays as it is"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the file of an export")
    parser.add_argument("--sha256", metavar="DIGEST", help="refuse the file if it has another one")
    parser.set_defaults(func=_import)


def _add_forget(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "forget",
        help="forget what trials of wheels came to: passes, and failures that make a wheel flaky",
        description="For the same bytes on the same image a trial that passed is not done again, and "
        "one that failed is counted. This forgets both, so that the next run begins at nothing.",
    )
    parser.add_argument(
        "wheels",
        nargs="*",
        metavar="WHEEL",
        help="file names or paths of wheels, or patterns of names such as 'demo-*' (default: all)",
    )
    parser.set_defaults(func=_forget)


def _add_verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("verify", help="compare every file with its package's checksum")
    parser.add_argument("--remove", action="store_true", help="remove the images that are damaged")
    parser.set_defaults(func=_verify)


def _add_prune(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "prune",
        help="make room; images that a run uses always stay",
        description="Without options, removes only what killed runs left half-made.",
    )
    parser.add_argument("--all", action="store_true", help="all images, downloads and build caches")
    parser.add_argument("--older-than", type=_days, metavar="DAYS", help="images unused for so long")
    parser.add_argument(
        "--max-size", type=_bytes, metavar="SIZE", help="least recently used images, down to 2G or so"
    )
    parser.set_defaults(func=_prune)


def _list(arguments: argparse.Namespace) -> int:
    del arguments
    store = ImageStore()
    console = Console()
    table = Table("image", "architecture", "digest", "size", "last used", box=None, pad_edge=False)
    images = store.images()
    for stored in images:
        table.add_row(*_row(stored))
    if images:
        console.print(table)
    caches = dict(side_caches(store))
    for name, size in caches.items():
        console.print(f"{name}: {decimal(size)}", highlight=False)
    total = sum(stored.record.size for stored in images) + sum(caches.values())
    console.print(f"{len(images)} images, {decimal(total)} in {store.root}", soft_wrap=True)
    return ExitCode.OK


def _row(stored: StoredImage) -> tuple[str, ...]:
    record = stored.record
    used = _ago(datetime.now(tz=timezone.utc) - stored.used)
    return record.name, record.arch, record.digest[7:19], decimal(record.size), used


def _path(arguments: argparse.Namespace) -> int:
    del arguments
    print(ImageStore().root)
    return ExitCode.OK


def _verify(arguments: argparse.Namespace) -> int:
    store = ImageStore()
    damaged = 0
    for stored in store.images():
        faults = list(verify(stored))
        damaged += bool(faults)
        print(f"{stored.record.name} {stored.record.digest[7:19]}: {_faults(faults)}")
        if faults and arguments.remove:
            print("  removed" if store.remove(stored) else "  not removed: a run uses it")
    if damaged and not arguments.remove:
        print("`pytest-manylinux cache verify --remove` removes them; the next run makes them again")
    return ExitCode.NOT_PROVEN if damaged and not arguments.remove else ExitCode.OK


def _faults(faults: list[str]) -> str:
    if not faults:
        return "sound"
    more = len(faults) - _SHOWN_FAULTS
    lines = [*faults[:_SHOWN_FAULTS], *([f"and {more} more"] if more > 0 else [])]
    return "\n  ".join(["damaged", *lines])


def _prune(arguments: argparse.Namespace) -> int:
    wish = PrunePolicy(
        everything=arguments.all, unused_for=arguments.older_than, max_size=arguments.max_size
    )
    done = prune(ImageStore(), wish)
    for stored in done.removed:
        print(f"removed {stored.record.name} {stored.record.digest[7:19]}")
    for stored in done.in_use:
        print(f"kept {stored.record.name} {stored.record.digest[7:19]}: a run uses it")
    if done.leftovers:
        print(f"removed {done.leftovers} half-made by runs that ended early")
    print(f"freed {decimal(done.freed)}")
    return ExitCode.OK


def _forget(arguments: argparse.Namespace) -> int:
    root = ImageStore().root
    names = tuple(word.rstrip("/").rpartition("/")[2] for word in arguments.wheels)
    with store_errors(root):
        gone = Memory(root / OBSERVATIONS).forget(names)
    tries, failed = sum(known.tries for known in gone), sum(known.failed for known in gone)
    wheels = counted(len({known.wheel for known in gone}), "wheel")
    print(f"forgot {counted(tries, 'try')} of {wheels}, {failed} failed")
    for name in names:
        if not any(fnmatchcase(known.wheel, name) for known in gone):
            print(f"nothing was known of {name}")
    return ExitCode.OK


def _export(arguments: argparse.Namespace) -> int:
    target: Path = arguments.file.absolute()
    require_plain(target)
    if target.exists() and not arguments.force:
        raise UsageError(
            f"{arguments.file} is there already", remedy="name another file, or add --force"
        )
    if not target.parent.is_dir():
        raise UsageError(f"{arguments.file} cannot be written", why=f"{target.parent} is no folder")
    store = ImageStore()
    parts = parts_of(store, PYTHONS, max_size=arguments.max_size)
    if not parts.images and not parts.pythons:
        raise UsageError(
            f"{store.root} has nothing to export",
            remedy="run `pytest --manylinux` first, or raise --max-size",
        )
    with store_errors(target.parent), draft(target.parent) as file:
        with _progress("packing", parts.size) as heard:
            write_archive(store, parts, file.stream, heard=heard)
        if arguments.force:
            target.unlink(missing_ok=True)
        file.become(target)
    for stored in parts.images:
        print(f"{stored.record.name} ({stored.record.arch}) {stored.record.digest[7:19]}")
    for path in parts.pythons:
        print(path)
    print(f"{arguments.file}: {decimal(target.stat().st_size)}, sha256 {file_digest(target)}")
    return ExitCode.OK


def _import(arguments: argparse.Namespace) -> int:
    archive: Path = arguments.file
    if not archive.is_file():
        what = "is not a file" if archive.exists() else "is not there"
        raise UsageError(f"{archive} {what}", remedy="`pytest-manylinux cache export` writes one")
    if arguments.sha256 and (found := file_digest(archive)) != arguments.sha256.lower():
        raise UsageError(f"{archive} is another file", why=f"its sha256 is {found}")
    with _progress("unpacking", None) as heard:
        done = read_archive(ImageStore(), PYTHONS, archive, python_fault=python_fault, heard=heard)
    for name in done.new:
        print(f"new: {name}")
    for sentence in done.refused:
        print(f"refused: {sentence}")
    print(
        f"{len(done.new)} new, {len(done.known)} here before, {len(done.refused)} refused; "
        f"{counted(done.values, 'recalled value')}"
    )
    return ExitCode.NOT_PROVEN if done.refused else ExitCode.OK


@contextmanager
def _progress(doing: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar of bytes on a terminal; elsewhere nothing. `total` is about how many, if that is known."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda count: bar.advance(task, count)


def _days(text: str) -> timedelta:
    """Days from 0 on: what is unused for less than none is everything."""
    with suppress(ValueError, OverflowError):
        if float(text) >= 0:
            return timedelta(days=float(text))
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 0 on")


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(text) > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]!r} is not a size; write it as 500M or 2G")
    return int(float(match["number"]) * _UNITS[match["unit"].upper()])


def _ago(age: timedelta) -> str:
    if age < -timedelta(minutes=1):
        return "at a time to come: a clock was wrong"
    for seconds, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(age.total_seconds() // seconds)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
