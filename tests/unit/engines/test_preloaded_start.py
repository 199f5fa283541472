"""How the inside of a preloaded process starts, and what a run of it finds of that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.engines.api import Limits
from pytest_manylinux.engines.preloaded import Isolation, preloaded_argv

# Starts again once, as a process does that becomes a venv's; what is asked for by then is told.
CODE = """
import gc, os, sys
if "AGAIN" not in os.environ:
    assert "serve" not in globals() and "serve" not in sys.modules["__main__"].__dict__
    with open("/proc/self/cmdline", "rb") as words:
        argv = words.read().split(b"\\0")[:-1]
    os.execve(sys.executable, argv, {**os.environ, "AGAIN": "1"})
collected = gc.isenabled()
class Ring:
    pass
def work():
    import weakref
    ring = Ring()
    ring.ring, ring = ring, weakref.ref(ring)
    frozen = gc.get_freeze_count()
    print(collected, gc.isenabled(), frozen > 1000, sys.argv, bool(gc.collect()), ring())
"""


def test_the_code_comes_first_and_a_run_finds_an_ordinary_interpreter(tmp_path: Path) -> None:
    *argv, settings = preloaded_argv(sys.executable, CODE, Limits(), Isolation(), 1)
    here = json.dumps(json.loads(settings) | {"cwd": str(tmp_path)})
    request = json.dumps({"word": "word", "binds": []})
    with subprocess.Popen(
        [*argv, here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{request}\n")
        process.stdin.flush()
        said = process.stdout.read()
    begin, end = "\nword begin\n", '\nword {"exit_code": 0}\n'
    assert said == f"ready\n{begin}False True True ['-c'] True None\n{end}"


def test_words_of_a_failed_start_are_its_own() -> None:
    argv = preloaded_argv(sys.executable, "raise ValueError('because')", Limits(), Isolation(), 1)
    done = subprocess.run(argv, input="", capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith("ValueError: because")


@pytest.mark.parametrize("max_runs", [1, None])
def test_it_ends_with_its_input(max_runs: int | None) -> None:
    code = "work = lambda: None"
    argv = preloaded_argv(sys.executable, code, Limits(), Isolation(), max_runs)
    done = subprocess.run(argv, input="", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "ready\n"
