from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images.apt import MachineApt, old_releases_beside
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay

RECIPE = ArchiveRecipe(
    origin="debian", suite="trixie", extra_suites=("trixie-updates", "trixie-security")
)
# Site, release, what its Release file says of the origin, and the entry among the sources.
MAIN = "http://m.example/debian|bookworm|Debian|{sources}:1"
SECURITY = "http://m.example/sec|bookworm-security|Debian|{sources}:2"
OTHER = "https://other.example/apt|nodistro|Other|{sources}:1"


class FakeApt:
    """apt-get and apt-config of a machine that we invent."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.sources = folder / "debian.sources"
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def says(self, *targets: str, config: str = "", sources: str = "") -> None:
        self.sources.write_text(sources)
        lists = self.folder / "lists"
        lists.mkdir(exist_ok=True)
        lines = [
            self._fetched(lists, *target.format(sources=self.sources).split("|")) for target in targets
        ]
        self._program("apt-get", "\n".join(lines), only_for="indextargets *")
        self._program("apt-config", f"{config}\nlists='{lists}/'")

    def _fetched(self, lists: Path, site: str, release: str, origin: str, entry: str) -> str:
        """Lay the files of a list as `apt-get update` does; gives the line of it."""
        archive = f"{site.partition('://')[2].replace('/', '_')}_dists_{release}_"
        packages = f"{archive}main_binary-amd64_Packages"
        (lists / f"{packages}.lz4").write_bytes(b"")
        if origin:
            (lists / f"{archive}InRelease").write_text(f"Hash: SHA256\n\nOrigin: {origin}\nLabel: x\n")
        return f"{site}|{release}|{entry}|Packages|/nonexistent/lists/{packages}"

    def without_lists(self, *uris: str, sources: str) -> None:
        """A machine where `apt-get update` never ran: apt knows what it would fetch, no more."""
        self.sources.write_text(sources)
        self._program("apt-get", "\n".join(uris), only_for="update --print-uris")
        self._program("apt-config", f"list='{self.folder}/none'\nparts='{self.folder}'")

    def _program(self, name: str, output: str, only_for: str = "*") -> None:
        (self.folder / f"{name}.txt").write_text(output + "\n")
        path = self.folder / name
        answer = f'cat "{self.folder}/{name}.txt"'
        pattern = only_for.replace(" ", r"\ ")
        path.write_text(f'#!/bin/sh\ncase "$*" in {pattern}) {answer} ;; esac\n')
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
    assert len(MachineApt().sources(RECIPE, ArchiveWay.PLAIN_SUITE)) == 1


def test_a_machine_that_never_updated_is_known_by_its_suites(apt: FakeApt) -> None:
    apt.says("http://m.example/debian|bookworm||{sources}:1")
    assert "http://m.example/debian trixie main" in MachineApt().sources(RECIPE)[0]


def test_what_was_never_fetched_says_nothing(apt: FakeApt) -> None:
    """apt lists an archive that was added after the last update, too."""
    apt.says(MAIN, "http://new.example/debian|bookworm|Debian|{sources}:1")
    for path in (apt.folder / "lists").glob("new.example*"):
        path.unlink()
    assert all("http://m.example/debian" in line for line in MachineApt().sources(RECIPE))


def test_the_longest_name_is_the_archives_own(apt: FakeApt) -> None:
    """`suite` and `suite_main`, say, both begin the name of a list of the second."""
    apt.says("http://m.example/debian|bookworm|Debian|{sources}:1")
    (apt.folder / "lists" / "m.example_Release").write_text("Origin: Another\n")
    assert "http://m.example/debian trixie main" in MachineApt().sources(RECIPE)[0]


def test_a_machine_without_lists_has_its_sources(apt: FakeApt, tmp_path: Path) -> None:
    keyring = tmp_path / "company.gpg"
    keyring.write_bytes(b"")
    apt.without_lists(
        "'http://m.example/debian/dists/bookworm/InRelease' m.example_InRelease 0 ",
        "'http://m.example/sec/dists/bookworm-security/InRelease' m.example_InRelease 0 ",
        "'https://other.example/apt/dists/nodistro/InRelease' other.example_InRelease 0 ",
        sources="Types: deb\nURIs: http://m.example/debian/\nSuites: bookworm\n\n"
        f"Types: deb\nURIs: http://m.example/sec\nSigned-By: {keyring}\n",
    )
    main, updates, security = MachineApt().sources(RECIPE)
    assert main.endswith("http://m.example/debian trixie main")
    assert updates.endswith("http://m.example/debian trixie-updates main")
    assert security == f"deb [signed-by={keyring}] http://m.example/sec trixie-security main"


def test_a_machine_without_a_debian_mirror_is_told_how_to_name_one(
    apt: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt.says(OTHER, "cdrom:[disk]/|bookworm|Debian|{sources}:1")
    with pytest.raises(ImageError) as caught:
        MachineApt().sources(RECIPE)
    assert "PYTEST_MANYLINUX_MIRROR_DEBIAN" in str(caught.value)
    monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_DEBIAN", "http://named.example/debian/")
    assert "http://named.example/debian trixie main" in MachineApt().sources(RECIPE)[0]


def test_each_part_of_an_origin_can_be_named(apt: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    apt.says(MAIN, SECURITY)
    for part in ("DEBIAN", "DEBIAN_SECURITY", "DEBIAN_OLD"):
        monkeypatch.setenv(f"PYTEST_MANYLINUX_MIRROR_{part}", f"http://named.example/{part}/")
    main, updates, security = MachineApt().sources(RECIPE)
    assert "http://named.example/DEBIAN trixie main" in main
    assert "http://named.example/DEBIAN trixie-updates main" in updates
    assert "http://named.example/DEBIAN_SECURITY trixie-security main" in security
    (old,) = MachineApt().sources(RECIPE, ArchiveWay.OLD_RELEASES)
    assert "http://named.example/DEBIAN_OLD trixie main" in old


def test_old_releases_are_beside_the_distributions_own_mirror_only(
    apt: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt.says(MAIN)
    with pytest.raises(ImageError) as caught:
        MachineApt().sources(RECIPE, ArchiveWay.OLD_RELEASES)
    assert "PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD" in str(caught.value)
    apt.says(MAIN.replace("m.example", "deb.debian.example"))
    (old,) = MachineApt().sources(RECIPE, ArchiveWay.OLD_RELEASES)
    assert "http://archive.debian.example/debian trixie main" in old
    # Whoever names a mirror has left the distribution's own hosts: nothing is asked of them.
    monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_DEBIAN", "http://named.example/debian")
    with pytest.raises(ImageError, match="no archive of old debian releases"):
        MachineApt().sources(RECIPE, ArchiveWay.OLD_RELEASES)


@pytest.mark.parametrize(
    ("url", "origin", "old"),
    [
        ("http://ftp.xx.debian.example/debian", "debian", "http://archive.debian.example/debian"),
        (
            "https://xx.archive.ubuntu.example/ubuntu-ports",
            "ubuntu",
            "http://old-releases.ubuntu.example/ubuntu",
        ),
        ("http://mirror.acme.example/debian", "debian", ""),
        ("http://127.0.0.1:8080/debian", "debian", ""),
        ("http://debian/debian", "debian", ""),
        ("file:/srv/debian", "debian", ""),
        ("http://deb.acme.example/acme", "acme", ""),
    ],
)
def test_what_is_beside_a_mirror(url: str, origin: str, old: str) -> None:
    assert old_releases_beside(url, origin) == old


def test_the_keyring_is_the_one_of_the_entry(apt: FakeApt, tmp_path: Path) -> None:
    keyring = tmp_path / "company.gpg"
    keyring.write_bytes(b"")
    stanzas = f"Types: deb\n# a comment\nURIs: x\n\nTypes: deb\nSigned-By: {keyring}\n"
    apt.says(MAIN.replace(":1", ":2"), sources=stanzas)
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
