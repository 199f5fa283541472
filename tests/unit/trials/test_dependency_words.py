"""What pip says of a wheel's own metadata, of sources that are not built, and which Python answered."""

from __future__ import annotations

import pickle

import pytest
from trial_values import make_facts, make_observation, make_target, refused

from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.errors import ImageError, NoWheelError
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.trials.dependencies import last_real_line, refuses_wheel, unavailable
from pytest_manylinux.trials.trial import check_python

_NO_TOOL = "FileNotFoundError: [Errno 2] No such file or directory: 'cc'"
IMAGE = Image(digest="sha256:0", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")
_METADATA_FAILED = """error: subprocess-exited-with-error
x Preparing metadata (pyproject.toml) did not run successfully.
│ exit code: 1
╰─> [3 lines of output]
    [end of output]
error: metadata-generation-failed
x Encountered error while generating package metadata.
╰─> cmeel-boost
"""
_BUILDS_FAILED = """error: subprocess-exited-with-error
╰─> See above for output.
error: failed-wheel-build-for-install
╰─> numexpr, ndindex
"""
_METADATA_OF_MESON = """Processing /tmp/trial/wheel/demo-1.0-py3-none-any.whl
Collecting demo-core>=2
  Downloading demo_core-2.0-py3-none-any.whl
Collecting numpy
  Preparing metadata (pyproject.toml): finished with status 'error'
  error: subprocess-exited-with-error
  x Preparing metadata (pyproject.toml) did not run successfully.
  ╰─> [20 lines of output]
      Collecting nothing
      ../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]
      Running `cc --version` gave "[Errno 2] No such file or directory: 'cc'"

      A full log can be found at /tmp/pip-wheel-0/numpy_0/meson-logs/meson-log.txt
      [end of output]
  note: This error originates from a subprocess, and is likely not a problem with pip.
error: metadata-generation-failed
╰─> See above for output.
hint: See above for details.
"""
_REQUIREMENT_OF_A_BUILD = """Collecting astropy
  Installing build dependencies: finished with status 'error'
  error: subprocess-exited-with-error
  ╰─> [59 lines of output]
      Collecting numpy
        error: subprocess-exited-with-error
        ╰─> [20 lines of output]
            error: command 'cc' failed: No such file
            [end of output]
      error: metadata-generation-failed
      ╰─> See above for output.
      hint: See above for details.
      [end of output]
error: subprocess-exited-with-error
╰─> See above for output.
"""
TRACEBACK = """ERROR: Exception:
Traceback (most recent call last):
  File "/v/pip/_internal/cli/base_command.py", line 105, in _run_wrapper
    status = _inner_run()
pip._vendor.packaging.requirements.InvalidRequirement: .* suffix can only be used with == or !=
    idna>=2.*
        ~~~~^
"""


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("WARNING: Ignoring version 1.0 of x since it has invalid metadata:", True),
        (TRACEBACK, True),
        ("ERROR: Could not install packages due to an OSError: [Errno 2] No such file: '/b'", True),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/home/b/x.whl'", True),
        ("ERROR: six.whl is not a valid wheel filename.", True),
        ("ERROR: six@ file:///b from file:///b does not appear to be a Python project", True),
        (f"{_NO_TOOL}\n  ERROR: Failed building wheel for srt\nFailed to build srt", False),
        (f"error: subprocess-exited-with-error\n{_NO_TOOL}", False),
        (f"  ERROR: Command errored out with exit status 1:\n{_NO_TOOL}", False),
        ("ERROR: No matching distribution found for srt", False),
        ("ERROR: ResolutionImpossible: for help visit", False),
    ],
)
def test_what_pip_says_of_the_wheel_itself_is_left_to_the_trial(words: str, *, own: bool) -> None:
    assert refuses_wheel(words) == own


