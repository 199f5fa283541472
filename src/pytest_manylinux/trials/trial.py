"""One trial: a wheel installed and imported on one target, and what was seen of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from msgspec.structs import replace
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.engines.api import Completed, Engine, Limits, Mount
from pytest_manylinux.engines.seccomp import kernel_program
from pytest_manylinux.errors import EngineError, ImageError, SandboxError
from pytest_manylinux.host.architecture import allowed_time, emulation_of
from pytest_manylinux.inspect.names import submodules
from pytest_manylinux.model.distro import Image, Target
from pytest_manylinux.model.elf_facts import ElfKind
from pytest_manylinux.model.observation import ImportDepth, Observation, Pairs
from pytest_manylinux.model.system_calls import KernelVersion, kernel_number
from pytest_manylinux.model.wheel import SiblingWheel, Wheel, WheelFacts
from pytest_manylinux.model.wheel_tags import supported_tags
from pytest_manylinux.trials.emulated_processor import (
    PATIENCE,
    EmulatedProcessor,
    emulated_processor,
)
from pytest_manylinux.trials.judged_files import installed_path, judged_files, within
from pytest_manylinux.trials.offered import (
    compiled_sources,
    entry_references,
    foreign_modules,
    launched_files,
    names_by_data,
    names_by_dependency,
    opened_libraries,
    own_places,
)
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import (
    INPUTS,
    OFFLINE,
    QUIET,
    Errand,
    PreparedVenv,
    SuiteSteps,
    VenvLayout,
    make_request,
    sent,
)
from pytest_manylinux.trials.result import Asked, Seen, look
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.uv_program import UvProgram
from pytest_manylinux.trials.venv import prepared_venv

DEPENDENCIES = INPUTS / "dependencies"
_WHEEL = INPUTS / "wheel"
# Bytecode changes no verdict: pip compiles what it can and goes on where it cannot. Imports find that
# of the compiler that looks at all sources (inside/examine.py), or compile what they need.
_ARGUMENTS = ("install", *QUIET, *OFFLINE, "--no-compile")
_ROOM = 3  # times the unpacked size, for what pip unpacks aside and what imports write
_UNPACKED = 5  # times a compressed size, about
_PROCESSES_OF_TESTS = 2048  # and threads: suites start pools of both


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """One wheel on one target.

    `dependencies` is a folder of wheels resolved for this target; None: pip is told to install no
    dependencies. `imports` replaces the top-level names found in the wheel, if it is not empty;
    `import_skip` are names or patterns (fnmatch) that are left out, with everything inside them.
    `programs` are command lines, the first word in the venv's folder of scripts. `timeout` is
    seconds for all of it; one import may take half of them. `cache` holds prepared venvs. `suite` are
    the project's own tests, which come after all of that, within time limits of their own. `uv` is the
    program that is to install the same wheel besides, within the same time once more.
    `siblings` are the wheels of the same run among what was resolved, `extras` those of the wheel to
    install, `lowest` are (name, version) of what was taken as old as the wheel admits it. `kernel` is
    the version of Linux that all of it is to find; None for this machine's. `processor` is the level of
    x86-64 that native code for it is to be imported on; empty for this machine's.
    """

    wheel: Wheel
    facts: WheelFacts
    target: Target
    image: Image
    imports: tuple[str, ...] = ()
    import_skip: tuple[str, ...] = ()
    import_depth: ImportDepth = field(default_factory=ImportDepth)
    dependencies: Path | None = None
    programs: tuple[tuple[str, ...], ...] = ()
    timeout: float = 300.0
    cache: Path | None = None
    suite: SuiteRequest | None = None
    uv: UvProgram | None = None
    siblings: tuple[SiblingWheel, ...] = ()
    extras: tuple[str, ...] = ()
    lowest: Pairs = ()
    kernel: KernelVersion | None = None
    processor: str = ""

    @property
    def emulated(self) -> EmulatedProcessor | None:
        """What its names are to be imported on; None for this machine's processor.

        Raises EngineError where this machine cannot emulate it.
        """
        native = self.target.arch == "x86_64" and self.facts.elf
        return emulated_processor(self.processor) if self.processor and native else None


def run_trial(
    request: TrialRequest, engine: Engine, pool: PreloadedPool | None = None, more: int = 0
) -> Observation:
    """Install and import in a fresh sandbox without network, and tell what was seen.

    With `pool` that sandbox is one that was made ready before, where that can be; the procedure is
    the same. `more` tells how many trials on the same target are known to come.
    A hang, a crash or an exit of the code under trial is part of the observation. Raises
    ImageError where the image's Python is not the target's and the wheel is not for it,
    SandboxError where the sandbox was lost before anything could be seen, TrialTimeoutError where
    pip itself did not end in time, and the engine's, image's and store's errors.
    """
    started, clock = time.time(), time.monotonic()
    cache = request.cache or cache_root() / "venvs"
    venv = prepared_venv(request.image, request.target.interpreter, engine, cache)
    request = answering(request, venv.layout)
    asked = _asked(request, venv.layout)
    errand = _errand(request, venv, asked)
    seen = _see(errand, asked, engine, _attempt(errand, pool, more))
    check_python(seen.python, request.target, request.image)
    observation = _observation(request, asked, seen, engine.name)
    return replace_fields(observation, started=started, duration=time.monotonic() - clock)


def _observation(request: TrialRequest, asked: Asked, seen: Seen, engine: str) -> Observation:
    """What was seen, and what it was seen on."""
    image, processor = request.image, request.emulated
    return Observation(
        target=request.target.id,
        image=image.digest,
        image_name=image.name,
        image_source=image.source.value,
        image_note="; ".join(filter(None, (image.note, seen.processor_note))),
        engine=engine,
        emulator=_emulator(request.target.arch),
        added_python=image.added.title if image.added is not None else "",
        added_python_digest=image.added.digest if image.added is not None else "",
        siblings=tuple(sorted((one.wheel.filename, one.wheel.sha256) for one in request.siblings)),
        compiled=tuple(
            sorted((one.wheel.name, one.wheel.version) for one in request.siblings if one.compiled)
        ),
        extras=(",".join(request.extras),) if request.extras else (),
        lowest=request.lowest,
        kernel="" if request.kernel is None else kernel_number(request.kernel),
        processor="" if processor is None or seen.processor_note else processor.title,
        python=seen.python,
        libc=seen.libc,
        install=seen.install,
        uv=seen.uv,
        imports=seen.imports,
        loader=seen.loader,
        programs=seen.programs,
        launches=seen.launches,
        libraries=seen.libraries,
        syntax=seen.syntax,
        left_out=asked.left_out,
        tests=seen.tests if asked.suite or request.suite is None else request.suite.left_out,
    )


def _attempt(errand: Errand, pool: PreloadedPool | None, more: int) -> Completed | None:
    """What a process that is ready makes of it; None where a sandbox of its own is wanted."""
    asked = errand.request
    alone = asked.uv or asked.system_calls or asked.emulator
    return None if pool is None or alone else pool.attempt(errand, more)


def _active(request: TrialRequest) -> SuiteRequest | None:
    """The tests that are to be run here."""
    return request.suite if request.suite is not None and request.suite.can_run else None


def _emulator(arch: str) -> str:
    found = emulation_of(arch)
    return found.emulator if found.emulated else ""


def _see(errand: Errand, asked: Asked, engine: Engine, attempt: Completed | None) -> Seen:
    if attempt is not None and asked.suite:
        return look(attempt, asked)  # tests are not run twice, and theirs shared nothing
    if attempt is not None:
        # Whatever is no full account is asked for again where nothing is shared.
        with contextlib.suppress(SandboxError):
            return look(attempt, asked)
    with sent(errand, engine) as (_, completed):
        return look(completed, asked)


def answering(request: TrialRequest, layout: VenvLayout) -> TrialRequest:
    """The request for the Python that the image has, which the row may not know yet.

    Raises ImageError if it is another one and the wheel is not for it.
    """
    target = request.target.answered_by(layout.python)
    if target is request.target:
        return request
    own = request.target.interpreter
    words = f"{own.executable} of {request.image.name} is {target.interpreter.version.title}"
    if supported_tags(target).isdisjoint(request.wheel.tags):
        raise ImageError(
            f"{words}, not {own.version.dotted}, and {request.wheel.filename} is not for it",
            why=f"the catalogue's row of {target.distro.id} does not speak of what is there any more",
            remedy="run it again: the next run plans for what is there; or name the program in the row "
            f"(executable = '/usr/bin/python{own.version.dotted}'), "
            "or see what `pytest-manylinux catalogue check` says",
        )
    note = f"{words}, not {own.version.dotted} as in the catalogue: tried as {target.id}"
    image = replace_fields(request.image, note="; ".join(filter(None, (request.image.note, note))))
    return replace_fields(request, target=target, image=image)


def check_python(answered: str, target: Target, image: Image) -> None:
    """Raise ImageError if the Python that answered is not the target's: it saw another one's trial."""
    if target.answered_by(answered) is not target:
        raise ImageError(
            f"{target.interpreter.executable} of {image.name} is Python {answered}, "
            f"not {target.interpreter.version.dotted}",
            why="the virtual environment that was made in it is another Python's",
            remedy="run again with --manylinux-fresh",
        )


def _asked(request: TrialRequest, layout: VenvLayout) -> Asked:
    """What is to be imported: an extension module at the top is a top-level name already."""
    facts, skip = request.facts, request.import_skip
    certain = dict.fromkeys((*facts.top_level, *names_by_data(facts, layout)))
    perhaps = frozenset(names_by_dependency(facts)) - certain.keys()
    offered = certain | dict.fromkeys(sorted(perhaps))
    imports = [name for name in request.imports or offered if not is_skipped(name, skip)]
    modules = dict.fromkeys((*facts.extension_modules, *foreign_modules(facts)))
    extensions = [name for name in modules if not is_skipped(name, skip)]
    named = entry_references(facts, request.extras)
    references = [name for name in named if not is_skipped(_module(name), skip)]
    known = {*imports, *extensions}
    deeper = submodules(facts.files, imports, request.import_depth.levels)
    return Asked(
        imports=tuple(dict.fromkeys(imports)),
        extensions=tuple(name for name in dict.fromkeys(extensions) if name not in imports),
        submodules=tuple(n for n in deeper if n not in known and not is_skipped(n, skip)),
        submodules_decide=request.import_depth.decides,
        entry_points=tuple(references),
        libraries=opened_libraries(facts, layout, request.target.arch),
        offered=frozenset(offered),
        perhaps=perhaps.difference(request.imports),
        left_out=tuple(name for name in offered if name not in imports),
        files=own_places(facts, layout),
        judged=judged_files(facts, layout),
        suite=suite.shown if (suite := _active(request)) else "",
    )


def _suite_steps(request: TrialRequest, suite: SuiteRequest, wheel: str) -> SuiteSteps:
    steps = suite.steps(_ARGUMENTS, wheel)
    return replace(steps, timeout=allowed_time(steps.timeout, request.target.arch))


def _module(reference: str) -> str:
    return reference.partition(":")[0]


def is_skipped(name: str, skip: Iterable[str]) -> bool:
    """Whether a dotted name, or something that it is inside of, matches one of the patterns."""
    parts = name.split(".")
    outer = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
    return any(fnmatchcase(word, pattern) for word in outer for pattern in skip)


def loader_files(facts: WheelFacts, layout: VenvLayout) -> tuple[tuple[str, str], ...]:
    """The files that the distro's loader is to resolve, each with the loader that it names itself.

    Extension modules and programs; grafted libraries are resolved through whoever loads them, since
    their own search paths do not count. A program that needs no loader is not asked about.
    """
    modules = {path for _, path in facts.extension_paths}
    wanted = [
        elf
        for elf in facts.elf
        if elf.path in modules or (elf.kind is ElfKind.PROGRAM and (elf.interpreter or elf.needed))
    ]
    places = ((installed_path(elf.path, facts, layout), elf.interpreter) for elf in wanted)
    return tuple((place, interpreter) for place, interpreter in places if place)


def _errand(request: TrialRequest, venv: PreparedVenv, asked: Asked) -> Errand:
    wheel, folder, suite = request.wheel, request.dependencies, _active(request)
    inside, named = _WHEEL / wheel.plain_filename, _WHEEL / wheel.filename
    where: tuple[str, ...] = ("--no-deps",) if folder is None else ("--find-links", str(DEPENDENCIES))
    extras = f"[{','.join(request.extras)}]" if request.extras else ""
    arguments = (*_ARGUMENTS, *where, f"{inside}{extras}")
    tested, processor = suite.required if suite else None, request.emulated
    patience = PATIENCE if processor else 1
    return Errand(
        image=request.image,
        interpreter=request.target.interpreter,
        venv=venv,
        request=replace(
            make_request(
                venv, arguments, patience * allowed_time(request.timeout, request.target.arch)
            ),
            files=asked.judged.files if asked.judged else (),
            own=asked.judged.metadata if asked.judged else "",
            elf=loader_files(request.facts, venv.layout),
            imports=asked.imports,
            extensions=asked.extensions,
            submodules=asked.submodules,
            entry_points=asked.entry_points,
            launches=launched_files(request.facts, venv.layout),
            libraries=asked.libraries,
            sources=compiled_sources(request.facts, venv.layout),
            programs=request.programs,
            system_calls=_filter(request),
            emulator=processor.command if processor else (),
            suite=_suite_steps(request, suite, str(inside)) if suite else None,
            uv=request.uv.steps((*where, str(named)), variant=bool(wheel.variant))
            if request.uv
            else None,
        ),
        label=f"trial of {wheel.filename} on {request.target.id}",
        mounts=tuple(_mounts(request, inside, named)),
        replaced=(
            wheel.name,
            *_distributions(folder),
            *_distributions(tested),
            *_written_over(request.facts, venv.layout),
        ),
        network=suite is not None and suite.settings.network,
        limits=_limits(request),
    )


def _mounts(request: TrialRequest, *names: PurePosixPath) -> Iterator[Mount]:
    """What a trial needs of this machine; the wheel by each of its names."""
    for name in set(names):
        yield Mount(source=request.wheel.path.resolve(), target=name)
    if request.dependencies is not None:
        yield Mount(source=request.dependencies.resolve(), target=DEPENDENCIES)
    suite = _active(request)
    if suite is not None:
        yield from suite.mounts()
    if request.uv is not None:
        yield request.uv.mount()
    if request.emulated is not None:
        yield request.emulated.mount()


def _filter(request: TrialRequest) -> str:
    """The filter of an older kernel, in hexadecimal; raises EngineError where there can be none."""
    if request.kernel is None:
        return ""
    if emulator := _emulator(request.target.arch):
        raise EngineError(
            f"kernel = {kernel_number(request.kernel)} is not possible on {request.target.id}",
            why=f"{emulator} makes the calls of this machine's kernel itself, and takes no filter",
            remedy="leave the setting kernel out there, or try it on a machine of that architecture",
        )
    return kernel_program(request.kernel).hex()


def _distributions(folder: Path | None) -> Iterator[str]:
    """The normalized names of the wheels in a folder."""
    for path in folder.glob("*.whl") if folder else ():
        with contextlib.suppress(InvalidWheelFilename):
            yield parse_wheel_filename(path.name)[0]


def _written_over(facts: WheelFacts, layout: VenvLayout) -> frozenset[str]:
    """What the venv was seeded with, if a file of the wheel lands in a folder of that."""
    folders = tuple(f"{path}/" for path in layout.heavy)
    for path in facts.files:
        if within(installed_path(path, facts, layout), layout).startswith(folders):
            return layout.seeded
    return frozenset()


def _limits(request: TrialRequest) -> Limits:
    """Room for what is installed: scratch is memory, and half of it is /tmp."""
    least, suite = Limits(), _active(request)
    folders = [request.dependencies, suite.required if suite else None]
    wheels = [path for folder in folders if folder for path in folder.glob("*.whl")]
    packed = sum(path.stat().st_size for path in wheels)
    room = _ROOM * (request.facts.unpacked_size + _UNPACKED * packed)
    if suite and suite.tree:
        room += _ROOM * suite.tree.stat().st_size
    if request.uv is not None:
        room *= 2
    scratch = max(least.scratch, 2 * room)
    processes = _PROCESSES_OF_TESTS if suite else least.processes
    memory = least.memory + scratch - least.scratch
    return Limits(memory=memory, scratch=scratch, processes=processes)
