from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import UsageError
from pytest_manylinux.images.provision import provision_plan
from pytest_manylinux.model.distro import Distro, Interpreter
from pytest_manylinux.model.packages import PackageManager

MANAGERS = st.sampled_from([manager.value for manager in PackageManager])
PACKAGES = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,12}[a-z0-9]", fullmatch=True), min_size=1)
ROWS = [(d, i) for d in load_catalogue().distros for i in d.interpreters]


@given(MANAGERS, PACKAGES)
def test_every_manager_installs_what_it_is_asked_for_and_asks_nothing(
    manager: str, packages: list[str]
) -> None:
    commands = provision_plan(manager, tuple(packages)).commands
    installs = [command for command in commands if set(packages) <= set(command)]
    assert len(installs) == 1
    words = " ".join(installs[0])
    assert any(quiet in words for quiet in ("yes", "noconfirm", "non-interactive", "batch=on", "apk"))


@given(MANAGERS, PACKAGES)
def test_the_key_depends_on_packages_but_not_on_their_order_or_on_the_network(
    manager: str, packages: list[str]
) -> None:
    plan = provision_plan(manager, tuple(packages))
    proxied = provision_plan(
        manager, tuple(reversed(packages)), proxies={"http_proxy": "p"}, ca_bundle="/c"
    )
    assert proxied.key == plan.key
    assert proxied.environment["http_proxy"] == "p"
    assert provision_plan(manager, (*packages, "one-more-package")).key != plan.key


@given(MANAGERS)
def test_nothing_to_install_is_nothing_to_do(manager: str) -> None:
    assert provision_plan(manager, ()).commands == ()


@pytest.mark.parametrize("manager", ["apt", "dnf", "dnf5", "microdnf", "yum", "tdnf"])
def test_a_ca_bundle_reaches_the_manager(manager: str) -> None:
    plan = provision_plan(manager, ("python3",), ca_bundle="/run/ca.pem")
    assert "/run/ca.pem" in " ".join(word for command in plan.commands for word in command)
    assert plan.environment["SSL_CERT_FILE"] == "/run/ca.pem"


def _of_a_row(distro: str) -> list[tuple[str, str]]:
    """Words for each way, and what its commands say."""
    row = load_catalogue().get(distro)
    plan = provision_plan(row.package_manager, ("python3",), archive=row.archive)
    ways = ((plan.way, plan.commands), *plan.otherwise)
    return [(way, " ".join(word for command in commands for word in command)) for way, commands in ways]


def test_an_old_release_is_looked_for_among_old_releases_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_MANYLINUX_MIRROR_UBUNTU_OLD", "http://old.example/ubuntu/")
    for distro in ("ubuntu-23.10", "ubuntu-24.10", "ubuntu-25.04"):
        every, plain, own = _of_a_row(distro)
        assert every[0] == plain[0] == "the archive of old releases"
        assert " http://old.example/ubuntu old-releases " in every[1]
        assert "-security main universe" in every[1]
        assert "-security main universe" not in plain[1]
        assert own[0] == ""
        assert "old.example" not in own[1]


def test_a_release_that_is_where_it_was_is_looked_for_there_first() -> None:
    assert [way for way, _ in _of_a_row("debian-12")] == ["", *["the archive of old releases"] * 2]
    assert [way for way, _ in _of_a_row("fedora-44")] == [""]


def test_where_a_release_is_found_is_no_part_of_the_key() -> None:
    row = load_catalogue().get("debian-10")
    plans = [provision_plan("apt", ("python3",), archive=archive) for archive in (None, row.archive)]
    assert plans[0].key == plans[1].key


def test_microdnf_takes_the_bundle_from_its_settings_which_are_as_before_afterwards(
    tmp_path: Path,
) -> None:
    before, install, _, after = provision_plan(
        "microdnf", ("python3",), ca_bundle="/run/ca.pem"
    ).commands
    assert not [word for word in install if "sslcacert" in word]
    settings = tmp_path / "dnf.conf"
    settings.write_text("[main]\ngpgcheck=1\n")
    _run(before, "/etc/dnf/dnf.conf", settings)
    assert settings.read_text() == "[main]\nsslcacert=/run/ca.pem\ngpgcheck=1\n"
    _run(after, "/etc/dnf/dnf.conf", settings)
    assert settings.read_text() == "[main]\ngpgcheck=1\n"
    assert len(provision_plan("microdnf", ("python3",)).commands) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "[main]\narch = i586\n"),
        ("", "[main]\narch = i586\n"),
        ("[main]\n# arch = s390\nx = y\n", "[main]\narch = i586\n# arch = s390\nx = y\n"),
        ("[main]\narch = i686\n", "[main]\narch = i686\n"),
    ],
)
def test_zypper_is_told_the_architecture_of_an_i586_image(
    before: str | None, after: str, tmp_path: Path
) -> None:
    settings = tmp_path / "etc/zypp.conf"
    if before is not None:
        settings.parent.mkdir()
        settings.write_text(before)
    first, *rest = provision_plan("zypper", ("python3",), arch="i686").commands
    for _ in range(2):  # a second time changes nothing
        _run(first, "/etc/zypp/zypp.conf", settings)
    assert settings.read_text() == after
    usual = provision_plan("zypper", ("python3",), arch="x86_64")
    assert tuple(rest) == usual.commands
    assert provision_plan("zypper", ("python3",), arch="i686").key != usual.key


