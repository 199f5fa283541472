"""What a trial under qemu costs, beside the naive way in the same root.

    python benchmarks/emulated.py [WHEEL…] [--rounds 1] [--trials 10] [--roots]

All in seconds of processor, of a process with all that it started, as the kernel counts them for a
control group: a sandbox's processes are nobody's children in the end, and so in no parent's rusage.
That wants root, and the hierarchy cpuacct of control groups, version 1.

For each wheel, in the root of debian-12 or else debian-13 that has its Python and architecture:

* naive: `python3 -m venv`, `pip install` and an import;
* first: one trial with the start of its preloaded process, in a venv that is there;
* row: the mean of `--trials` in a row, the first one and the processes' end included;
* trial: one of those after the first, as a run does them.

Then the root of debian-12 for aarch64 is made, by us and by mmdebstrap with all packages' scripts
run under qemu, and both times compared, packages at hand (`--roots`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from figures import Part, Row, counting, progress
from subjects import download
from trials import NAIVE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from full_roots import full_root

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.host.architecture import ARCHITECTURES, allowed_time, emulation_of
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.model.observation import ImportStatus
from pytest_manylinux.plan import targets_of, wheel_targets
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.trial import TrialRequest, run_trial

_DISTROS = ("debian-12", "debian-13")
_ASKED = "25 times less processor time than naive"
_WHEEL = "markupsafe==3.0.4"
_PYTHONS = {"aarch64": "3.11", "armv7l": "3.11", "riscv64": "3.13"}
_POLICIES = ("manylinux2014", "manylinux_2_28", "manylinux_2_31", "manylinux_2_39")


def request_of(path: Path) -> TrialRequest:
    """A wheel on its target, whose root is made if it is not there."""
    wheel = open_wheel(path)
    arch = next(name for name in ARCHITECTURES if path.stem.endswith(f"_{name}"))
    rows = [load_catalogue().get(name) for name in _DISTROS]
    targets = targets_of([row for row in rows if arch in row.architectures], arch, ())
    target = wheel_targets(wheel.tags, "", targets)[0]
    image = ArchiveImages(ImageStore(), say=progress).provide(
        target.distro, arch, ImagePurpose.TRIAL, interpreter=target.interpreter
    )
    return TrialRequest(wheel=wheel, facts=read_wheel(wheel), target=target, image=image)


def naive(request: TrialRequest) -> None:
    """What a user would do in the root, once."""
    inside = PurePosixPath("/tmp", request.wheel.filename)  # noqa: S108 - the sandbox's own
    script = NAIVE.format(
        venv="/scratch/venv", wheel=inside, code=f"import {', '.join(request.facts.top_level)}"
    )
    mounts = (Mount(source=request.wheel.path.resolve(), target=inside),)
    command = Command(argv=("sh", "-c", script), timeout=allowed_time(300.0, request.target.arch))
    engine = select_engine("bubblewrap")
    try:
        with engine.open(SandboxSpec(image=request.image, mounts=mounts)) as sandbox:
            completed = sandbox.exec(command)
        assert completed.ok, completed
    finally:
        engine.close()


def ours(request: TrialRequest, count: int, read: Callable[[], float]) -> list[float]:
    """So many trials in a row, as a run does them: what each took, and what their end took."""
    engine = select_engine("bubblewrap")
    pool = PreloadedPool(engine)

    def one() -> None:
        seen = run_trial(request, engine, pool, 0)
        assert all(found.status is ImportStatus.OK for found in seen.imports), seen

    def end() -> None:
        pool.close()
        engine.close()

    return [*(_took(read, one) for _ in range(count)), _took(read, end)]


def _took(read: Callable[[], float], cell: Callable[[], object]) -> float:
    before = read()
    cell()
    return read() - before


def emulated(folder: Path) -> list[Part]:
    """A small wheel on three architectures; some minutes each on an idle machine."""
    wheels = [
        wheel
        for arch, python in _PYTHONS.items()
        for wheel in download(
            [_WHEEL], folder / arch, [python], tuple(f"{policy}_{arch}" for policy in _POLICIES)
        )
    ]
    return [*under_qemu(wheels, rounds=1, trials=10), made(ROOT, "aarch64")]


ROOT = "debian-12"


def made(distro: str, arch: str) -> Part:
    """A root made by us, and by mmdebstrap with the packages' scripts emulated; minutes."""
    row, seconds = load_catalogue().get(distro), {}
    with tempfile.TemporaryDirectory(prefix="roots-") as folder:
        stores = {name: Path(folder, name) for name in ("unused", "ours", "mmdebstrap")}
        for store in stores.values():
            store.mkdir()
            (store / "apt").symlink_to(Path(folder, "apt"))  # nothing is fetched twice
        Path(folder, "apt").mkdir()

        def own(store: Path) -> None:
            images = ArchiveImages(ImageStore(store), say=progress)
            images.provide(row, arch, ImagePurpose.TRIAL, interpreter=row.interpreters[0])

        own(stores.pop("unused"))
        with counting() as read:
            for name, store in stores.items():
                progress(f"the root of {distro} for {arch}, {name}")
                seconds[name] = _took(
                    read,
                    partial(own, store) if name == "ours" else partial(full_root, distro, arch, store),
                )
    return Part(
        title=f"Processor time of making the root of {distro} for {arch}",
        rows=tuple(Row(name=name, value=took) for name, took in seconds.items()),
        base="mmdebstrap",
        asked="8 times less processor time than mmdebstrap",
        note=f"Packages at hand; mmdebstrap has their scripts run by {emulation_of(arch).emulator}.",
    )


def under_qemu(wheels: Sequence[Path], *, rounds: int, trials: int) -> list[Part]:
    """A part for each wheel."""
    return [_part(wheel.resolve(), rounds, trials) for wheel in wheels]


def _part(wheel: Path, rounds: int, trials: int) -> Part:
    request = request_of(wheel)
    ours(request, 1, lambda: 0)  # makes the venv
    seen: dict[str, list[float]] = {"naive": [], "first": [], "row": [], "trial": []}
    with counting() as read:
        for number in range(rounds):
            progress(f"{wheel.name}, {number + 1} of {rounds}")
            seen["naive"].append(_took(read, lambda: naive(request)))
            times = ours(request, trials, read)
            seen["first"].append(times[0])
            seen["row"].append(sum(times) / trials)
            seen["trial"] += times[1:-1]
    return Part(
        title=f"Processor time of {request.wheel.name} {request.wheel.version} on {request.target.id}",
        rows=_rows(seen),
        base="naive",
        asked=_ASKED,
        note=f"By {emulation_of(request.target.arch).emulator}.",
    )


def _rows(seen: dict[str, list[float]]) -> tuple[Row, ...]:
    return tuple(
        Row(name=name, value=statistics.median(times), rounds=len(times))
        for name, times in seen.items()
    )


def main() -> int:
    """Print the tables; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheels", nargs="*", type=Path)
    parser.add_argument("--roots", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=10)
    options = parser.parse_args()
    parts = under_qemu(options.wheels, rounds=options.rounds, trials=options.trials)
    parts += [made(ROOT, "aarch64")] if options.roots else []
    for part in parts:
        print("\n".join((*part.lines(), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
