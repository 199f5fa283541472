"""`pytest-manylinux doctor`: what this machine has for a run, what is missing, and what installs it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.escape import plain_json

TYPE_CHECKING = False  # `typing` and all else is imported when the command runs
if TYPE_CHECKING:
    from pytest_manylinux.config.settings import Settings
    from pytest_manylinux.doctor.api import Area, Probe, ProbeResult

_SIGNS = {"good": ("✓", "green"), "lacking": ("!", "yellow"), "bad": ("✗", "red")}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="say which engines, kernel settings, mirrors and programs this machine has",
        description="A line each: what is there, what is missing, and what installs it. The exit "
        "code is 0 if a run could be made, else 3. Nothing is installed or changed.",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(func=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.doctor.api import examine, ready  # noqa: PLC0415

    findings = examine(_probes())
    is_ready = ready(findings)
    if arguments.json:
        print(
            plain_json(
                json.dumps({"ready": is_ready, "findings": [_row(f) for f in findings]}, indent=2)
            )
        )
    else:
        _show(findings, is_ready=is_ready)
    return ExitCode.OK if is_ready else ExitCode.NOT_PROVEN


def _probes() -> list[tuple[Area, str, Probe]]:
    from pytest_manylinux.catalogue import load_catalogue  # noqa: PLC0415
    from pytest_manylinux.doctor import machine, network  # noqa: PLC0415
    from pytest_manylinux.doctor.api import Area  # noqa: PLC0415
    from pytest_manylinux.engines.container.dead_image import has_vsyscall  # noqa: PLC0415
    from pytest_manylinux.engines.seccomp import takes_filters  # noqa: PLC0415
    from pytest_manylinux.engines.select import EngineName  # noqa: PLC0415
    from pytest_manylinux.images.references import parse_mirrors  # noqa: PLC0415
    from pytest_manylinux.indexes import host_certificates  # noqa: PLC0415

    settings = _settings()
    mirrors = parse_mirrors(settings.registry_mirror, where=str(settings.source("registry-mirror")))
    ask = network.opener(host_certificates())
    catalogue = load_catalogue()
    recipe = catalogue.get("debian-12").archive
    probes: list[tuple[Area, str, Probe]] = [
        (Area.ENGINE, name.value, partial(machine.look_at_engine, name)) for name in EngineName
    ]
    probes += [
        (Area.IMAGES, "from the archive", machine.look_at_root_makers),
        (Area.IMAGES, "of registries, without a daemon", machine.look_at_image_tools),
        (Area.CACHE, "folder", machine.look_at_cache),
        (Area.CACHE, "roots", machine.look_at_roots),
        (Area.KERNEL, "user namespaces", machine.look_at_user_namespaces),
        (
            Area.KERNEL,
            "system call filter",
            partial(machine.look_at_call_filter, here=takes_filters()),
        ),
        (Area.KERNEL, "vsyscall", partial(machine.look_at_vsyscall, here=has_vsyscall())),
        (Area.KERNEL, "architectures", machine.look_at_foreign),
        (Area.KERNEL, "control groups", machine.look_at_control_groups),
        (Area.NETWORK, "package index", network.look_at_index),
    ]
    if recipe is not None:
        probes.append((Area.NETWORK, "archive", partial(network.look_at_archive, recipe, ask)))
    for row in catalogue.select(("embedded",), where="doctor"):
        if row.archive is not None:
            look = partial(network.look_at_ways, row.id, row.archive, ask)
            probes.append((Area.NETWORK, f"root {row.id}", look))
    return probes + [
        (Area.NETWORK, f"registry {name}", partial(network.look_at_registry, name, mirrors, ask))
        for name in network.registries(mirrors)
    ]


def _settings() -> Settings:
    """The settings of the project that one stands in."""
    from pytest_manylinux.config.merge import environment_layer, file_layer, merge  # noqa: PLC0415

    file = Path("pyproject.toml")
    layers = [file_layer(file, shown=str(file))] if file.is_file() else []
    return merge([*layers, environment_layer(os.environ)])


def _row(finding: ProbeResult) -> dict[str, str]:
    return {
        "area": finding.area.value,
        "name": finding.name,
        "health": finding.health.value,
        "says": finding.says,
        "remedy": finding.remedy,
    }


def _show(findings: Iterable[ProbeResult], *, is_ready: bool) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        sign, colour = _SIGNS[finding.health.value]
        line = Text(f"{sign} {finding.area.value} {finding.name}", style=colour)
        line.append(f": {finding.says}", style="default")
        if finding.remedy:
            line.append(f"  next: {finding.remedy}", style="bold")
        console.print(line)
    words = "a run can be made here" if is_ready else "no run can be made here"
    console.print(Text(words, style="green" if is_ready else "red"))
