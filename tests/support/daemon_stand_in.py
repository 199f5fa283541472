"""A stand-in for a container daemon's API, on a socket of the test's own: fixed answers."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler


class Answers(BaseHTTPRequestHandler):
    """A daemon that logs nothing, whoever asks."""

    server_version = "Fake"
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """What is answered to `self.path`."""
        return b"{}"

    def headers_besides(self) -> Mapping[str, str]:
        """Headers of the answer besides its type and length."""
        return {}

    def do_GET(self) -> None:
        body = self.body()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.headers_besides().items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "somebody"

    def log_message(self, *_: object) -> None:
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
