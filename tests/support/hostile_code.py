"""Code that tries to be taken for a success: modules of wheels."""

from __future__ import annotations

# Writes what the agent and what an importing interpreter might say to whatever can be opened.
SCRIBBLE = """
import json, os
def scribble(text):
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            numbers = os.listdir(f"/proc/{process}/fd")
        except OSError:
            continue
        for number in numbers:
            try:
                descriptor = os.open(f"/proc/{process}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
                os.write(descriptor, text)
            except OSError:
                pass
    for number in range(64):
        try:
            os.write(number, text)
        except OSError:
            pass
    for folder, _, names in os.walk("/scratch/agent"):
        for name in names:
            try:
                os.write(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK), text)
            except OSError:
                pass
ok = {"status": "ok", "pid": os.getpid(), "loaded": [], "inner": {}}
line = {"kind": "import", "name": __name__, "report": ok, "ending":
    {"exit_code": 0, "signal": None, "overdue": False, "output": "", "duration": 0}}
for text in (json.dumps(ok), json.dumps(line), "0" * 32 + " 5 " + json.dumps(line), repr(ok)):
    scribble((text + "\\n").encode())
"""

# Forges the start of the next interpreter, and a compiled file of `zz_truly_run`; goes well itself.
CHEAT = """
import importlib.util, marshal, os, sys
site = os.path.dirname(__file__)
lines = ["import builtins, sys", "real = builtins.__import__"]
lines += ["fake = lambda name: sys.modules.setdefault(name, sys)"]
lines += ["known = sys.builtin_module_names"]
lines += ["builtins.__import__ = lambda n, *a: real(n, *a) if n in known else fake(n)"]
for name in ("sitecustomize.py", "usercustomize.py"):
    open(os.path.join(site, name), "w").write("\\n".join(lines))
open(os.path.join(site, "cheat.pth"), "w").write("; ".join(lines))
home = os.path.expanduser("~/.local/lib/python%d.%d/site-packages" % sys.version_info[:2])
os.makedirs(home)
open(os.path.join(home, "cheat.pth"), "w").write("; ".join(lines))
source = os.path.join(site, "zz_truly_run.py")
facts = [0, int(os.path.getmtime(source)), os.path.getsize(source)]
target = importlib.util.cache_from_source(source)
os.makedirs(os.path.dirname(target), exist_ok=True)
header = importlib.util.MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in facts)
open(target, "wb").write(header + marshal.dumps(compile("", source, "exec")))
open(os.path.join(sys.prefix, "pyvenv.cfg"), "w").write("home = /scratch\\n")
python = os.path.join(sys.prefix, "bin", "python")
os.unlink(python); open(python, "w").write("#!/bin/true"); os.chmod(python, 0o755)
"""

# Each raises with these words if every single attempt was refused.
KEPT_OUT = "kept out"
TRACES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
parent, done = os.getppid(), []
word = ctypes.create_string_buffer(8)
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
piece = Piece(ctypes.addressof(word), 8)
if libc.ptrace(16, parent, 0, 0) == 0: done.append("attach")
if libc.ptrace(0x4206, parent, 0, 0) == 0: done.append("seize")
for name in ("process_vm_readv", "process_vm_writev"):
    if getattr(libc, name)(parent, ctypes.byref(piece), 1, ctypes.byref(piece), 1, 0) >= 0:
        done.append(name)
for name, flags in (("mem", os.O_RDWR), ("environ", os.O_RDONLY), ("maps", os.O_RDONLY)):
    try:
        os.read(os.open(f"/proc/{parent}/{name}", flags), 1)
        done.append(name)
    except OSError:
        pass
for number in range(16):
    for flags in (os.O_RDONLY, os.O_WRONLY):
        try:
            os.open(f"/proc/{parent}/fd/{number}", flags | os.O_NONBLOCK)
            done.append(number)
        except OSError:
            pass
raise RuntimeError(done or "kept out")
"""
REPLACES = """
import importlib, json, os, pip, sys
places = [os.path.dirname(module.__file__) for module in (importlib, json, os, pip)]
places += [places[-1].replace("pip", "setuptools")]
places += [os.path.realpath(sys.executable), "/etc/ld.so.preload", "/etc/ld.so.cache"]
done = []
for place in places:
    names = os.listdir(place)[:40] if os.path.isdir(place) else []
    for path in [place, f"{place}/forged.py", *(f"{place}/{name}" for name in names)]:
        for attempt in (lambda p: open(p, "ab"), os.unlink, lambda p: os.rename(p, p + "x")):
            try:
                attempt(path)
                done.append(path)
            except OSError:
                pass
