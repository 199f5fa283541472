"""A mirror on loopback that lists more than it has, or is out of step with itself.

It passes requests on to the machine's own mirror, whatever that is, and does to what matches a pattern
what it is told. A suite's Release file can be made to have expired: it is then signed by a key of its
own, which apt is told to trust for it.
"""

from __future__ import annotations

import enum
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images.apt import MachineApt, is_security

_EXPIRED = "Sat, 01 Jan 2022 00:00:00 UTC"
_TIMEOUT = 60.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Lack(enum.Enum):
    """What is wrong with a file."""

    GONE = "gone"
    SHORTER = "of another size"
    CHANGED = "of another content"
    EXPIRED = "expired"
    UNSIGNED = "unsigned"


@dataclass
class EmptiedMirror:
    """`lacks` are by pattern of the path, the first that matches; `asked` the paths asked for so far.

    `upstreams` are mirrors by the first folder of a path: `debian`, `debian-security`. What they sign
    is signed by keys of `trusted`.
    """

    upstreams: dict[str, str]
    home: Path
    trusted: Path
    lacks: dict[str, Lack] = field(default_factory=dict)
    address: str = ""
    asked: list[str] = field(default_factory=list)
    _kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def machine(self, folder: Path) -> Path:
        """An apt.conf in `folder`, for a machine whose apt knows this mirror and nothing else."""
        option = f"[signed-by={self.keyring}]"
        (folder / "parts").mkdir()
        (folder / "sources.list").write_text(
            f"deb {option} {self.url('debian')} bookworm main\n"
            f"deb {option} {self.url('debian-security')} bookworm-security main\n"
        )
        words = {"SourceList": folder / "sources.list", "SourceParts": folder / "parts"}
        lines = [f'Dir::Etc::{name} "{value}";\n' for name, value in words.items()]
        (folder / "apt.conf").write_text("".join(lines))
        return folder / "apt.conf"

    def url(self, part: str) -> str:
        """The address of one of its archives."""
        return f"http://{self.address}/{part}"

    @property
    def keyring(self) -> Path:
        """The keys of `trusted`, and the one that signs what has expired; apt's own user reads it."""
        return self.home.with_suffix(".gpg")

    def lack_of(self, path: str) -> Lack | None:
        """What is wrong with a path."""
        return next((lack for pattern, lack in self.lacks.items() if re.search(pattern, path)), None)

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and content of what is asked for."""
        self.asked.append(path)
        lack = self.lack_of(path)
        if lack is Lack.GONE:
            return 404, b""
        status, body = self._fetch(path)
        if lack is None or status != 200:
            return status, body
        return (status, self._spoilt(body, lack))

    def _fetch(self, path: str) -> tuple[int, bytes]:
        _, part, rest = path.split("/", 2)
        if path not in self._kept:
            try:
                url = f"{self.upstreams[part]}/{rest}"
                with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - the machine's own
                    found = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                found = error.code, b""
            if "/dists/" not in path:
                return found
            self._kept[path] = found
        return self._kept[path]

    def _spoilt(self, body: bytes, lack: Lack) -> bytes:
        match lack:
            case Lack.SHORTER:
                return body[:-1]
            case Lack.CHANGED:
                middle = len(body) // 2
                return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
            case Lack.EXPIRED:
                return self._signed(_expired(_signed_text(body)))
            case _:
                return _signed_text(body).encode()

    def _signed(self, text: str) -> bytes:
        return self._gpg("--clearsign", stdin=text.encode())

    def make_key(self) -> None:
        """Have a key to sign with."""
        self.home.mkdir(mode=0o700)
        self._gpg("--quick-generate-key", "mirror@loopback.invalid", "default", "sign", "never")
        self.keyring.write_bytes(self.trusted.read_bytes() + self._gpg("--export"))

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", ""]
        done = subprocess.run([*command, *words], input=stdin, capture_output=True, check=True)
        return done.stdout

    def stop_agent(self) -> None:
        """End what gpg has started."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)


def _signed_text(body: bytes) -> str:
    """What a clear-signed file says, without the signature."""
    text = body.decode().partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE-----")[0]
    return re.sub(r"^- ", "", text, flags=re.MULTILINE)


def _expired(release: str) -> str:
    rest = re.sub(r"^Valid-Until: .*\n", "", release, flags=re.MULTILINE)
    return re.sub(r"^(Date: .*)$", rf"\1\nValid-Until: {_EXPIRED}", rest, count=1, flags=re.MULTILINE)


def _upstreams() -> dict[str, str]:
    """The machine's own mirrors, as its apt knows them."""
    row = load_catalogue().get("debian-11").archive
    assert row is not None
    lines = [re.sub(r"\[[^]]*\] ", "", line).split() for line in MachineApt().sources(row)]
    security = next(url for _, url, suite, *_ in lines if is_security(suite))
    return {"debian": lines[0][1], "debian-security": security}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: EmptiedMirror

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""

    def do_GET(self) -> None:
        status, body = self.mirror.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class's name


@contextmanager
def emptied_mirror(home: Path) -> Iterator[EmptiedMirror]:
    """Serve on loopback until the end, before this machine's mirrors; `home` is made, for the key."""
    mirror = EmptiedMirror(_upstreams(), home, _KEYRING)
    mirror.make_key()
    handler = type("Handler", (_Handler,), {"mirror": mirror})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    mirror.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        mirror.stop_agent()