def _run(command: tuple[str, ...], path: str, instead: Path) -> None:
    words = [word.replace(path, str(instead)) for word in command]
    subprocess.run(words, check=True, timeout=10)


def test_a_suite_that_is_not_the_images_default_is_named_to_apt() -> None:
    row = load_catalogue().get("debian-experimental")
    plan = provision_plan("apt", ("python3",), release=row.target_release)
    [install] = (command for command in plan.commands if "install" in command)
    assert "--target-release=experimental" in install[: install.index("python3")]
    assert plan.key != provision_plan("apt", ("python3",)).key


DNF = "install --assumeyes --setopt=install_weak_deps={} --setopt=tsflags=nodocs {}python3"
APT = "apt-get -o Acquire::Retries=3 -o APT::Cmd::Pattern-Only=true "
ZYPPER = "install --no-recommends --auto-agree-with-licenses -- python3"


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt", APT + "install --yes --no-install-recommends -- python3"),
        ("dnf", "dnf " + DNF.format("False", "-- ")),
        ("microdnf", "microdnf " + DNF.format("0", "")),
        ("zypper", "zypper --non-interactive --gpg-auto-import-keys " + ZYPPER),
        ("pacman", "pacman --sync --refresh --sysupgrade --noconfirm --needed -- python3"),
        ("apk", "apk add --no-cache -- python3"),
        ("tdnf", "tdnf install --assumeyes -- python3"),
        ("yum", "yum install --assumeyes --setopt=tsflags=nodocs -- python3"),
        ("dnf5", "dnf5 " + DNF.format("False", "-- ")),
        ("apt-rpm", "apt-get install --yes -- python3"),
        ("slackpkg", "slackpkg -batch=on -default_answer=y install python3"),
    ],
)
def test_the_commands_are_the_managers_own(manager: str, command: str) -> None:
    commands = [" ".join(words) for words in provision_plan(manager, ("python3",)).commands]
    assert command in commands


def _id(value: Distro | Interpreter) -> str:
    return value.id if isinstance(value, Distro) else value.version.tag


@pytest.mark.parametrize(("distro", "interpreter"), ROWS, ids=_id)
def test_every_row_can_be_provisioned(distro: Distro, interpreter: Interpreter) -> None:
    plan = provision_plan(distro.package_manager, interpreter.packages)
    words = {word for command in plan.commands for word in command}
    assert set(interpreter.packages) <= words
    assert bool(plan.commands) == bool(interpreter.packages)
    assert plan.listing


RPM = """#!/bin/sh
echo "warning: of this machine" >&2
case "$*" in
{cases}
esac
"""


@pytest.mark.parametrize(
    ("cases", "listed"),
    [
        ('--query*) printf "b-1\\na-1\\n";; *) exit 1;;', "b-1\na-1\n"),
        ("--query*) ;; --dbpath=/var/lib/rpm*) echo a-1;;", "a-1\n"),
        ("--query*) echo half; exit 1;; *) echo a-1;;", "a-1\n"),
        ("--query*) ;;", ""),
        ("*) exit 1;;", ""),
    ],
    ids=["of its own", "of zypper's", "broken", "none", "none that can be read"],
)
def test_what_rpm_has_installed_is_listed_without_its_warnings(
    tmp_path: Path, cases: str, listed: str
) -> None:
    (tmp_path / "rpm").write_text(RPM.format(cases=cases))
    (tmp_path / "rpm").chmod(0o755)
    words = provision_plan("zypper", ("python311",)).listing
    done = subprocess.run(
        words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (listed, "")


def test_an_unknown_manager_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="zypper"):
        provision_plan("brew", ("python3",))
