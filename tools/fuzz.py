"""Feed the readers of untrusted bytes with what hypothesis thinks of, for a given time.

    python tools/fuzz.py SECONDS [TARGET…]

Each target must end in an answer or in an error of ours, never in anything else. What does not is
printed, shrunk, with the bytes that bring it about, and belongs into the tests; the exit code is then
1. Coverage is not measured: well-formed files are mutated, which leads beyond the first checks.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

from run_records import make_run  # noqa: E402 - the tests' own makers
from wheels import build_wheel, compile_shared  # noqa: E402

from pytest_manylinux.config.merge import file_layer, merge  # noqa: E402
from pytest_manylinux.errors import ManylinuxError  # noqa: E402
from pytest_manylinux.inspect.elf import read_elf  # noqa: E402
from pytest_manylinux.inspect.wheel import open_wheel, read_wheel  # noqa: E402
from pytest_manylinux.prove.answers import GarbledError, read_answers  # noqa: E402
from pytest_manylinux.report.proof import decode_proof, encode_proof  # noqa: E402

ROUND = 200  # examples between two looks at the clock
NONCE = b"0123456789abcdef0123456789abcdef"
ANSWERS = b"\n".join(
    NONCE + b" %d %s" % (number, line)
    for number, line in enumerate(
        [
            b'{"kind": "start", "python": "3.11.2", "libc": "glibc 2.36"}',
            b'{"kind": "begin", "name": "demo"}',
            b'{"kind": "end"}',
            b"",
        ]
    )
)
CONFIGURATION = b"""[tool.pytest-manylinux]
policy = "manylinux1"
distros = ["debian-12", "debian-1*"]
python = ["cp311"]
trial-timeout = 30
[[tool.pytest-manylinux.expect]]
distro = "debian-testing"
finding = "executable-stack"
reason = "why"
"""

Target = Callable[[bytes], object]


def read_wheel_bytes(data: bytes, folder: Path) -> object:
    """Read bytes as a wheel file."""
    path = folder / "demo-1.0-py3-none-linux_x86_64.whl"
    path.write_bytes(data)
    return read_wheel(open_wheel(path))


def read_configuration(data: bytes, folder: Path) -> object:
    """Read bytes as a pyproject.toml."""
    path = folder / "pyproject.toml"
    path.write_bytes(data)
    return merge([file_layer(path, shown="pyproject.toml")])


def targets(folder: Path) -> dict[str, tuple[bytes, Target]]:
    """By name: a well-formed example, and the reader."""
    shared = compile_shared(folder, "_x", "int answer(void) { return 42; }\n")
    wheel = build_wheel(
        folder, {"demo/__init__.py": "", "demo/_x.so": shared}, tag="py3-none-linux_x86_64"
    )
    return {
        "elf": (shared, lambda data: read_elf("x.so", data)),
        "wheel": (wheel.read_bytes(), lambda data: read_wheel_bytes(data, folder)),
        "proof": (encode_proof(make_run()), decode_proof),
        "configuration": (CONFIGURATION, lambda data: read_configuration(data, folder)),
        "answers": (ANSWERS, read_answers),
    }


def changed(example: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that were `example` before a few of them were overwritten, doubled or taken away."""
    place = st.integers(0, len(example))
    word = st.binary(max_size=8) | st.sampled_from(
        [b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b'"\\']
    )
    change = st.tuples(place, st.integers(0, 16), word)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = example
        for start, taken, new in changes:
            data = data[:start] + new + data[start + taken :]
        return data

    same_size = st.tuples(place, word).map(lambda one: (one[0], len(one[1]), one[1]))
    return st.lists(same_size | change, min_size=1, max_size=8).map(apply) | st.binary(max_size=400)


def round_of(example: bytes, target: Target, number: int, counts: Counter[str]) -> None:
    """Some examples; raises what the target must not raise."""

    @seed(number)
    @settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=changed(example))
    def attempt(data: bytes) -> None:
        counts["tried"] += 1
        try:
            target(data)
            counts["read"] += 1
        except (ManylinuxError, GarbledError):
            counts["refused"] += 1

    attempt()


def main() -> int:
    """Fuzz in turns until the time is over; print the counts."""
    end = time.monotonic() + float(sys.argv[1])
    found = 0
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            name: one
            for name, one in targets(Path(folder)).items()
            if not sys.argv[2:] or name in sys.argv[2:]
        }
        number = 0
        while chosen and time.monotonic() < end:
            for name, (example, target) in tuple(chosen.items()):
                number += 1
                try:
                    round_of(example, target, number, counts.setdefault(name, Counter()))
                except Exception as error:  # noqa: BLE001 - that is what is looked for
                    found += 1
                    del chosen[name]
                    print(f"{name}, seed {number}: {type(error).__name__}: {error}")
                    print("\n".join(getattr(error, "__notes__", ())))
    for name, count in counts.items():
        print(f"{name:15} {dict(count)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
