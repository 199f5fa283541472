from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cli import main
from pytest_manylinux.commands import doctor_command as command
from pytest_manylinux.doctor import machine, network
from pytest_manylinux.doctor.api import Area, Health, ProbeResult, examine, ready
from pytest_manylinux.engines.container.dead_image import dead_image, has_vsyscall
from pytest_manylinux.engines.select import EngineName
from pytest_manylinux.errors import EngineError, ExitCode, ImageError
from pytest_manylinux.host.architecture import ARCHITECTURES, Emulation, Support
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.images.apt import MachineApt, no_old_releases
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - what shutil gives


def finding(
    area: Area, health: Health = Health.GOOD, says: str = "so", remedy: str = ""
) -> ProbeResult:
    return ProbeResult(area=area, name="x", health=health, says=says, remedy=remedy)


NEEDED = (Area.ENGINE, Area.IMAGES, Area.CACHE)


@pytest.mark.parametrize("missing", NEEDED)
def test_a_run_wants_an_engine_roots_and_room(missing: Area) -> None:
    whole = [finding(area) for area in NEEDED]
    assert ready(whole)
    assert ready([*whole, finding(Area.ENGINE, Health.BAD), finding(Area.NETWORK, Health.BAD)])
    assert not ready([f for f in whole if f.area is not missing] + [finding(missing, Health.BAD)])


def test_what_a_probe_raises_is_its_line_without_credentials() -> None:
    def clear() -> Iterator[ProbeResult]:
        raise ImageError("no mirror", why="https://me:secret@mirror/ is gone\nmore", remedy="add one")

    def broken() -> Iterator[ProbeResult]:
        raise ValueError("odd: https://me:secret@mirror/")

    def telling() -> Iterator[ProbeResult]:
        yield finding(Area.ENGINE, says="at tcp://me:secret@host")

    found = examine(
        [(Area.NETWORK, "a", clear), (Area.KERNEL, "b", broken), (Area.ENGINE, "c", telling)]
    )
    assert [one.area for one in found] == [Area.ENGINE, Area.KERNEL, Area.NETWORK]
    assert "secret" not in repr(found)
    assert found[2].says == "no mirror: https://****@mirror/ is gone"
    assert found[2].remedy == "add one"
    assert found[1].says.startswith("ValueError: odd")


class FakeEngine:
    def __init__(self) -> None:
        self.closed = False

    def version(self) -> str:
        return "1.2"

    def close(self) -> None:
        self.closed = True


def test_an_engine_that_answers_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///else/where.sock")
    engine = FakeEngine()
    [one] = machine.look_at_engine(EngineName.DOCKER, start=lambda _: engine)  # type: ignore[arg-type, return-value]
    assert (one.health, one.says) == (Health.GOOD, "1.2 at unix:///else/where.sock")
    assert engine.closed


@pytest.mark.parametrize(
    ("manager", "cure"),
    [
        ("apt-get", "apt-get install --yes docker.io"),
        ("dnf", "dnf install --assumeyes moby-engine"),
        ("zypper", "zypper --non-interactive install docker"),
        ("pacman", "pacman --sync --noconfirm docker"),
        ("", "install docker"),
    ],
)
def test_an_engine_that_is_not_here_has_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, manager: str, cure: str
) -> None:
    def start(_: str) -> FakeEngine:
        raise EngineError("docker does not answer", why="no such file", remedy="start it")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: name if name == manager else None)
    monkeypatch.setattr(
        machine,
        "install_command",
        lambda program: install_command(program, which=lambda name: name if name == manager else None),
    )
    [absent] = machine.look_at_engine(EngineName.DOCKER, start=start)  # type: ignore[arg-type]
    assert (absent.health, absent.says, absent.remedy) == (Health.BAD, "no such file", cure)
    monkeypatch.setattr(shutil, "which", lambda name, **_: name)
    [stopped] = machine.look_at_engine(EngineName.DOCKER, start=start)  # type: ignore[arg-type]
    assert stopped.remedy == "start it"


@pytest.mark.parametrize(("others", "health"), [(True, Health.LACKING), (False, Health.BAD)])
def test_an_engine_is_only_lacking_where_another_answers(*, others: bool, health: Health) -> None:
    def engines() -> Iterator[ProbeResult]:
        yield finding(Area.ENGINE, Health.BAD, says="silent")
        if others:
            yield finding(Area.ENGINE)

    found = examine([(Area.ENGINE, "x", engines), (Area.IMAGES, "y", lambda: [finding(Area.IMAGES)])])
    assert [one.health for one in found if one.says == "silent"] == [health]
    assert Health.BAD not in [one.health for one in found if one.says != "silent"]


