"""A package index on loopback that gives ranges of its files, or misbehaves as it is told to."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class RangeServer:
    """`folder`'s files at /files/, their pages at /simple/NAME/; the fields say how it behaves.

    `sent` counts bytes of files, `asked` are requests for files: the name, and the range or nothing.
    With `meeting`, requests for the ends of files but the first are answered when so many are there.
    `refusal` is the status of its answer to a range; `login` the value of Authorization that it wants.
    """

    folder: Path
    url: str = ""
    sent: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    ranges: bool = True
    refusal: int = 0
    html: bool = False
    digests: dict[str, str] = field(default_factory=dict)
    login: str = ""
    redirects: dict[str, str] = field(default_factory=dict)
    stalls: threading.Event | None = None
    meeting: threading.Barrier | None = None

    def page(self) -> tuple[bytes, str]:
        """The project's page, in the form that was asked for."""
        files = sorted(path for path in self.folder.iterdir() if path.is_file())
        known = {
            p.name: self.digests.get(p.name) or hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
        }
        if self.html:
            links = (
                f'<a href="/files/{name}#sha256={digest}">{name}</a>' for name, digest in known.items()
            )
            return "<br>".join(links).encode(), "text/html"
        rows = [
            {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digest}}
            for name, digest in known.items()
        ]
        page = {"meta": {"api-version": "1.0"}, "name": "demo", "files": rows}
        return json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    of: RangeServer

    def do_GET(self) -> None:
        of = self.of
        if of.stalls is not None:
            of.stalls.wait(60)
        if of.login and self.headers.get("Authorization") != of.login:
            return self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
        if self.path in of.redirects:
            return self.answer(302, b"", {"Location": of.redirects[self.path]})
        if self.path.startswith("/simple/demo/"):
            body, kind = of.page()
            return self.answer(200, body, {"Content-Type": kind})
        path = of.folder / self.path.rpartition("/")[2]
        if not self.path.startswith("/files/") or not path.is_file():
            return self.answer(404, b"", {})
        return self.file(path.read_bytes())

    def file(self, data: bytes) -> None:
        self.of.asked.append((self.path.rpartition("/")[2], self.headers.get("Range", "")))
        ends = [wanted for _, wanted in self.of.asked if wanted.startswith("bytes=-")]
        if self.of.meeting is not None and self.headers["Range"] in ends and len(ends) > 1:
            self.of.meeting.wait(60)
        if self.of.refusal and "Range" in self.headers:
            return self.answer(self.of.refusal, b"", {})
        wanted = _RANGE.fullmatch(self.headers.get("Range", "")) if self.of.ranges else None
        if wanted is None:
            return self.answer(200, data, {}, counted=True)
        if wanted[1]:
            begin, end = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        else:
            begin, end = max(len(data) - int(wanted[2]), 0), len(data)
        place = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
        return self.answer(206, data[begin:end], place, counted=True)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str], *, counted: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # a client may have seen enough by the head
            self.wfile.write(body)
            self.of.sent += len(body) if counted else 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@contextmanager
def served(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder until the end."""
    of = RangeServer(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"of": of}))
    of.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield of
    finally:
        if of.stalls is not None:
            of.stalls.set()
        server.shutdown()
        server.server_close()
        thread.join()
