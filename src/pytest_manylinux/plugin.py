"""pytest hooks and options; nothing else. Without `--manylinux` it costs nothing."""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

MARKER = "manylinux: an item of pytest-manylinux: a build, an audit or a trial of a wheel"
# docutils, which renders descriptions, makes use of its own old names: no affair of the project's.
_OF_DOCUTILS = "ignore:.*frontend.* class will be removed in Docutils:DeprecationWarning"

_THRESHOLDS = (20_000, 50, 50)  # of the generations; Python's own begin with 700, or 2000


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


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer the hooks of hookspecs.py to other plugins."""
    from pytest_manylinux import hookspecs  # noqa: PLC0415 - it imports nothing of ours

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Keep pytest from importing the `conftest.py` of trees that are given as paths, and coverage out.

    Afterwards all options are known: of one that is not, say what may have been meant.
    """
    known = early_config.known_args_namespace
    if not known.manylinux:
        return (yield)
    _collect_garbage_seldom(early_config)
    with _not_rewritten():
        from pytest_manylinux.other_plugins import (  # noqa: PLC0415 - only if it is asked for
            measure_no_coverage,
        )

    measure_no_coverage(early_config)
    if known.manylinux_with_tests:
        done = yield
    else:
        from pytest_manylinux.run.strangers import own_conftests  # noqa: PLC0415 - the same

        with own_conftests(early_config):
            done = yield
    _, unknown = parser.parse_known_and_unknown_args(args, copy.copy(early_config.option))
    if unknown:
        from pytest_manylinux.errors import UsageError  # noqa: PLC0415 - the same
        from pytest_manylinux.run.hints import check_unknown  # noqa: PLC0415 - the same

        try:
            check_unknown(unknown, early_config.getini("addopts"))
        except UsageError as error:
            raise pytest.UsageError(str(error)) from error
    return done


@contextmanager
def _not_rewritten() -> Iterator[None]:
    """Import our modules as Python does.

    pytest rewrites the assertions of a plugin's modules, and we have none: its way to find and read a
    module, in Python itself, took an eighth of the time of a start.
    """
    found = [one for one in sys.meta_path if type(one).__module__ == "_pytest.assertion.rewrite"]
    sys.meta_path[:] = [one for one in sys.meta_path if one not in found]
    try:
        yield
    finally:
        sys.meta_path[:0] = found


def _collect_garbage_seldom(config: pytest.Config) -> None:
    """Have Python look for cycles less often, until pytest ends.

    Each time it goes through all that the items of a release hold: a tenth of the run's time. While
    modules are imported there are none.
    """
    if gc.get_threshold() == _THRESHOLDS:
        return
    config.add_cleanup(partial(gc.set_threshold, *gc.get_threshold()))
    gc.set_threshold(*_THRESHOLDS)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the hooks of a portability run if one is wanted."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("manylinux"):
        _collect_garbage_seldom(config)
        with _not_rewritten():
            from pytest_manylinux.diagnose.check_registry import own_checks  # noqa: PLC0415 - the same
            from pytest_manylinux.hooks import activate  # noqa: PLC0415 - the whole tool comes with it
            from pytest_manylinux.other_plugins import OtherPlugins  # noqa: PLC0415 - the same

            own_checks()  # which imports their modules
        activate(config)
        config.pluginmanager.register(OtherPlugins(), "manylinux-other-plugins")
        config.addinivalue_line("filterwarnings", _OF_DOCUTILS)
        return
    for argument in config.invocation_params.args:
        if str(argument).startswith("--manylinux-"):
            raise pytest.UsageError(
                f"{str(argument).partition('=')[0]} does nothing without --manylinux: add it"
            )
