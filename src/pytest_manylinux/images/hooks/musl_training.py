"""What a trial does, in short: CPython's compiler takes its profile from this (musl_build.mk).

pip installs a wheel, which is its own: once with bytecode and once without. Interpreters start and
import, from bytecode and without.
Standard library only; the interpreter that runs this may lack OpenSSL.
"""

from __future__ import annotations

import ensurepip
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_INSTALL = ("-m", "pip", "install", "--no-index", "--no-deps", "--no-cache-dir", "--upgrade")
_MODULES = "asyncio, ctypes, dataclasses, email.message, enum, inspect, json, logging, typing, unittest"
_STARTS = 10


def main() -> None:
    """Do all of it."""
    (wheel,) = Path(ensurepip.__file__).with_name("_bundled").glob("pip-*.whl")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "pip")
        for option in ("--compile", "--no-compile"):
            target = f"--target={folder / 'site'}"
            _python(*_INSTALL, option, target, str(wheel), path=folder / "pip")
        for _ in range(_STARTS):
            _python("-c", f"import {_MODULES}", path=folder / "site")
        _python("-B", "-c", f"import {_MODULES}", path=folder / "site", fresh=folder)


def _python(*argv: str, path: Path, fresh: Path | None = None) -> None:
    """Run an interpreter; with `fresh` it compiles what it imports, and reads no bytecode."""
    environment = {"PYTHONPATH": str(path), "PYTHONHASHSEED": "0"}
    if fresh is not None:
        environment["PYTHONPYCACHEPREFIX"] = str(fresh)
    subprocess.run((sys.executable, *argv), env=environment, check=True)


if __name__ == "__main__":
    main()
