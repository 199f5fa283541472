"""Run a trial and a build with bubblewrap, and count what they pass through on the way to the pipe.

    python tools/frames.py DIR          (DIR holds the package, and stands first in PYTHONPATH)

A made wheel is proven, and a made project is built and proven, each by a pytest run in this process. A
profile function in every thread (sys.setprofile) sees the calls of built-in functions that wait for a
pipe or socket, receive from one, or send to one. Of those that an engine makes, the deepest stack of
our own frames is kept, from the pool's thread on; the functions entered differ a little from run to
run, with what is cached. The last line of the output is a JSON object for tools/structure.py. Exit code
1 if a run fails, or if nothing was seen.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest

PIPE = frozenset({"poll", "select", "recv", "recvmsg", "send", "sendmsg", "sendall"})
KINDS = {"trial": ("prove", "trials"), "build": ("build", "building", "wheelbuild")}
"""The package's folders of which a stack has a frame."""
ENGINES = "engines"

PROJECT = {
    "pyproject.toml": """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "made"
version = "1.0"
""",
    "backend.py": """
import zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel_directory + "/" + name, "w") as archive:
        FILES
    return name
""",
}
WHEEL = {
    "made.py": "",
    "made-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n",
    "made-1.0.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "made-1.0.dist-info/RECORD": (
        "made.py,,\nmade-1.0.dist-info/METADATA,,\nmade-1.0.dist-info/WHEEL,,\nmade-1.0.dist-info/RECORD,,\n"
    ),
}


@dataclass(kw_only=True)
class Seen:
    """The deepest stack at a pipe, and all functions that were entered in the threads with a stack."""

    package: Path
    folders: tuple[str, ...]
    stack: tuple[CodeType, ...] = ()
    threads: set[int] = field(default_factory=set)
    entered: dict[int, set[CodeType]] = field(default_factory=dict)

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        """See sys.setprofile."""
        if event == "call" and self._is_ours(frame.f_code):
            self.entered.setdefault(threading.get_ident(), set()).add(frame.f_code)
        elif event == "c_call" and getattr(argument, "__name__", "") in PIPE:
            stack = tuple(code for code in _codes(frame) if self._is_ours(code))
            if stack and self._folder(stack[0]) == ENGINES and self._is_of_kind(stack):
                self.threads.add(threading.get_ident())
                self.stack = max(self.stack, stack, key=len)

    def _is_ours(self, code: CodeType) -> bool:
        return code.co_filename.startswith(str(self.package))

    def _is_of_kind(self, stack: tuple[CodeType, ...]) -> bool:
        return any(self._folder(code) in self.folders for code in stack)

    def _folder(self, code: CodeType) -> str:
        return Path(code.co_filename).relative_to(self.package).parts[0]

    def rows(self, kind: str) -> dict[str, str]:
        """For the table."""
        entered = {code for thread in self.threads for code in self.entered[thread]}
        return {
            f"own frames of a {kind} down to the pipe (files)": _size(self.stack),
            f"own functions entered in the threads of a {kind} (files)": _size(tuple(entered)),
        }


def _codes(frame: FrameType | None) -> list[CodeType]:
    codes = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return codes


def _size(codes: tuple[CodeType, ...]) -> str:
    return f"{len(codes)} ({len({code.co_filename for code in codes})})"


def make(folder: Path) -> dict[str, Path]:
    """A wheel and a project."""
    wheel = folder / "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    project = folder / "project"
    project.mkdir()
    files = "; ".join(f"archive.writestr({name!r}, {text!r})" for name, text in WHEEL.items())
    for name, text in PROJECT.items():
        (project / name).write_text(text.replace("FILES", files))
    return {"trial": wheel, "build": project}


def run(kind: str, path: Path, package: Path) -> Seen:
    """Prove a wheel or a project; exits if that fails."""
    seen = Seen(package=package, folders=KINDS[kind])
    threading.setprofile(seen.profile)
    code = pytest.main(
        [
            *("-q", "-p", "no:cacheprovider", "--manylinux", "--manylinux-engine=bubblewrap"),
            *("--manylinux-distros=debian-12", "--manylinux-fresh", f"--rootdir={path.parent}"),
            *(f"--manylinux-wheelhouse={path.parent / 'wheelhouse'}", "-c", "/dev/null", str(path)),
        ]
    )
    threading.setprofile(None)
    if code != 0 or not seen.stack:
        sys.exit(f"the {kind} went wrong (pytest: {code}), or no pipe was seen")
    return seen


def main(tree: Path) -> None:
    """Print each stack, and the counts as JSON."""
    package = tree / "pytest_manylinux"
    rows: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # pytest loads the conftest.py of the folder that a run is begun in
        for kind, path in make(Path(folder)).items():
            seen = run(kind, path, package)
            rows |= seen.rows(kind)
            for code in reversed(seen.stack):
                print(f"{kind}: {Path(code.co_filename).relative_to(tree)} {code.co_name}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
