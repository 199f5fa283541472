"""A server on loopback that passes requests on to a real one, and fails as it is told to.

It stands before a package index, an archive's mirror or an image registry. What matches `pattern` goes
wrong; everything else is passed on as it is.
"""

from __future__ import annotations

import enum
import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"})
_DROP = 4  # bytes at a time, where a server is slow
_PAUSE = 0.5  # seconds between two drops
_NOTHING = ""  # a pattern that matches all


class Fault(enum.Enum):
    """What goes wrong."""

    NONE = "none"
    ERROR = "error 500"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    SLOW = "slow"
    SILENT = "silent"
    LOST = "hung up on"


@dataclass
class FaultyServer:
    """`address` is host:port, `asked` the paths asked for so far; `fault` may change at any time."""

    upstream: str
    fault: Fault = Fault.NONE
    pattern: str = _NOTHING
    address: str = ""
    asked: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"http://{self.address}"

    def fault_of(self, path: str) -> Fault:
        """What happens to a request for `path`."""
        return self.fault if self.matches(path) else Fault.NONE

    def matches(self, path: str) -> bool:
        """Whether the fault is about this path."""
        return re.search(self.pattern, path) is not None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""

    def _serve(self) -> None:
        faulty = self.faulty
        faulty.asked.append(self.path)
        fault = faulty.fault_of(self.path)
        self.close_connection = True
        if fault is Fault.SILENT:
            while faulty.fault is Fault.SILENT and not faulty.stopped.wait(_PAUSE):
                """Until it is mended, which breaks the connection."""
        elif fault is Fault.ERROR:
            self.send_error(500, "a fault on purpose")
        elif fault is not Fault.LOST:
            with suppress(OSError, http.client.HTTPException):
                self._pass_on(fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - the base class's names

    def _pass_on(self, fault: Fault) -> None:
        target = urlsplit(self.faulty.upstream)
        connection = http.client.HTTPConnection(target.netloc, timeout=60)
        try:
            length = int(self.headers.get("content-length") or 0)
            names = {name for name in self.headers if name.lower() not in _HOP}
            headers = {name: ", ".join(self.headers.get_all(name, ())) for name in names}
            headers["Host"] = self._host(target.netloc)
            path = target.path.rstrip("/") + self.path
            connection.request(self.command, path, self.rfile.read(length) if length else None, headers)
            self._answer(connection.getresponse(), fault)
        finally:
            connection.close()

    def _host(self, upstream: str) -> str:
        """A registry and an index name themselves in their answers: as we are called, if local."""
        local = upstream.startswith("127.0.0.1")
        return str(self.headers.get("host", upstream)) if local else upstream

    def _answer(self, response: http.client.HTTPResponse, fault: Fault) -> None:
        size = response.getheader("content-length")
        body = response.read() if size is None or fault is not Fault.NONE else None
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(body or b"")))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if body is None:
            while chunk := response.read(_CHUNK):
                self.wfile.write(chunk)
        else:
            self._send(body, fault)

    def _send(self, body: bytes, fault: Fault) -> None:
        if fault is Fault.TRUNCATED:
            body = body[: len(body) // 2]
        elif fault is Fault.DAMAGED and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        if fault is not Fault.SLOW:
            self.wfile.write(body)
            return
        for start in range(0, len(body), _DROP):
            self.wfile.write(body[start : start + _DROP])
            if self.faulty.stopped.wait(_PAUSE) or self.faulty.fault is not fault:
                return


@contextmanager
def faulty_server(upstream: str) -> Iterator[FaultyServer]:
    """Serve on loopback until the end; `upstream` is a URL with plain http."""
    faulty = FaultyServer(upstream=upstream)
    handler = type("Handler", (_Handler,), {"faulty": faulty})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    faulty.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        faulty.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
        time.sleep(0)  # the threads of requests end by themselves
