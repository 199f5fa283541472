"""`pytest-manylinux catalogue`: what distros there are, whether rows still hold, and pins."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from pytest_manylinux.errors import ExitCode, ManylinuxError, UsageError, nearest
from pytest_manylinux.escape import plain_json, plain_line
from pytest_manylinux.report.destinations import Destination, ReportForm, check_destinations

TYPE_CHECKING = False  # `typing` and all else is imported when the command runs
if TYPE_CHECKING:
    from pytest_manylinux.catalogue import Catalogue
    from pytest_manylinux.config.settings import Settings
    from pytest_manylinux.engines.api import Engine
    from pytest_manylinux.images.lock_file import LockedImage
    from pytest_manylinux.images.official_images import OfficialImages
    from pytest_manylinux.images.run_images import ImageSources
    from pytest_manylinux.model.distro import Distro

_PROJECT = "pyproject.toml"
_WIDE = 160  # columns where no terminal is: a line a distro, for grep


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; without an action it lists."""
    parser = subparsers.add_parser("catalogue", help="list distros, check rows, pin images")
    _add_filters(parser)
    parser.set_defaults(func=_list, words=[])
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="the distros (default)")
    listing.add_argument("words", nargs="*", metavar="WORD", help="ids, aliases, groups, patterns")
    _add_filters(listing)
    listing.set_defaults(func=_list)
    check = actions.add_parser("check", help="compare rows with live images")
    check.add_argument("words", nargs="+", metavar="WORD", help="ids, aliases, groups, patterns")
    _add_engine(check)
    check.add_argument("--json", action="store_true", help="print everything as JSON")
    check.set_defaults(func=_check)
    pin = actions.add_parser("pin", help="write the digests that images have now to a lock file")
    pin.add_argument("words", nargs="*", metavar="WORD", help="distros (default: group default)")
    pin.add_argument("--builders", default="", metavar="POLICY,…", help="builder images to pin too")
    pin.add_argument("--output", type=Path, default=None, metavar="FILE", help="the lock file")
    _add_engine(pin)
    pin.set_defaults(func=_pin)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--family", default="", help="only one family, such as ubuntu")
    parser.add_argument("--arch", default="", help="only what exists for an architecture")
    parser.add_argument("--python", default="", help="only what packages a Python, such as cp311")
    parser.add_argument("--policy", default="", help="only what a wheel of this policy is for")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", default="auto", help="auto, bubblewrap, docker or podman")
    parser.add_argument(
        "--registry-mirror",
        action="append",
        metavar="REGISTRY=MIRROR",
        help="instead of the setting of that name; may be repeated",
    )


def _settings() -> Settings:
    """The settings of the project that one stands in."""
    from pytest_manylinux.config.merge import environment_layer, file_layer, merge  # noqa: PLC0415

    file = Path(_PROJECT)
    layers = [file_layer(file, shown=str(file))] if file.is_file() else []
    return merge([*layers, environment_layer(os.environ)])


def _catalogue() -> Catalogue:
    """The catalogue with the rows of the project that one stands in."""
    from pytest_manylinux.catalogue import load_catalogue  # noqa: PLC0415

    settings = _settings()
    own = Path(settings.catalogue) if settings.catalogue else None
    return load_catalogue(settings.distro, where=_PROJECT, file=own)


def _list(arguments: argparse.Namespace) -> int:
    catalogue = _catalogue()
    chosen = catalogue.select(arguments.words) if arguments.words else catalogue.distros
    _require_known("--family", arguments.family, {one.family for one in catalogue.distros})
    architectures = {arch for one in catalogue.distros for arch in one.architectures}
    _require_known("--arch", arguments.arch, architectures)
    distros = [distro for distro in chosen if _passes(distro, arguments)]
    if arguments.json:
        rows = [_described(distro) for distro in distros]
        checked = catalogue.checked and catalogue.checked.isoformat()
        found = {"version": catalogue.version, "checked": checked, "distros": rows}
        print(plain_json(json.dumps(found, indent=2)))
    else:
        _table(catalogue, distros)
    return ExitCode.OK


def _require_known(flag: str, word: str, known: set[str]) -> None:
    if word and word not in known:
        raise UsageError(
            f"{flag}: no distro of the catalogue has {word!r}",
            remedy=f"{nearest(word, known)}use one of {', '.join(sorted(known))}",
        )


