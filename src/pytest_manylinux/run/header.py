"""The header of a run: what is used, and where each setting came from."""

from __future__ import annotations

import os
from dataclasses import replace

from pytest_manylinux import __version__
from pytest_manylinux.config.keys import AUTO
from pytest_manylinux.config.options import OPTIONS
from pytest_manylinux.config.settings import SourceKind
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.images.lock_file import NAME as LOCK
from pytest_manylinux.run.hints import habit_notes
from pytest_manylinux.run.record import shown
from pytest_manylinux.run.session import Run

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
    if run.lock is not None:
        lines.append(f"manylinux lock: {_lock_words(run, ask_engine=ask_engine)}")
    notes = habit_notes(run.settings, run.own, os.environ)
    return lines + [f"manylinux note: {note}" for note in notes]


def _lock_words(run: Run, *, ask_engine: bool) -> str:
    if not ask_engine:
        return LOCK
    try:
        pins = run.pins(run.settings)
        if pins or not run.no_registry():
            return f"{LOCK} pins {len(pins)} of {len(run.distros(run.settings))} distros"
    except ManylinuxError:
        return f"{LOCK}, not used: there is no engine"
    return f"{LOCK}, not used: it pins images of registries, and these are made from the archive"


def _value(run: Run, name: str, *, ask_engine: bool) -> str:
    if name == "distros":
        places = [word for word in run.settings.distros if "+" in word]
        plain = replace(run.settings, distros=tuple(w for w in run.settings.distros if "+" not in w))
        words = " ".join([*(distro.id for distro in run.distros(plain)), *places])
        return f"{words}  ({_usual_words(run)})" if AUTO in run.settings.distros else words
    if name == "dask" and run.settings.dask and ask_engine:
        return _cluster_words(run)
    if name == "engine" and ask_engine:
        try:
            engine = run.workspace.engine()
        except ManylinuxError as error:
            return f"none: {error.what}"
        return f"{engine.name} {engine.version()}"
    return shown(getattr(run.settings, name.replace("-", "_")))


def _usual_words(run: Run) -> str:
    """Which group `auto` is, and why."""
    group = f"auto: group {run.usual_group()}"
    try:
        without = run.no_registry()
    except ManylinuxError:  # the engine's line says so
        return group
    return f"{group}: {without}" if without else group


def _cluster_words(run: Run) -> str:
    try:
        cluster = run.cluster()
    except ManylinuxError as error:
        return f"{error.what}: {error.why}"
    members = cluster.members()
    words = "; ".join(str(one) for one in members) or "no worker yet"
    return f"{run.settings.dask}: {words}"
