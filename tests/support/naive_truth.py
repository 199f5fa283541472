"""Verdicts against what a user would see who tries a wheel by hand; for the suite marked `index`, or:

    python tests/support/naive_truth.py [--again] [--on=DISTRO…] [PROJECT…]

For each listed wheel (`tests/data/real-wheels.txt`) and each target that takes it: an environment
by `python3 -m venv`, an installation by its pip with network, from this machine's own index, and the
import of each name and of each extension module, a look at what its scripts call, a start of each
program, a dlopen of each library where the wheel has nothing else, with LD_LIBRARY_PATH for its
siblings and those of what it requires (one that only a driver would let open is passed over where
others do). None of the trial's own code has a part in it. Then the same wheel in a trial.

What was found is kept in `REAL_WHEELS` (default: a folder of the cache), wheel by wheel, and not done
again; with `--again` the verdict is, and what was seen by hand in the same root stays.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agreement import DISTROS, TIMEOUT, Place, places
from real_wheels import LIST, Cell, ListedWheel, Results, listed_wheels

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.api import SCRATCH, Command, Engine, Limits, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.escape import redact
from pytest_manylinux.indexes import host_index
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.elf_facts import ElfKind
from pytest_manylinux.model.verdict import Foretold, Outcome
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.trials.dependencies import refuses_python, resolve_dependencies
from pytest_manylinux.trials.trial import TrialRequest, run_trial

FOLDER = Path(os.environ.get("REAL_WHEELS") or cache_root() / "real-wheels")
_FILES = PurePosixPath("/tmp/wheels")  # noqa: S108 - inside a sandbox
_ROOM = 8 * 1024**3  # bytes: what GPU wheels depend on
_VENV = PurePosixPath("/tmp/venv.tar")  # noqa: S108 - the same
_BY_HAND = r"""
set -e
cd {scratch}
tar xf {venv}
by-hand/bin/python -m pip install --quiet --no-compile {files}/*.whl
for name in {names}; do timeout 120 by-hand/bin/python -c "import $name" </dev/null; done
timeout 300 by-hand/bin/python -c "$MODULES" {modules} </dev/null >/dev/null 2>refused || {{
    cat refused; exit 1
}}
timeout 300 by-hand/bin/python -c "$ENTRY_POINTS" {project} </dev/null >/dev/null 2>refused || {{
    cat refused; exit 1
}}
for program in {programs}; do
    code=0
    timeout 20 by-hand/bin/$program --version </dev/null >/dev/null 2>&1 || code=$?
    case "$code" in 126|127|13[0-9]|14[0-9]) echo "$program ended with $code"; exit 1;; esac
done
folders=$(find "$PWD/by-hand" -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
opened= driver=
for library in {libraries}; do
    place=$(find by-hand -path "*/$library" | head -n 1)
    if words=$(LD_LIBRARY_PATH=$folders by-hand/bin/python \
            -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "$place" 2>&1); then
        opened=yes
    else
        case "$words" in
            *libcuda.so*|*libnvidia-ml.so*|*libmlx5.so*|*libibverbs.so*|*librdmacm.so*) driver=$words;;
            *) echo "$words"; exit 1;;
        esac
    fi
done
[ -n "$opened" ] || [ -z "$driver" ] || {{ echo "$driver"; exit 1; }}
"""


# A submodule may have reasons not to be imported alone; what the loader refuses is the wheel's fault.
_MODULES = r"""
import importlib, re, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        if re.search("cannot open shared object|undefined symbol|not found .required by", str(error)):
            sys.exit("import %s: %s" % (name, error))
"""


# What console and GUI scripts call; one may want what only an extra brings.
_ENTRY_POINTS = r"""
import importlib.metadata, re, sys
project = importlib.metadata.distribution(sys.argv[1])
extra = [re.match(r"[\w.-]*", line)[0].lower().replace("-", "_")
         for line in project.requires or () if "extra" in line]
for entry in project.entry_points:
    if entry.group not in ("console_scripts", "gui_scripts") or "[" in entry.value:
        continue
    try:
        found = entry.load()
    except BaseException as error:
        if (getattr(error, "name", None) or "").partition(".")[0].lower() in extra:
            continue
        sys.exit("%s calls %s: %r" % (entry.name, entry.value, error))
    if not callable(found):
        sys.exit("%s calls %s, which is not callable" % (entry.name, entry.value))
