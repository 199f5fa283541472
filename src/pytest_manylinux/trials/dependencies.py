"""What a wheel depends on, resolved for exactly one target by that target's own pip.

Runs with network in a sandbox of its own, from the user's index. Where wheels alone do not do, what
the index has as source is built there by the same pip, isolated (PEP 517), without a compiler, as it
would be for a user. The trial then installs from the folder without any network.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from pytest_manylinux.cache.directories import is_recent, make_once
from pytest_manylinux.cache.integrity import file_digest, is_whole
from pytest_manylinux.engines.api import SCRATCH, Completed, Engine, Limits, Mount, Sandbox
from pytest_manylinux.errors import DependencyError, NoWheelError, TrialTimeoutError
from pytest_manylinux.escape import redact
from pytest_manylinux.host.architecture import allowed_time
from pytest_manylinux.indexes import MAX_AGE, OUT_OF_REACH, IndexAccess, host_index
from pytest_manylinux.inspect.requirements import contradictory_requirements, needed_requirements
from pytest_manylinux.model.distro import Image, Target
from pytest_manylinux.model.observation import InstallOutcome
from pytest_manylinux.model.wheel import SiblingWheel, Wheel, WheelFacts, admitted_releases
from pytest_manylinux.trials.request import INPUTS, QUIET, Errand, make_request, sent
from pytest_manylinux.trials.result import Asked, look
from pytest_manylinux.trials.venv import prepared_venv

_OUT = SCRATCH / "out"
_WHEELS = "wheels"
_ROOM = 16 * 1024**3  # bytes; PyTorch with its CUDA libraries comes to 3 GB
_WAYS = (
    ("download", *QUIET, "--only-binary", ":all:", "--dest", str(_OUT)),
    ("wheel", *QUIET, "--prefer-binary", "--use-pep517", "--wheel-dir", str(_OUT)),
)
"""pip's arguments: wheels alone, and then with sources built."""

_LACKING = re.compile(r"No matching distribution found|Could not find a version|ResolutionImpossible")
# pip, src/pip/_internal/exceptions.py (MetadataInvalid, InvalidInstalledPackage), what `packaging`
# raises and what Python says of a file: URL that leads nowhere.
_OWN_FAULT = re.compile(
    r"has invalid metadata|Invalid requirement|InvalidRequirement|InvalidSpecifier|InvalidVersion"
    r"|RequirementParseError|is not a supported wheel on this platform|requires a different Python"
    r"|Could not install packages due to an (?:OSError|EnvironmentError): \[Errno 2\]"
    r"|is not a valid wheel filename|does not appear to be a Python project"
    r"|FileNotFoundError: \[Errno 2\]|Requirement .* looks like a filename, but the file does not exist"
)
_NOT_SATISFIED = re.compile(r"satisfies the requirement (?P<name>[A-Za-z0-9][\w.-]*?)(?=[^\w.-]|$)")
# pip, src/pip/_internal/resolution/resolvelib/factory.py; newer ones add who wants it: `(from x)`.
_VERSIONS = re.compile(
    r"satisfies the requirement (?P<name>[A-Za-z0-9][\w.-]*?)(?=[^\w.-])"
    r".*?\(from versions: (?P<versions>[^)]*)\)"
)
# What a source's build says is about that source, whatever words its tools have.
_OF_BUILD = re.compile(
    r"Failed building wheel|Failed to build|subprocess-exited-with-error|did not run successfully"
    r"|Command errored out with exit status"
)
_END = re.compile(r"\[end of output\]|-{30,}")
_UNBUILT = re.compile(r"Failed (?:building wheel|to build wheels?) for (?P<name>[\w.-]+)")
# pip, DiagnosticPipError: what it was at, in a line of its own, where it failed before building it.
_AT = re.compile(r"╰─> (?P<name>[A-Za-z0-9][\w.-]*)(?=,|\s*$)", re.MULTILINE)
# Older ones (23.0) say "See above" there: it is what pip had begun with last, and says unindented.
_BEGUN = re.compile(r"^Collecting (?P<name>[A-Za-z0-9][\w.-]*)", re.MULTILINE)
# pip, src/pip/_internal/network/download.py and operations/prepare.py: a file, or where it lies.
_TAKEN = re.compile(
    r"^\s*(?:Downloading|Using cached|Processing|File was already downloaded) "
    r"(?:\S*/)?(?P<file>[\w.+-]+\.(?:tar\.gz|zip))",
    re.MULTILINE,
)
# What may stand before a mark of an end: pip's own words on a build inside the build.
_OF_PIP = ("hint: ", "note: ", "╰─>")
_BEGINNING = re.compile(r"\[\d+ lines? of output\]$")
_LEADS_TO_LOG = re.compile(r"\blog can be found at\b|\.log\b")  # in a sandbox that is gone by then
_ERROR_LINE = re.compile(r"\berror: ", re.IGNORECASE)


