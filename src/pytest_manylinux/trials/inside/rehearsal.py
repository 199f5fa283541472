"""What a trial does, done once by the preloaded process itself: under qemu its forks do it sooner then.

qemu translates code when it is first executed, in each process anew; a fork has what its parent has
translated. Without a rehearsal each trial's forks translate pip, zlib, the compiler and all that the
agent does once more, which takes longer than doing it.

A wheel of ours is installed by the same pip into the venv of this process, which no trial sees: each
has a /scratch of its own. Nobody else's code is run, and what pip changes in the process is undone.
From 26.2 on pip leaves an audit hook (sys.addaudithook), which nothing undoes: there it is unpacked.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only.
"""

import base64
import contextlib
import gc
import hashlib
import json
import os
import runpy
import shutil
import sys
import zipfile

from pytest_manylinux.trials.inside import agent, examine
from pytest_manylinux.trials.inside.c_library import own_loader
from pytest_manylinux.trials.inside.comparison import compare
from pytest_manylinux.trials.inside.launch import reports
from pytest_manylinux.trials.inside.processes import WORK, Task, run
from pytest_manylinux.trials.inside.venv_layout import VENV

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL = "/tmp/rehearsal-0-py3-none-any.whl"  # noqa: S108 -- the sandbox's own
OWN = "rehearsal-0.dist-info"
METADATA = "Metadata-Version: 2.1\nName: rehearsal\nVersion: 0\n"
TAGS = "Wheel-Version: 1.0\nGenerator: rehearsal\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
HOOKED = "_prevent_further_imports"  # what pip calls the function that adds the hook
LONGEST = 60.0  # seconds for the one program that is started


def rehearse(pip: "list[str]", layout: str) -> None:
    """Install, look and compile as a trial does; `pip` are its arguments, `layout` is the venv's.

    Raises RuntimeError where pip fails: such a process is for no trial.
    """
    with open(layout, encoding="utf-8") as file:
        laid_out = json.load(file)
    site = os.path.join(VENV, laid_out["purelib"])
    files = make_wheel()
    own = agent.OwnFiles(laid_out["entries"])
    if hasattr(sys.modules.get("pip._internal.commands.install"), HOOKED):
        with zipfile.ZipFile(WHEEL) as archive:
            archive.extractall(site)
    else:
        with as_before():
            install([*pip, WHEEL])
    own.changed()
    found = [
        [os.path.join(laid_out["purelib"], name), len(data), hashlib.sha256(data).hexdigest()]
        for name, data in files.items()
    ]
    request = {"venv": laid_out["entries"], "sites": [site], "own": OWN, "seeded": laid_out["heavy"]}
    compare(VENV, dict(request, files=found))
    report = examine.compile_sources(os.path.join(site, "rehearsal", "__init__.py"))
    agent.StartUp([site]).restore()
    os.mkdir(WORK)
    task = Task([own_loader(), "--help"], LONGEST)
    list(run([task]))
    task.report.add(f"word {report!a}\n".encode("ascii"))
    json.dumps([reports(task, "word"), task.ending()])
    for folder in (os.path.join(site, "rehearsal"), os.path.join(site, OWN), WORK):
        shutil.rmtree(folder)
    os.unlink(WHEEL)
    gc.collect()  # forks are to have none of its garbage


def make_wheel() -> "dict[str, bytes]":
    """Write the wheel; give its files. Its module is code of ours, which is compiled and never run."""
    with open(examine.__file__, "rb") as file:
        source = file.read()
    files = {"rehearsal/__init__.py": source}
    files.update({f"{OWN}/METADATA": METADATA.encode(), f"{OWN}/WHEEL": TAGS.encode()})
    rows = [f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items()]
    with zipfile.ZipFile(WHEEL, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{OWN}/RECORD", "".join(rows) + f"{OWN}/RECORD,,\n")
    return files


def digest(data: bytes) -> str:
    """A digest as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def install(argv: "list[str]") -> None:
    """Be `python -m pip …`, and go on."""
    sys.argv[:] = ["-m", *argv]
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"pip could not install a wheel of ours: {end.code}") from None


@contextlib.contextmanager
def as_before() -> "Iterator[None]":
    """Have output go nowhere meanwhile, and restore what pip changes in its process."""
    argv, path, environment = list(sys.argv), list(sys.path), dict(os.environ)
    null = os.open("/dev/null", os.O_WRONLY)
    streams = [(number, os.dup(number)) for number in (1, 2)]
    for number, _ in streams:
        os.dup2(null, number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in streams:
            os.dup2(kept, number)
            os.close(kept)
        os.close(null)
        sys.argv[:], sys.path[:] = argv, path
        for name in set(os.environ).difference(environment):
            del os.environ[name]
        os.environ.update(environment)
