"""Packages unpacked and configured at one go: what is left to dpkg, and what its database gets.

That the root comes out as mmdebstrap makes it: tests/integration/test_images_roots.py.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from pytest_manylinux.images import configure_main, fetch_main
from pytest_manylinux.images.configure_main import listed_packages, mark_automatic
from pytest_manylinux.images.fetch_main import UnpackedPackage, digest_of, path_of, ready, register

HELPER = b"""#!/bin/sh
set -e
# Automatically added by dh_installdeb/13.11.4
dpkg-maintscript-helper rm_conffile /etc/cron.daily/apt 1.2.10\\~ -- "$@"
# End automatically added section

"""
KNOWN = b"""#!/bin/sh

set -e

case "$1" in
    install)
\t# remember newly installed runtime
\tmkdir -p /var/lib/python
\ttouch /var/lib/python/python3.11_installed
    ;;
    upgrade)
\t:
    ;;

    abort-upgrade)
    ;;

    *)
        echo "preinst called with unknown argument \\`$1'" >&2
        exit 1
    ;;
esac



exit 0
"""
STRANGE = b"#!/bin/sh\nadduser --system demo\n"


def package(
    name: str, *, files: tuple[str, ...] = (), fields: dict[str, str] | None = None, **control: bytes
) -> UnpackedPackage:
    known = {"Package": name, "Version": "1", "Architecture": "amd64", **(fields or {})}
    stanza = "".join(f"{key}: {value}\n" for key, value in known.items())
    return UnpackedPackage(
        Path(f"{name}_1_amd64.deb"), known, {"control": stanza.encode(), **control}, files
    )


@pytest.mark.parametrize(
    ("script", "fields", "left"),
    [
        (None, {}, False),
        (HELPER, {}, False),
        (KNOWN, {}, False),
        (KNOWN.replace(b"3.11", b"3.42"), {}, False),
        (STRANGE, {}, True),
        (HELPER + b"rm -rf /etc/demo\n", {}, True),
        (KNOWN.replace(b"mkdir -p /var/lib/python", b"rm -rf /etc/python"), {}, True),
        (STRANGE, {"Essential": "yes"}, False),
        (STRANGE, {"Priority": "required"}, False),
    ],
)
def test_only_a_script_that_is_not_known_leaves_its_package_to_dpkg(
    script: bytes | None, fields: dict[str, str], *, left: bool
) -> None:
    demo = (
        package("demo", fields=fields)
        if script is None
        else package("demo", fields=fields, preinst=script)
    )
    assert demo.is_left_to_dpkg is left


def test_apts_own_package_waits_for_the_end_of_apt(tmp_path: Path) -> None:
    """It has the folder that apt downloads to, with another owner than the user that downloads."""
    names = ("apt_2.6.2_amd64.deb", "adduser_3.134_all.deb", "base-files_12.4_amd64.deb", "lock")
    for name in names:
        (tmp_path / name).touch()
    earlier = {tmp_path / "base-files_12.4_amd64.deb"}
    assert [deb.name for deb in ready(tmp_path, earlier)] == ["adduser_3.134_all.deb"]


def test_a_scripts_digest_does_not_depend_on_versions_and_does_on_all_else() -> None:
    assert digest_of(b"run 1.2.3~rc1 -- x") == digest_of(b"run 4.5-6+deb12u1 -- x")
    assert digest_of(b"run 1.2.3 -- x") != digest_of(b"run 1.2.3 -- y")


def test_the_two_programs_mean_the_same_files_and_tell_failures_apart() -> None:
    assert (fetch_main.LEFT, fetch_main.ADDITIONAL) == (configure_main.LEFT, configure_main.ADDITIONAL)
    assert fetch_main.FAILED != configure_main.FAILED


@pytest.mark.parametrize(
    ("name", "path"), [("./", ""), ("./usr/", "/usr"), ("./usr/a b", "/usr/a b"), ("./.x", "/.x")]
)
def test_tars_names_become_dpkgs_paths(name: str, path: str) -> None:
    assert path_of(name) == path


def test_the_database_gets_what_dpkg_would_write(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/demo.conf").write_bytes(b"a = 1\n")
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/demo").write_bytes(b"demo")
    same = package(
        "libdemo",
        files=("./", "./etc/", "./etc/demo.conf", "./usr/", "./usr/demo"),
        fields={"Multi-Arch": "same"},
        conffiles=b"/etc/demo.conf\n",
        postinst=b"#!/bin/sh\n",
        triggers=b"interest-noawait /usr/demo.d\nactivate-noawait ldconfig\n",
    )
    plain = package("demo", md5sums=b"", triggers=b"# a comment\ninterest demo\n")
    register(tmp_path, [same, plain])
    database = tmp_path / "var/lib/dpkg"
    info = database / "info"
    assert (info / "libdemo:amd64.list").read_text() == "/.\n/etc\n/etc/demo.conf\n/usr\n/usr/demo\n"
    sum_of = {
        text: hashlib.md5(text, usedforsecurity=False).hexdigest() for text in (b"demo", b"a = 1\n")
    }
    assert (info / "libdemo:amd64.md5sums").read_text() == f"{sum_of[b'demo']}  usr/demo\n"
    assert (info / "libdemo:amd64.postinst").stat().st_mode & 0o777 == 0o755
    assert (info / "demo.md5sums").read_bytes() == b""
    assert (database / "triggers/File").read_text() == "/usr/demo.d libdemo:amd64/noawait\n"
    assert (database / "triggers/demo").read_text() == "demo\n"
    status = (database / "status").read_text()
    assert status.count("Status: install ok unpacked\n") == 2
    assert f"Conffiles:\n /etc/demo.conf {sum_of[bytes(b'a = 1' + bytes([10]))]}\n" in status
    assert [one.name for one in listed_packages(tmp_path)] == ["libdemo", "demo"]


def test_what_apt_adds_is_heard_and_all_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        "Reading package lists...\n",
        "The following additional packages will be installed:\n",
        "  libb libc\n",
        "  libd\n",
        "Suggested packages:\n",
        "  other\n",
        "The following NEW packages will be installed:\n",
        "  a libb libc libd\n",
    ]
    assert fetch_main._hear(lines) == ["libb", "libc", "libd"]
    assert capsys.readouterr().out == "".join(lines)


def test_apt_knows_what_only_came_for_others(tmp_path: Path) -> None:
    register(
        tmp_path,
        [
            package("libpython"),
            package("base", fields={"Essential": "yes", "Depends": "none | libbase (>= 1), virtual"}),
            package("libbase"),
            package("real", fields={"Provides": "virtual (= 1)"}),
            package("python3", fields={"Depends": "libpython, media"}),
            package("media", fields={"Architecture": "all"}),
        ],
    )
    for name in ("var/lib/apt", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/arch").write_text("amd64\n")
    (tmp_path / fetch_main.ADDITIONAL).write_text("libbase\nreal\nlibpython\nmedia")
    mark_automatic(tmp_path)
    assert (tmp_path / "var/lib/apt/extended_states").read_text() == (
        "Package: libpython\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        "Package: media\nArchitecture: amd64\nAuto-Installed: 1\n\n"
    )
    assert not (tmp_path / fetch_main.ADDITIONAL).exists()


def test_certificates_are_linked_and_bundled_as_the_tool_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(configure_main, "_chroot", lambda _, *argv: ran.append(argv))
    tool = tmp_path / "usr/sbin/update-ca-certificates"
    for name in ("usr/sbin", "etc/ssl/certs", "usr/share/ca-certificates/m", "etc/ca-certificates"):
        (tmp_path / name).mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()[:12]
    monkeypatch.setattr(configure_main, "_CERTIFICATE_TOOLS", {digest})
    shared = tmp_path / "usr/share/ca-certificates/m"
    (shared / "A, (B) c.crt").write_bytes(b"one")
    (shared / "two.crt").write_bytes(b"two\n")
    (tmp_path / "etc/ca-certificates.conf").write_text(
        "# c\n!m/off.crt\nm/two.crt\nm/A, (B) c.crt\nm/no\n"
    )
    certificates = configure_main._Certificates(tmp_path)
    with certificates.deferred():
        assert tool.read_text() == "#!/bin/sh\n"
    certificates.finish()
    folder = tmp_path / "etc/ssl/certs"
    assert {path.name for path in folder.iterdir()} == {
        "two.pem",
        "A__=B=_c.pem",
        "ca-certificates.crt",
    }
    assert (folder / "ca-certificates.crt").read_bytes() == b"two\none\n"
    assert str((folder / "two.pem").readlink()) == "/usr/share/ca-certificates/m/two.crt"
    assert ran == [("openssl", "rehash", "/etc/ssl/certs")]


def test_a_certificate_tool_that_is_not_known_does_its_work_itself(tmp_path: Path) -> None:
    tool = tmp_path / "usr/sbin/update-ca-certificates"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho other\n")
    certificates = configure_main._Certificates(tmp_path)
    with certificates.deferred():
        assert "other" in tool.read_text()
    certificates.finish()
    assert list(tool.parent.iterdir()) == [tool]


def run_stub(program: Path, *words: str) -> tuple[int, str]:
    """The exit code and output of what stands in a program's place."""
    done = subprocess.run([program, *words], check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


def make_program(path: Path, word: str) -> str:
    """A program that says `word` and its arguments, and fails; gives its text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {word} "$@"\nexit 3\n')
    path.chmod(0o755)
    return path.read_text()


@pytest.mark.parametrize(
    ("name", "words", "spared"),
    [
        ("dpkg-maintscript-helper", ("rm_conffile", "/etc/demo", "1~", "--", "install"), True),
        ("dpkg-maintscript-helper", ("symlink_to_dir", "/a", "b", "1~", "--", "configure"), True),
        ("dpkg-maintscript-helper", ("supports", "rm_conffile"), False),
        ("ischroot", (), True),
        ("deb-systemd-helper", ("unmask", "demo.timer"), True),
        ("deb-systemd-helper", ("--quiet", "was-enabled", "demo.timer"), True),
        ("deb-systemd-helper", ("enable", "demo.timer"), False),
        ("deb-systemd-helper", ("--user", "unmask", "demo.timer"), False),
    ],
)
def test_scripts_are_spared_what_is_for_earlier_versions_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...], *, spared: bool
) -> None:
    program = tmp_path / "usr/bin" / name
    text = make_program(program, "real")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    monkeypatch.setattr(configure_main, "_SYSTEMD_HELPERS", {digest})
    with configure_main._first_installation(tmp_path):
        seen = run_stub(program, *words)
    assert seen == ((0, "") if spared else (3, f"real {' '.join(words)}\n"))
    assert program.read_text() == text
    assert list(program.parent.iterdir()) == [program]


def test_a_systemd_helper_that_was_not_read_is_asked_everything(tmp_path: Path) -> None:
    program = tmp_path / "usr/bin/deb-systemd-helper"
    make_program(program, "other")
    with configure_main._first_installation(tmp_path):
        assert run_stub(program, "unmask", "demo.timer") == (3, "other unmask demo.timer\n")


CONFIG = """#!/bin/sh
CERTS_DISABLED=$(sed -ne 's/^!//p' "$1")
CERTS_TRUST=$(sed -e '/^!/d' "$1")
for crt in m/é.crt m/two.crt; do
   if (echo "$CERTS_DISABLED" | grep -F -q -x "$crt") > /dev/null 2>&1; then
     echo "$crt disabled"
   elif (echo "$CERTS_TRUST" | grep -F -q -x "$crt") > /dev/null 2>&1; then
     echo "$crt trusted"
   else
     echo "$crt new"
   fi
done
"""


@pytest.mark.parametrize("listed", [None, "!m/é.crt\nm/two.crt\n"])
def test_certificates_are_looked_for_only_where_some_are_listed(
    tmp_path: Path, listed: str | None
) -> None:
    config = tmp_path / "var/lib/dpkg/info/ca-certificates.config"
    known = tmp_path / "etc/ca-certificates.conf"
    for folder in (config.parent, known.parent):
        folder.mkdir(parents=True)
    config.write_text(CONFIG, "utf-8")
    config.chmod(0o755)
    if listed is not None:
        known.write_text(listed, "utf-8")
    conf = known if listed is not None else Path("/dev/null")
    before = run_stub(config, str(conf))
    with configure_main._Certificates(tmp_path).deferred():
        assert ("grep" in config.read_text("utf-8")) is (listed is not None)
        assert run_stub(config, str(conf)) == before
    assert before[1].count("new") == (2 if listed is None else 0)
    assert config.read_text("utf-8") == CONFIG
