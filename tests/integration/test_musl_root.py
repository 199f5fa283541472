"""The embedded root of musl: wheels for both C libraries in it and in a Debian root, one file for both.

The root is made if the cache has none: some minutes of a compiler. So these are marked `musl`.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from agreement import Place, places
from kinds_of_wheels import WORKS, with_mode
from musl_kinds import BOTH, GLIBC_ROOT, MUSL_KINDS, MUSL_ROOT, MuslKind
from wheels import build_wheel
from whole_runs import Place as Folders
from whole_runs import WholeRun

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.predict import predict_target, surveyed
from pytest_manylinux.engines.api import Completed, Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.observation import ImportStatus
from pytest_manylinux.model.verdict import Foretold, Outcome
from pytest_manylinux.report.proof import read_proof
from pytest_manylinux.trials.inside import c_library
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import Errand
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = [pytest.mark.integration, pytest.mark.musl]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def roots(engine: Engine) -> dict[str, Place]:
    return {place.target.distro.id: place for place in places(engine, (GLIBC_ROOT, MUSL_ROOT))}


@pytest.mark.parametrize("root", [MUSL_ROOT, GLIBC_ROOT])
@pytest.mark.parametrize("kind", MUSL_KINDS, ids=lambda kind: kind.name)
def test_one_file_is_judged_by_the_c_library_of_each_root(
    kind: MuslKind, root: str, roots: dict[str, Place], engine: Engine, tmp_path: Path
) -> None:
    wheel, place = open_wheel(kind.make(tmp_path, BOTH)), roots[root]
    facts = read_wheel(wheel)
    request = TrialRequest(
        wheel=wheel, facts=facts, target=place.target, image=place.image, timeout=120.0
    )
    seen = run_trial(request, engine)
    verdict = judge(facts, seen, place.target, wheel=wheel, survey=place.survey)
    assert place.survey is not None
    predicted = predict_target(facts, surveyed(place.target, place.survey)).errors
    names = [found[0].name if found else WORKS for found in (predicted, verdict.errors)]
    assert tuple(names) == kind.on(root), verdict.findings
    wanted = Foretold.RIGHT if names[0] == names[1] else Foretold.BEYOND
    assert verdict.prediction is wanted, verdict.findings


ASKS = """
import os
ours = ("LD_PRELOAD", "PYTHONMALLOC", "MIMALLOC")
found = [name for name in os.environ if name.startswith(ours)]
assert not found, found
with open("/proc/self/maps") as maps:
    assert "malloc" not in maps.read()
"""


def test_a_preloaded_process_keeps_its_allocator_to_itself(
    roots: dict[str, Place], engine: Engine, tmp_path: Path
) -> None:
    """The wheel is imported with musl's, as it is anywhere on musl."""
    wheel = open_wheel(build_wheel(tmp_path, {"demo/__init__.py": ASKS}))
    place, pool = roots[MUSL_ROOT], Answered(engine)
    assert place.image.root is not None
    assert Path(f"{place.image.root}{c_library.LIBRARY}").is_file()
    request = TrialRequest(
        wheel=wheel, facts=read_wheel(wheel), target=place.target, image=place.image, timeout=120.0
    )
    seen = run_trial(request, engine, pool)
    pool.close()
    assert [found.status for found in seen.imports] == [ImportStatus.OK], seen.imports
    assert pool.answers == 1


class Answered(PreloadedPool):
    """Counts the trials that preloaded processes have done."""

    answers = 0

    def attempt(self, errand: Errand, more: int = 0) -> Completed | None:
        completed = super().attempt(errand, more)
        self.answers += completed is not None
        return completed


SAMPLES = Path(__file__).parents[2] / "sample_projects"
_BUBBLEWRAP = "--manylinux-engine=bubblewrap"


def test_a_project_is_built_for_both_and_a_wheel_of_glibc_is_found_out(tmp_path: Path) -> None:
    """A library is put into each of the two wheels; a third wheel is only named for musl."""
    folders = Folders(folder=tmp_path).make()
    shutil.copytree(SAMPLES / "portable/vendored_library", folders.project / "sample")
    (folders.project / "dist").mkdir()
    [fortified] = [kind for kind in MUSL_KINDS if kind.name == "fortified-copy"]
    wheel = fortified.make(tmp_path / "tmp", BOTH)
    shutil.copy(wheel, folders.project / "dist")
    arguments = ["--manylinux-policy=manylinux2014,musllinux_1_2", "sample", "dist"]
    arguments += [f"--manylinux-distros=debian-13,{MUSL_ROOT}", _BUBBLEWRAP]
    run = WholeRun(folders, arguments, {"PYTEST_MANYLINUX_CACHE": str(cache_root())})
    assert run.end() == 1, run.words
    run.must_say_no_tracebacks()
    builds = read_proof(run.proof).record.builds
    assert {build.policy for build in builds} == {"manylinux2014", "musllinux_1_2"}
    seen = {
        (v.wheel == wheel.name, v.subject.split("-cp")[0]): (v.outcome, [f.name for f in v.errors])
        for v in run.trials()
    }
    sound: tuple[Outcome, list[str]] = (Outcome.PORTABLE, [])
    assert seen == {
        (False, "debian-13"): sound,
        (False, MUSL_ROOT): sound,
        (True, "debian-13"): sound,
        (True, MUSL_ROOT): (Outcome.NOT_PORTABLE, ["symbol-not-in-musl"]),
    }


def test_a_static_program_of_musl_whose_tag_names_no_c_library_runs_on_both(tmp_path: Path) -> None:
    """Built for musl, and tagged `linux_*` then, which says for which processor it is and no more."""
    folders = Folders(folder=tmp_path).make()
    shutil.copytree(SAMPLES / "portable/command_line_program", folders.project / "sample")
    cache = {"PYTEST_MANYLINUX_CACHE": str(cache_root())}
    built = WholeRun(
        folders,
        ["--manylinux-policy=musllinux_1_2", f"--manylinux-distros={MUSL_ROOT}", _BUBBLEWRAP, "sample"],
        cache,
    )
    assert built.end() == 0, built.words
    (made,) = (folders.out / "wheelhouse").glob("*musllinux*.whl")
    (program,) = read_wheel(open_wheel(made)).elf
    assert (program.interpreter, program.needed) == ("", ())
    with zipfile.ZipFile(made) as archive:
        content = archive.read(program.path)
    path, tag = "static-1.0.data/scripts/checksum", "py3-none-linux_x86_64"
    (folders.project / "universal").mkdir()
    wheel = build_wheel(folders.project / "universal", {path: content}, name="static", tag=tag)
    with_mode(wheel, path, 0o100755)
    roots = ("debian-11", GLIBC_ROOT, MUSL_ROOT)
    arguments = [f"--manylinux-distros={','.join(roots)}", _BUBBLEWRAP, "universal"]
    run = WholeRun(folders, arguments, cache, name="universal")
    assert run.end() == 0, run.words
    run.must_say_no_tracebacks()
    seen = [(v.subject.split("-cp")[0], v.outcome, v.prediction) for v in run.trials()]
    assert seen == [(root, Outcome.PORTABLE, Foretold.RIGHT) for root in roots]
