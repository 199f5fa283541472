"""inside/set_up.sh: what the compiler is shown of the packages that a build asked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.building.api import INSIDE_SOURCE

LayOut = Callable[..., Path]

_QUERY = """#!/bin/sh
case $1 in
  -L) cat "$0.of.$2" 2> /dev/null || exit 1 ;;
  -W) cat "$0.needs.$4" 2> /dev/null || : ;;
esac
"""


@pytest.fixture
def lay_out(tmp_path: Path) -> LayOut:
    query = tmp_path / "bin/dpkg-query"
    query.parent.mkdir()
    query.write_text(_QUERY)
    query.chmod(0o755)

    def run(packages: str, files: dict[str, list[str]], needs: dict[str, str] | None = None) -> Path:
        for package, paths in files.items():
            Path(f"{query}.of.{package}").write_text("".join(f"{path}\n" for path in paths))
        for package, words in (needs or {}).items():
            Path(f"{query}.needs.{package}").write_text(words)
        folder = tmp_path / "toolchain"
        environment = {
            "PATH": f"{query.parent}:{os.defpath}",
            "TOOLCHAIN": str(folder),
            "ZIG": "/kit/zig",
            "TARGET": "x86_64-linux-gnu.2.5",
            "TRIPLET": "x86_64-linux-gnu",
            "FORWARD": "no",
            "ROOT": str(tmp_path / "root"),
            "MUSL": "",
            "PYTHON": "python3.11",
            "PACKAGES": packages,
        }
        command = ["sh", str(INSIDE_SOURCE / "set_up.sh")]
        subprocess.run(command, check=True, env=environment)
        return folder

    return run


def targets(folder: Path) -> dict[str, str]:
    """Where the links below a folder lead to, by their names."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        for path in folder.rglob("*")
        if path.is_symlink() and "python3" not in path.name and path.name != "crypt.h"
    }


def test_a_folder_that_is_in_two_places_is_seen_in_both(lay_out: LayOut) -> None:
    own, of_it = "/usr/include/openssl", "/usr/include/x86_64-linux-gnu/openssl"
    files = [own, f"{own}/aes.h", of_it, f"{of_it}/opensslconf.h"]
    folder = lay_out("libssl-dev", {"libssl-dev": files})
    assert targets(folder / "include") == {
        "openssl": own,
        "x86_64-linux-gnu/openssl": of_it,
    }
    described = (folder / "target.sh").read_text()
    assert f"-isystem {folder}/include -isystem {folder}/include/x86_64-linux-gnu " in described


def test_a_header_of_the_architecture_alone_is_where_cmake_looks_too(lay_out: LayOut) -> None:
    header = "/usr/include/x86_64-linux-gnu/ffi.h"
    folder = lay_out("libffi-dev", {"libffi-dev": ["/usr/include/x86_64-linux-gnu", header]})
    assert targets(folder / "include") == {"ffi.h": header, "x86_64-linux-gnu/ffi.h": header}


def test_the_c_librarys_folder_of_the_architecture_is_not_shown_whole(lay_out: LayOut) -> None:
    sys = "/usr/include/x86_64-linux-gnu/sys"
    folder = lay_out("systemtap-sdt-dev", {"systemtap-sdt-dev": [sys, f"{sys}/sdt.h"]})
    assert targets(folder / "include") == {"x86_64-linux-gnu/sys/sdt.h": f"{sys}/sdt.h"}


@pytest.mark.parametrize("asked", ["libxml2-dev", "libxml2-dev=2.9.14", "libicu-dev libxml2-dev"])
def test_what_a_package_needs_to_be_built_with_is_shown_too(lay_out: LayOut, asked: str) -> None:
    folder = lay_out(
        asked,
        {
            "libxml2-dev": ["/usr/include/libxml2", "/usr/lib/x86_64-linux-gnu/libxml2.so"],
            "libicu-dev": ["/usr/include/unicode", "/usr/lib/x86_64-linux-gnu/libicuuc.so.72"],
            "zlib1g-dev": ["/usr/include/zlib.h"],
            "liblzma-dev": ["/usr/include/lzma.h"],
            "libc6-dev": ["/usr/include/stdio.h"],
        },
        {
            "libxml2-dev": "libicu-dev (>= 72), libxml2 (= 2.9.14), zlib1g-dev:any (>= 1), libc6-dev | "
            "libc-dev",
            "zlib1g-dev": "zlib1g, liblzma-dev | other",
        },
    )
    assert set(targets(folder / "include")) == {"libxml2", "unicode", "zlib.h", "lzma.h"}
    assert "libxml2.so" in targets(folder / "lib")
    assert "libicuuc.so.72" not in targets(folder / "lib")


def test_what_several_packages_offer_is_shown_too(lay_out: LayOut, tmp_path: Path) -> None:
    for name in ("include/x86_64-linux-gnu/cblas.h", "lib/x86_64-linux-gnu/libblas.so"):
        link = tmp_path / "root/usr" / name
        link.parent.mkdir(parents=True)
        link.symlink_to(f"/etc/alternatives/{link.name}-x86_64-linux-gnu")
        link.with_name("libother.so.2").symlink_to("libother.so.2.1")
    folder = lay_out("", {})
    assert targets(folder / "include") == {"cblas.h": "/usr/include/x86_64-linux-gnu/cblas.h"}
    shown = targets(folder / "lib")
    assert shown["libblas.so"] == "/usr/lib/x86_64-linux-gnu/libblas.so"
    assert "libother.so.2" not in shown


def test_the_linker_and_the_preprocessor_have_their_own_names(lay_out: LayOut) -> None:
    tools = lay_out("", {}) / "bin"
    assert {"cc", "c++", "cpp", "ld"} <= {tool.name for tool in tools.iterdir()}
    assert all(os.access(tool, os.X_OK) for tool in tools.iterdir())
