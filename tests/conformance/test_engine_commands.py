"""Commands: how they end, what they print, what they leave to the next."""

from __future__ import annotations

import signal
from pathlib import PurePosixPath

import pytest
from sandboxes import lines, python, sh

from pytest_manylinux.engines.api import Command, Sandbox, Status
from pytest_manylinux.engines.output import BOUND


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code(shared: Sandbox, code: int) -> None:
    completed = sh(shared, f"exit {code}")
    assert (completed.status, completed.exit_code, completed.signal) == (Status.EXITED, code, None)
    assert completed.ok is (code == 0)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGPIPE", "SIGTERM"])
def test_signal(shared: Sandbox, name: str) -> None:
    number = getattr(signal, name)
    completed = sh(shared, f"kill -{number} $$; sleep 60")
    assert (completed.status, completed.exit_code, completed.signal) == (Status.SIGNALLED, None, number)
    assert not completed.ok
    assert sh(shared, "true").ok


def test_no_signal_is_ignored_from_the_start(shared: Sandbox) -> None:
    """Signals 32 and 33 are aside: glibc keeps them, and no program can set them (signal(7))."""
    (line,) = lines(sh(shared, "grep SigIgn /proc/self/status"))
    ignored = int(line.removeprefix("SigIgn:"), 16)
    assert ignored & ~(0b11 << 31) == 0


def test_a_program_that_is_not_there(shared: Sandbox) -> None:
    completed = shared.exec(Command(argv=("no-such-program",)))
    assert (completed.status, completed.exit_code) == (Status.EXITED, 127)
    assert b"no-such-program" in completed.stderr + completed.stdout


def test_a_file_that_is_no_program(shared: Sandbox) -> None:
    completed = shared.exec(Command(argv=("/etc/passwd",)))
    assert (completed.status, completed.exit_code) == (Status.EXITED, 126)


def test_arguments_arrive_as_they_are(shared: Sandbox) -> None:
    words = ("a b", "", "*", "$HOME", "'\"", "\n", "ü", "-n", "x" * 100_000)
    completed = shared.exec(Command(argv=("printf", "%s\\0", *words)))
    assert completed.stdout.decode().split("\0")[:-1] == list(words)


def test_environment_values_arrive_as_they_are(shared: Sandbox) -> None:
    value = "a=b \n 'ü' " + "x" * 50_000
    completed = shared.exec(Command(argv=("printenv", "WORD"), environment={"WORD": value}))
    assert completed.stdout.decode() == value + "\n"


def test_working_folder(shared: Sandbox) -> None:
    assert lines(sh(shared, "pwd")) == ["/scratch"]
    command = Command(argv=("pwd",), cwd=PurePosixPath("/usr/lib"))
    assert lines(shared.exec(command)) == ["/usr/lib"]


def test_a_working_folder_through_a_link_stays_inside(shared: Sandbox) -> None:
    assert sh(shared, "ln -s / /scratch/out").ok
    command = Command(argv=("cat", "etc/debian_version"), cwd=PurePosixPath("/scratch/out"))
    assert lines(shared.exec(command))[0].startswith("12")


def test_a_working_folder_that_is_not_there(shared: Sandbox) -> None:
    completed = shared.exec(Command(argv=("true",), cwd=PurePosixPath("/scratch/none")))
    assert not completed.ok
    assert b"/scratch/none" in completed.stderr + completed.stdout


def test_output_and_errors_are_kept_apart(shared: Sandbox) -> None:
    completed = sh(shared, "echo out; echo err >&2")
    assert (completed.stdout, completed.stderr) == (b"out\n", b"err\n")
    assert not completed.truncated
    assert completed.duration > 0


def test_output_is_heard_while_the_command_runs(shared: Sandbox) -> None:
    heard: list[bytes] = []

    def answer(chunk: bytes) -> None:
        if not heard:  # the command waits for this file: it is made only if we are called in time
            assert sh(shared, "touch /scratch/heard").ok
        heard.append(chunk)

    script = "echo first; while ! test -e /scratch/heard; do sleep 0.05; done; echo second >&2"
    completed = shared.exec(Command(argv=("sh", "-c", script), timeout=60), listener=answer)
    assert completed.ok, completed
    assert b"".join(heard) == b"first\nsecond\n"


def test_a_listener_that_fails_ends_the_command(sandbox: Sandbox) -> None:
    def fail(_: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sandbox.exec(Command(argv=("sh", "-c", "echo x; sleep 600")), listener=fail)


def test_output_without_end_is_bounded(shared: Sandbox) -> None:
    total = 5 * BOUND
    completed = sh(shared, f"echo start; head -c {total} /dev/zero; echo end; echo x >&2")
    assert completed.ok
    assert completed.truncated
    assert completed.stdout.startswith(b"start\n")
    assert completed.stdout.endswith(b"end\n")
    assert len(completed.stdout) < BOUND + 100
    assert completed.stderr == b"x\n"


def test_files_stay_from_one_command_to_the_next(sandbox: Sandbox) -> None:
    for folder in ("/scratch", "/tmp", "/dev/shm"):  # noqa: S108
        assert sh(sandbox, f"echo kept > {folder}/file").ok
        assert lines(sh(sandbox, f"cat {folder}/file")) == ["kept"]


def test_programs_in_scratch_can_run(shared: Sandbox) -> None:
    for folder in ("/scratch", "/tmp"):  # noqa: S108
        script = f"cp /bin/echo {folder}/program && {folder}/program works"
        assert lines(sh(shared, script)) == ["works"]


def test_a_process_left_behind_does_not_hold_up_its_command(sandbox: Sandbox) -> None:
    assert lines(sh(sandbox, "sleep 600 & echo $!", timeout=60))
    assert lines(sh(sandbox, "grep -l '^sleep' /proc/[0-9]*/comm | wc -l")) == ["1"]


def test_orphans_are_reaped(sandbox: Sandbox) -> None:
    program = (
        "import os\nfor _ in range(20):\n  if os.fork() == 0:\n    if os.fork() == 0: os._exit(0)\n"
        "    os._exit(0)\n  os.wait()\n"
    )
    assert python(sandbox, program).ok
    zombies = "grep -h '^State:.Z' /proc/[0-9]*/status"
    script = f"for n in 1 2 3 4 5 6 7 8 9; do {zombies} || exit 0; sleep 1; done; exit 1"
    assert sh(sandbox, script).ok


def test_a_python_program_works(shared: Sandbox) -> None:
    modules = "ssl, ctypes, multiprocessing, tempfile"
    program = f"import {modules}; multiprocessing.Lock(); print(tempfile.gettempdir())"
    assert lines(python(shared, program)) == ["/tmp"]  # noqa: S108
