"""Build and repair beside cibuildwheel, in the same image of the manylinux layout, the same project."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

from figures import Part, Row, Spent, in_turns, progress, spent

from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.policy import parse_policy

_HERE = Path(__file__).parents[1]
sys.path[:0] = [str(_HERE / "tests/support"), str(_HERE / "tools")]

from engine_daemons import engine_running  # noqa: E402 - from the folders named above
from make_builder_image import changes, make_archive  # noqa: E402 - the same

IMAGE = "bench-builder:1"
POLICY = parse_policy("manylinux1")
PYTHONS = {"debian-11": "3.9", "debian-12": "3.11", "debian-13": "3.13", "debian-testing": "3.14"}
PROJECT = _HERE / "sample_projects/portable/c_extension"


def builds(folder: Path, *, rounds: int) -> list[Part]:
    """Both as whole processes, warm, a line of C changed: the image is there, and what each keeps.

    For one Python, and for four; by docker, which cibuildwheel uses, and by bubblewrap, for which
    `docker save` has put the same image into a file.
    """
    archive = folder / "builder-of-four.tar"
    if not archive.exists():
        progress("builds: making the image")
        folder.mkdir(parents=True, exist_ok=True)
        make_archive(archive, list(PYTHONS), POLICY)
    with engine_running("docker"), tempfile.TemporaryDirectory(prefix="bench-") as name:
        saved = Path(name, "builder.tar")
        _load(archive, saved)
        place = Path(name, PROJECT.name)
        shutil.copytree(PROJECT, place)
        return [_part(place, saved, pythons, rounds) for pythons in (["3.11"], list(PYTHONS.values()))]


def _part(place: Path, saved: Path, pythons: list[str], rounds: int) -> Part:
    count = "one Python" if len(pythons) == 1 else f"{len(pythons)} Pythons"
    progress(f"builds: {count}, in turns")
    cells = {
        "cibuildwheel": lambda: _theirs(_changed(place), pythons),
        "by docker": lambda: _ours(_changed(place), pythons, "docker", IMAGE),
        "by bubblewrap": lambda: _ours(
            _changed(place), pythons, "bubblewrap", f"docker-archive:{saved}"
        ),
    }
    rows: tuple[Row, ...] = in_turns(cells, rounds)
    return Part(
        title=f"Build and repair of {PROJECT.name}, {count}, a line of C changed, in one image",
        rows=rows,
        base="cibuildwheel",
        asked=f"{3 if len(pythons) == 1 else 4} times as fast as cibuildwheel",
        note="The image is `tools/make_builder_image.py`'s, not an official one; "
        "bubblewrap has it from a file.",
    )


def _changed(place: Path) -> Path:
    """The project, its C file changed: neither of the two has seen this content before."""
    with (place / f"{place.name}.c").open("a", encoding="ascii") as source:
        source.write(f"/* {uuid.uuid4()} */\n")
    return place


def _load(archive: Path, saved: Path) -> None:
    with contextlib.closing(connect_docker()) as client:
        client.api.timeout = 600
        answer = client.api.import_image(src=str(archive), changes=changes(POLICY))
        client.api.tag(json.loads(answer.strip().splitlines()[-1])["status"], *IMAGE.split(":"))
        with saved.open("wb") as file:
            file.writelines(client.api.get_image(IMAGE))


def _theirs(place: Path, pythons: list[str]) -> Spent:
    index = host_index()
    arguments = ["--network=host", "--pull=never"]
    arguments += [f"--volume={source}:{target}:ro" for source, target in index.mounts]
    done = spent(
        [sys.executable, "-m", "cibuildwheel", "--platform=linux", "--archs=x86_64", "."],
        folder=place,
        CIBW_BUILD=" ".join(f"cp{python.replace('.', '')}-manylinux_*" for python in pythons),
        CIBW_MANYLINUX_X86_64_IMAGE=IMAGE,
        CIBW_CONTAINER_ENGINE=f"docker; create_args: {' '.join(arguments)}",
        CIBW_ENVIRONMENT=" ".join(f'{name}="{value}"' for name, value in index.environment.items()),
        CIBW_DEPENDENCY_VERSIONS="latest",
        CIBW_BUILD_FRONTEND="pip",
        CIBW_OUTPUT_DIR=str(place.parent / "theirs"),
    )
    return _counted(_green(done), place.parent / "theirs", pythons)


def _ours(place: Path, pythons: list[str], engine: str, builder: str) -> Spent:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    ]
    words += ["--manylinux", f"--manylinux-engine={engine}", "-k", "build"]
    words += [
        f"--manylinux-builder={builder}",
        f"--manylinux-python={' '.join(pythons)}",
        f"--manylinux-distros={' '.join(name for name in PYTHONS if PYTHONS[name] in pythons)}",
    ]
    words += [f"--manylinux-wheelhouse={place.parent / 'ours'}", "."]
    return _counted(_green(spent(words, folder=place)), place.parent / "ours", pythons)


def _counted(done: Spent, folder: Path, pythons: list[str]) -> Spent:
    """What was done, if it gave a wheel for each Python; they are removed."""
    made = len(list(folder.glob("*.whl")))
    if made != len(pythons):
        raise SystemExit(f"{made} wheels were built, not {len(pythons)}:\n{done.output}")
    shutil.rmtree(folder)
    return done


def _green(done: Spent) -> Spent:
    if done.code:
        raise SystemExit(f"a build failed:\n{done.output[-3000:]}")
    return done


if __name__ == "__main__":
    for part in builds(Path(os.environ.get("BENCH", "reports/bench")), rounds=3):
        print("\n".join(part.lines()))