"""


def fresh_venv(place: Place, engine: Engine, folder: Path) -> Path:
    """An archive of what `python3 -m venv` makes there, which each wheel unpacks for itself."""
    made = folder / place.image.content.replace(":", "-") / f"{place.target.id}.tar"
    if not made.is_file():
        python, packed = place.target.interpreter.executable, SCRATCH / "venv.tar"
        script = f"cd {SCRATCH} && {python} -m venv by-hand && tar cf {packed} by-hand"
        with engine.open(SandboxSpec(image=place.image, label="by hand")) as sandbox:
            done = sandbox.exec(Command(argv=("/bin/sh", "-c", script)))
            assert done.ok, done.stderr.decode(errors="replace")
            made.parent.mkdir(parents=True, exist_ok=True)
            sandbox.copy_out(packed, made)
    return made


def by_hand(wheel: Path, facts: WheelFacts, place: Place, engine: Engine) -> str:
    """What went wrong; empty if the wheel works."""
    names = (*facts.top_level, *_names_of_cmeel(facts))
    alone = not names and not facts.programs and not facts.scripts
    shared = [elf.path for elf in facts.elf if elf.kind is ElfKind.SHARED] if alone else []
    libraries = [path.rpartition("/")[2] for path in shared]
    programs = [path.rpartition("/")[2] for path in facts.programs if "/scripts/" in path]
    script = _BY_HAND.format(
        scratch=SCRATCH,
        venv=_VENV,
        files=_FILES,
        names=" ".join(names),
        modules=" ".join(facts.extension_modules),
        project=facts.metadata_name,
        programs=" ".join(programs),
        libraries=" ".join(libraries),
    )
    index = host_index()
    venv = fresh_venv(place, engine, FOLDER / "venvs")
    mounts = [(wheel, _FILES / wheel.name), (venv, _VENV), *index.mounts]
    spec = SandboxSpec(
        image=place.image,
        mounts=tuple(Mount(source=source, target=target) for source, target in mounts),
        network=True,
        limits=Limits(memory=_ROOM, scratch=_ROOM),
        label="by hand",
    )
    environment = {**index.environment, "MODULES": _MODULES, "ENTRY_POINTS": _ENTRY_POINTS}
    command = Command(argv=("/bin/sh", "-c", script), environment=environment, timeout=TIMEOUT)
    with engine.open(spec) as sandbox:
        done = sandbox.exec(command)
    words = redact((done.stdout + done.stderr).decode(errors="replace")).split()
    return "" if done.ok else (" ".join(words)[-300:] or done.status.value)


def _names_of_cmeel(facts: WheelFacts) -> list[str]:
    found = (re.fullmatch(r"cmeel\.prefix/.*/site-packages/(\w+)/__init__\.py", p) for p in facts.files)
    return [match[1] for match in found if match]


def trial(facts: WheelFacts, place: Place, engine: Engine, cell: Cell) -> Cell:
    """The cell with what a trial comes to."""
    try:
        folder = resolve_dependencies(
            facts.wheel,
            facts,
            place.target,
            place.image,
            engine,
            cache=cache_root() / "dependencies",
            timeout=TIMEOUT,
        )
        request = TrialRequest(
            wheel=facts.wheel,
            facts=facts,
            target=place.target,
            image=place.image,
            dependencies=folder,
            timeout=TIMEOUT,
        )
        seen = run_trial(request, engine)
    except ManylinuxError as error:
        reason = f"{error.what}: {error.why}"
        return replace(cell, outcome=Outcome.NOT_PROVEN.value, reason=reason)
    verdict = judge(facts, seen, place.target, wheel=facts.wheel, survey=place.survey)
    return replace(
        cell,
        outcome=verdict.outcome.value,
        prediction=verdict.prediction.value if verdict.prediction else "",
        errors=tuple(f"{finding.name}: {finding.message}" for finding in verdict.errors),
        others=tuple(
            " | ".join((f"{finding.name}: {finding.message}", *finding.evidence))
            for finding in verdict.findings
            if finding not in verdict.errors
        ),
        reason=verdict.reason,
    )


def compare(listed: ListedWheel, place: Place, engine: Engine, known: Cell | None) -> Cell | None:
    """Try by hand, unless that is `known` of this root, then by a trial.

    None where its Requires-Python refuses the Python: no pip would take the file from an index.
    """
    wheel = listed.downloaded(FOLDER)
    facts = read_wheel(open_wheel(wheel))
    if refuses_python(facts.requires_python, place.target):
        return None
    if known is None or known.image != place.image.content:
        wrong = by_hand(wheel, facts, place, engine)
    else:
        wrong = known.wrong
    blank = Cell(
        sha256=listed.sha256,
        wheel=wheel.name,
        target=place.target.id,
        image=place.image.content,
        wrong=wrong,
        outcome="",
    )
    return trial(facts, place, engine, blank)


def comparisons(
    engine: Engine,
    *,
    projects: Collection[str] = (),
    distros: Sequence[str] = DISTROS,
    path: Path = LIST,
    again: bool = False,
) -> Iterator[Cell]:
    """One for each wheel of a list and each target that takes it, those from earlier runs included."""
    results, here = Results(FOLDER / "cells.jsonl"), list(places(engine, distros, every=True))
    for listed in listed_wheels(projects, path):
        for place in here:
            if not listed.is_for(place.target):
                continue
            cell = known = results.of(listed, place.target)
            if known is None or again or known.image != place.image.content:
                cell = compare(listed, place, engine, known)
                if cell is not None:
                    results.add(cell)
            if cell is not None:
                yield cell


def summary(found: Sequence[Cell]) -> str:
    """The counts in a line."""
    passed = sum(one.is_false and one.outcome == Outcome.PORTABLE.value for one in found)
    failed = sum(one.is_false and one.outcome == Outcome.NOT_PORTABLE.value for one in found)
    unproven = sum(one.outcome == Outcome.NOT_PROVEN.value for one in found)
    told = Counter(one.prediction for one in found)
    on = Counter(one.target for one in found)
    return (
        f"{len({one.sha256 for one in found})} wheels, {len(found)} trials"
        f" ({', '.join(f'{count} on {target}' for target, count in sorted(on.items()))}):"
        f" {passed} false passes, {failed} false failures, {unproven} not proven;"
        f" predictions: {told[Foretold.RIGHT.value]} right, {told[Foretold.WRONG.value]} wrong,"
        f" {told[Foretold.UNSURE.value]} faults foretold as possible,"
        f" {told[Foretold.BEYOND.value]} faults that no file shows"
    )


def main(words: Sequence[str]) -> int:
    """Print a line for each wheel and target, and the counts; exit code 1 for a false verdict."""
    found = []
    projects = [word for word in words if not word.startswith("--")]
    distros = [word.removeprefix("--on=") for word in words if word.startswith("--on=")]
    engine, again = select_engine("auto", say=print), "--again" in words
    for one in comparisons(engine, projects=projects, distros=distros or DISTROS, again=again):
        found.append(one)
        print(one, flush=True)
    print(summary(found))
    return int(any(one.is_false for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
