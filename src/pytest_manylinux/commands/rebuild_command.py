"""`pytest-manylinux rebuild`: whether a project's wheel comes out the same in other surroundings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_line
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.run.collection import Context, context_here
from pytest_manylinux.run.subjects import BuildJob, Built

_FLAGS = {
    "python": "Pythons to build for, such as 3.13 (default: the first that a run would build for)",
    "policy": "the policy to build for",
    "builder": "auto, zig, official, or an image of the manylinux layout",
    "engine": "auto, bubblewrap, docker, podman",
    "distros": "ids, aliases or groups of distros",
    "wheelhouse": "where the first wheel is kept (default: nowhere)",
    "archs": "architectures: auto, native, all, or names such as aarch64",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `rebuild`."""
    parser = subparsers.add_parser(
        "rebuild",
        help="build a project twice in differing surroundings, and say what differs",
        description="Each project is built twice from the same source: the second time in another "
        "folder, as another user, with another host name, umask, locale and time zone, later, on one "
        "core, with its files in another order. Exit code 0 if the wheels are the same, byte for "
        "byte, 1 if not or if a build failed, 3 if none could be made.",
    )
    parser.add_argument(
        "projects", nargs="+", type=Path, metavar="PROJECT", help="project folders, or sdists"
    )
    for name, words in _FLAGS.items():
        parser.add_argument(
            f"--{name}",
            f"--manylinux-{name}",
            dest=f"manylinux_{name}",
            metavar=name.upper(),
            help=f"{words}" if "default" in words else f"{words} (default: as a run here)",
        )
    parser.set_defaults(func=_rebuild)


def _rebuild(arguments: argparse.Namespace) -> int:
    with temporary_folder() as nowhere:
        arguments.manylinux_wheelhouse = arguments.manylinux_wheelhouse or str(nowhere)
        context = context_here(
            vars(arguments), show=lambda line: print(plain_line(line), flush=True), rebuild=True
        )
        try:
            codes = [_compare(context, job) for job in _jobs(context, arguments)]
        finally:
            context.run.close()
    return max(codes)


def _jobs(context: Context, arguments: argparse.Namespace) -> Iterator[BuildJob]:
    for path in arguments.projects:
        if not path.exists():
            raise UsageError(f"{path} does not exist", remedy="name project folders, or sdists")
        subject, plan = context.plan_project(path.resolve())
        if not plan.builds:
            raise UsageError(
                f"{path}: no build is planned for it",
                why=f"requires-python is {subject.project.requires_python!r}",
                remedy="name other Pythons or distros, by --python or --distros",
            )
        chosen = plan.builds if arguments.manylinux_python else plan.builds[:1]
        yield from (BuildJob(subject=subject, build=build) for build, _ in chosen)


def _compare(context: Context, job: BuildJob) -> ExitCode:
    built: Built = context.run.wait(context.flow.start(lambda: context.flow.build(job)))
    record = built.record
    name = plain_line(built.wheel.name)
    if record.reproducible:
        print(f"{name}: reproducible: both builds gave the same bytes (SHA-256 {record.wheel_sha256})")
        return ExitCode.OK
    print(f"{name}: not reproducible")
    for line in record.differences:
        print(f"  {plain_line(line)}")
    return ExitCode.NOT_PORTABLE
