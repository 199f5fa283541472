"""The importing interpreter by itself, with this Python in place of a venv's."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_manylinux.trials.inside.agent import importer

TOKEN = "0123456789abcdef"  # noqa: S105 -- nothing secret


def read_until(ended: threading.Event, reader: int) -> bytes:
    """All that comes through a pipe until then."""
    found = b""
    while True:
        last = ended.is_set()
        try:
            found += os.read(reader, 1 << 16)
        except BlockingIOError:
            if last:
                return found
            time.sleep(0.001)


class Run:
    """One run of the importer: its reports, and how it ended."""

    def __init__(self, folder: Path, *names: str, first: str = "", compiled: bool = True) -> None:
        pipe = folder / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        words = "\n".join([TOKEN, str(pipe), *names])
        environment = {"PYTHONPATH": str(folder), "LANG": "C.UTF-8"}
        argv = [sys.executable, "-B", "-c", first + importer(compiled=compiled and not first)]
        with ThreadPoolExecutor(1) as pool:
            ended = threading.Event()
            reading = pool.submit(read_until, ended, reader)
            self.done = subprocess.run(
                argv,
                input=words,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            ended.set()
            self.raw = reading.result().decode()
        os.close(reader)

    @property
    def reports(self) -> list[dict[str, Any]]:
        lines = [line for line in self.raw.splitlines() if line.startswith(f"{TOKEN} ")]
        return [ast.literal_eval(line.removeprefix(f"{TOKEN} ")) for line in lines]

    @property
    def report(self) -> dict[str, Any]:
        (report,) = self.reports
        return report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "demo"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("")
    return tmp_path


def module(folder: Path, text: str) -> None:
    (folder / "tried.py").write_text(text)


@pytest.mark.parametrize("compiled", [False, True])
def test_success_is_told_after_the_import(folder: Path, *, compiled: bool) -> None:
    run = Run(folder, "demo.part", compiled=compiled)
    assert run.report["status"] == "ok"
    assert run.done.returncode == 0
    assert any("libc.so" in path for path in run.report["loaded"])


def test_a_python_without_forks_and_locks_imports_the_first_name(folder: Path) -> None:
    """As GraalPy is; the agent tries the other names in interpreters of their own."""
    run = Run(folder, "demo", "demo.part", first="import os; del os.fork, os.lockf\n")
    assert run.report["status"] == "ok"
    assert run.done.returncode == 0


def test_the_interpreter_looks_as_a_users_does(folder: Path) -> None:
    module(folder, "import sys; print(sys.argv, sys.path[0] == '', sys.stdin.read() == '')")
    assert Run(folder, "tried").done.stdout == "['-c'] True True\n"


def test_nothing_is_loaded_that_a_bare_interpreter_has_not(folder: Path) -> None:
    module(folder, "import sys; print(*sorted(set(sys.modules) - {'tried'}))")
    bare = "import sys, tried"
    environment = {"PYTHONPATH": str(folder), "LANG": "C.UTF-8"}
    argv = [sys.executable, "-B", "-c", bare]
    expected = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert Run(folder, "tried").done.stdout == expected.stdout


def test_an_exception_is_told_with_its_traceback_but_not_with_ours(folder: Path) -> None:
    module(folder, "def f():\n    raise ValueError('seven')\nf()\n")
    report = Run(folder, "tried").report
    assert report["status"] == "raised"
    assert report["exception"] == "ValueError"
    assert report["message"] == "seven"
    assert 'tried.py", line 2, in f' in report["traceback"]
    assert "<string>" not in report["traceback"]


@pytest.mark.parametrize(
    ("reference", "exception"),
    [
        ("demo:part.main", ""),
        ("demo:whole.main", ""),
        ("demo:part", "TypeError"),
        ("demo:absent.main", "AttributeError"),
        ("demo:part.absent", "AttributeError"),
        ("demo:broken.main", "ModuleNotFoundError"),
    ],
)
def test_an_object_is_found_as_programs_of_installers_find_it(
    folder: Path, reference: str, exception: str
) -> None:
    """They say `from demo import part`, which imports a submodule that `demo` does not."""
    (folder / "demo" / "__init__.py").write_text("class whole:\n    main = print\n")
    (folder / "demo" / "part.py").write_text("def main(): pass\n")
    (folder / "demo" / "whole.py").write_text("raise ValueError('the attribute comes first')\n")
    (folder / "demo" / "broken.py").write_text("import gone\n")
    report = Run(folder, reference).report
    assert report.get("exception", "") == exception
    assert report["status"] == ("raised" if exception else "ok")


def test_a_missing_module_is_named(folder: Path) -> None:
    module(folder, "import demo.absent.deep")
    assert Run(folder, "tried").report["missing"] == "demo.absent"


@pytest.mark.parametrize(
    ("statement", "code"),
    [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit('words')", 1)],
)
def test_sys_exit_is_told_with_its_code(folder: Path, statement: str, code: int) -> None:
    module(folder, f"import sys; {statement}")
    report = Run(folder, "tried").report
    assert (report["status"], report["code"]) == ("exited", code)


def test_leaving_at_once_leaves_no_report(folder: Path) -> None:
    module(folder, "import os; os._exit(0)")
    run = Run(folder, "tried")
    assert run.raw == ""
    assert run.done.returncode == 0


def test_a_module_that_takes_itself_away_was_not_imported(folder: Path) -> None:
    module(folder, "import sys; del sys.modules['tried']")
    assert Run(folder, "tried").report["status"] == "raised"


@pytest.mark.parametrize(
    "text",
    [
        "import os; os.closerange(0, 1024)",
        "import os\nfor n in range(64):\n try: os.write(n, b'{}')\n except OSError: pass",
        "import builtins, os; os.write = os.open = builtins.open = builtins.__import__ = None",
        "import sys; sys.stdout = sys.stderr = None",
        "import os; os.chdir('/')",
        "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 13, 14, 15)]",
    ],
    ids=["closes all", "writes to all", "replaces functions", "no streams", "moves", "signals"],
)
def test_careless_code_does_not_break_the_report(folder: Path, text: str) -> None:
    module(folder, text)
    assert Run(folder, "tried").report["status"] == "ok"


def test_a_fork_reports_under_its_own_number(folder: Path) -> None:
    module(folder, "import os; os.fork()")
    run = Run(folder, "tried")
    assert len({report["pid"] for report in run.reports}) == len(run.reports) == 2


def test_the_words_of_errors_that_led_there_are_told(folder: Path) -> None:
    text = """
        try:
            try:
                import ctypes; ctypes.CDLL("libabsent.so.7")
            except OSError as error:
                raise ImportError("wrapped") from error
        except ImportError:
            raise RuntimeError("outer")
    """
    module(folder, "if True:\n" + text)
    report = Run(folder, "tried").report
    assert report["exception"] == "RuntimeError"
    assert report["chain"][0] == "wrapped"
    assert "libabsent.so.7: cannot open shared object file" in report["chain"][1]


def test_more_names_are_tried_in_forks_and_only_successes_told(folder: Path) -> None:
    (folder / "demo" / "bad.py").write_text("raise ValueError")
    (folder / "demo" / "gone.py").write_text("import os; os._exit(0)")
    (folder / "demo" / "mark.py").write_text("import demo; assert not hasattr(demo, 'part')")
    run = Run(folder, "demo", "demo.part", "demo.bad", "demo.gone", "demo.mark")
    first, *others = run.reports
    assert first["status"] == "ok"
    assert "name" not in first
    assert {r["name"]: r["status"] for r in others} == {"demo.part": "ok", "demo.mark": "ok"}
    assert run.done.returncode == 0


def test_names_inside_one_package_share_its_import_and_nothing_else(folder: Path) -> None:
    inner = folder / "demo" / "inner"
    inner.mkdir()
    (inner / "__init__.py").write_text(
        "import os; os.write(1, b'once\\n'); from demo.inner import early"
    )
    (inner / "early.py").write_text("")
    (inner / "bad.py").write_text("import demo.inner.part; raise ValueError")
    for name in ("part", "other"):
        others = "{'demo.inner.part', 'demo.inner.other'} - {__name__}"
        (inner / f"{name}.py").write_text(f"import sys; assert not ({others}) & {{*sys.modules}}")
    names = [f"demo.inner.{name}" for name in ("early", "bad", "part", "other")]
    run = Run(folder, "demo", "demo.part", *names)
    told = [report["name"] for report in run.reports[1:]]
    assert sorted(told) == ["demo.inner", "demo.inner.other", "demo.inner.part", "demo.part"]
    assert run.done.stdout == "once\n"


def test_reports_of_forks_do_not_run_into_each_other(folder: Path) -> None:
    """Each is longer than what a pipe holds."""
    names = [f"demo.long{number}" for number in range(6)]
    text = """
