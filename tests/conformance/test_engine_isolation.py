"""What a sandbox cannot see, reach or change."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from sandboxes import lines, python, sh

from pytest_manylinux.engines.api import Cache, Command, Engine, Mount, Sandbox, SandboxSpec
from pytest_manylinux.errors import SandboxError

pytestmark = pytest.mark.attack("escape")

CONNECT = """
import socket
try:
    socket.create_connection(("127.0.0.1", %d), timeout=30).close()
except OSError as error:
    print("refused", error)
else:
    print("connected")
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the host's own loopback that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_only_loopback_without_network(shared: Sandbox) -> None:
    table = lines(sh(shared, "tail -n +3 /proc/net/dev"))
    assert [line.split(":")[0].strip() for line in table] == ["lo"]


def test_hosts_loopback_is_not_ours(shared: Sandbox, port: int) -> None:
    assert lines(python(shared, CONNECT % port))[0].startswith("refused")


def test_network_when_asked_for(engine: Engine, spec: SandboxSpec, port: int) -> None:
    with engine.open(replace(spec, network=True)) as sandbox:
        assert lines(python(sandbox, CONNECT % port)) == ["connected"]


def test_network_brings_the_hosts_name_servers(engine: Engine, spec: SandboxSpec) -> None:
    theirs = [
        line for line in Path("/etc/resolv.conf").read_text().splitlines() if "nameserver" in line
    ]
    with engine.open(replace(spec, network=True)) as sandbox:
        ours = lines(sh(sandbox, "cat /etc/resolv.conf"))
    assert [line for line in ours if "nameserver" in line] == theirs


def test_processes_of_the_host_are_not_seen(shared: Sandbox) -> None:
    assert len(lines(sh(shared, "ls -d /proc/[0-9]*"))) < 8


def test_processes_inside_tell_nothing_of_the_host(
    engine: Engine, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "LEAKED")
    with engine.open(spec) as sandbox:
        seen = sh(sandbox, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; ls -l /proc/[0-9]*/fd")
    assert b"/proc/1/fd" in seen.stdout
    assert b"LEAKED" not in seen.stdout
    assert b"socket:" not in seen.stdout
    for place in (str(Path.home()), str(Path.cwd()), str(spec.image.root)):
        assert place.encode() not in seen.stdout.replace(b"HOME=/scratch", b"")


def test_processes_of_the_host_cannot_be_signalled(shared: Sandbox) -> None:
    assert sh(shared, f"kill -0 {os.getpid()}").exit_code == 1


def test_shared_memory_of_the_host_is_not_seen(shared: Sandbox) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o1666)
    assert segment >= 0
    try:
        assert len(Path("/proc/sysvipc/shm").read_text().splitlines()) > 1
        assert len(lines(sh(shared, "cat /proc/sysvipc/shm"))) == 1
    finally:
        libc.shmctl(segment, 0, None)


def test_host_name_is_its_own(shared: Sandbox) -> None:
    assert lines(sh(shared, "cat /proc/sys/kernel/hostname")) == ["sandbox"]


def test_host_name_is_the_one_that_was_asked_for(engine: Engine, spec: SandboxSpec) -> None:
    with engine.open(replace(spec, hostname="elsewhere")) as sandbox:
        assert lines(sh(sandbox, "cat /proc/sys/kernel/hostname")) == ["elsewhere"]


def test_user_is_nobody_special(shared: Sandbox) -> None:
    status = dict(
        line.split(":\t", 1) for line in lines(sh(shared, "cat /proc/self/status")) if ":\t" in line
    )
    assert status["Uid"].split()[0] != "0"
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert set(status["Groups"].split()) <= set(status["Gid"].split())


def test_user_has_a_name_and_a_home(shared: Sandbox) -> None:
    program = "import os, pwd; e = pwd.getpwuid(os.getuid()); print(e.pw_dir, os.path.expanduser('~'))"
    assert lines(python(shared, program)) == ["/scratch/home /scratch/home"]
    assert sh(shared, "touch ~/x").ok


@pytest.mark.parametrize(
    "path",
    ["/x", "/etc/x", "/usr/x", "/usr/lib/x", "/var/x", "/root/x", "/dev/x", "/sys/x", "/run/x"],
)
def test_root_is_read_only(shared: Sandbox, path: str) -> None:
    assert not sh(shared, f"echo > {path}").ok


def test_kernel_settings_are_read_only(shared: Sandbox) -> None:
    # Opened, not written: a host whose sandbox leaks must not be harmed by this test.
    program = (
        "import os\n"
        "for top in ('sys', 'irq', 'bus', 'fs', 'acpi', 'scsi', '../sys'):\n"
        "    for folder, _, names in os.walk('/proc/' + top):\n"
        "        for name in names:\n"
        "            try:\n"
        "                os.close(os.open(f'{folder}/{name}', os.O_WRONLY | os.O_NONBLOCK))\n"
        "            except OSError:\n"
        "                continue\n"
        "            print(f'{folder}/{name}')\n"
        "for name in ('sysrq-trigger', 'mtrr'):\n"
        "    if os.access(f'/proc/{name}', os.W_OK): print(name)\n"
    )
    assert lines(python(shared, program)) == []


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs x /tmp",
        "mknod /tmp/null c 1 3",
        "chroot / true",
        "chown 0 /tmp",
    ],
)
def test_privileges_cannot_be_had(shared: Sandbox, attempt: str) -> None:
    assert not sh(shared, attempt).ok


