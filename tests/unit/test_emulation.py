"""Programs of other architectures: the smallest ones, qemu's registration, and what is said without."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pytest_manylinux.host import architecture
from pytest_manylinux.host.architecture import (
    ARCHITECTURES,
    MACHINES,
    Machine,
    Qemu,
    Support,
    allowed_time,
    emulation_of,
    host_arch,
    named_architectures,
    registration_of,
    sister_of,
)
from pytest_manylinux.inspect.elf import read_elf


def _pretend(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int] | None) -> None:
    """Have qemu in this version on PATH, or not at all."""

    def find(machine: Machine) -> Qemu | None:
        return None if version is None else Qemu(program=Path(machine.qemu), version=version)

    monkeypatch.setattr(architecture, "find_qemu", find)


def _where_registered(machine: Machine, registration: str = "") -> bool:
    return bool(machine and registration)


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    emulation_of.cache_clear()
    _pretend(monkeypatch, None)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_smallest_program_is_a_sound_file(arch: str) -> None:
    """Our own reader of ELF files finds the architecture."""
    found = read_elf("program", MACHINES[arch].program()).arch
    assert found == {"armv7l": "arm"}.get(arch, arch), "a header does not tell arm's levels apart"


def test_this_machine_runs_its_own() -> None:
    assert architecture._runs(MACHINES[host_arch()])
    assert emulation_of(host_arch()).support is Support.NATIVE


@pytest.mark.parametrize(("arch", "order"), [("aarch64", "<"), ("s390x", ">")])
def test_registration_matches_the_header(arch: str, order: str) -> None:
    """The kernel's comparison takes our program and its position independent sister, and no other."""
    machine = MACHINES[arch]
    fields = registration_of(machine, Path("/usr/bin/qemu")).split(":")
    magic, mask = (bytes.fromhex(field.replace("\\x", "")) for field in fields[4:6])

    def taken(header: bytes) -> bool:
        pairs = zip(header, magic, mask, strict=False)
        return all((byte ^ wanted) & bits == 0 for byte, wanted, bits in pairs)

    assert fields[6:] == ["/usr/bin/qemu", "PF"]
    assert taken(machine.program())
    assert taken(machine.header_of(3))
    assert not taken(machine.header_of(1)), "an object file is not a program"
    other = bytearray(machine.program())
    other[18:20] = struct.pack(f"{order}H", 9)
    assert not taken(bytes(other))


def _none_runs(machine: object, registration: str = "") -> bool:
    del machine, registration
    return False


def test_without_qemu_the_next_step_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "_runs", _none_runs)
    found = emulation_of("s390x")
    assert (found.support, found.works) == (Support.MISSING, False)
    assert "s390x is not installed" in found.missing
    assert "qemu-user-static" in found.remedy


def test_a_kernel_that_lets_only_root_register(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, (7, 2, 0))
    monkeypatch.setattr(architecture, "_runs", _none_runs)
    assert "only root" in emulation_of("riscv64").missing


@pytest.mark.parametrize(
    ("version", "environment"),
    [((7, 2, 22), (("QEMU_CPU", "max,pauth-impdef=on"),)), ((10, 0, 13), ())],
)
def test_pointer_authentication_is_made_cheap_where_it_is_slow(
    version: tuple[int, int, int], environment: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, version)
    monkeypatch.setattr(architecture, "_runs", _where_registered)
    found = emulation_of("aarch64")
    assert found.support is Support.NAMESPACE
    assert found.emulator == f"qemu {'.'.join(map(str, version))}"
    assert found.environment == environment
    assert emulation_of("riscv64").environment == ()


def test_an_architecture_that_nobody_knows() -> None:
    assert "no emulator of vax" in emulation_of("vax").missing


def test_words_for_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert named_architectures(["auto"]) == ("x86_64",)
    assert named_architectures(["auto32", "native", "x86_64"]) == ("i686", "x86_64")
    assert named_architectures(["all"]) == ARCHITECTURES
    assert sister_of("s390x") == ""


def test_time_limits_are_longer_under_an_emulator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an emulator makes fifteen times slower gets fifteen times as long."""
    _pretend(monkeypatch, (7, 2, 22))
    monkeypatch.setattr(architecture, "_runs", _where_registered)
    assert allowed_time(300, host_arch()) == 300
    assert allowed_time(300, "ppc64le") == 4500