import sys
for number in range(5000):
    module = sys.modules[f"demo.{__name__}{number}"] = type(sys)("x")
    module.__file__ = f"{number}.so"
"""
    for number in range(6):
        (folder / "demo" / f"long{number}.py").write_text(text)
    run = Run(folder, "demo", *names)
    assert sorted(report["name"] for report in run.reports[1:]) == names
    assert all(len(report["inner"]) == 5000 + 1 for report in run.reports[1:])  # and its own name


def test_a_package_that_fails_takes_no_other_with_it(folder: Path) -> None:
    (folder / "demo" / "inner").mkdir()
    (folder / "demo" / "inner" / "__init__.py").write_text("import os; os._exit(0)")
    run = Run(folder, "demo", "demo.inner.a", "demo.inner.b", "demo.part")
    assert [report["name"] for report in run.reports[1:]] == ["demo.part"]


@pytest.mark.parametrize(
    "text",
    [
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "import os; os.waitpid = os.fork = os.kill = None",
        "import sys; sys.modules['time'] = None",
    ],
    ids=["no children", "no functions", "no time"],
)
def test_forks_change_nothing_for_the_first(folder: Path, text: str) -> None:
    module(folder, text)
    run = Run(folder, "tried", "tried.absent")
    assert run.reports[0]["status"] == "ok"
    assert run.done.returncode == 0


# In place of sys._is_gil_enabled, which only 3.13 and later have: on once `tried` says so.
WITHOUT_GIL = "import sys; sys._is_gil_enabled = lambda: hasattr(sys, 'gil')\n"


@pytest.mark.parametrize(("text", "told"), [("import sys\nsys.gil = 1\n", True), ("", False)])
def test_an_import_that_turns_the_gil_on_is_told(folder: Path, text: str, *, told: bool) -> None:
    module(folder, text)
    (folder / "sitecustomize.py").write_text(WITHOUT_GIL)
    assert Run(folder, "tried").report.get("gil", False) is told


def test_a_gil_that_was_on_is_nobodys_doing(folder: Path) -> None:
    module(folder, "import sys\nsys.gil = 1\n")
    assert "gil" not in Run(folder, "tried").report


def test_a_fork_tells_only_what_it_turned_on_itself(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(WITHOUT_GIL)
    (folder / "demo" / "late.py").write_text("import sys\nsys.gil = 1\n")
    told = {one.get("name", "demo"): one.get("gil", False) for one in forked(folder)}
    assert told == {"demo": False, "demo.late": True, "demo.part": False}
    (folder / "demo" / "__init__.py").write_text("import sys\nsys.gil = 1\n")
    (folder / "pipe").unlink()
    told = {one.get("name", "demo"): one.get("gil", False) for one in forked(folder)}
    assert told == {"demo": True, "demo.late": False, "demo.part": False}


def forked(folder: Path) -> list[dict[str, Any]]:
    return Run(folder, "demo", "demo.late", "demo.part").reports
