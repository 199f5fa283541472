"""Imports on an emulated processor: its settings, what qemu's models have, and how that is told."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_values import make_distro, make_facts, make_observation
from wheels import Extension, compile_extension

from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.diagnose.predict import targets_on
from pytest_manylinux.errors import EngineError, SandboxError, UsageError
from pytest_manylinux.host.architecture import MACHINES, X86_64_MODELS, find_qemu, host_arch
from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus
from pytest_manylinux.trials import emulated_processor as module
from pytest_manylinux.trials.emulated_processor import emulated_processor
from pytest_manylinux.trials.protocol import Ending, Processor
from pytest_manylinux.trials.result import _processor_note

needs_qemu = pytest.mark.skipif(
    host_arch() != "x86_64" or find_qemu(MACHINES["x86_64"]) is None,
    reason="wants qemu-x86_64-static on x86_64 (the package qemu-user-static)",
)
AVX2 = """
#include <immintrin.h>
static int last(void) {
    volatile int numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    __m256i sum = _mm256_loadu_si256((const __m256i *)numbers);
    int results[8];
    _mm256_storeu_si256((__m256i *)results, _mm256_add_epi32(sum, sum));
    return results[7];
}
"""


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    yield
    emulated_processor.cache_clear()


@pytest.mark.parametrize("level", ["", *X86_64_MODELS])
def test_the_setting_is_a_level(level: str) -> None:
    assert BY_NAME["processor"].read(level, "here") == level


@pytest.mark.parametrize("raw", ["x86-64-v5", "Nehalem", 2, True])
def test_what_the_setting_cannot_be(raw: object) -> None:
    with pytest.raises(UsageError):
        BY_NAME["processor"].read(raw, "here")


def test_without_qemu_nothing_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "host_arch", lambda: "x86_64")
    monkeypatch.setattr(module, "find_qemu", lambda _: None)
    with pytest.raises(EngineError, match="x86-64-v1 is not possible here") as raised:
        emulated_processor("x86-64-v1")
    assert "qemu-x86_64-static is not installed" in str(raised.value)
    assert "qemu-user-static" in str(raised.value)


def test_on_another_machine_it_is_not_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "host_arch", lambda: "aarch64")
    with pytest.raises(EngineError, match="has to be of x86_64"):
        emulated_processor("x86-64-v2")


@needs_qemu
@pytest.mark.parametrize(
    ("level", "flags", "fine"),
    [
        ("x86-64-v1", (), True),
        ("x86-64-v1", ("-msse4.2", "-mpopcnt"), False),
        ("x86-64-v2", ("-msse4.2", "-mpopcnt"), True),
        ("x86-64-v2", ("-mavx2",), False),
    ],
)
def test_a_level_has_its_instructions_and_no_others(
    level: str, *, flags: tuple[str, ...], fine: bool, tmp_path: Path
) -> None:
    body = {
        (): "",
        ("-msse4.2", "-mpopcnt"): "volatile unsigned n = 7; n = __builtin_popcount(n);",
        ("-mavx2",): "if (last() != 16) return NULL;",
    }[flags]
    extension = Extension(
        module="lesser", extra=AVX2 if "-mavx2" in flags else "", body=body, flags=flags
    )
    (tmp_path / "lesser.so").write_bytes(compile_extension(tmp_path / "made", extension))
    processor = emulated_processor(level)
    command = [str(processor.qemu.program), *processor.command[1:], sys.executable]
    done = subprocess.run(
        [*command, "-c", "import lesser"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == (0 if fine else -signal.SIGILL), done.stderr
    assert processor.title.startswith(f"{level} (qemu ")


def ending(code: int | None, number: int | None = None, output: str = "") -> Processor:
    return Processor(
        ending=Ending(exit_code=code, signal=number, overdue=False, output=output, duration=0.1)
    )


@pytest.mark.parametrize(
    "told",
    [
        ending(127, None, "Fatal glibc error: CPU does not support x86-64-v2\n"),
        ending(
            None, signal.SIGILL, "qemu: uncaught target signal 4 (Illegal instruction) - core dumped\n"
        ),
        ending(1, None, "libm.so.6: CPU ISA level is lower than required\n"),
    ],
)
def test_a_distro_for_newer_processors_is_told_apart(told: Processor) -> None:
    note = "its own Python is built for newer processors: imported on this machine's"
    assert _processor_note(told) == note


def test_an_emulator_that_fails_otherwise_proves_nothing() -> None:
    assert not _processor_note(None)
    assert not _processor_note(ending(0))
    with pytest.raises(SandboxError, match="does not start on the emulated processor"):
        _processor_note(ending(255, None, "qemu-x86_64: out of memory\n"))


def test_the_finding_names_the_processor() -> None:
    outcome = ImportOutcome(
        name="demo",
        kind=ImportKind.TOP_LEVEL,
        status=ImportStatus.SIGNALLED,
        signal=signal.SIGILL,
    )
    (target,) = targets_on([make_distro()], "x86_64")
    dynamic = find_check("isa-level").dynamic
    assert dynamic is not None
    seen = make_observation(outcome, processor="x86-64-v1 (qemu 7.2.22)")
    (finding,) = dynamic(make_facts(), seen, target)
    assert "an instruction that x86-64-v1 (qemu 7.2.22) does not have" in finding.message
