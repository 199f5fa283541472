"""Trials in real sandboxes, of wheels made to fail in one way each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hostile_code import SCRIBBLE
from wheels import build_wheel, compile_shared

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Completed, Engine, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ImageError, SandboxError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import (
    ImportDepth,
    ImportKind,
    ImportOutcome,
    ImportStatus,
    Observation,
)
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.trials import pool
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.request import INPUTS, LIBRARY, Errand, library_mounts
from pytest_manylinux.trials.trial import _ARGUMENTS, TrialRequest, run_trial
from pytest_manylinux.trials.venv import prepared_venv

pytestmark = pytest.mark.integration

Files = dict[str, bytes | str]
ADDRESS = re.compile(r"0x[0-9a-f]+")
TAG = "cp36-abi3-linux_x86_64"
SITE = {"debian-12": "lib/python3.11/site-packages", "debian-13": "lib/python3.13/site-packages"}

# An extension module in C that wants no headers: the first fields of PyModuleDef on 64-bit machines
# (Include/moduleobject.h; the same from Python 3.5 on).
MODULE = """
{before}
extern void *PyModule_Create2(void *, int);
static struct {{ long count; void *type, *init; long index; void *copy; const char *name, *doc;
                 long size; void *rest[5]; }} definition = {{1, 0, 0, 0, 0, "{name}", 0, -1, {{0}}}};
void *PyInit_{name}(void) {{ {body}; return PyModule_Create2(&definition, 1013); }}
"""


class Counted(PreloadedPool):
    """Remembers how many trials ended in a fork server."""

    ended = 0

    def attempt(self, errand: Errand, more: int = 0) -> Completed | None:
        completed = super().attempt(errand, more)
        self.ended += completed is not None
        return completed


@dataclass(frozen=True)
class Place:
    """One target, and what is needed to try wheels there."""

    target: Target
    image: Image
    engine: Engine
    folder: Path
    warm: Counted

    def try_wheel(self, path: Path, **settings: object) -> Observation:
        """In a fork server, as a run does; what that cannot answer is asked in a sandbox alone."""
        return self._run(path, self.warm, settings)

    def try_alone(self, path: Path, **settings: object) -> Observation:
        return self._run(path, None, settings)

    def _run(self, path: Path, warm: PreloadedPool | None, settings: dict[str, object]) -> Observation:
        wheel = open_wheel(path)
        request = TrialRequest(
            wheel=wheel,
            facts=read_wheel(wheel),
            target=self.target,
            image=self.image,
            **settings,  # type: ignore[arg-type]
        )
        return run_trial(request, self.engine, warm)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def warm(engine: Engine) -> Iterator[Counted]:
    warm = Counted(engine)
    yield warm
    warm.close()


def make_place(distro_id: str, engine: Engine, folder: Path, warm: Counted) -> Place:
    distro = load_catalogue().get(distro_id)
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter)
    return Place(target=target, image=image, engine=engine, folder=folder, warm=warm)


@pytest.fixture(scope="module")
def bookworm(engine: Engine, warm: Counted, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place("debian-12", engine, tmp_path_factory.mktemp("wheels"), warm)


@pytest.fixture(scope="module")
def trixie(engine: Engine, warm: Counted, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place("debian-13", engine, tmp_path_factory.mktemp("wheels"), warm)


def compiled(
    folder: Path, name: str, *, before: str = "", body: str = "", flags: tuple[str, ...] = ()
) -> bytes:
    return compile_shared(folder, name, MODULE.format(name=name, before=before, body=body), flags=flags)


def outcomes(observation: Observation) -> dict[str, ImportOutcome]:
    return {outcome.name: outcome for outcome in observation.imports}


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        os.execv("/bin/sleep", ["sleep", "86399"])
    os._exit(0)
time.sleep(0.2)
"""
PTRACE = """
import ctypes, os
PTRACE_ATTACH = 16
assert ctypes.CDLL(None).ptrace(PTRACE_ATTACH, os.getppid(), 0, 0) == 0, "kept out"
"""

