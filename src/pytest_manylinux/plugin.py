"""pytest hooks and options; nothing else. Without `--manylinux` it costs nothing."""

from __future__ import annotations

import pytest

MARKER = "manylinux: an item of pytest-manylinux: a build, an audit or a trial of a wheel"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all in one group."""
    from pytest_manylinux.config.options import OPTIONS, REPORTS, SWITCHES  # noqa: PLC0415

    group = parser.getgroup("manylinux", "portability of wheels (pytest-manylinux)")
    group.addoption(
        "--manylinux",
        action="store_true",
        help="build the projects among the paths, and prove their wheels, and the wheels among the "
        "paths, on several distros",
    )
    for option in (*OPTIONS, *REPORTS):
        if option.metavar:
            group.addoption(option.flag, dest=option.dest, metavar=option.metavar, help=option.help)
    for switch in SWITCHES:
        group.addoption(switch.flag, dest=switch.dest, action="store_true", help=switch.help)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the hooks of a portability run if one is wanted."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("manylinux"):
        from pytest_manylinux.hooks import activate  # noqa: PLC0415 - the whole tool comes with it

        activate(config)
        return
    for argument in config.invocation_params.args:
        if str(argument).startswith("--manylinux-"):
            raise pytest.UsageError(
                f"{str(argument).partition('=')[0]} does nothing without --manylinux: add it"
            )
