from __future__ import annotations

from pathlib import Path

from pytest_manylinux.engines.environment import clean_environment, generated_files, user_database

USERS = "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\nbroken\n"


def test_our_user_takes_the_place_of_one_with_its_number() -> None:
    files = user_database(USERS, "root:x:0:\nubuntu:x:1000:\n")
    assert files["/etc/passwd"].splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        "broken",
        "user:x:1000:1000::/scratch/home:/bin/sh",
    ]
    assert files["/etc/group"] == "root:x:0:\nuser:x:1000:\n"


def test_without_network_nothing_of_the_host_is_told(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert set(generated_files(tmp_path, network=False)) == {"/etc/passwd", "/etc/group"}
    (tmp_path / "etc/hosts").touch()
    hosts = generated_files(tmp_path, network=False)["/etc/hosts"]
    assert {line.split()[0] for line in hosts.splitlines()} == {"127.0.0.1", "::1"}


def test_with_network_the_hosts_name_servers_are(tmp_path: Path) -> None:
    files = generated_files(tmp_path, network=True)
    assert files["/etc/resolv.conf"] == Path("/etc/resolv.conf").read_text()
    hosts = [line.split() for line in files["/etc/hosts"].splitlines()]
    assert ["127.0.1.1", "sandbox"] in hosts or ["127.0.0.1", "localhost", "sandbox"] in hosts


def test_a_command_adds_to_the_environment_and_overrides() -> None:
    values = clean_environment({"HOME": "/x", "A": "1"})
    assert (values["HOME"], values["A"], values["LANG"]) == ("/x", "1", "C.UTF-8")
    assert set(values) == {"HOME", "A", "LANG", "PATH", "TMPDIR"}
