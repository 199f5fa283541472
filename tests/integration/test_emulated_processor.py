"""Trials whose imports run on an emulated x86-64-v1 or v2 processor, in real sandboxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from wheels import Extension, build_wheel, compile_extension

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import ImagePurpose, Target
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = pytest.mark.integration

TAG = "cp311-cp311-manylinux_2_34_x86_64"
LEVELS = ("x86-64-v1", "x86-64-v2")
# GCC makes it of one pair of intrinsics; `volatile` keeps it from computing the sum itself.
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
AVX2_AT_ONCE = "if (last() != 16) return NULL;"
AVX2_IF_THERE = '__builtin_cpu_init(); if (__builtin_cpu_supports("avx2") && last() != 16) return NULL;'
Judge = Callable[[Path, str], Verdict]


@pytest.fixture(scope="module")
def judged() -> Judge:
    row = load_catalogue().get("debian-12")
    target = Target(distro=row, arch="x86_64", interpreter=row.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=target.interpreter)
    engine = select_engine("bubblewrap")

    def run(path: Path, processor: str) -> Verdict:
        wheel = open_wheel(path)
        facts = read_wheel(wheel)
        trial = TrialRequest(
            wheel=wheel,
            facts=facts,
            target=target,
            image=image,
            cache=cache_root() / "venvs",
            processor=processor,
        )
        return judge(facts, run_trial(trial, engine), target, wheel=wheel)

    return run


def wheel_of(folder: Path, body: str, *flags: str) -> Path:
    extension = Extension(module="lesser", extra=AVX2, body=body, flags=("-mavx2", *flags))
    module = compile_extension(folder / "made", extension)
    name = "lesser.cpython-311-x86_64-linux-gnu.so"
    return build_wheel(folder, {name: module}, name="lesser", tag=TAG)


@pytest.mark.parametrize("level", LEVELS)
def test_an_instruction_in_the_init_function_is_found(
    level: str, judged: Judge, tmp_path: Path
) -> None:
    verdict = judged(wheel_of(tmp_path, AVX2_AT_ONCE), level)
    assert verdict.outcome is Outcome.NOT_PORTABLE
    (finding,) = verdict.errors
    assert finding.name == "isa-level"
    assert finding.message.startswith(f"import lesser: an instruction that {level} (qemu ")
    assert verdict.observation is not None
    assert verdict.observation.processor.startswith(f"{level} (qemu ")


def test_this_machines_processor_has_the_instruction(judged: Judge, tmp_path: Path) -> None:
    if "avx2" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this machine's processor has no AVX2")
    verdict = judged(wheel_of(tmp_path, AVX2_AT_ONCE), "")
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.observation is not None
    assert verdict.observation.processor == ""


@pytest.mark.parametrize("level", LEVELS)
def test_code_that_asks_the_processor_first_is_portable(
    level: str, judged: Judge, tmp_path: Path
) -> None:
    verdict = judged(wheel_of(tmp_path, AVX2_IF_THERE), level)
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.observation is not None
    assert verdict.observation.processor.startswith(f"{level} (qemu ")


def test_what_a_note_only_lets_suspect_is_shown(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(wheel_of(tmp_path, AVX2_IF_THERE, "-Wl,-z,x86-64-v3"), "x86-64-v2")
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert [finding.name for finding in verdict.errors] == ["isa-level"]
    assert any("its note asks for x86-64-v3" in line for line in verdict.errors[0].evidence)


def test_a_wheel_without_native_code_is_imported_as_ever(judged: Judge, tmp_path: Path) -> None:
    verdict = judged(build_wheel(tmp_path, {"demo.py": "x = 1\n"}), "x86-64-v1")
    assert verdict.outcome is Outcome.PORTABLE
    assert verdict.observation is not None
    assert verdict.observation.processor == ""
