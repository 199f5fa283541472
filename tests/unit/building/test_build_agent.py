"""inside/build_agent.py, as far as it needs no sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from elf_files import ElfSpec, Want
from wheels import build_wheel

from pytest_manylinux.building.inside import build_agent
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel


def test_libraries_outside_of_a_wheel_and_what_they_want(tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    folder.mkdir()
    new = ElfSpec(
        soname="libnew.so.1",
        needed=("libc.so.6", "libstdc++.so.6", "libdeep.so.1"),
        wants=(
            Want("memcpy", "GLIBC_2.14", "libc.so.6"),
            Want("stat", "GLIBC_2.33", "libc.so.6"),
            Want("wait", "GLIBCXX_3.4.30", "libstdc++.so.6"),
        ),
    )
    (folder / "libnew.so.1").write_bytes(new.build())
    (folder / "libdeep.so.1").write_bytes(b"a linker script, no library")
    extension = ElfSpec(needed=("libnew.so.1", "libbeside.so"), exports=("PyInit_x",)).build()
    wheel = build_wheel(
        tmp_path, {"x.so": extension, "libbeside.so": ElfSpec().build()}, tag="cp311-cp311-linux_x86_64"
    )
    listing = tmp_path / "list.json"
    assert build_agent.main(["libraries", str(wheel), str(listing), str(folder)]) == 0
    found = {row.pop("name"): row for row in json.loads(listing.read_text())}
    assert found["libnew.so.1"] == {
        "needed_by": "x.so",
        "path": str(folder / "libnew.so.1"),
        "wants": {"GLIBC_2.14": "memcpy", "GLIBC_2.33": "stat", "GLIBCXX_3.4.30": "wait"},
    }
    assert found["libdeep.so.1"]["path"] is None
    assert found["libdeep.so.1"]["needed_by"] == "libnew.so.1"
    assert "libbeside.so" not in found


@pytest.mark.parametrize("taken", [("musllinux",), ("manylinux", "musllinux")])
def test_a_repaired_wheel_under_another_tag(tmp_path: Path, taken: tuple[str, ...]) -> None:
    build_wheel(tmp_path, {"x.so": ElfSpec().build()}, tag=f"cp313-cp313-{taken[0]}_1_2_x86_64")
    work = ["retag", str(tmp_path), "musllinux_1_1_x86_64"]
    assert build_agent.main([*work, *taken]) == 0
    assert build_agent.main([*work, *taken]) == 0  # and stays as it is
    [wheel] = tmp_path.glob("*.whl")
    assert read_wheel(open_wheel(wheel)).wheel.platforms == ("musllinux_1_1_x86_64",)


def test_a_wheel_that_was_taken_for_one_of_glibc_is_not_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = build_wheel(tmp_path, {"x.so": ElfSpec().build()}, tag="cp313-cp313-manylinux_2_17_x86_64")
    assert build_agent.main(["retag", str(tmp_path), "musllinux_1_2_x86_64", "musllinux"]) == 1
    assert "a wheel of another C library" in capsys.readouterr().err
    assert wheel.exists()


def test_auditwheel_on_glibc_takes_no_name_of_musllinux(tmp_path: Path) -> None:
    """Hence `auto` there, and the name afterwards."""
    wheel = build_wheel(tmp_path, {"x.so": ElfSpec().build()}, tag="cp313-cp313-linux_x86_64")
    auditwheel = (sys.executable, "-m", "auditwheel", "repair")
    done = subprocess.run(
        (*auditwheel, "--plat", "musllinux_1_2_x86_64", str(wheel)), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"invalid choice: 'musllinux_1_2_x86_64'" in done.stderr


def test_what_a_python_offers(tmp_path: Path) -> None:
    program, shared = tmp_path / "python", tmp_path / "libpython3.so.1"
    spec = ElfSpec(
        needed=("libpython3.so.1", "libc.so.6"),
        runpath="$ORIGIN",
        exports=("main",),
        wants=(Want("read"),),
    )
    program.write_bytes(spec.build())
    shared.write_bytes(ElfSpec(exports=("PyList_New",)).build())
    assert build_agent.main(["exports", str(program), str(tmp_path / "list")]) == 0
    assert (tmp_path / "list").read_text().split() == ["PyList_New", "main"]


def test_whatever_fails_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_agent.main(["exports", str(tmp_path / "gone"), str(tmp_path / "list")]) == 1
    assert capsys.readouterr().err.startswith("ERROR: ")
