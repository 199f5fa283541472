"""Says what is installed in a folder: `name==version`, a line each.

    list_installed.py FOLDER

Runs in a builder image, with its Python: 3.6 or later, isolated. It imports next to nothing: an image's
modules have no bytecode, and pip, which could say the same, takes a second. Two lines are read of what
back ends wrote (core metadata specification: "Name" and "Version" stand in every METADATA).
"""

import os
import sys


def installed(folder: str) -> "list[str]":
    """The distributions in a folder, in the order of their names."""
    found = []
    for entry in sorted(os.listdir(folder)):
        for name in ("METADATA", "PKG-INFO"):
            path = os.path.join(folder, entry, name)
            if entry.endswith((".dist-info", ".egg-info")) and os.path.isfile(path):
                found.append(described(path))
    return [line for line in found if line]


def described(path: str) -> str:
    """`name==version` by the headers of a file of metadata; empty where one is missing."""
    known = {}  # type: dict[str, str]
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                break  # the end of the headers
            key, _, value = line.partition(":")
            known.setdefault(key.lower(), value.strip())
            if "name" in known and "version" in known:
                return known["name"] + "==" + known["version"]
    return ""


if __name__ == "__main__":
    print("\n".join(installed(sys.argv[1])))
