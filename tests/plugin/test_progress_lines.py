"""What a run writes for each item: whole lines where there is no terminal, ids once with -v."""

from __future__ import annotations

import re

import pytest
from wheels import build_wheel

AUDITS = ("--manylinux", "--manylinux-distros=debian-12", "-k", "audit or ordinary", "dist")
MIXED = (*AUDITS, "tests", "--manylinux-with-tests")
WHEELS = ("one", "two")

# Output within a test is captured, so it is not a terminal; this has pytest take it for one.
TERMINAL = """
import pytest

class Yes:
    def __bool__(self):  # pytest 8 has a value, pytest 9 a method
        return True

    __call__ = __bool__

class Later:
    @pytest.hookimpl(trylast=True)
    def pytest_runtest_setup(self, item):
        run = item.config.pluginmanager.getplugin("manylinux-run")
        if item.name == "audit":
            run._show(f"looking at {item.path.name}")

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if config.getoption("as_terminal"):
        config.pluginmanager.getplugin("terminalreporter").isatty = Yes()
    if config.getoption("speak"):
        config.pluginmanager.register(Later())

def pytest_addoption(parser):
    parser.addoption("--as-terminal", action="store_true")
    parser.addoption("--speak", action="store_true")
"""


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\nverbosity_test_cases = auto")
    for name in WHEELS:
        folder = pytester.path / "dist"
        folder.mkdir(exist_ok=True)
        build_wheel(folder, name=name, version="1.0", files={f"{name}.py": b""})
    (pytester.path / "tests").mkdir()
    test = pytester.path / "tests" / "test_ordinary.py"
    test.write_text("def test_ordinary_a(): pass\n\ndef test_ordinary_b(): pass\n")
    pytester.makepyfile(as_terminal=TERMINAL)
    pytester.syspathinsert()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PATH", str(pytester.path))  # audits want no engine
    monkeypatch.setenv("PYTEST_MANYLINUX_ENGINE", "bubblewrap")


def body(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The lines between how many items there are and the matrix."""
    own = {"--speak", "--as-terminal"} & set(arguments)
    result = pytester.runpytest(*(("-p", "as_terminal") if own else ()), *arguments)
    assert result.ret == 0
    lines = result.outlines
    start = next(n for n, line in enumerate(lines) if re.search(r"collected \d|workers? \[", line))
    end = next((n for n, line in enumerate(lines) if " portability " in line), len(lines))
    return lines[start + 1 : end]


def audit(name: str) -> str:
    return f"dist/{name}-1.0-py3-none-any.whl::audit PASSED"


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize("flags", [(), ("-p", "no:xdist"), ("-v",), ("-v", "--as-terminal")])
def test_each_item_has_one_line_with_its_id_once(
    pytester: pytest.Pytester, flags: tuple[str, ...]
) -> None:
    lines = body(pytester, *AUDITS, *flags, "--speak")
    assert words(lines) == [
        "",
        "looking at one-1.0-py3-none-any.whl",
        f"{audit('one')} [ 50%]",
        "looking at two-1.0-py3-none-any.whl",
        f"{audit('two')} [100%]",
        "",
    ]


def test_on_a_terminal_without_v_items_are_pytest_s_dots(pytester: pytest.Pytester) -> None:
    lines = words(body(pytester, *AUDITS, "--as-terminal"))
    assert [line for line in lines if line] == [
        "dist/one-1.0-py3-none-any.whl . [ 50%]",
        "dist/two-1.0-py3-none-any.whl . [100%]",
    ]


def test_quiet_is_as_short_as_pytest_s_own(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(*AUDITS, "-q")
    assert result.outlines[0].split() == ["..", "[100%]"]
    assert "audit PASSED" not in result.stdout.str()


@pytest.mark.parametrize("style", ["progress", "count", "classic", "times"])
def test_how_far_it_is_stands_once_in_each_line(pytester: pytest.Pytester, style: str) -> None:
    pytester.makeini(f"[pytest]\nconsole_output_style = {style}")
    signs = {
        "progress": r"\[ *\d+%\]",
        "count": r"\[\d/\d\]",
        "classic": r"\[",
        "times": r"\d[mu]?s$",
    }
    counts = [len(re.findall(signs[style], line)) for line in body(pytester, *AUDITS) if line]
    assert counts == ([0, 0] if style == "classic" else [1, 1])


def test_among_ordinary_tests_these_stay_as_they_are(pytester: pytest.Pytester) -> None:
    ours = [f"{audit('one')} [ {{}}%]", f"{audit('two')} [{{}}%]"]
    assert words(body(pytester, *MIXED)) == [
        "",
        ours[0].format(25),
        ours[1].format(" 50"),
        "",
        "tests/test_ordinary.py .. [100%]",
    ]
    swapped = ("tests", *MIXED[:-2], "--manylinux-with-tests")
    assert words(body(pytester, *swapped)) == [
        "",
        "tests/test_ordinary.py ..",
        ours[0].format(75),
        ours[1].format(100),
        "",
    ]
    assert words(body(pytester, *MIXED, "-v"))[3:] == [
        "",
        "tests/test_ordinary.py::test_ordinary_a PASSED [ 75%]",
        "tests/test_ordinary.py::test_ordinary_b PASSED [100%]",
    ]


@pytest.mark.parametrize("flags", [(), ("-v",)])
def test_with_xdist_too(pytester: pytest.Pytester, flags: tuple[str, ...]) -> None:
    lines = words(body(pytester, *MIXED, "-n1", *flags))
    for name in WHEELS:
        (line,) = [line for line in lines if f"{name}-1.0" in line]
        assert re.fullmatch(rf"\[gw0\] \[ *\d+%\] PASSED dist/{name}-1.0-py3-none-any.whl::audit", line)
    ids = [line for line in lines if "test_ordinary_a" in line]
    assert len(ids) == (2 if flags else 0)  # as pytest-xdist has it


def test_failed_and_skipped_items_have_their_words(pytester: pytest.Pytester) -> None:
    (pytester.path / "dist" / "bad-1.0-py3-none-any.whl").write_bytes(b"")
    old = "old-1.0-cp27-cp27mu-manylinux1_x86_64.whl"
    (pytester.path / "dist" / old).write_bytes(b"")
    flags = ("-k", "bad and audit or no-target", "dist", *AUDITS[:2])
    result = pytester.runpytest(*flags)
    result.stdout.fnmatch_lines(
        ["dist/bad-1.0-*::audit FAILED *[[] 50%]", f"dist/{old}::trial[[]no-target] SKIPPED*[[]100%]"]
    )


def test_without_pytests_terminal_plugin_the_run_goes_on(pytester: pytest.Pytester) -> None:
    """`-p no:terminal` takes the reporter away, and the option --verbose with it."""
    done = pytester.runpytest_subprocess("-p", "no:terminal", "--junitxml=junit.xml", *AUDITS)
    assert done.ret == pytest.ExitCode.OK, str(done.stderr)
    junit = (pytester.path / "junit.xml").read_text("utf-8")
    assert all(f"{name}-1.0" in junit for name in WHEELS)
