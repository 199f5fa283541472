from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.model.distro import ArchiveRecipe

RECIPE = ArchiveRecipe(
    origin="debian", suite="trixie", extra_suites=("trixie-updates", "trixie-security")
)
MAIN = "http://m.example/debian|bookworm|Debian|Debian|{sources}:1|Packages"
SECURITY = "http://m.example/sec|bookworm-security|Debian|Debian-Security|{sources}:2|Packages"
OTHER = "https://other.example/apt|nodistro|Other|Other|{sources}:1|Packages"


class FakeApt:
    """apt-get and apt-config of a machine that we invent."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.sources = folder / "debian.sources"
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def says(self, *targets: str, config: str = "", sources: str = "") -> None:
        self.sources.write_text(sources)
        lines = "\n".join(targets).format(sources=self.sources)
        self._program("apt-get", lines)
        self._program("apt-config", config)

    def _program(self, name: str, output: str) -> None:
        (self.folder / f"{name}.txt").write_text(output + "\n")
        path = self.folder / name
        path.write_text(f'#!/bin/sh\ncat "{self.folder}/{name}.txt"\n')
        path.chmod(0o755)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    return FakeApt(tmp_path, monkeypatch)


def test_updates_come_from_the_main_mirror_and_security_from_its_own(apt: FakeApt) -> None:
    apt.says(OTHER, MAIN, SECURITY)
    suites = [line.split("] ")[-1].removeprefix("deb ") for line in MachineApt().sources(RECIPE)]
    assert suites == [
        "http://m.example/debian trixie main",
        "http://m.example/debian trixie-updates main",
        "http://m.example/sec trixie-security main",
    ]


def test_without_a_security_mirror_there_is_no_security_suite(apt: FakeApt) -> None:
    apt.says(MAIN)
    assert len(MachineApt().sources(RECIPE)) == 2
    assert len(MachineApt().sources(RECIPE, extras=False)) == 1


def test_a_machine_that_never_updated_is_known_by_its_suites(apt: FakeApt) -> None:
    apt.says("http://m.example/debian|bookworm|||{sources}:1|Packages")
    assert "http://m.example/debian trixie main" in MachineApt().sources(RECIPE)[0]


def test_a_machine_without_a_debian_mirror_is_told_how_to_name_one(
    apt: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt.says(OTHER, "cdrom:[disk]/|bookworm|Debian|Debian|{sources}:1|Packages")
    with pytest.raises(ImageError) as caught:
        MachineApt().sources(RECIPE)
    assert "PYTEST_MANYLINUX_MIRROR_DEBIAN" in str(caught.value)
    monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_DEBIAN", "http://named.example/debian/")
    assert "http://named.example/debian trixie main" in MachineApt().sources(RECIPE)[0]


def test_the_keyring_is_the_one_of_the_entry(apt: FakeApt, tmp_path: Path) -> None:
    keyring = tmp_path / "company.gpg"
    keyring.write_bytes(b"")
    stanzas = f"Types: deb\n# a comment\nURIs: x\n\nTypes: deb\nSigned-By: {keyring}\n"
    apt.says(MAIN.replace(":1|", ":2|"), sources=stanzas)
    assert f"deb [signed-by={keyring}] " in MachineApt().sources(RECIPE)[0]


def test_the_transport_is_the_machines_and_nothing_else(apt: FakeApt) -> None:
    apt.says(
        config='APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "/etc/ca.pem";\nAcquire::Languages "de";'
    )
    transport = MachineApt().transport()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in transport
    assert 'Acquire::https::CaInfo "/etc/ca.pem";' in transport
    assert "Languages" not in transport
    assert "APT::Architecture" not in transport


def test_a_machine_without_apt_gets_a_plain_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="no apt-get on this machine"):
        MachineApt().sources(RECIPE)
