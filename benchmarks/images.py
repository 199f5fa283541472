"""Images of a registry on loopback by bubblewrap and by docker: the first verdict, a trial, the disk.

Both get the same images from one registry, and begin with nothing of them: Debian's roots with Python,
the same with what builds want, and those without Python that have other distros' package managers.
Wants `dockerd`, `docker-registry` and root.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from figures import MIB, Part, Row, in_turns, progress, spent
from subjects import DISTROS, SMALL, download
from trials import Subject, docker_row, subject_of, trial

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.config.merge import Layer, merge
from pytest_manylinux.config.settings import SourceKind
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.images.run_images import RunImages
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.run.tasks import core_count
from pytest_manylinux.trials.pool import PreloadedPool

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from bare_images import IMAGES, root
from engine_grounds import engine_grounds
from loopback_registry import registry_running
from pushed_images import root_layout, skopeo

ENGINES = ("docker", "bubblewrap")
FIRST = "debian-12"
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--manylinux")
_ROW = """
[[tool.pytest-manylinux.distro]]
id = "bench"
like = "{like}"
image = "{image}"
interpreters = [{{ version = "{version}", packages = [] }}]
"""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A registry with the images, and what each engine keeps of them.

    `images` are their names, those of FIRST first; `data` is the folder of docker's daemon.
    """

    images: tuple[str, ...]
    place: Path
    data: Path

    @property
    def cache(self) -> Path:
        """The cache folder of runs, and the store of images."""
        return self.place / "cache"

    def forget(self) -> None:
        """Leave both engines without any image."""
        shutil.rmtree(self.cache, ignore_errors=True)
        subprocess.run(["docker", "system", "prune", "-af"], check=True, capture_output=True)

    def image(self, reference: str, engine: Engine) -> Image:
        """One of them as the engine has it from the registry."""
        distro = load_catalogue().get(FIRST)
        interpreter = replace(distro.interpreters[0], packages=())
        row = replace(distro, image=reference, interpreters=(interpreter,))
        settings = merge([Layer(SourceKind.FLAG, "benchmark", {"image-source": "registry"})])
        images = RunImages(
            engine=engine, settings=settings, store=ImageStore(self.cache), pins={}, say=progress
        )
        image = images.sources.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=interpreter)
        images.close()
        return image


def images(folder: Path, *, rounds: int) -> list[Part]:
    """The first verdict, the image alone, and a trial."""
    (wheel,) = download([SMALL], folder / "first", [DISTROS[FIRST]])
    with _ground([next(_roots())] * (2 * rounds)) as ground:
        first, alone = ground.images[:rounds], ground.images[rounds:]
        return [
            _first_verdict(wheel, replace(ground, images=first)),
            _images_alone(replace(ground, images=alone)),
            _trials(wheel, ground, rounds),
        ]


def disk() -> Part:
    """What each engine keeps when it has all images."""
    with _ground(_roots()) as ground:
        sizes = tuple(Row(name=name, value=_kept_by(name, ground) / MIB) for name in ENGINES)
    return Part(
        title=f"Disk for {len(ground.images)} images from a registry",
        rows=sizes,
        base="docker",
        unit="MiB",
        asked="no more than docker takes",
        note="As du counts it: what has two names counts once.",
    )


@contextmanager
def _ground(roots: Iterable[tuple[str, Path]]) -> Iterator[Ground]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        address = stack.enter_context(registry_running(place))
        names = tuple(
            _push(f"{name}-{number}", path, address, place)
            for number, (name, path) in enumerate(roots, start=1)
        )
        daemon = stack.enter_context(engine_grounds("docker"))
        yield Ground(images=names, place=place, data=Path(str(daemon.folder)) / "data")


def _roots() -> Iterator[tuple[str, Path]]:
    """Of different distros' kind: by name, where they are."""
    store = ArchiveImages(ImageStore(), say=progress)
    for purpose in (ImagePurpose.TRIAL, ImagePurpose.BUILD):
        for name in sorted(DISTROS, key=lambda name: name != FIRST):
            distro = load_catalogue().get(name)
            image = store.provide(distro, "x86_64", purpose, interpreter=distro.interpreters[0])
            yield f"{name}-{purpose.value}", Path(str(image.root))
    for bare in IMAGES:
        yield bare.distro, root(bare.debian, bare.manager)


def _push(name: str, path: Path, address: str, place: Path) -> str:
    """Push a root as an image of one compressed layer, as most have theirs; gives its name.

    The layer is this image's alone.
    """
    archive, layout = place / f"{name}.tar", place / f"{name}-layout"
    progress(f"packing and pushing {name}")
    with archive.open("wb") as stream:
        pack_root(path, stream)
    with tarfile.open(archive, "a") as more:
        more.addfile(tarfile.TarInfo(f"{name}.mark"))
    layout.mkdir()
    root_layout(layout, archive)
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{address}/bench:{name}")
    shutil.rmtree(layout)
    archive.unlink()
    return f"{address}/bench:{name}"


