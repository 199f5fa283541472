"""Verdicts against what a user would see who tries a wheel by hand; for the suite marked `index`, or:

    python tests/support/naive_truth.py [NAME…]

For each listed wheel (`tests/data/other-wheels.txt`, `tests/data/popular-wheels.txt`: name, version and
digest, so that wheels for one Python are tried where that is) and each distro: a virtual environment by
`python3 -m venv`, an installation by its pip from the same dependencies, and the import of each name, a
start of each program, a dlopen of each library where the wheel has nothing else. None of the trial's
own code has a part in it.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agreement import DISTROS, TIMEOUT, Place, download, places

from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.api import SCRATCH, Command, Engine, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.verdict import Foretold, Outcome
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.trial import TrialRequest, run_trial

DATA = Path(__file__).parents[1] / "data"
LISTS = ("other-wheels.txt", "popular-wheels.txt")
LISTS_FOR_MUSL = ("musl-wheels.txt",)
_FILES = PurePosixPath("/tmp/wheels")  # noqa: S108 - inside a sandbox
_REQUIRED = PurePosixPath("/tmp/required")  # noqa: S108 - the same
_BY_HAND = r"""
set -e
cd {scratch}
python3 -m venv by-hand
by-hand/bin/python -m pip install --quiet --no-index --find-links {required} {files}/*.whl
for name in {names}; do by-hand/bin/python -c "import $name" </dev/null; done
for program in {programs}; do
    timeout 20 by-hand/bin/$program --version </dev/null >/dev/null 2>&1 || code=$?
    case "${{code:-0}}" in 126|127|13[0-9]|14[0-9]) echo "$program ended with $code"; exit 1;; esac
done
for library in {libraries}; do
    place=$(find by-hand -path "*/$library")
    by-hand/bin/python -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "$place"
done
"""


@dataclass(frozen=True)
class Comparison:
    """A wheel on a distro: whether it works by hand, and the verdict."""

    distro: str
    wheel: str
    works: bool
    outcome: Outcome
    prediction: Foretold | None
    words: str

    @property
    def is_false(self) -> bool:
        """Whether the verdict says the opposite of what was seen by hand."""
        return self.outcome is (Outcome.NOT_PORTABLE if self.works else Outcome.PORTABLE)

    def __str__(self) -> str:
        mark = "!" if self.is_false else "?" if self.outcome is Outcome.NOT_PROVEN else "="
        by_hand = "works" if self.works else "fails"
        return f"{mark} {self.distro:14} {self.wheel}: {by_hand}, {self.outcome.value} {self.words}"


def requirements(names: Sequence[str] = (), lists: Sequence[str] = LISTS) -> list[str]:
    """The listed `NAME==VERSION --hash=…` lines; only those of some names if there are any."""
    lines = [line for one in lists for line in (DATA / one).read_text("utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [line for line in wanted if not names or line.partition("==")[0] in names]


def by_hand(wheel: Path, facts: WheelFacts, place: Place, required: Path, engine: Engine) -> str:
    """What went wrong; empty if the wheel works."""
    alone = not facts.top_level and not facts.programs and not facts.scripts
    libraries = [elf.path.rpartition("/")[2] for elf in facts.elf] if alone else []
    programs = [path.rpartition("/")[2] for path in facts.programs if "/scripts/" in path]
    script = _BY_HAND.format(
        scratch=SCRATCH,
        required=_REQUIRED,
        files=_FILES,
        names=" ".join(facts.top_level),
        programs=" ".join(programs),
        libraries=" ".join(libraries),
    )
    mounts = (
        Mount(source=wheel, target=_FILES / wheel.name),
        Mount(source=required, target=_REQUIRED),
    )
    with engine.open(SandboxSpec(image=place.image, mounts=mounts, label="by hand")) as sandbox:
        done = sandbox.exec(Command(argv=("/bin/sh", "-c", script), timeout=TIMEOUT))
    words = (done.stdout + done.stderr).decode(errors="replace").strip()
    return "" if done.ok else (words[-300:] or done.status.value)


def compare(wheel: Path, place: Place, engine: Engine, cache: Path) -> Comparison:
    """Try by hand, then by a trial, with the same dependencies."""
    facts = read_wheel(open_wheel(wheel))
    folder = resolve_dependencies(
        facts.wheel, facts, place.target, place.image, engine, cache=cache, timeout=TIMEOUT
    )
    wrong = by_hand(wheel, facts, place, folder or cache, engine)
    request = TrialRequest(
        wheel=facts.wheel,
        facts=facts,
        target=place.target,
        image=place.image,
        dependencies=folder,
        timeout=TIMEOUT,
    )
    seen = run_trial(request, engine)
    verdict = judge(facts, seen, place.target, wheel=facts.wheel, survey=place.survey)
    words = [finding.name for finding in verdict.errors] or [verdict.reason]
    return Comparison(
        distro=place.target.distro.id,
        wheel=wheel.name,
        works=not wrong,
        outcome=verdict.outcome,
        prediction=verdict.prediction,
        words=" | ".join(filter(None, (*words, " ".join(wrong.split())))),
    )


def comparisons(
    names: Sequence[str],
    engine: Engine,
    words: Sequence[str] = DISTROS,
    lists: Sequence[str] = LISTS,
) -> Iterator[Comparison]:
    """One for each listed wheel and distro that the index has it for."""
    here = list(places(engine, words))
    with tempfile.TemporaryDirectory() as cache:
        for requirement in requirements(names, lists):
            for place in here:
                with tempfile.TemporaryDirectory() as folder:
                    wheel = download(requirement.partition(" ")[0], place.target, Path(folder))
                    if wheel is None or _digest(wheel) not in requirement:
                        continue
                    try:
                        yield compare(wheel, place, engine, Path(cache))
                    except ManylinuxError as error:
                        print(f"? {place.target.distro.id} {wheel.name}: {error.what}", flush=True)


def _digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def summary(found: Sequence[Comparison]) -> str:
    """The counts in a line."""
    passed = sum(one.is_false and one.outcome is Outcome.PORTABLE for one in found)
    failed = sum(one.is_false and one.outcome is Outcome.NOT_PORTABLE for one in found)
    unproven = sum(one.outcome is Outcome.NOT_PROVEN for one in found)
    told = Counter(one.prediction for one in found)
    return (
        f"{len(found)} trials: {passed} false passes, {failed} false failures, {unproven} not proven;"
        f" predictions: {told[Foretold.RIGHT]} right, {told[Foretold.WRONG]} wrong,"
        f" {told[Foretold.BEYOND]} faults that no file shows"
    )


def main(names: list[str]) -> int:
    """Print a line for each wheel and distro, and the counts; exit code 1 for a false verdict."""
    found = []
    for one in comparisons(names, select_engine("auto", say=print)):
        found.append(one)
        print(one, flush=True)
    print(summary(found))
    return int(any(one.is_false for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