FINE = {
    "closes": "import os; os.closerange(0, 4096)",
    "daemon": DAEMON,
    "garbage": SCRIBBLE,
    "chatty": 'print(\'{"status": "ok"}\\n\' * 1000000)',
    "threads": "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
}
BAD = {
    "exits": "import sys; sys.exit(0)",
    "leaves": "import os; os._exit(0)",
    "crashes": "import _crash",
    "hangs": "import time\ndef sleep_for_ever():\n    time.sleep(86400)\nsleep_for_ever()",
    "undeclared": "import certainly_absent.deep",
    "forges": SCRIBBLE + "raise ValueError('after forging')",
    "dlopens": "import ctypes; ctypes.CDLL('libabsent.so.7')",
    "peeks": PTRACE,
    "unclean": "import atexit, os; atexit.register(os.abort)",
    "outside": "import wheel",
    "online": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)",
}


@pytest.fixture(scope="module")
def zoo(bookworm: Place) -> dict[str, ImportOutcome]:
    """The outcomes of one wheel with a module for each way to go wrong, or nearly."""
    crash = compiled(bookworm.folder, "_crash", body="*(volatile int *)0 = 1")
    files: Files = {f"{name}.py": text for name, text in (FINE | BAD).items()}
    path = build_wheel(bookworm.folder, {**files, "_crash.abi3.so": crash}, name="zoo", tag=TAG)
    before = bookworm.warm.ended
    seen = outcomes(bookworm.try_wheel(path, timeout=60.0))
    assert bookworm.warm.ended == before + 1
    return seen


@pytest.mark.parametrize("name", FINE)
def test_odd_code_that_imports_is_fine(zoo: dict[str, ImportOutcome], name: str) -> None:
    assert zoo[name].status is ImportStatus.OK, zoo[name]
    assert zoo[name].completed


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_nothing_that_fails_is_taken_for_a_success(zoo: dict[str, ImportOutcome]) -> None:
    assert {name for name, found in zoo.items() if found.status is ImportStatus.OK} == set(FINE)
    assert set(zoo) == {*FINE, *BAD, "_crash"}


@pytest.mark.parametrize("name", ["exits", "leaves"])
def test_exit_half_way(zoo: dict[str, ImportOutcome], name: str) -> None:
    assert zoo[name].status is ImportStatus.EXITED
    assert zoo[name].exit_code == 0
    assert not zoo[name].completed


@pytest.mark.parametrize("name", ["crashes", "_crash"])
def test_crash(zoo: dict[str, ImportOutcome], name: str) -> None:
    assert zoo[name].status is ImportStatus.SIGNALLED
    assert zoo[name].signal == 11
    assert "Segmentation fault" in zoo[name].output