def test_devices_are_the_harmless_ones(shared: Sandbox) -> None:
    seen = set(lines(sh(shared, "find /dev -type c -o -type b")))
    harmless = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "console",
        "ptmx",
        "pts/ptmx",
        "pts/0",
    }
    assert seen <= {f"/dev/{name}" for name in harmless}
    assert sh(shared, "head -c 8 /dev/urandom > /dev/null").ok


def test_a_device_of_the_machine_cannot_be_changed(shared: Sandbox) -> None:
    """To what it is already: nothing is lost where this fails. They can be used."""
    script = """
    for name in null zero full random urandom tty; do
        chmod 666 /dev/$name && echo could
        touch -d 2020-01-01 /dev/$name && echo could
    done
    echo words > /dev/null && head -c 3 /dev/zero /dev/urandom | wc -c
    """
    assert "could" not in lines(sh(shared, script))
    assert int(lines(sh(shared, script))[-1]) > 6


def test_files_of_the_host_are_not_seen(shared: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    assert not sh(shared, f"ls {tmp_path}").ok


def test_environment_is_cleared(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "1")
    command = Command(argv=("env", "-u", "_"), environment={"ADDED": "a b", "LANG": "C"})
    assert set(lines(shared.exec(command))) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/scratch/home",
        "TMPDIR=/tmp",
        "LANG=C",
        "ADDED=a b",
    }


def test_standard_input_is_empty(shared: Sandbox) -> None:
    assert lines(sh(shared, "wc -c; test -t 0 || echo no terminal")) == ["0", "no terminal"]


def test_no_open_files_are_inherited(shared: Sandbox) -> None:
    assert lines(
        python(shared, "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:4])")
    ) == ["[0, 1, 2, 3]"]
    assert len(lines(sh(shared, "ls /proc/self/fd"))) == 4


@pytest.mark.parametrize(
    "target",
    ["/inputs", "/wheelhouse/here", "/scratch/in", "/usr/local/new/place", "/etc/new"],
)
def test_inputs_are_seen_read_only(
    engine: Engine, spec: SandboxSpec, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").write_text("content\n")
    mounts = (Mount(source=tmp_path, target=PurePosixPath(target)),)
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        assert lines(sh(sandbox, f"cat {target}/file")) == ["content"]
        assert not sh(sandbox, f"echo > {target}/file").ok
        assert not sh(sandbox, f"echo > {target}/other").ok
        assert not sh(sandbox, f"rm {target}/file").ok
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "content\n"


@pytest.mark.parametrize(
    "target", ["/inputs/a.whl", "/etc/ssl/certs/ca-certificates.crt", "/etc/hosts"]
)
def test_an_input_may_be_one_file(
    engine: Engine, spec: SandboxSpec, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").write_text("content\n")
    mounts = (Mount(source=tmp_path / "file", target=PurePosixPath(target)),)
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        assert lines(sh(sandbox, f"cat {target}")) == ["content"]
        assert not sh(sandbox, f"echo > {target}").ok


def test_what_lies_beside_a_new_mount_stays(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    mounts = (Mount(source=tmp_path, target=PurePosixPath("/usr/lib/new-place")),)
    with engine.open(spec) as before, engine.open(replace(spec, mounts=mounts)) as after:
        expected = [*lines(sh(before, "ls /usr/lib")), "new-place"]
        assert sorted(lines(sh(after, "ls /usr/lib"))) == sorted(expected)
        assert not sh(after, "echo > /usr/lib/x").ok


@pytest.mark.parametrize("top", ["/scratch", "/tmp"])  # noqa: S108 - the sandbox's own
def test_folders_above_an_input_are_the_sandbox_s_own(
    engine: Engine, spec: SandboxSpec, tmp_path: Path, top: str
) -> None:
    (tmp_path / "file").write_text("content\n")
    targets = [PurePosixPath(top, place) for place in ("a/b/one", "a/two")]
    mounts = tuple(Mount(source=tmp_path, target=target) for target in targets)
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        assert lines(sh(sandbox, f"cd {top}/a; mkdir b/x y; echo 1 > b/x/1; ls . b")) == (
            [".:", "b", "two", "y", "", "b:", "one", "x"]
        )
        assert not sh(sandbox, f"echo > {top}/a/two/other").ok


def test_an_input_that_only_its_owner_may_read(
    engine: Engine, spec: SandboxSpec, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "file").chmod(0o600)
    mounts = (Mount(source=tmp_path, target=PurePosixPath("/inputs")),)
    with engine.open(replace(spec, mounts=mounts)) as sandbox:
        assert lines(sh(sandbox, "cat /inputs/file")) == ["content"]


def test_an_input_that_is_not_there(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    mounts = (Mount(source=tmp_path / "none", target=PurePosixPath("/inputs")),)
    with pytest.raises(SandboxError, match="does not exist"):
        engine.open(replace(spec, mounts=mounts))


@pytest.mark.parametrize("target", ["inputs", "/", "/a/../etc"])
def test_an_input_at_no_place(engine: Engine, spec: SandboxSpec, tmp_path: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="no place for a mount"):
        engine.open(replace(spec, mounts=(Mount(source=tmp_path, target=PurePosixPath(target)),)))


def test_a_cache_is_written_and_kept(engine: Engine, spec: SandboxSpec, tmp_path: Path) -> None:
    caches = (Cache(source=tmp_path, target=PurePosixPath("/cache")),)
    for expected in ("", "x"):
        with engine.open(replace(spec, caches=caches)) as sandbox:
            assert lines(sh(sandbox, "cat /cache/deep/file 2>/dev/null; true")) == expected.split()
            assert sh(sandbox, "mkdir -p /cache/deep && echo x > /cache/deep/file").ok
    assert (tmp_path / "deep/file").read_text() == "x\n"
