"""Probes of what a run fetches from: the package index, the archive's mirrors, registries.

Each is asked as a run would ask, with the user's proxies, certificates and logins; a few seconds are
enough for an answer.
"""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pytest_manylinux.doctor.api import Area, Health, ProbeResult, one_line
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.subprocesses import module_command
from pytest_manylinux.images.apt import MachineApt, variable, ways_of, words_of
from pytest_manylinux.images.references import API_HOSTS, LOOPBACK, Reference, through_mirror
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay

TIMEOUT = 5.0
_PIP_TIMEOUT = 60.0  # pip waits TIMEOUT for each answer; an index of many pages has many
_WANTED = "ziglang"
_REGISTRIES = ("docker.io", "quay.io")
_ANSWERS = frozenset({200, 401, 403})  # 401: it wants a login, as most do (distribution's API)

Sources = Callable[[ArchiveRecipe], tuple[str, ...]]
"""Gives the lines of a sources.list for a suite."""

Opener = Callable[[str], int]
"""Gives the status of an address, or raises OSError."""


def opener(certificates: Path | None) -> Opener:
    """Asks with the environment's proxies and these certificates; logins are not sent."""
    context = ssl.create_default_context(cafile=None if certificates is None else str(certificates))
    build = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def ask(url: str) -> int:
        try:
            with build.open(url, timeout=TIMEOUT) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    return ask


def look_at_index() -> Iterator[ProbeResult]:
    """Whether pip, as it is set up here, finds the compiler on its index."""
    options = ("--disable-pip-version-check", "--no-input", "--retries", "0")
    command = module_command("pip", "index", "versions", _WANTED, *options)
    try:
        done = subprocess.run(
            [*command, "--timeout", f"{TIMEOUT:g}"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_PIP_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        yield _index(Health.LACKING, f"pip took longer than {_PIP_TIMEOUT:g} s")
        return
    if done.returncode == 0:
        yield _index(Health.GOOD, f"pip finds {one_line(done.stdout)}")
    elif "No module named pip" in done.stderr:
        yield _index(Health.LACKING, "this Python has no pip, so it was not asked")
    else:
        wrong = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        yield _index(Health.LACKING, one_line((wrong or [done.stderr])[-1]))


def _index(health: Health, says: str) -> ProbeResult:
    cure = "" if health is Health.GOOD else "see `pip config list` and `pip download ziglang`"
    return ProbeResult(area=Area.NETWORK, name="package index", health=health, says=says, remedy=cure)


def look_at_archive(
    recipe: ArchiveRecipe, ask: Opener, *, sources: Sources | None = None
) -> Iterator[ProbeResult]:
    """Whether the mirrors that apt knows answer for a suite. Raises ImageError if it knows none."""
    lines = (sources or (lambda wanted: MachineApt().sources(wanted)))(recipe)
    for line in lines:
        yield _suite_asked(line, ask)


def look_at_ways(
    distro: str, recipe: ArchiveRecipe, ask: Opener, *, apt: MachineApt | None = None
) -> Iterator[ProbeResult]:
    """By which of a row's ways its root would be made now, as far as Release files tell."""
    lacking: list[str] = []
    for way in ways_of(recipe):
        problem = _lack_of(recipe, way, ask, apt or MachineApt())
        if not problem:
            first = not lacking
            yield ProbeResult(
                area=Area.NETWORK,
                name=f"root {distro}",
                health=Health.GOOD if first else Health.LACKING,
                says="; ".join((f"by {words_of(way)}", *lacking)),
                remedy="" if first else _ARCHIVE_CURE,
            )
            return
        lacking.append(f"{words_of(way)}: {problem}")
    cure = f"name a mirror in {variable(recipe.origin)}, or one of old releases in "
    yield ProbeResult(
        area=Area.NETWORK,
        name=f"root {distro}",
        health=Health.LACKING,
        says="; ".join(("it cannot be made", *lacking)),
        remedy=cure + variable(recipe.origin, "old"),
    )


def _lack_of(recipe: ArchiveRecipe, way: ArchiveWay, ask: Opener, apt: MachineApt) -> str:
    """What a way lacks; empty if each of its suites answers."""
    try:
        lines = apt.sources(recipe, way)
    except ImageError as error:
        return error.what
    asked = (_suite_asked(line, ask) for line in lines)
    return next((finding.says for finding in asked if finding.health is not Health.GOOD), "")


def _suite_asked(line: str, ask: Opener) -> ProbeResult:
    """Whether the mirror in a line of a sources.list answers for its suite."""
    words = [word for word in line.split() if not word.startswith(("[", "signed-by"))]
    url, suite = words[1], words[2]
    return _asked(f"archive {suite}", url, f"{url}/dists/{suite}/InRelease", ask, _ARCHIVE_CURE)


_ARCHIVE_CURE = "see that `apt-get update` works (network, proxy, mirror)"
_REGISTRY_CURE = "set registry-mirror; Debian's roots can be made from the archive without it"


def look_at_registry(registry: str, mirrors: Mapping[str, str], ask: Opener) -> Iterator[ProbeResult]:
    """Whether a registry, or the mirror that stands for it, answers."""
    host = through_mirror(Reference(registry=registry, path="", tag="latest"), mirrors).registry
    place = API_HOSTS.get(host, host)
    scheme = "http" if urlsplit(f"//{place}").hostname in LOOPBACK else "https"
    name = f"registry {registry}" if host == registry else f"registry {registry} by {host}"
    yield _asked(name, host, f"{scheme}://{place}/v2/", ask, _REGISTRY_CURE)


def registries(mirrors: Mapping[str, str]) -> tuple[str, ...]:
    """Those of the usual distros' images and of the builders, and others that have a mirror."""
    return tuple(dict.fromkeys((*_REGISTRIES, *mirrors)))


def _asked(name: str, shown: str, url: str, ask: Opener, cure: str) -> ProbeResult:
    if url.startswith(("file:", "copy:")):
        there = Path(urlsplit(url).path).exists()
        health, says = (Health.GOOD, "is there") if there else (Health.LACKING, "is not there")
    else:
        try:
            status = ask(url)
            good = status in _ANSWERS
            health = Health.GOOD if good else Health.LACKING
            says = "answers" if good else f"answers with {status}"
        except (OSError, ValueError) as error:
            health, says = Health.LACKING, f"out of reach: {getattr(error, 'reason', error)}"
    remedy = "" if health is Health.GOOD else cure
    return ProbeResult(
        area=Area.NETWORK, name=name, health=health, says=f"{shown} {says}", remedy=remedy
    )