def test_an_ordinary_user_is_told_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    words = install_command("bwrap", which=lambda name: name if name == "apt-get" else None)
    assert words == "sudo apt-get install --yes bubblewrap"


@pytest.mark.parametrize(
    ("free", "health"), [(40, Health.GOOD), (3, Health.LACKING), (0.5, Health.BAD)]
)
def test_room_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, health: Health
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, int(free * 1024**3)))
    [one] = machine.look_at_cache(tmp_path / "not" / "yet")
    assert one.health is health
    assert f"{free:.1f} GiB free" in one.says
    assert bool(one.remedy) is (health is not Health.GOOD)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    [one] = machine.look_at_cache(tmp_path)
    assert one.health is Health.BAD
    assert "PYTEST_MANYLINUX_CACHE" in one.remedy


@pytest.mark.parametrize(
    ("support", "health", "words"),
    [
        (Support.NATIVE, Health.GOOD, "native"),
        (Support.REGISTERED, Health.GOOD, "by qemu 7.2.22, as the machine has it"),
        (Support.NAMESPACE, Health.GOOD, "only the engine bubblewrap"),
        (Support.MISSING, Health.LACKING, "no qemu"),
    ],
)
def test_each_other_architecture_has_a_line(support: Support, health: Health, words: str) -> None:
    def ask(arch: str) -> Emulation:
        emulator = "qemu 7.2.22"
        return Emulation(
            arch=arch, support=support, emulator=emulator, missing="no qemu", remedy="install it"
        )

    found = list(machine.look_at_foreign(ask))
    assert len(found) == len(ARCHITECTURES) - 1
    assert {one.health for one in found} == {health}
    assert all(words in one.says for one in found)
    assert {one.remedy for one in found} == {"install it" if health is Health.LACKING else ""}


def test_kernel_settings(tmp_path: Path) -> None:
    assert [one.health for one in machine.look_at_user_namespaces(tmp_path)] == [Health.GOOD]
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    [one] = machine.look_at_user_namespaces(tmp_path)
    assert one.says == "user.max_user_namespaces is 0"
    assert one.remedy.endswith("sysctl -w user.max_user_namespaces=15000")
    assert [one.health for one in machine.look_at_vsyscall(here=True)] == [Health.GOOD]
    [one] = machine.look_at_vsyscall(here=False)
    assert "vsyscall=emulate" in one.remedy
    assert "builder = zig" in one.remedy
    assert [one.health for one in machine.look_at_call_filter(here=True)] == [Health.GOOD]
    [one] = machine.look_at_call_filter(here=False)
    assert "CONFIG_SECCOMP_FILTER" in one.remedy
    [one] = machine.look_at_control_groups(tmp_path)
    assert one.health is Health.LACKING


def test_the_vsyscall_page(tmp_path: Path) -> None:
    (tmp_path / "with").write_text("7f00-7f01 r-xp [vdso]\nffffff600000 --xp 0 [vsyscall]\n")
    (tmp_path / "without").write_text("7f00-7f01 r-xp [vdso]\n")
    assert has_vsyscall(tmp_path / "with")
    assert not has_vsyscall(tmp_path / "without")
    assert not has_vsyscall(tmp_path / "none")


def test_an_image_whose_commands_all_end_by_a_signal() -> None:
    trap = dead_image("old", 11, vsyscall=False)
    assert "exit code 139" in trap.why
    assert "no vsyscall page" in trap.why
    assert "vsyscall=emulate" in trap.remedy
    assert "vsyscall" not in dead_image("odd", 11, vsyscall=True).why
    assert "SIGILL" in dead_image("odd", 4, vsyscall=False).why


RECIPE = load_catalogue().get("debian-12").archive


