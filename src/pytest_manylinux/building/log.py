"""The log of one build: everything on disk, what decides in memory, credentials nowhere."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from pytest_manylinux.errors import StoreError
from pytest_manylinux.escape import without_commands
from pytest_manylinux.host.shutdown import Closeable
from pytest_manylinux.indexes import redact

_BOUND = 64 * 1024 * 1024
_TAIL = 400
_ERRORS = 60
_LINE = 64 * 1024
_CONTEXT = 3
_ERROR_WORDS = ("rror", "ERROR", "undefined ", "xception: ", "command not found")
_ERROR = re.compile(
    r"\b(?:fatal )?error\b(?: [A-Z]+\d+)?:|undefined (?:symbol|reference)|^\w*(?:Error|Exception): |"
    r"^ERROR\b|: command not found|CMake Error",
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_NOT_THE_CAUSE = re.compile(
    r"-Werror|--?error|subprocess-exited-with-error|Failed building|errors? generated"
)


class BuildLog(Closeable):
    """Writes a build's output to a file as it comes, line by line, terminal controls taken out.

    On disk at most 64 MiB are kept (a build that writes without end must not fill the disk); in
    memory the last lines and the first errors with a few lines that follow them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._errors: list[str] = []
        self._follow = 0
        self._step = 0
        self._rest = b""
        self._written = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"the build log {path} cannot be written",
                why=str(error),
                remedy="make room there, or set another cache folder",
            ) from error

    def heading(self, text: str) -> None:
        """Mark the start of a step."""
        self._flush()
        self._write(f"== {text}\n")
        self._step = 0

    def feed(self, data: bytes) -> None:
        """Take output as it comes: an `OutputListener` of engines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LINE:
            self._flush()
        self._file.flush()  # a killed run leaves its log, and people watch it grow

    def tail(self, count: int = 15) -> str:
        """The last lines."""
        self._flush()
        return "\n".join(list(self._tail)[-count:])

    def step(self) -> str:
        """What came since the last heading, of the lines that are kept in memory."""
        self._flush()
        lines = list(self._tail)
        return "\n".join(lines[max(0, len(lines) - self._step) :])

    def errors(self, count: int = 12) -> str:
        """The first errors that compilers, linkers and build back ends spoke of; may be empty."""
        self._flush()
        return "\n".join(self._errors[:count])

    def decisive(self) -> str:
        """What to show of a failure: its first errors, or the end where nothing looks like one."""
        return self.errors() or self.tail()

    def text(self) -> str:
        """The whole log as kept on disk."""
        self._flush()
        self._file.flush()
        return self.path.read_text(encoding="utf-8")

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _line(self, raw: bytes) -> None:
        line = raw.decode("utf-8", errors="replace")
        if not line.isprintable():
            line = _ESCAPES.sub("", line)
        if "@" in line:
            line = redact(line)
        line = without_commands(line)  # whoever reads the file aloud in a CI job is safe
        self._tail.append(line)
        self._step += 1
        self._write(f"{line}\n")
        if _is_error(line):
            self._follow = _CONTEXT + 1
        if self._follow:
            self._follow -= 1
            if len(self._errors) < _ERRORS:
                self._errors.append(line)

    def _write(self, text: str) -> None:
        if self._written < _BOUND:
            self._file.write(text)
            self._written += len(text)
            if self._written >= _BOUND:
                self._file.write("== the log is cut here: it grew beyond 64 MiB\n")


def _is_error(line: str) -> bool:
    """The words first: logs are long, and patterns slow."""
    if not any(word in line for word in _ERROR_WORDS):
        return False
    return bool(_ERROR.search(line)) and not _NOT_THE_CAUSE.search(line)
