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
PROJECT = _HERE / "sample_projects/portable/c_extension"


def builds(folder: Path, *, rounds: int) -> Part:
    """Both as whole processes, warm, a line of C changed: the image is there, and what each keeps."""
    archive = folder / "builder.tar"
    if not archive.exists():
        progress("builds: making the image")
        folder.mkdir(parents=True, exist_ok=True)
        make_archive(archive, ["debian-11", "debian-12"], POLICY)
    with engine_running("docker"), tempfile.TemporaryDirectory(prefix="bench-") as name:
        _load(archive)
        place = Path(name, PROJECT.name)
        shutil.copytree(PROJECT, place)
        progress("builds: in turns")
        cells = {
            "cibuildwheel": lambda: _theirs(_changed(place)),
            "pytest --manylinux": lambda: _ours(_changed(place)),
        }
        for cell in cells.values():
            cell()  # whoever begins must not pay for what is there from then on
        rows: tuple[Row, ...] = in_turns(cells, rounds)
    return Part(
        title=f"Build and repair of {PROJECT.name}, one Python, a line of C changed, in one image",
        rows=rows,
        base="cibuildwheel",
        asked="no slower than cibuildwheel",
        note="The image is `tools/make_builder_image.py`'s, not an official one.",
    )


def _changed(place: Path) -> Path:
    """The project, its C file changed: neither of the two has seen this content before."""
    with (place / f"{place.name}.c").open("a", encoding="ascii") as source:
        source.write(f"/* {uuid.uuid4()} */\n")
    return place


def _load(archive: Path) -> None:
    with contextlib.closing(connect_docker()) as client:
        client.api.timeout = 600
        answer = client.api.import_image(src=str(archive), changes=changes(POLICY))
        client.api.tag(json.loads(answer.strip().splitlines()[-1])["status"], *IMAGE.split(":"))


def _theirs(place: Path) -> Spent:
    index = host_index()
    arguments = ["--network=host", "--pull=never"]
    arguments += [f"--volume={source}:{target}:ro" for source, target in index.mounts]
    done = spent(
        [sys.executable, "-m", "cibuildwheel", "--only", "cp311-manylinux_x86_64", "."],
        folder=place,
        CIBW_MANYLINUX_X86_64_IMAGE=IMAGE,
        CIBW_CONTAINER_ENGINE=f"docker; create_args: {' '.join(arguments)}",
        CIBW_ENVIRONMENT=" ".join(f'{name}="{value}"' for name, value in index.environment.items()),
        CIBW_DEPENDENCY_VERSIONS="latest",
        CIBW_BUILD_FRONTEND="pip",
        CIBW_OUTPUT_DIR=str(place.parent / "theirs"),
    )
    return _green(done)


def _ours(place: Path) -> Spent:
    shutil.rmtree(place.parent / "ours", ignore_errors=True)
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
    words += ["--manylinux", "--manylinux-engine=docker", "-k", "build"]
    words += [
        f"--manylinux-builder={IMAGE}",
        "--manylinux-python=3.11",
        "--manylinux-distros=debian-12",
    ]
    words += [f"--manylinux-wheelhouse={place.parent / 'ours'}", "."]
    done = _green(spent(words, folder=place))
    made = list(Path(place.parent, "ours").glob("*.whl"))
    if len(made) != 1:
        raise SystemExit(f"{len(made)} wheels were built, not one:\n{done.output}")
    return done


def _green(done: Spent) -> Spent:
    if done.code:
        raise SystemExit(f"a build failed:\n{done.output[-3000:]}")
    return done


if __name__ == "__main__":
    print("\n".join(builds(Path(os.environ.get("BENCH", "reports/bench")), rounds=3).lines()))