def resolve_dependencies(
    wheel: Wheel,
    facts: WheelFacts,
    target: Target,
    image: Image,
    engine: Engine,
    *,
    cache: Path,
    timeout: float,
    extras: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    siblings: tuple[SiblingWheel, ...] = (),
    lowest: bool = False,
) -> Path | None:
    """Give a folder with the wheels of everything that `wheel` depends on, on this target.

    None if it depends on nothing there, and where its Requires-Python refuses the target's Python, for
    the trial's pip to say. For requirements that contradict each other, which it says too, the folder
    is empty. Folders are kept below `cache`, for a day, by wheel name, version, requirements, image and
    index; other runs may use them too, so nobody changes them.
    `extras` of the wheel and `also`, more requirements, are resolved with it. `siblings` are wheels
    that are taken for what requires them, whatever the index has. `timeout` is in seconds.
    `lowest` takes what the wheel itself requires as old as it admits it and the target can install it;
    what has no lower bound stays the newest.
    Raises DependencyError with the resolver's words, and the engine's, image's and store's errors.
    """
    nothing = not (extras or also or needed_requirements(facts.requires_dist, target))
    if nothing or refuses_python(facts.requires_python, target):
        return None
    index = host_index()
    words = (wheel.name, wheel.version, *sorted(facts.requires_dist), image.content, index.identity)
    words += (target.interpreter.executable, *_asked(extras, also, siblings, lowest=lowest))
    spared = {wheel.name, *(one.wheel.name for one in siblings)}
    direct = needed_requirements(facts.requires_dist, target, extras) if lowest else ()
    folder = cache / hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
    resolver = _Resolver(
        wheel=wheel,
        target=target,
        image=image,
        engine=engine,
        index=index,
        venvs=cache.parent / "venvs",
        timeout=allowed_time(timeout, target.arch),
        extras=f"[{','.join(extras)}]" if extras else "",
        also=also,
        siblings=siblings,
    )
    contradictory = any(contradictory_requirements(facts, target, extras))
    resolve = _nothing if contradictory else partial(resolver.resolve, lowest_pins(direct, spared))
    return make_once(folder, resolve, usable=_is_of_today) / _WHEELS


def _asked(
    extras: tuple[str, ...], also: tuple[str, ...], siblings: Iterable[SiblingWheel], *, lowest: bool
) -> tuple[str, ...]:
    """What tells one resolution of a wheel's requirements from another; empty for the usual one."""
    words = (f"[{','.join(sorted(extras))}]", *sorted(also)) if extras or also else ()
    words += tuple(
        sorted(f"{one.wheel.sha256}:{one.arguments(one.wheel.filename)}" for one in siblings)
    )
    return (*words, "lowest") if lowest else words


def refuses_python(requires_python: str, target: Target) -> bool:
    """Whether a Requires-Python admits no release of the target's Python; pip passes over a bad one."""
    return not admitted_releases(requires_python, target.interpreter.version.dotted)


def _nothing(folder: Path) -> None:
    (folder / _WHEELS).mkdir()