def test_a_traceback_is_told_by_its_last_line() -> None:
    facts = make_facts()
    verdict = judge(
        facts, make_observation(install=refused(TRACEBACK)), make_target(), wheel=facts.wheel
    )
    (error,) = verdict.errors
    assert error.name == "install-failed"
    assert "InvalidRequirement" in error.message
    assert "ERROR: Exception" not in error.message


def test_a_failed_build_is_told_by_its_last_real_line() -> None:
    words = "  error: command 'gcc' failed: No such file\n  [end of output]\n\nnote: This error\n"
    assert last_real_line(words) == "error: command 'gcc' failed: No such file"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (_METADATA_OF_MESON, "../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]"),
        (_REQUIREMENT_OF_A_BUILD, "error: command 'cc' failed: No such file"),
        (_METADATA_FAILED, "no words"),
    ],
)
def test_a_log_that_is_gone_and_pips_own_words_tell_nothing(words: str, line: str) -> None:
    assert last_real_line(words) == line


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("  ERROR: Failed building wheel for srt\nerror: subprocess-exited-with-error", "srt"),
        (_METADATA_FAILED, "cmeel-boost"),
        (_BUILDS_FAILED, "numexpr"),
        (_METADATA_OF_MESON, "numpy"),
        (_REQUIREMENT_OF_A_BUILD, "astropy"),
        ("error: subprocess-exited-with-error\n╰─> See above for output.", "a project"),
    ],
)
def test_the_source_that_is_not_built_is_named(words: str, name: str) -> None:
    error = unavailable("x.whl", make_target(), words)
    assert error.what.startswith(f"{name}, which x.whl requires, has no wheel for ")


_OLD_PIP = """Collecting numpy>=2
  Downloading https://index.example/f/numpy-2.4.0.tar.gz (20 MB)
  Preparing metadata (pyproject.toml): finished with status 'error'
  ERROR: Command errored out with exit status 1
WARNING: Discarding https://index.example/f/numpy-2.4.0.tar.gz. Command errored out
  Using cached numpy-2.3.5.tar.gz (20 MB)
  ERROR: Command errored out with exit status 1
"""
_OF_A_FOLDER = """Looking in links: file:///tmp/index/0
Processing ./inputs/wheel/x.whl
Processing /tmp/index/0/demo_core-2.0.tar.gz (from demo)
  Preparing metadata (pyproject.toml): finished with status 'error'
  error: subprocess-exited-with-error
╰─> See above for output.
"""


@pytest.mark.parametrize(
    ("words", "name", "sdist"),
    [
        (_OLD_PIP, "numpy", "numpy-2.4.0.tar.gz"),
        (_OF_A_FOLDER, "demo-core", "demo_core-2.0.tar.gz"),
        (_METADATA_OF_MESON, "numpy", ""),
        (f"  Downloading other-1.0.tar.gz\n{_METADATA_OF_MESON}", "numpy", ""),
    ],
)
def test_the_source_that_pip_came_upon_first_is_named(words: str, name: str, sdist: str) -> None:
    error = unavailable("x.whl", make_target(), words)
    assert isinstance(error, NoWheelError)
    assert error.what.startswith(f"{name}, which x.whl requires")
    assert error.sdist == sdist
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.sdist) == (str(error), sdist)


def test_another_python_than_the_rows_proves_nothing() -> None:
    target = make_target(python="3.11")
    check_python("3.11.2", target, IMAGE)
    with pytest.raises(ImageError, match=r"is Python 3\.12\.1, not 3\.11"):
        check_python("3.12.1", target, IMAGE)


def test_the_python_that_answers_stands_for_the_rows() -> None:
    target = make_target(python="3.11")
    assert target.answered_by("3.11.9") is target
    found = target.answered_by("3.14.10", "26.2.2")
    assert found.id == target.id.replace("cp311", "cp314")
    assert found.interpreter.version.release == (3, 14)
    assert (found.interpreter.pip, found.interpreter.own_abi) == ("26.2.2", "cp314")
    assert target.answered_by("") is target
