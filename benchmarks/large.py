"""What a large release takes: up to 2,000 wheels on twelve targets, all seen by an earlier run.

    python benchmarks/large.py [--folder reports/bench] [--wheels "250 1000 2000"] [--before PYTHON]

The wheels are real: a module of Python and an extension module for the limited API, each under a
name of its own. So are the roots, of four Debians, each known to the catalogue under three names. What
is simulated are the observations: of each target the first trial is done, and the others of the first
run are answered with what that one saw, under their own names (`_answer`, a plugin of that run alone).
All else of that run is the project's own, and so the cache is as a run of hours would leave it.

The second run is the one that is measured. It has no plugin but what notes its peak, and writes all
reports; then its proof goes through gate and diff, and its page is opened in Chromium. Seconds of
processor are those of the whole process, memory is the peak of the run's own process (VmHWM), its
children apart. `before` is the Python of another build, measured in turns with this one.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from figures import Part, Row, Spent, progress, spent

_HERE = Path(__file__).parents[1]
sys.path.insert(0, str(_HERE / "tests/support"))

SIZES = (250, 500, 1000, 2000)
SUITES = ("debian-11", "debian-12", "debian-13", "debian-testing")
TARGETS = tuple(f"{suite}-{letter}" for suite in SUITES for letter in "abc")
_FIRST = "project_00000"
_TAG = "cp38-abi3-manylinux_2_17_x86_64"
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
_PEAK = "BENCHMARK_PEAK"  # the variable that names the file for the peak


def large(folder: Path, *, before: str, sizes: Sequence[int] = SIZES) -> list[Part]:
    """Seconds and memory of the remembered run by its size; gate, diff and page of the largest."""
    place = folder / "large"
    rows = _Rows()
    builds = {"before": before, "now": sys.executable} if before else {"now": sys.executable}
    for word, python in builds.items():  # what is seen of the most wheels is seen of the fewer too
        _seed(python, make_wheels(place, max(sizes)), place / f"cache-{word}")
    for count in sizes:
        wheels = make_wheels(place, count)
        for word, python in builds.items():
            name = f"{count:,} wheels" + (f", {word}" if before else "")
            rows.add(name, _remembered(python, wheels, place / f"cache-{word}"))
    rows.add("gate", _command("gate", "--proof", "proof.json", "dist", folder=wheels.parent))
    rows.add("diff", _command("diff", "proof.json", "proof.json", folder=wheels.parent))
    return [*rows.parts(), _in_the_browser(wheels.parent / "page.html")]


class _Rows:
    def __init__(self) -> None:
        self._found: dict[str, Spent] = {}

    def add(self, name: str, done: Spent) -> None:
        self._found[name] = done
        progress(
            f"{name}: {done.clock:.1f} s, {done.processor:.1f} of processor, {done.memory:.0f} MiB"
        )

    def parts(self) -> list[Part]:
        """By clock, by processor, and memory."""
        title = f"Wheels on {len(TARGETS)} targets, observations remembered, all reports"
        asked = {"clock": "2,000 under 60 s", "processor": "", "memory": "2,000 under 400 MiB"}
        return [
            Part(
                title=f"{title}: {words}",
                rows=tuple(
                    Row(name=name, value=float(getattr(done, what)))
                    for name, done in self._found.items()
                ),
                unit=unit,
                asked=asked[what],
            )
            for what, words, unit in (
                ("clock", "by the clock", "s"),
                ("processor", "of processor", "s"),
                ("memory", "memory of the run's own process", "MiB"),
            )
        ]


def make_wheels(place: Path, count: int) -> Path:
    """A folder with so many wheels, beside the settings that have the twelve targets."""
    from wheels import Extension, build_wheel, compile_extension  # noqa: PLC0415 - of the tests' support

    folder = place / f"{count}-wheels"
    wheels = folder / "dist"
    if not wheels.is_dir():
        progress(f"large: making {count:,} wheels")
        flags = ("-DPy_LIMITED_API=0x03080000", "-s")
        native = compile_extension(place / "native", Extension(module="_native", flags=flags))
        for number in range(count):
            name = f"project_{number:05}"
            files = {f"{name}/__init__.py": f"NAME = {name!r}\n", f"{name}/_native.abi3.so": native}
            build_wheel(folder / "making", files, name=name, tag=_TAG)
        (folder / "making").rename(wheels)
    rows = [
        f'[[tool.pytest-manylinux.distro]]\nid = "{name}"\nlike = "{name[:-2]}"\n' for name in TARGETS
    ]
    (folder / "pyproject.toml").write_text("\n".join(rows), encoding="utf-8")
    return wheels


def _words(python: str, *more: str) -> list[str]:
    words = [python, *_PYTEST, "-p", "large", "--manylinux", "--manylinux-engine=bubblewrap"]
    return [*words, f"--manylinux-distros={' '.join(TARGETS)}", "dist", *more]


def _run(python: str, wheels: Path, cache: Path, *more: str, **variables: str) -> Spent:
    folder = wheels.parent
    peak = folder / "peak"
    done = spent(
        _words(python, *more),
        folder=folder,
        PYTHONPATH=os.pathsep.join(map(str, (_HERE / "benchmarks", _HERE / "tests/support"))),
        PYTEST_MANYLINUX_CACHE=str(cache),
        **{_PEAK: str(peak)},
        **variables,
    )
    if done.code:
        raise SystemExit(f"the run is not green:\n{done.output[-3000:]}")
    own = int(peak.read_text(encoding="ascii")) / 1024
    return Spent(**{**vars(done), "memory": own})


def _seed(python: str, wheels: Path, cache: Path) -> None:
    """The first run: of each target one trial is done, the others are answered with what it saw."""
    progress(f"large: the first run of {wheels.parent.name}")
    _run(python, wheels, cache, BENCHMARK_ANSWER="1")


def _remembered(python: str, wheels: Path, cache: Path) -> Spent:
    """The second run: it has to have remembered every trial."""
    reports = ("--junitxml=junit.xml", "--manylinux-html=page.html", "--manylinux-proof=proof.json")
    done = _run(python, wheels, cache, "-v", *reports)
    count = len(list(wheels.glob("*.whl")))
    remembered = done.output.count("(remembered)")
    if remembered != count * len(TARGETS):
        raise SystemExit(f"{remembered} of {count} x {len(TARGETS)} trials were remembered")
    return done


def _command(*words: str, folder: Path) -> Spent:
    program = Path(sys.executable).with_name("pytest-manylinux")
    done = spent([str(program), *words], folder=folder)
    if done.code:
        raise SystemExit(f"{words[0]} is not green:\n{done.output[-3000:]}")
    return done


def _in_the_browser(path: Path) -> Part:
    from page import FILTERS, visits  # noqa: PLC0415 - playwright is of the tests' dependencies

    progress("large: the page in Chromium")
    found = visits(path, rounds=5)
    rows = [Row(name=name, value=found[name][0] / 1000, rounds=5) for name in ("open", *FILTERS)]
    first = next(iter(FILTERS))
    usable = rows[0].value + found[first][0] / 1000
    return Part(
        title=f"The page of it in Chromium, {path.stat().st_size / 1e6:.1f} MB",
        rows=(*rows, Row(name=f"opened and the first {first} answered", value=usable, rounds=5)),
        asked="the first filter answered under 1.5 s",
    )


# What follows is the plugin `large` of the runs above.


def pytest_configure(config: Any) -> None:  # noqa: ANN401 - pytest is not imported here for a type
    """Note the peak at the end, and answer trials if this is the first run."""
    del config
    if path := os.environ.get(_PEAK):
        atexit.register(_note_peak, Path(path))
    if "BENCHMARK_ANSWER" in os.environ:
        _answer()


def _note_peak(path: Path) -> None:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    path.write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def _answer() -> None:
    """Have each target's first trial done, and the others answered with what it saw."""
    import msgspec  # noqa: PLC0415 - only in the first run

    from pytest_manylinux.model.observation import Observation  # noqa: PLC0415 - the same
    from pytest_manylinux.workspace import Workspace  # noqa: PLC0415 - the same

    done: dict[str, tuple[str, bytes]] = {}
    lock = threading.Lock()
    observe: Callable[..., Observation] = Workspace.observe

    def answer(self: Workspace, request: Any, more: int = 0) -> Observation:  # noqa: ANN401
        name, target = request.wheel.name.replace("-", "_"), request.target.id
        with lock:
            if target not in done:
                done[target] = name, msgspec.json.encode(observe(self, request, more))
        first, seen = done[target]
        for one, other in ((first, name), (first.replace("_", "-"), name.replace("_", "-"))):
            seen = seen.replace(one.encode(), other.encode())
        return msgspec.json.decode(seen, type=Observation)

    Workspace.observe = answer  # type: ignore[method-assign]


def main() -> int:
    """Print all; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=_HERE / "reports/bench")
    parser.add_argument("--wheels", default=" ".join(map(str, SIZES)))
    parser.add_argument("--before", default="", metavar="PYTHON")
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        parser.error("it wants Debian's chromium")
    sizes = [int(word) for word in options.wheels.split()]
    for part in large(options.folder.resolve(), before=options.before, sizes=sizes):
        print("\n".join((*part.lines(), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