def test_mirrors_of_the_archive(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(url: str) -> int:
        asked.append(url)
        if "gone" in url:
            raise OSError("refused")
        return 404 if "odd" in url else 200

    (tmp_path / "dists/bookworm").mkdir(parents=True)
    (tmp_path / "dists/bookworm/InRelease").touch()
    lines = (
        "deb [signed-by=/k.gpg] http://mirror/debian bookworm main",
        "deb http://gone/debian bookworm-updates main",
        "deb http://odd/debian bookworm-security main",
        f"deb file://{tmp_path} bookworm main",
    )
    assert RECIPE is not None
    found = list(network.look_at_archive(RECIPE, ask, sources=lambda _: lines))
    assert [one.health for one in found] == [
        Health.GOOD,
        Health.LACKING,
        Health.LACKING,
        Health.GOOD,
    ]
    assert asked[0] == "http://mirror/debian/dists/bookworm/InRelease"
    assert "out of reach: refused" in found[1].says
    assert "answers with 404" in found[2].says


class FakeApt(MachineApt):
    def sources(
        self, recipe: ArchiveRecipe, way: ArchiveWay = ArchiveWay.ALL_SUITES
    ) -> tuple[str, ...]:
        if way is ArchiveWay.OLD_RELEASES:
            raise no_old_releases(recipe.origin)
        suites = [recipe.suite, *(recipe.extra_suites if way is ArchiveWay.ALL_SUITES else ())]
        return tuple(f"deb http://mirror/debian {suite} main" for suite in suites)


@pytest.mark.parametrize(
    ("gone", "health", "words"),
    [
        ("nothing", Health.GOOD, ["by all suites"]),
        (
            "-security/",
            Health.LACKING,
            ["by the plain suite", "all suites: http://mirror/debian answers with 404"],
        ),
        ("/dists/", Health.LACKING, ["it cannot be made", "no archive of old debian releases"]),
    ],
)
def test_the_way_that_a_root_would_be_made_by(gone: str, health: Health, words: list[str]) -> None:
    assert RECIPE is not None
    (one,) = network.look_at_ways(
        "debian-12", RECIPE, lambda url: 404 if gone in url else 200, apt=FakeApt()
    )
    assert one.health is health
    assert all(word in one.says for word in words), one.says
    assert ("PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD" in one.remedy) is (gone == "/dists/")


def test_roots_that_were_made_by_another_way(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    recipe = Recipe(distro="debian-11", suite="bullseye", arch="x86_64", packages=("python3",))
    for way in (ArchiveWay.ALL_SUITES, ArchiveWay.PLAIN_SUITE):
        with store.aside() as folder:
            status = folder / "root/var/lib/dpkg/status"
            status.parent.mkdir(parents=True)
            status.write_text(f"Package: {way.value}\nStatus: install ok installed\nVersion: 1\n\n")
            made = msgspec.structs.replace(recipe, way=way)
            store.adopt(folder, made, name="debian-11", seconds=1, lacking="x.deb: 404 Not Found")
    (one,) = machine.look_at_roots(store)
    assert one.name == "root debian-11 x86_64"
    assert "the plain suite" in one.says
    assert "x.deb: 404 Not Found" in one.says


def test_registries_and_their_mirrors() -> None:
    asked: list[str] = []

    def ask(url: str) -> int:
        asked.append(url)
        return 401

    mirrors = {"docker.io": "127.0.0.1:5000/hub"}
    assert network.registries(mirrors) == ("docker.io", "quay.io")
    [one] = network.look_at_registry("docker.io", mirrors, ask)
    assert one.health is Health.GOOD
    assert one.name == "registry docker.io by 127.0.0.1:5000"
    [one] = network.look_at_registry("quay.io", mirrors, ask)
    assert asked == ["http://127.0.0.1:5000/v2/", "https://quay.io/v2/"]


PROBES = [
    (Area.ENGINE, "docker", lambda: [finding(Area.ENGINE)]),
    (Area.IMAGES, "x", lambda: [finding(Area.IMAGES)]),
    (Area.CACHE, "x", lambda: [finding(Area.CACHE, Health.LACKING, remedy="make room")]),
]


def test_a_line_each_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_probes", lambda: PROBES)
    assert main(["doctor"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "✓ engine x: so",
        "✓ images x: so",
        "! cache x: so  next: make room",
        "a run can be made here",
    ]
    monkeypatch.setattr(command, "_probes", lambda: PROBES[1:])
    assert main(["doctor"]) == ExitCode.NOT_PROVEN
    assert "no run can be made here" in capsys.readouterr().out


@pytest.mark.parametrize(("variable", "coloured"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colours_on_terminals_only_and_not_where_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    *,
    coloured: bool,
) -> None:
    monkeypatch.setattr(command, "_probes", lambda: PROBES)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(variable, "1")
    main(["doctor"])
    assert ("\x1b[32m" in capsys.readouterr().out) is coloured


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "_probes", lambda: PROBES)
    assert main(["doctor", "--json"]) == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is True
    assert told["findings"][2] == {
        "area": "cache",
        "name": "x",
        "health": "lacking",
        "says": "so",
        "remedy": "make room",
    }


def test_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is really here, and a registry mirror on loopback that is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_MANYLINUX_REGISTRY_MIRROR", "docker.io=127.0.0.1:9,quay.io=127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    code = main(["doctor", "--json"])
    text = capsys.readouterr().out
    told = json.loads(text)
    assert code == (ExitCode.OK if told["ready"] else ExitCode.NOT_PROVEN)
    named = {row["name"]: row for row in told["findings"]}
    assert {"bubblewrap", "docker", "podman", "folder", "vsyscall", "package index"} <= named.keys()
    assert "refused" in named["registry docker.io by 127.0.0.1:9"]["says"]
    assert "secret" not in text