def _first_verdict(wheel: Path, ground: Ground) -> Part:
    """A whole run of one wheel on one image, which neither has; for each image once.

    Nothing is removed between the rounds: ext4 takes its time to make files soon after many were
    deleted (`recently_deleted` in its ialloc.c), which would be counted as the next engine's.
    """
    project = ground.place / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    shutil.copy(wheel, project)
    words = [sys.executable, *_PYTEST, "--manylinux-distros=bench", "--manylinux-image-source=registry"]
    seen: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    rounds = len(ground.images)
    for number, image in enumerate(ground.images, start=1):
        row = _ROW.format(like=FIRST, image=image, version=DISTROS[FIRST])
        (project / "pyproject.toml").write_text(row)
        for engine, times in seen.items():
            progress(f"first verdict by {engine}, {number} of {rounds}")
            command = [*words, f"--manylinux-engine={engine}", wheel.name]
            cache = ground.place / f"cache-{engine}-{number}"
            done = spent(command, folder=project, PYTEST_MANYLINUX_CACHE=str(cache))
            if done.code:
                raise SystemExit(f"the run is not green:\n{done.output[-3000:]}")
            times.append(done.clock)
    return Part(
        title=f"From an empty cache to the first verdict, {FIRST} from a registry",
        rows=tuple(
            Row(name=engine, value=statistics.median(times), rounds=rounds)
            for engine, times in seen.items()
        ),
        base="docker",
        asked="3 times as fast as docker",
    )


def _images_alone(ground: Ground) -> Part:
    """How long the image alone takes: what no way from a registry to a verdict can do without.

    By skopeo the layers are copied, and bsdtar unpacks them into an empty folder; nothing of ours runs.
    """
    seen: dict[str, list[float]] = {"docker pull": [], "skopeo, bsdtar": []}
    for number, image in enumerate(ground.images, start=1):
        progress(f"the image alone, {number} of {len(ground.images)}")
        began = time.monotonic()
        subprocess.run(["docker", "pull", "--quiet", image], check=True, capture_output=True)
        seen["docker pull"].append(time.monotonic() - began)
        layers, root = ground.place / f"layers-{number}", ground.place / f"root-{number}"
        root.mkdir()
        began = time.monotonic()
        skopeo("copy", "--src-tls-verify=false", f"docker://{image}", f"dir:{layers}")
        for layer in msgspec.json.decode((layers / "manifest.json").read_bytes())["layers"]:
            path = layers / layer["digest"].partition(":")[2]
            subprocess.run(["bsdtar", "-xf", str(path), "-C", str(root)], check=True)
        seen["skopeo, bsdtar"].append(time.monotonic() - began)
    return Part(
        title=f"The image of {FIRST} alone, from the registry to files",
        rows=tuple(
            Row(name=name, value=statistics.median(times), rounds=len(times))
            for name, times in seen.items()
        ),
        base="docker pull",
        note="The rest of a first verdict is the same work by either engine: pytest's start, the venv "
        "by the distro's own Python, the trial.",
    )


def _trials(wheel: Path, ground: Ground, rounds: int) -> Part:
    """A warm trial, ten in a row by either engine, on the same image of the registry."""
    progress("warm trials")
    ground.forget()
    usual = subject_of(wheel, FIRST)
    with ExitStack() as stack:
        cells: dict[str, Callable[[], object]] = {}
        for name in ENGINES:
            engine = select_engine(name)
            stack.callback(engine.close)
            subject = Subject(replace(usual.request, image=ground.image(ground.images[0], engine)))
            cells[f"{name}, in a row"] = docker_row(subject, engine)
            cells[f"{name}, as a run"] = docker_row(subject, engine, at_once=core_count())
        warm = PreloadedPool(engine)
        stack.callback(warm.close)
        cells[f"{name}, the next one"] = trial(subject, engine, warm)
        rows = in_turns(cells, rounds)
    return Part(
        title=f"A trial of {SMALL.partition('==')[0]} on that image, warm",
        rows=rows,
        base="docker, as a run",
        asked="1.5 times as fast as docker",
        note="Ten, which share the time that it takes until the first can begin: one after another in "
        "a row; as a run does them as many at a time as there are cores.",
    )


def _kept_by(name: str, ground: Ground) -> int:
    """Bytes on disk, each file once; mounts of other file systems aside."""
    ground.forget()
    engine = select_engine(name)
    for number, reference in enumerate(ground.images, start=1):
        progress(f"disk by {name}: image {number} of {len(ground.images)}")
        ground.image(reference, engine)
    engine.close()
    folder = ground.data if name == "docker" else ground.cache
    words = ["du", "-s", "-x", "-B1", str(folder)]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[0])