def _is_of_today(folder: Path) -> bool:
    return is_recent(folder, MAX_AGE) and is_whole(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolver:
    """Has the target's pip get everything but the wheel itself.

    `extras` are the wheel's in brackets, or nothing; `also` are further requirements.
    """

    wheel: Wheel
    target: Target
    image: Image
    engine: Engine
    index: IndexAccess
    venvs: Path
    timeout: float
    extras: str
    also: tuple[str, ...]
    siblings: tuple[SiblingWheel, ...]

    def resolve(self, pins: tuple[Pin, ...], folder: Path) -> None:
        """Fill `folder`; raises DependencyError, and what engine, image and store raise."""
        ways = [(way, pins) for way in _WAYS]
        while ways:
            way, pins = ways.pop(0)
            with self._asked(way, *self._wanted(pins)) as (sandbox, outcome, words):
                if outcome.ok:
                    sandbox.copy_out(_OUT, folder / _WHEELS)
                    (folder / _WHEELS / self.wheel.plain_filename).unlink(missing_ok=True)
                    _check_siblings(folder / _WHEELS, self.siblings, self.wheel)
                    return
            if refuses_wheel(words):
                (folder / _WHEELS).mkdir()
                return
            lacking = _LACKING.search(words) and not OUT_OF_REACH.search(words)
            if lacking and (nearer := nearer_pins(pins, self._with_versions(way, pins, words))):
                ways.insert(0, (way, nearer))
            elif not (lacking and ways):
                raise unavailable(f"{self.wheel.filename}{self.extras}", self.target, words)

    def _wanted(self, pins: Iterable[Pin]) -> tuple[str, ...]:
        # pip takes a file for whatever requires its project, and asks no index, if it knows it first
        siblings = (part for one in self.siblings for part in one.arguments(_sibling_inside(one.wheel)))
        return (f"{_wheel_inside(self.wheel)}{self.extras}", *siblings, *map(str, pins), *self.also)

    def _with_versions(self, way: tuple[str, ...], pins: Iterable[Pin], words: str) -> str:
        """Pip's words, with the versions that there are of what it did not find.

        The resolver of pip 20.3 does not name them, the one before it does.
        """
        found = _NOT_SATISFIED.search(words)
        pin = next((p for p in pins if found and p.name == canonicalize_name(found["name"])), None)
        if pin is None or _VERSIONS.search(words):
            return words
        with self._asked(way, "--no-deps", "--use-deprecated=legacy-resolver", str(pin)) as asked:
            return asked[2]

    @contextlib.contextmanager
    def _asked(
        self, way: tuple[str, ...], *wanted: str
    ) -> Iterator[tuple[Sandbox, InstallOutcome, str]]:
        """Ask pip in a sandbox; its words hold no credentials."""
        venv = prepared_venv(self.image, self.target.interpreter, self.engine, self.venvs)
        files = {self.wheel: _wheel_inside(self.wheel)}
        files |= {one.wheel: _sibling_inside(one.wheel) for one in self.siblings}
        mounts = [(one.path.resolve(), PurePosixPath(place)) for one, place in files.items()]
        errand = Errand(
            image=self.image,
            interpreter=self.target.interpreter,
            venv=venv,
            request=make_request(venv, (*way, *wanted), self.timeout),
            label=f"dependencies of {self.wheel.filename} on {self.target.id}",
            mounts=tuple(Mount(source=s, target=t) for s, t in (*mounts, *self.index.mounts)),
            network=True,
            environment=self.index.environment,
            limits=Limits(memory=_ROOM, scratch=_ROOM),
        )
        with sent(errand, self.engine) as (sandbox, completed):
            outcome = _ending(completed, self.wheel, self.target, self.timeout)
            yield sandbox, outcome, redact(outcome.output)


def _wheel_inside(wheel: Wheel) -> str:
    return str(INPUTS / "wheel" / wheel.plain_filename)


def _sibling_inside(wheel: Wheel) -> str:
    return str(INPUTS / "siblings" / wheel.filename)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A requirement of the wheel's own, and the oldest version of its project that may do."""

    name: str
    specifier: SpecifierSet
    version: str

    def __str__(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version},{self.specifier}"


def lowest_pins(lines: Iterable[str], spared: Collection[str]) -> tuple[Pin, ...]:
    """A pin for each requirement with a lower bound, in its name's order, all its lines together.

    `spared` are names that are decided otherwise.
    """
    found: dict[str, SpecifierSet] = {}
    for line in lines:
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            if not requirement.url and name not in spared:
                found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    pins = ((name, specifier, _bound(specifier)) for name, specifier in sorted(found.items()))
    return tuple(Pin(name=n, specifier=s, version=bound) for n, s, bound in pins if bound)


def _bound(specifier: SpecifierSet) -> str:
    """The highest of the lower bounds; empty if there is none."""
    lower = [one.version for one in specifier if one.operator in {">=", ">", "~=", "=="}]
    versions = [Version(text.removesuffix(".*")) for text in lower]
    return str(max(versions)) if versions else ""


def nearer_pins(pins: tuple[Pin, ...], words: str) -> tuple[Pin, ...]:
    """The pins once pip has said which versions there are for this target; none if that helps not.

    A bound need not be a release, and a release need not be there for every Python: the oldest version
    that pip names, and the requirement admits, takes its place.
    """
    for found in _VERSIONS.finditer(words):
        name = canonicalize_name(found["name"])
        for place, pin in enumerate(pins):
            versions = [version for text in found["versions"].split(", ") if (version := _read(text))]
            fitting = sorted(pin.specifier.filter(versions))
            if pin.name == name and fitting and str(fitting[0]) != pin.version:
                nearer = replace(pin, version=str(fitting[0]))
                return (*pins[:place], nearer, *pins[place + 1 :])
    return ()


def _read(text: str) -> Version | None:
    try:
        return Version(text.strip())
    except InvalidVersion:
        return None


def _check_siblings(folder: Path, siblings: Iterable[SiblingWheel], wheel: Wheel) -> None:
    """Raise DependencyError unless pip gave the siblings back with their bytes."""
    for one in (sibling.wheel for sibling in siblings):
        path = folder / one.filename
        if not path.is_file() or file_digest(path) != one.sha256:
            raise DependencyError(
                f"{one.filename}, which {wheel.filename} requires, was changed meanwhile",
                why="pip gave other bytes back than those that were read before",
                remedy="run it again, when nothing else writes that file",
            )


def refuses_wheel(output: str) -> bool:
    """Whether pip's words are about the wheel itself: its metadata, a place that it names.

    Then there is nothing to resolve, and what the trial's pip says of it decides.
    """
    return _OWN_FAULT.search(output) is not None and _OF_BUILD.search(output) is None


def _ending(completed: Completed, wheel: Wheel, target: Target, timeout: float) -> InstallOutcome:
    """How pip ended; raises DependencyError if it was not done in time."""
    try:
        return look(completed, Asked()).install
    except TrialTimeoutError as error:
        raise DependencyError(
            f"the dependencies of {wheel.filename} on {target.id} were not there within {timeout:g} s",
            why=redact(error.why) or error.what,
            remedy="see whether the index answers, or give trials more time (trial-timeout)",
        ) from error


def unavailable(wheel: str, target: Target, output: str) -> DependencyError:
    """What to say where pip, whose words are `output`, came back without what a wheel requires."""
    remote = "Could not fetch URL" in output or OUT_OF_REACH.search(output)
    if _OF_BUILD.search(output) and not remote:
        name = _unbuilt(output)
        return NoWheelError(
            f"{name}, which {wheel} requires, has no wheel for {target.id} and cannot be built there",
            why=last_real_line(output),
            remedy="require a release that has wheels: users without a compiler cannot install it; or "
            "let this run compile it, dependencies = build",
            sdist=_sdist_of(name, output),
        )
    return DependencyError(
        f"the dependencies of {wheel} cannot be had on {target.id}",
        why=decisive_words(output),
        remedy="is the index within reach? `pip config list` shows which one is asked"
        if remote
        else "offer wheels of them for this target (find-links in pip's configuration), or change "
        "what the wheel requires",
    )


def _sdist_of(name: str, output: str) -> str:
    """The file of a project's source that pip took first, the newest; empty if it names none."""
    wanted = canonicalize_name(name)
    return next((file for _, project, file in _sources_taken(output) if project == wanted), "")


def _sources_taken(output: str) -> Iterator[tuple[int, str, str]]:
    """Where in pip's words it takes a source: the place, the project and the file's name."""
    for found in _TAKEN.finditer(output):
        with contextlib.suppress(InvalidSdistFilename, InvalidVersion):
            yield found.start(), parse_sdist_filename(found["file"])[0], found["file"]


def _unbuilt(output: str) -> str:
    """The project whose source was not built, by pip's words."""
    if found := _UNBUILT.search(output) or _AT.search(output):
        return found["name"]
    failure = _OF_BUILD.search(output)
    end = failure.start() if failure else len(output)
    begun = [(one.start(), one["name"]) for one in _BEGUN.finditer(output)]
    begun += [(start, name) for start, name, _ in _sources_taken(output)]  # of a folder, that alone
    return max((one for one in begun if one[0] < end), default=(0, "a project"))[1]


def last_real_line(output: str) -> str:
    """What a build said last: before pip's mark of its end, or else its last line of an error.

    The mark is `[end of output]`, before pip 21.3 a row of hyphens. Where a build's own requirement was
    not built, that one's words count; where the last line is about a log, the last one of an error.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    ends = [number for number, line in enumerate(lines) if _END.fullmatch(line) and number > 0]
    if ends:
        end = next((n for n in reversed(ends) if not lines[n - 1].startswith(_OF_PIP)), ends[-1])
        back = itertools.takewhile(lambda line: not _BEGINNING.search(line), reversed(lines[:end]))
        said = [*back] or ["no words"]
        error = next((line for line in said if _ERROR_LINE.search(line)), said[0])
        return error if _LEADS_TO_LOG.search(said[0]) else said[0]
    errors = [line for line in lines if "rror" in line and not line.startswith("ERROR: Failed")]
    return (errors or lines or ["no words"])[-1]


def decisive_words(output: str) -> str:
    """The lines of pip's output that tell why it found no solution."""
    lines = [line.rstrip() for line in output.splitlines()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    if "ERROR: Exception:" in errors:  # a traceback of pip's own, whose last line says what it is
        errors = [line for line in lines if line and not line[0].isspace()][-1:]
    start = next((n for n, line in enumerate(lines) if line.startswith("The conflict is caused")), None)
    conflict = [] if start is None else list(itertools.takewhile(str.strip, lines[start:]))
    broken = [line for line in lines if "Could not fetch" in line or OUT_OF_REACH.search(line)]
    found = dict.fromkeys([*broken[:1], *conflict, *errors])
    return "\n".join(found) or "\n".join(lines[-10:])