def _passes(distro: Distro, arguments: argparse.Namespace) -> bool:
    from pytest_manylinux.model.policy import parse_policy  # noqa: PLC0415
    from pytest_manylinux.model.python import parse_python  # noqa: PLC0415

    if arguments.family and distro.family != arguments.family:
        return False
    if arguments.arch and arguments.arch not in distro.architectures:
        return False
    if arguments.policy:
        policy = parse_policy(arguments.policy, where="--policy")
        if not distro.libc.keeps(policy):
            return False
    if not arguments.python:
        return True
    version = parse_python(arguments.python, where="--python")
    return any(entry.version == version for entry in distro.interpreters)


def _described(distro: Distro) -> dict[str, object]:
    return {
        "id": distro.id,
        "family": distro.family,
        "release": distro.release,
        "title": distro.title,
        "aliases": distro.aliases,
        "image": distro.image,
        "image_architectures": [arch for arch in distro.architectures if distro.has_image(arch)],
        "archive": distro.archive.suite if distro.archive and distro.archive.live else None,
        "archive_architectures": [
            arch for arch in distro.architectures if distro.has_archive(arch, on_mirrors=True)
        ],
        "libc": str(distro.libc),
        "glibc": distro.libc.number if distro.libc.is_glibc() else None,
        "architectures": distro.architectures,
        "package_manager": distro.package_manager,
        "interpreters": [
            {
                "version": name,
                "executable": entry.executable,
                "pip": entry.pip,
                "packages": entry.packages,
                "headers": entry.headers,
                "measured": entry.measured,
                "only_named": entry.only_named,
            }
            for name, entry in zip(distro.pythons, distro.interpreters, strict=True)
        ],
        "symbols": dict(distro.symbol_maxima),
        "absent_libraries": distro.absent_libraries,
        "end_of_life": distro.end_of_life and distro.end_of_life.isoformat(),
        "rolling": distro.rolling,
        "source": distro.source,
    }


