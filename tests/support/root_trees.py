"""Two roots compared: files, links, modes, owners, and what their Python, pip and loader see."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from pathlib import Path

from pytest_manylinux.host.architecture import emulation_of, registering
from pytest_manylinux.host.containment import contained

Entry = tuple[str, int, int, str]
# Copies that dpkg and debconf keep of what was there before their last step: the steps differ.
_BEFORE = {
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
}
# Stanzas in the order in which packages were set up.
_STANZAS = {
    "var/lib/dpkg/status",
    "var/lib/apt/extended_states",
    "var/cache/debconf/config.dat",
    "var/cache/debconf/templates.dat",
}
# Bytecode: what it is of, and what it does; how often an object is referred to differs from run to run.
_SEEN = """
import hashlib, importlib.metadata, json, marshal, os, ssl, subprocess, sys, sysconfig
code = {}
for here, _, names in os.walk("/usr"):
    for name in names:
        if name.endswith(".pyc"):
            data = open(os.path.join(here, name), "rb").read()
            what = marshal.loads(data[16:])
            code[os.path.join(here, name)] = (data[:16].hex(), hash_of(what))
run = lambda *argv: subprocess.run(argv, capture_output=True, text=True, check=True).stdout
print(json.dumps({
    "code": code,
    "path": sys.path,
    "variables": sysconfig.get_config_vars(),
    "distributions": sorted(one.metadata["Name"] for one in importlib.metadata.distributions()),
    "certificates": len(ssl.create_default_context().get_ca_certs()),
    "pip": [run(sys.executable, "-m", "pip", *words) for words in (["--version"], ["list"])],
    "loader": run("/sbin/ldconfig", "-p") if os.path.exists("/etc/ld.so.cache") else "",
}, sort_keys=True, default=str))
"""
_HASH = """
def hash_of(code):
    import types
    parts = [getattr(code, name) for name in ("co_name", "co_filename", "co_code", "co_names",
        "co_varnames", "co_freevars", "co_cellvars", "co_flags", "co_argcount", "co_firstlineno")]
    for one in code.co_consts:
        parts.append(hash_of(one) if isinstance(one, types.CodeType) else
            sorted(map(repr, one)) if isinstance(one, frozenset) else repr(one))
    return __import__("hashlib").sha256(repr(parts).encode()).hexdigest()
"""


def differences(one: Path, other: Path) -> list[str]:
    """A line for each path that is not the same in both."""
    first, second = _tree(one), _tree(other)
    paths = sorted(first.keys() | second.keys())
    return [
        f"{path}: {first.get(path)} and {second.get(path)}"
        for path in paths
        if first.get(path) != second.get(path)
    ]


def seen_inside(root: Path, arch: str = "x86_64") -> str:
    """What Python, pip and the loader see in a root, as JSON."""
    emulation, script = emulation_of(arch), _HASH + _SEEN
    started_by = registering(emulation.registration)
    argv = (*started_by, "chroot", str(root), "/usr/bin/python3", "-I", "-c", script)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict(emulation.environment),
    }
    done = subprocess.run(contained(argv), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _tree(root: Path) -> dict[str, Entry]:
    found = {}
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(here, name)
            inside = str(path.relative_to(root))
            if inside not in _BEFORE:
                found[inside] = _entry(path, inside)
    return found


def _entry(path: Path, inside: str) -> Entry:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(_content(path, inside)).hexdigest()
    elif not stat.S_ISDIR(status.st_mode):
        content = str(status.st_rdev)
    return (mode, status.st_uid, status.st_gid, content)


def _content(path: Path, inside: str) -> bytes:
    content = path.read_bytes()
    if inside.endswith(".pyc"):
        return content[:16]  # the rest: `seen_inside`
    if inside in _STANZAS:
        return b"\n\n".join(sorted(content.strip().split(b"\n\n")))
    if inside in {"etc/shadow", "etc/shadow-"}:
        return re.sub(rb"(?m)^([^:]*:[^:]*:)\d+", rb"\1", content)  # the day of the last change
    return content