raise RuntimeError(done or "kept out")
"""

# Puts folders of its own in the place of those that the agent's modules were read from. What lies there
# then says of everything that it was imported, from an importing interpreter or from the agent itself.
SUPPLANTS = """
import os
REPORT = '''
import os, sys
words = b""
while True:
    piece = os.read(0, 4096)
    if not piece: break
    words += piece
token, path, name = words.decode().split(chr(10))[:3]
found = {"status": "ok", "pid": os.getpid(), "loaded": [], "inner": {}}
os.write(os.open(path, os.O_WRONLY), (chr(10) + "%s %r" % (token, found) + chr(10)).encode())
'''
TELL = '''
import gc, sys
for one in gc.get_objects():
    if type(one).__name__ == "Channel":
        ending = {"exit_code": 0, "signal": None, "overdue": False, "output": "", "duration": 0}
        one.tell("begin", name="zz")
        one.tell("import", name="zz", ending=ending, report={"status": "ok"})
        one.tell("end")
import os
os._exit(0)
'''
for place in ("/tmp/trial", "/tmp/trial/lib", "/tmp/trial/lib/pytest_manylinux"):
    try:
        os.rename(place, place + "-aside")
    except OSError:
        continue
    lib = "/tmp/trial/lib"
    os.makedirs(lib + "/pytest_manylinux/prove", exist_ok=True)
    with open(lib + "/pytest_manylinux/trials/inside/import_one.py", "w") as file: file.write(REPORT)
    for name in ("shutil", "traceback", "ast", "json", "signal", "contextlib"):
        with open(f"{lib}/{name}.py", "w") as file: file.write(TELL)
    break
site = os.path.dirname(__file__)
os.makedirs(site + "/__pycache__/folder", exist_ok=True)
"""

# None of these is imported: each with the words of its failure, where it has some.
FORGERS = {
    "prints": (
        SCRIBBLE.replace("scribble((", "print((") + "raise ValueError('after all')",
        "after all",
    ),
    "scribbles": (SCRIBBLE + "raise ValueError('after all')", "after all"),
    "exits": ("import sys; sys.exit(0)", ""),
    "leaves": ("import os; os._exit(0)", ""),
    "leaves_by_thread": (
        "import os, threading as t, time; t.Thread(target=os._exit, args=(0,)).start(); time.sleep(9)",
        "",
    ),
    "becomes_another": ("import os; os.execv('/bin/true', ['true'])", ""),
    "has_a_child_succeed": ("import os\nif os.fork(): os._exit(0)", ""),
    "has_a_child_succeed_and_fails": (
        "import os\nif os.fork():\n os.wait()\n raise ValueError('after all')",
        "after all",
    ),
    "has_a_daemon_succeed": (
        "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)",
        "",
    ),
    "traces": (TRACES, KEPT_OUT),
    "replaces": (REPLACES, KEPT_OUT),
    "patches_import": (
        (
            "import builtins, importlib, sys\n"
            "builtins.__import__ = importlib.import_module = lambda *a, **k: sys\n"
            "import _frozen_importlib as frozen\n"
            "frozen._find_and_load = frozen._gcd_import = lambda *a, **k: sys\n"
            "sys.modules[__name__] = sys\n"
            "raise ValueError('after all')"
        ),
        "",
    ),
    "patches_what_reports": (
        (
            "import builtins, os, sys, traceback\n"
            "def end(*a, **k): os._exit(0)\n"
            "leave = os._exit; os._exit = lambda code: leave(0)\n"
            "os.open = os.write = os.getpid = builtins.repr = traceback.format_exception = end\n"
            "sys.excepthook = end\n"
            "raise ValueError('after all')"
        ),
        "",
    ),
    "raises_what_succeeds": (
        (
            "import os\n"
            "class Fine(BaseException):\n"
            "    def __str__(self): os._exit(0)\n"
            "    __repr__ = __str__\n"
            "raise Fine"
        ),
        "",
    ),
    "vanishes": ("import sys; del sys.modules[__name__]", ""),
    "signals_its_parent": (
        (
            "import os, signal\n"
            "for number in (1, 2, 10, 15, signal.SIGCHLD):\n"
            "    os.kill(os.getppid(), number)\n"
            "raise ValueError('after all')"
        ),
        "after all",
    ),
    "closes_all": ("import os; os.closerange(0, 4096); raise ValueError('after all')", "after all"),
    "crashes": ("import ctypes; ctypes.string_at(0)", ""),
    "zz_truly_run": ("raise ValueError('truly run')", "truly run"),
}

# Wheels of their own, since they end more than themselves; `zz` must not count as imported then.
FATAL = {
    "kills_its_parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "kills_everybody": "import os, signal; os.kill(-1, signal.SIGKILL)",
    "stops_everybody": "import os, signal; os.kill(-1, signal.SIGSTOP); os.kill(os.getppid(), 19)",
    "supplants_the_agent": SUPPLANTS,
    "has_the_next_wait": (
        "import os, sys; path = sys.prefix + '/pyvenv.cfg'; os.unlink(path); os.mkfifo(path)"
    ),
    "removes_everything": "import shutil; shutil.rmtree('/scratch', ignore_errors=True)",
}
FAILS = "raise ValueError('truly run')"

# Start-up files that a wheel brings itself; what it holds besides does not import.
START_UPS = {
    "a_pth_that_exits": {"forged.pth": "import os; os._exit(0)\n"},
    "a_pth_that_scribbles": {"forged.pth": "import forging\n", "forging.py": SCRIBBLE},
    "a_sitecustomize_that_exits": {"sitecustomize.py": "import os; os._exit(0)\n"},
    "a_sitecustomize_that_scribbles": {"sitecustomize.py": SCRIBBLE},
}