def _table(catalogue: Catalogue, distros: Sequence[Distro]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    table.add_column("distro", no_wrap=True)
    for heading in ("C library", "Python (pip)", "image", "archive", "support"):
        table.add_column(heading, overflow="fold")
    for distro in distros:
        table.add_row(*_row(distro))
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    console.print(table)
    groups = ", ".join(catalogue.group_names)
    console.print(f"{len(distros)} distros; groups: {groups}", soft_wrap=True, highlight=False)
    console.print("* read from a live root; the others are not", highlight=False)
    console.print(_age(catalogue), soft_wrap=True, highlight=False)


def _age(catalogue: Catalogue) -> str:
    from pytest_manylinux.catalogue.lookup import LIMIT, age  # noqa: PLC0415

    days = age(catalogue, datetime.now(tz=timezone.utc).date())
    if days is None:
        return "when the figures were held against their sources is not known"
    old = "; a newer pytest-manylinux may have newer ones" if days > LIMIT else ""
    return f"figures held against their sources on {catalogue.checked}, {days} days ago{old}"


def _row(distro: Distro) -> tuple[str, ...]:
    from pytest_manylinux.catalogue.lookup import is_supported  # noqa: PLC0415

    pythons = ", ".join(
        f"{name}{f' ({entry.pip})' if entry.pip else ''}{'*' * entry.measured}"
        for name, entry in zip(distro.pythons, distro.interpreters, strict=True)
    )
    support = "rolling" if distro.rolling else str(distro.end_of_life or "unknown")
    return (
        distro.id,
        str(distro.libc),
        pythons,
        distro.image or "",
        distro.archive.suite if distro.archive and distro.archive.live else "",
        support if is_supported(distro) else f"[dim]ended {support}[/]",
    )


def _check(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.engines.select import select_engine  # noqa: PLC0415
    from pytest_manylinux.host.architecture import host_arch  # noqa: PLC0415
    from pytest_manylinux.images.image_survey import drift, survey_image  # noqa: PLC0415
    from pytest_manylinux.model.distro import ImagePurpose  # noqa: PLC0415

    distros = _catalogue().select(arguments.words)
    engine = select_engine(arguments.engine)
    sources = _sources(engine, arguments)
    arch, found, unseen = host_arch(), [], 0
    try:
        for distro in distros:
            try:
                for name, interpreter in zip(distro.pythons, distro.interpreters, strict=True):
                    image = sources.provide(distro, arch, ImagePurpose.TRIAL, interpreter=interpreter)
                    live = survey_image(distro, image, (interpreter,), engine)
                    drifts = [(item.figure, item.row, item.live) for item in drift(distro, live)]
                    found.append((distro.id, name, image.digest, drifts))
            except ManylinuxError as error:
                unseen += 1
                found.append((distro.id, "", "", [("not seen", error.what, error.why or error.remedy)]))
    finally:
        engine.close()
    _show_drift(found, as_json=arguments.json)
    drifted = any(drifts for *_, digest, drifts in found if digest)
    return ExitCode.NOT_PROVEN if unseen else ExitCode.NOT_PORTABLE if drifted else ExitCode.OK


def _show_drift(
    found: Sequence[tuple[str, str, str, Sequence[tuple[str, str, str]]]], *, as_json: bool
) -> None:
    if as_json:
        keys = ("distro", "python", "image", "drift")
        print(
            plain_json(json.dumps([dict(zip(keys, entry, strict=True)) for entry in found], indent=2))
        )
        return
    for distro, python, digest, drifts in found:
        if not digest:
            print(plain_line(f"{distro}: not seen: {'; '.join(filter(None, drifts[0][1:]))}"))
        elif not drifts:
            print(f"{distro} {python}: as the row says ({digest[:19]})")
        for figure, row, live in drifts if digest else ():
            words = f"{distro} {python}: {figure}: the row says {row}, the image {live} ({digest[:19]})"
            print(plain_line(words))


def _sources(engine: Engine, arguments: argparse.Namespace) -> ImageSources:
    from pytest_manylinux.images import ArchiveImages, ImageStore  # noqa: PLC0415
    from pytest_manylinux.images.run_images import ImageSources, no_registry  # noqa: PLC0415

    archive = ArchiveImages(ImageStore(), say=_say)
    without = no_registry(engine.name, _settings())
    registry = None if without else _registry(engine, arguments)
    return ImageSources(archive=archive, registry=registry, choice="auto", say=_say, without=without)


def _registry(engine: Engine, arguments: argparse.Namespace) -> OfficialImages:
    """Images of registries, by the mirrors of the command line or else of the settings."""
    from pytest_manylinux.images import ImageStore  # noqa: PLC0415
    from pytest_manylinux.images.references import parse_mirrors  # noqa: PLC0415
    from pytest_manylinux.images.run_images import registry_of  # noqa: PLC0415

    settings = _settings()
    words, where = settings.registry_mirror, str(settings.source("registry-mirror"))
    if arguments.registry_mirror is not None:
        words, where = tuple(arguments.registry_mirror), "--registry-mirror"
    mirrors = parse_mirrors(words, where=where)
    return registry_of(engine, ImageStore(), mirrors=mirrors, say=_say)


def _say(line: str) -> None:
    """Progress goes beside the result, which may be JSON."""
    print(line, file=sys.stderr, flush=True)


def _pin(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.engines.select import select_engine  # noqa: PLC0415
    from pytest_manylinux.images.lock_file import NAME, Lock, write_lock  # noqa: PLC0415

    path = arguments.output or Path(NAME)
    check_destinations([Destination("--output", path, ReportForm.JSON)])
    catalogue = _catalogue()
    distros = catalogue.select(arguments.words or ["default"])
    engine = select_engine(arguments.engine)
    try:
        images = _registry(engine, arguments)
        lock = Lock(
            catalogue=catalogue.version,
            distros=dict(_pinned_distros(images, distros)),
            builders=dict(_pinned_builders(images, arguments.builders)),
        )
    finally:
        engine.close()
    write_lock(path, lock)
    print(f"{path}: {len(lock.distros)} distros, {len(lock.builders)} builders")
    return ExitCode.OK


def _pinned_distros(
    images: OfficialImages, distros: Sequence[Distro]
) -> Iterator[tuple[str, LockedImage]]:
    from pytest_manylinux.host.architecture import host_arch  # noqa: PLC0415
    from pytest_manylinux.images.lock_file import LockedImage  # noqa: PLC0415

    for distro in distros:
        if distro.image is not None and distro.has_image(host_arch()):
            digest = images.digest_of(distro.image, host_arch(), title=distro.id)
            yield distro.id, LockedImage(image=distro.image, digest=digest)


def _pinned_builders(images: OfficialImages, words: str) -> Iterator[tuple[str, LockedImage]]:
    from pytest_manylinux.catalogue.builder_images import load_builders  # noqa: PLC0415
    from pytest_manylinux.images.lock_file import LockedImage  # noqa: PLC0415

    wanted = {word.strip() for word in words.split(",") if word.strip()}
    builders = load_builders()
    if unknown := wanted - {image.policy for image in builders}:
        raise UsageError(
            f"--builders: there is no builder image for {', '.join(sorted(unknown))}",
            remedy=f"there are {', '.join(sorted({image.policy for image in builders}))}",
        )
    for image in builders:
        if image.policy in wanted:
            name = f"{image.policy}-{image.arch}"
            text = f"{image.repository}:{image.tag}"
            digest = image.digest or images.digest_of(text, image.arch, title=name)
            yield name, LockedImage(image=text, digest=digest)
