#!/usr/bin/python3 -IS
"""A package manager as far as its manual goes, under the name of a real one.

It takes the options and actions that the manual of that name has, and nothing else: other words end
it with exit code 64; so does `--`, which ends the options, where a manual does not have it. What it
is told to install it writes into `installed` beside itself, and lists
that when asked. It wants the user's proxy in its environment, as a real one would.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple


class Manual(NamedTuple):
    """Options without a value; beginnings of options with one; actions.

    Of an action: what it does (add, list or nothing), and how the words after it look.
    """

    plain: tuple[str, ...]
    valued: tuple[str, ...]
    actions: dict[str, tuple[str, str]]
    ends: bool = True  # whether `--` ends the options


_NAMES = r"[A-Za-z0-9][A-Za-z0-9.+_-]*"
_NONE = "(?!)"
_DNF = {"install": ("add", _NAMES), "clean": ("", "all")}
_NO_DOCS, _CA = "--setopt=tsflags=nodocs", "--setopt=sslcacert=/"
_OF_DNF = Manual(("--assumeyes",), ("--setopt=install_weak_deps=False", _NO_DOCS, _CA), _DNF)
MANUALS = {
    "apt-get": Manual(
        ("--yes", "--no-install-recommends"),
        (
            *("-oAcquire::Retries=", "-oAcquire::https::CaInfo=/", "-oAPT::Cmd::Pattern-Only=true"),
            "--target-release=",
        ),
        {"update": ("", _NONE), "install": ("add", _NAMES), "clean": ("", _NONE)},
    ),
    "dpkg-query": Manual((), (), {"--show": ("list", _NONE)}),
    "rpm": Manual(("--all",), (), {"--query": ("list", _NONE)}),
    "dnf": _OF_DNF,
    "dnf5": _OF_DNF,
    # It takes numbers only, where dnf takes words too, and refuses sslcacert.
    "microdnf": Manual(("--assumeyes",), ("--setopt=install_weak_deps=0", _NO_DOCS), _DNF, ends=False),
    "yum": Manual(("--assumeyes",), (_NO_DOCS, _CA), _DNF),
    "tdnf": Manual(("--assumeyes",), (_CA,), {**_DNF, "list": ("list", "installed")}),
    "zypper": Manual(
        (
            *("--non-interactive", "--gpg-auto-import-keys", "--all"),
            *("--no-recommends", "--auto-agree-with-licenses"),
        ),
        (),
        {"refresh": ("", _NONE), "install": ("add", _NAMES), "clean": ("", _NONE)},
    ),
    "pacman": Manual(
        ("--refresh", "--sysupgrade", "--noconfirm", "--needed", "--clean"),
        (),
        {"--sync": ("add", _NAMES), "--query": ("list", _NONE)},
    ),
    "apk": Manual(("--no-cache", "--verbose"), (), {"add": ("add", _NAMES), "info": ("list", _NONE)}),
    "slackpkg": Manual(
        (),
        ("-batch=on", "-default_answer=y"),
        {"update": ("", _NONE), "upgrade-all": ("", _NONE), "install": ("add", _NAMES)},
        ends=False,
    ),
}
USAGE = 64


def main(program: str, words: list[str]) -> int:
    """Do what the words say; gives the exit code."""
    manual = MANUALS[Path(program).name]
    end = words.index("--") if manual.ends and "--" in words else len(words)
    rest = [
        word
        for word in _joined(words[:end])
        if word not in manual.plain and not any(word.startswith(start) for start in manual.valued)
    ] + words[end + 1 :]
    if not rest or rest[0] not in manual.actions:
        return _wrong(words)
    kind, pattern = manual.actions[rest[0]]
    if not all(re.fullmatch(pattern, word) for word in rest[1:]):
        return _wrong(words)
    if not os.environ.get("https_proxy"):
        sys.stderr.write("there is no way to the mirrors\n")
        return 1
    installed = Path(program).with_name("installed")
    if kind == "add":
        with installed.open("a") as file:
            file.writelines(f"{name}\n" for name in rest[1:])
    if kind == "list":
        sys.stdout.write(installed.read_text())
    return 0


def _joined(words: list[str]) -> list[str]:
    """apt-get's `-o NAME=VALUE` as one word."""
    joined, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        joined.append(word + rest.pop(0) if word == "-o" and rest else word)
    return joined


def _wrong(words: list[str]) -> int:
    sys.stderr.write(f"the manual has no such words: {' '.join(words)}\n")
    return USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[0], sys.argv[1:]))