def test_hang_tells_where(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["hangs"].status is ImportStatus.HUNG
    assert "in sleep_for_ever" in zoo["hangs"].output


def test_crash_after_the_import(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["unclean"].status is ImportStatus.SIGNALLED
    assert zoo["unclean"].completed


def test_missing_module(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["undeclared"].missing_module == "certainly_absent"
    assert zoo["undeclared"].loader_words == ""


def test_system_site_packages_are_not_seen(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["outside"].missing_module == "wheel"


def test_library_missing_at_run_time(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["dlopens"].exception == "OSError"
    assert zoo["dlopens"].loader_words.startswith("libabsent.so.7: cannot open shared object file")


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_the_agent_is_out_of_reach(zoo: dict[str, ImportOutcome]) -> None:
    assert zoo["peeks"].message == "kept out"
    assert zoo["forges"].message == "after forging"


@pytest.mark.attack("limit", engine="bubblewrap")
def test_output_is_bounded(zoo: dict[str, ImportOutcome]) -> None:
    assert len(zoo["chatty"].output) < 70_000
    assert "bytes left out" in zoo["chatty"].output


def test_healthy_wheel(bookworm: Place) -> None:
    look = "import os, demo._x; print(os.environ.get('HOME'), os.listdir('.'))"
    files: Files = {"demo/__init__.py": look, "demo/_x.abi3.so": compiled(bookworm.folder, "_x")}
    seen = bookworm.try_wheel(build_wheel(bookworm.folder, files, tag=TAG))
    assert seen.install is not None
    assert seen.install.ok
    assert seen.install.pip_version == "23.0.1"
    assert dict(seen.install.installed).keys() == {"demo", "pip", "setuptools"}
    assert (seen.python, seen.libc) == ("3.11.2", "glibc 2.36")
    assert [(o.name, o.kind, o.status) for o in seen.imports] == [
        ("demo", ImportKind.TOP_LEVEL, ImportStatus.OK),
        ("demo._x", ImportKind.EXTENSION, ImportStatus.OK),
    ]
    assert seen.imports[0].output == "/scratch/home []\n"
    ours = [library.path for library in seen.imports[0].loaded if library.from_wheel]
    assert ours == [f"/scratch/venv/{SITE['debian-12']}/demo/_x.abi3.so"]
    assert [(c.path, c.missing, c.problems) for c in seen.loader] == [
        (f"{SITE['debian-12']}/demo/_x.abi3.so", (), ())
    ]


def test_extension_modules_inform(bookworm: Place) -> None:
    """Besides the package, which imports none of them: one loads, one is refused, two fail."""
    extra = "extern void PyErr_SetString(void *, const char *); extern void *PyExc_OSError;"
    raise_ = 'PyErr_SetString(PyExc_OSError, "no display"); return 0'
    folder = bookworm.folder
    compile_shared(folder, "libabsent", "int absent;", flags=("-Wl,-soname,libabsent.so.7",))
    linked = ("-Wl,--no-as-needed", str(folder / "libabsent.so"))
    files: Files = {
        "demo/__init__.py": "",
        "demo/_good.abi3.so": compiled(folder, "_good"),
        "demo/_linked.abi3.so": compiled(folder, "_linked", flags=linked),
        "demo/_moody.abi3.so": compiled(folder, "_moody", before=extra, body=raise_),
        "demo/_wild.abi3.so": compiled(folder, "_wild", body="__builtin_trap()"),
        "demo/inner/__init__.py": "from demo.inner import _early",
        "demo/inner/_early.abi3.so": compiled(folder, "_early"),
        "demo/inner/_fails.abi3.so": compiled(folder, "_fails", body="__builtin_trap()"),
        "demo/inner/_late.abi3.so": compiled(folder, "_late"),
    }
    seen = bookworm.try_wheel(build_wheel(folder, files, name="informs", tag=TAG))
    found = outcomes(seen)
    for name, status in (
        ("_early", ImportStatus.OK),
        ("_late", ImportStatus.OK),
        ("_fails", ImportStatus.SIGNALLED),
    ):
        assert found[f"demo.inner.{name}"].status is status
    assert found["demo"].status is ImportStatus.OK
    assert found["demo._good"].status is ImportStatus.OK
    assert found["demo._linked"].status is ImportStatus.RAISED
    assert "libabsent.so.7: cannot open shared object" in found["demo._linked"].loader_words
    assert found["demo._moody"].status is ImportStatus.RAISED
    assert found["demo._moody"].loader_words == ""
    assert found["demo._wild"].status is ImportStatus.SIGNALLED
    missing = {check.path.rpartition("/")[2]: check.missing for check in seen.loader}
    assert missing == {
        "_good.abi3.so": (),
        "_linked.abi3.so": ("libabsent.so.7",),
        "_moody.abi3.so": (),
        "_wild.abi3.so": (),
        "_early.abi3.so": (),
        "_fails.abi3.so": (),
        "_late.abi3.so": (),
    }


def test_executable_stack_is_refused_where_glibc_refuses_it(bookworm: Place, trixie: Place) -> None:
    flags = ("-Wl,-z,execstack",)
    files: Files = {
        "stack/__init__.py": "import stack._x",
        "stack/_x.abi3.so": compiled(bookworm.folder, "_x", flags=flags),
    }
    path = build_wheel(bookworm.folder, files, name="stack", tag=TAG)
    assert outcomes(bookworm.try_wheel(path))["stack"].status is ImportStatus.OK
    refused = outcomes(trixie.try_wheel(path))["stack"]
    assert refused.status is ImportStatus.RAISED
    assert "cannot enable executable stack" in refused.loader_words


def test_setuptools_is_there_only_where_the_distros_venv_seeds_it(
    bookworm: Place, trixie: Place
) -> None:
    path = build_wheel(bookworm.folder, {"seeded.py": "import pkg_resources"}, name="seeded")
    assert outcomes(bookworm.try_wheel(path))["seeded"].status is ImportStatus.OK
    assert outcomes(trixie.try_wheel(path))["seeded"].missing_module == "pkg_resources"


def test_a_wheel_may_replace_what_venv_seeded(bookworm: Place) -> None:
    files = {"setuptools/__init__.py": "__version__ = 'replaced'; print(__version__)"}
    seen = bookworm.try_wheel(build_wheel(bookworm.folder, files, name="setuptools", version="999"))
    assert seen.install is not None
    assert dict(seen.install.installed)["setuptools"] == "999"
    assert outcomes(seen)["setuptools"].output == "replaced\n"


@pytest.mark.attack("limit", engine="bubblewrap")
def test_a_fork_bomb_hurts_only_itself(bookworm: Place) -> None:
    bomb = """
import os, time
while True:
    try:
        os.fork()
        os.setsid()
    except OSError:
        time.sleep(0.5)
"""
    path = build_wheel(bookworm.folder, {"bomb.py": bomb, "calm.py": ""}, name="bomb")
    found = outcomes(bookworm.try_wheel(path, timeout=40.0))
    assert found["bomb"].status is ImportStatus.HUNG
    assert found["calm"].status is ImportStatus.OK


GREEDY = {
    "a_filler": """
for place in ("/scratch/a", "/tmp/a", "/dev/shm/a"):
    with open(place, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 24))
        except OSError as error:
            print(error.strerror)
""",
    "b_many_files": """
import itertools
for number in itertools.count():
    try:
        open(f"/scratch/many-{number}", "w").close()
    except OSError as error:
        print(error.strerror)
        break
    if number > 20000:
        break
""",
    "c_chatter": "while True: print('x' * 10000)",
    "d_hog": "x = [bytes(1 << 40)]",
    "e_calm": "",
}


@pytest.mark.attack("limit", engine="bubblewrap")
def test_each_greed_ends_at_its_own_limit_and_the_rest_goes_on(bookworm: Place) -> None:
    """What never ends is tried apart: to fill 2 GiB thrice took 40 s on a machine with much to do."""
    files: Files = {f"{name}.py": text for name, text in GREEDY.items()}
    endless: Files = {name: files.pop(name) for name in ("c_chatter.py",)}
    greedy = build_wheel(bookworm.folder, files, name="greedy")
    chatting = build_wheel(bookworm.folder, {**endless, "d_calm.py": ""}, name="chatting")
    found = outcomes(bookworm.try_wheel(greedy, timeout=600.0))
    found |= outcomes(bookworm.try_wheel(chatting, timeout=20.0))
    assert found["d_calm"].status is ImportStatus.OK
    assert found["a_filler"].output.splitlines() == ["No space left on device"] * 3
    assert found["c_chatter"].status is ImportStatus.HUNG
    assert len(found["c_chatter"].output) < 70_000
    assert (found["d_hog"].status, found["d_hog"].exception) == (ImportStatus.RAISED, "MemoryError")
    assert found["e_calm"].status is ImportStatus.OK


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_killing_everything_is_no_pass(bookworm: Place) -> None:
    files = {"killer.py": "import os, signal; os.kill(-1, signal.SIGKILL)", "other.py": ""}
    path = build_wheel(bookworm.folder, files, name="kills_all")
    try:
        found = outcomes(bookworm.try_wheel(path))
    except SandboxError:
        return  # not proven
    assert found["killer"].status is not ImportStatus.OK


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_killing_the_agent_is_seen_as_the_imports_doing(bookworm: Place) -> None:
    files = {"killer.py": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"}
    seen = bookworm.try_wheel(build_wheel(bookworm.folder, files, name="killer"))
    assert [(o.name, o.status) for o in seen.imports] == [("killer", ImportStatus.SIGNALLED)]


CHEAT = """
import importlib.util, marshal, os, sys
site = os.path.dirname(__file__)
lines = ["import builtins, sys", "real = builtins.__import__"]
lines += ["fake = lambda name: sys.modules.setdefault(name, sys)"]
lines += ["builtins.__import__ = lambda n, *a: fake(n) if n == 'second' else real(n, *a)"]
for name in ("sitecustomize.py", "usercustomize.py"):
    open(os.path.join(site, name), "w").write("\\n".join(lines))
open(os.path.join(site, "cheat.pth"), "w").write("; ".join(lines))
source = os.path.join(site, "second.py")
facts = [0, int(os.path.getmtime(source)), os.path.getsize(source)]
target = importlib.util.cache_from_source(source)
os.makedirs(os.path.dirname(target), exist_ok=True)
header = importlib.util.MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in facts)
open(target, "wb").write(header + marshal.dumps(compile("", source, "exec")))
python = os.path.join(sys.prefix, "bin", "python")
os.unlink(python); open(python, "w").write("#!/bin/true"); os.chmod(python, 0o755)
"""


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_what_an_import_changes_does_not_reach_the_next(bookworm: Place) -> None:
    """The first module forges the interpreter's start, and a compiled file of the second."""
    files: Files = {"first.py": CHEAT, "second.py": "raise ValueError('truly run')"}
    seen = outcomes(bookworm.try_wheel(build_wheel(bookworm.folder, files, name="cheats")))
    assert seen["first"].status is ImportStatus.OK, seen["first"]
    assert seen["second"].message == "truly run"


@pytest.mark.attack("forgery", engine="bubblewrap")
def test_programs_and_what_imports_left_behind(bookworm: Place) -> None:
    look = "#!python\nimport os\nfor p in filter(str.isdigit, os.listdir('/proc')):\n"
    look += " print(open(f'/proc/{p}/cmdline').read().replace('\\0', ' '))\n"
    files: Files = {
        "daemon.py": DAEMON,
        "tools-1.0.data/scripts/look": look,
        "tools-1.0.data/scripts/true": Path("/bin/true").read_bytes(),
    }
    path = build_wheel(bookworm.folder, files, name="tools", tag="py3-none-linux_x86_64")
    seen = bookworm.try_wheel(path, programs=(("look",), ("true", "--version"), ("absent",)))
    look_outcome, true_outcome, absent_outcome = seen.programs
    assert look_outcome.exit_code == 0
    assert "bin/look" in look_outcome.output
    assert "86399" not in look_outcome.output
    assert true_outcome.exit_code == 0
    assert "true" in true_outcome.output
    assert absent_outcome.exit_code == 127
    assert [(check.path, check.missing) for check in seen.loader] == [("bin/true", ())]


def test_chosen_and_skipped_names(bookworm: Place) -> None:
    files = {"one.py": "", "two/__init__.py": "", "two/part.py": "", "two/worse.py": "0/0"}
    path = build_wheel(bookworm.folder, files, name="chosen")
    seen = bookworm.try_wheel(path, imports=("two.part", "two.worse"), import_skip=("*.worse",))
    assert [(o.name, o.status) for o in seen.imports] == [("two.part", ImportStatus.OK)]


@pytest.mark.parametrize("decides", [False, True])
def test_submodules_are_imported_to_the_depth_that_is_asked_for(
    bookworm: Place, *, decides: bool
) -> None:
    files = {
        "one/__init__.py": "from . import brought\n",
        **{f"one/{name}.py": "" for name in ("brought", "__main__", "test_it", "skipped")},
        "one/late.py": "import absent\n",
        "one/inner/__init__.py": "",
        "one/inner/far.py": "",
        "one/inner/further/__init__.py": "",
        "one/tests/__init__.py": "1/0",
    }
    path = build_wheel(bookworm.folder, files, name="chosen")
    depth = ImportDepth(levels=2, decides=decides)
    seen = bookworm.try_wheel(path, import_skip=("*.skipped",), import_depth=depth)
    names = ["one.brought", "one.inner", "one.inner.far", "one.inner.further", "one.late"]
    fine = ImportStatus.OK
    wanted = dict.fromkeys(("one", *names), fine) | {"one.late": ImportStatus.RAISED}
    assert {o.name: o.status for o in seen.imports} == wanted
    kinds = {ImportKind.REQUIRED if decides else ImportKind.SUBMODULE}
    assert {o.kind for o in seen.imports if o.name != "one"} == kinds


def test_modules_that_a_path_file_makes_importable(bookworm: Place) -> None:
    files = {
        "odd.pth": "# remark\nimport sys\nodd_folder/deep\n../outside\n",
        "odd_folder/deep/first.py": "import second\n",
        "odd_folder/deep/second.py": "",
        "odd_folder/other.py": "",
    }
    path = build_wheel(bookworm.folder, files, name="odd")
    seen = bookworm.try_wheel(path)
    fine = ImportStatus.OK
    assert [(o.name, o.status) for o in seen.imports] == [
        ("first", fine),
        ("odd_folder.other", fine),
        ("second", fine),
    ]


def test_another_python_than_the_rows_is_tried_as_what_it_is(bookworm: Place) -> None:
    later = replace(
        bookworm.target,
        interpreter=replace(
            bookworm.target.interpreter, version=PythonVersion(major=3, minor=15), measured=True
        ),
    )
    place = replace(bookworm, target=later)
    sound = build_wheel(bookworm.folder, {"one.py": ""}, name="one")
    seen = place.try_wheel(sound)
    assert seen.target == bookworm.target.id
    assert "is Python 3.11, not 3.15" in seen.image_note
    assert [o.status for o in seen.imports] == [ImportStatus.OK]
    other = build_wheel(bookworm.folder, {"one.py": ""}, name="one", tag="cp315-none-any")
    with pytest.raises(ImageError, match=r"not 3\.15, and one-1\.0-cp315-none-any\.whl is not for it"):
        place.try_wheel(other)


LEAVES = """
import os, subprocess, sys
for place in ("/tmp", "/scratch", "/dev/shm", "/scratch/venv/bin", os.path.dirname(__file__)):
    print(place, sorted(os.listdir(place)))
    open(place + "/left", "w").write("x" * 100000)
print(os.getpid(), open("/proc/sysvipc/shm").read(), sorted(filter(str.isdigit, os.listdir("/proc"))))
print(open("/proc/keys").read().count("left") if os.path.exists("/proc/keys") else 0)
subprocess.Popen(["/bin/sleep", "86399"], start_new_session=True)
"""


def test_what_a_trial_leaves_behind_is_gone_before_the_next(bookworm: Place) -> None:
    path = build_wheel(bookworm.folder, {"leaves.py": LEAVES}, name="leaves")
    before = bookworm.warm.ended
    first, second = (outcomes(bookworm.try_wheel(path))["leaves"] for _ in range(2))
    assert bookworm.warm.ended == before + 2
    assert first.status is second.status is ImportStatus.OK, (first, second)
    assert "left" not in first.output
    assert first.output == second.output


def alike(observation: Observation) -> object:
    """An observation without what differs from one time to another."""
    found = json.loads(msgspec.json.encode(observation))
    found["imports"].sort(key=lambda outcome: outcome["name"])
    found["loader"].sort(key=lambda check: check["path"])
    for part in (found, found["install"], *found["imports"], *found["programs"]):
        part["duration"] = 0
        part["output"] = ADDRESS.sub("", part.get("output", ""))
    return {**found, "started": 0}


@pytest.mark.parametrize("rehearsed", [(), pool._REHEARSED], ids=["imported", "rehearsed"])
def test_a_fork_server_sees_what_a_sandbox_alone_sees(
    bookworm: Place,
    trixie: Place,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    rehearsed: tuple[str, ...],
) -> None:
    """One wheel that is fine, ones that fail in each step, on an old, a newer and the newest pip.

    Under an emulator the server has installed a wheel before, which can be done natively too.
    """
    folder, warm = bookworm.folder, Counted(engine)
    monkeypatch.setattr(pool, "_rehearsed", lambda *_: rehearsed)
    package: Files = {
        "demo/__init__.py": "import sys; print(sys.flags, sys.path, sys.argv, sys.prefix)",
        "demo/_a.abi3.so": compiled(folder, "_a"),
        "demo/_b.abi3.so": compiled(folder, "_b"),
        "demo/_bad.abi3.so": compiled(folder, "_bad", body="__builtin_trap()"),
        "demo-1.0.data/scripts/run": "#!python\nimport demo, os\nprint(sorted(os.environ))",
    }
    wheels = [
        build_wheel(folder, package, name="alike", tag=TAG),
        build_wheel(folder, {"wrong.py": "import absent_module"}, name="wrong"),
        build_wheel(folder, {"crash.py": "import ctypes; ctypes.string_at(0)"}, name="crash"),
        build_wheel(folder, {"no.py": ""}, name="no", tag="cp27-cp27mu-linux_x86_64"),
    ]
    newest = make_place("debian-testing", engine, folder, warm)
    for place in (replace(bookworm, warm=warm), replace(trixie, warm=warm), newest):
        for path in wheels:
            before = place.warm.ended
            fast = place.try_wheel(path, programs=(("run",),))
            assert place.warm.ended == before + 1
            assert alike(fast) == alike(place.try_alone(path, programs=(("run",),)))
    warm.close()


MODULES = '''
import json, subprocess, sys
sys.path[:0] = [{library!r}]
from pytest_manylinux.trials.inside import agent
from pytest_manylinux.trials.inside import preload_pip
with open({layout!r}) as file:
    agent.lay_out(json.load(file)["entries"], [])
look = """
import json, sys
print(json.dumps([name for name in sys.modules if name.startswith(("pip", "set", "pkg", "dist"))]))
"""
before = """
import sys
sys.path.insert(1, {library!r})
from pytest_manylinux.trials.inside.preload_pip import prepare
prepare({library!r}, "", {layout!r})
"""
during = """
import runpy, sys
sys.argv[:] = ["pip", *{pip!r}]
try:
    runpy.run_module("pip", run_name="__main__")
except SystemExit:
    pass
"""
for program in (before, during):
    subprocess.run([agent.PYTHON, "-c", program + look], check=True)
'''


@pytest.mark.parametrize("distro", ["debian-12", "debian-13"])
def test_what_a_fork_server_imports_before_is_what_pip_imports(
    distro: str, engine: Engine, warm: Counted, tmp_path: Path
) -> None:
    """Neither more, which costs each waiting container, nor less, which costs each trial."""
    place = make_place(distro, engine, tmp_path, warm)
    wheel = build_wheel(tmp_path, {"any.py": ""}, name="any")
    inside, layout = INPUTS / wheel.name, LIBRARY / "venv.json"
    venv = prepared_venv(place.image, place.target.interpreter, engine, cache_root() / "venvs")
    mounts = (Mount(source=wheel, target=inside), Mount(source=venv.record, target=layout))
    spec = SandboxSpec(image=place.image, mounts=(*venv.mounts(), *library_mounts(), *mounts))
    arguments = [*_ARGUMENTS, "--no-deps", str(inside)]
    program = MODULES.format(library=str(LIBRARY), layout=str(layout), pip=arguments)
    with engine.open(spec) as sandbox:
        done = sandbox.exec(Command(argv=("python3", "-c", program)))
    assert done.ok, done
    before, during = (json.loads(line) for line in done.stdout.splitlines() if line[:1] == b"[")
    assert set(before) == set(during)
