"""Other plugins of pytest: what those that serve tests would do to items that are none.

Projects name them for their tests, in `addopts` and the like, and a portability run reads the same
table.
"""

from __future__ import annotations

import pytest

from pytest_manylinux.nodes import PortabilityItem

_WITH_TESTS = "--manylinux-with-tests"


def measure_no_coverage(early_config: pytest.Config) -> None:
    """Keep pytest-cov from starting: without tests, a run would fail below its `--cov-fail-under`.

    To be called before pytest-cov's own pytest_load_initial_conftests, which looks at this option.
    """
    known = early_config.known_args_namespace
    if getattr(known, "cov_source", None) and not known.manylinux_with_tests:
        known.cov_source = []


class OtherPlugins:
    """Answers the hooks of other plugins for the items of a portability run."""

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """Set none of pytest-timeout's timers: builds and trials have limits of their own."""
        return True if isinstance(item, PortabilityItem) else None

    def pytest_report_header(self, config: pytest.Config) -> list[str]:
        """Say that coverage was asked for and is not measured."""
        if not getattr(config.option, "cov_source", None) or config.option.manylinux_with_tests:
            return []
        return [f"manylinux note: pytest-cov measures nothing: no tests run here without {_WITH_TESTS}"]
