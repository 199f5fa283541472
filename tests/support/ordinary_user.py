"""Run a program as an ordinary user of this machine: `python ordinary_user.py IDS -- PROGRAM…`.

Wants root, and changes nothing of the machine: in a mount namespace of the program's own, the tables of
users name one with the number USER, whose subordinate ids are IDS: `subordinate` for 65,536 of them,
`one` for none. Python, this repository and the virtual environment are where they are, should a folder
above them be root's alone: such a folder has nothing else in it then. Nothing else is different: the
user namespace is the machine's own, so that newuidmap(1) and the kernel treat the program as they treat
any user. Standard library only.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

USER = 20_000  # no user of Debian's own has it
NAME = "tester"
FIRST, COUNT = 700_000, 65_536  # subordinate ids, far from those that useradd(8) gives
_ASIDE = Path("/mnt")
_REPOSITORY = Path(__file__).parents[2]
_INSIDE = "inside"


def command(ids: str, *program: str) -> list[str]:
    """What runs `program` in this way."""
    return [sys.executable, __file__, ids, "--", *program]


def main(ids: str, program: list[str]) -> int:
    """Run `program` as that user; gives its exit code."""
    with tempfile.TemporaryDirectory(prefix="user-") as name:
        folder = Path(name)
        user, group = f"{NAME}:x:{USER}:{USER}::/nonexistent:/bin/sh\n", f"{NAME}:x:{USER}:\n"
        ranges = f"{NAME}:{FIRST}:{COUNT}\n" if ids == "subordinate" else ""
        tables = {
            "passwd": Path("/etc/passwd").read_text("utf-8") + user,
            "group": Path("/etc/group").read_text("utf-8") + group,
            "subuid": ranges,
            "subgid": ranges,
        }
        for table, text in tables.items():
            (folder / table).write_text(text, "utf-8")
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, __file__]
        return subprocess.run([*words, _INSIDE, name, *program], check=False).returncode


def inside(folder: Path, program: list[str]) -> None:
    """In the mount namespace: lay the tables where they are looked for, and become `program`."""
    for table in folder.iterdir():
        target = Path("/etc", table.name)
        target.touch()
        _mount("--bind", str(table), str(target))
    here = Path.cwd()
    _open({_REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)})
    os.chdir(here)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    os.execvp(program[0], program)  # noqa: S606 - this user's from now on


def _open(paths: Iterable[Path]) -> None:
    """Have the user reach these folders."""
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        above = [one for one in reversed(path.parents) if not one.stat().st_mode & stat.S_IXOTH]
        if above:
            closed.setdefault(above[0], []).append(path)
    _mount("-t", "tmpfs", "none", str(_ASIDE))
    for parent, below in closed.items():
        for number, path in enumerate(below):
            (_ASIDE / str(number)).mkdir(exist_ok=True)
            _mount("--bind", str(path), str(_ASIDE / str(number)))
        _mount("-t", "tmpfs", "-o", "mode=755", "none", str(parent))
        for number, path in enumerate(below):
            path.mkdir(parents=True)
            _mount("--bind", str(_ASIDE / str(number)), str(path))
            _unmount(_ASIDE / str(number))
    _unmount(_ASIDE)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _unmount(path: Path) -> None:
    subprocess.run(["umount", str(path)], check=True)


if __name__ == "__main__":
    if sys.argv[1] == _INSIDE:
        inside(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1], sys.argv[sys.argv.index("--") + 1 :]))
