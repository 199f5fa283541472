"""Whole runs at once on one cache that has only a root: same verdicts, one making of each."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine_grounds import engine_grounds
from faulty_server import faulty_server
from loopback_index import index_running
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed, tree, wait_for

from pytest_manylinux.errors import ExitCode

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.attack("fault", by="runs")]

SAMPLE = Path(__file__).parents[2] / "sample_projects/portable/abi3_extension"
ONCE = ("making the root, once", "fetching the compiler", "fetching pip and repair tools")
LIMIT = 1800  # seconds; ten runs build on what may be two cores


def a_place(folder: Path) -> Place:
    place = Place(folder=folder).make()
    shutil.copytree(SAMPLE, place.project, dirs_exist_ok=True)
    with (place.project / "pyproject.toml").open("a") as file:
        file.write('dependencies = ["leaf-of-faults"]\n')
    return place


@pytest.mark.parametrize("engine", ["bubblewrap", "docker", "podman"])
@pytest.mark.parametrize("runs", [2, 10])
def test_runs_at_once(engine: str, runs: int, tmp_path: Path) -> None:
    places = [a_place(tmp_path / str(number)) for number in range(runs)]
    before = tree(places[0].project)
    cache = tmp_path / "cache"
    seed(cache)
    build_wheel(tmp_path / "index", {"leaf.py": "x = 1\n"}, name="leaf-of-faults")
    arguments = [f"--manylinux-engine={engine}", "--manylinux-image-source=archive"]
    arguments += ["--manylinux-distros=debian-12", "."]
    with ExitStack() as stack:
        grounds = stack.enter_context(engine_grounds(engine))
        real = stack.enter_context(index_running(tmp_path / "index"))
        index = stack.enter_context(faulty_server(real.url))
        environment = {"PYTEST_MANYLINUX_CACHE": str(cache), "PIP_INDEX_URL": f"{index.url}/simple/"}
        containers = grounds.containers()
        begun = [WholeRun(place, arguments, environment) for place in places]
        codes = [run.end(within=LIMIT) for run in begun]
        assert codes == [ExitCode.OK] * runs, [run.words for run in begun]
        assert wait_for(lambda: grounds.containers() == containers)
    said = Counter(words for run in begun for words in ONCE for _ in range(run.words.count(words)))
    assert said == dict.fromkeys(ONCE, 1)
    assert len([path for path in index.asked if path.startswith("/packages/leaf")]) == 1
    verdicts = [
        {(one.subject, one.wheel, one.wheel_sha256, one.outcome) for one in run.verdicts()}
        for run in begun
    ]
    assert verdicts == [verdicts[0]] * runs
    assert [len(run.passes()) for run in begun] == [1] * runs
    for run in begun:
        assert leftovers(run) == []
        assert tree(run.place.project) == before
    assert list((cache / "aside").iterdir()) == []
    assert [path for path in cache.rglob(".part-*") if path.is_dir()] == []
