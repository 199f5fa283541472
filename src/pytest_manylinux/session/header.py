"""The header of a run: what is used, and where each setting came from."""

from __future__ import annotations

from pytest_manylinux import __version__
from pytest_manylinux.config.options import OPTIONS
from pytest_manylinux.config.settings import SourceKind
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.session.record import shown
from pytest_manylinux.session.run import Run

_ALWAYS = ("engine", "builder", "policy", "distros")
_DIGEST = 19  # characters: `sha256:` and twelve more tell versions apart


def header_lines(run: Run, *, ask_engine: bool) -> list[str]:
    """Engine, builder, policy and distros, and every other setting that is not a default.

    `ask_engine` has the engine looked for, which `--collect-only` has no need of.
    """
    lines = [f"manylinux: {__version__}, catalogue {run.catalogue.version[:_DIGEST]}"]
    for option in OPTIONS:
        source = run.settings.source(option.name)
        if option.name in _ALWAYS or source.kind is not SourceKind.DEFAULT:
            note = "" if source.kind is SourceKind.DEFAULT else f"  (from {source})"
            value = _value(run, option.name, ask_engine=ask_engine)
            lines.append(f"manylinux {option.name}: {value}{note}")
    return lines


def _value(run: Run, name: str, *, ask_engine: bool) -> str:
    if name == "distros":
        return " ".join(distro.id for distro in run.distros(run.settings))
    if name == "engine" and ask_engine:
        try:
            engine = run.engine()
        except ManylinuxError as error:
            return f"none: {error.what}"
        return f"{engine.name} {engine.version()}"
    return shown(getattr(run.settings, name.replace("-", "_")))
