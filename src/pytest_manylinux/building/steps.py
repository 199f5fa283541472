"""The steps of one build: one sandbox in which they run, with one log and one deadline for all of them.

Of the log, everything is on disk, what decides in memory, credentials nowhere.
"""

from __future__ import annotations

import re
import signal
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import SCRATCH, Command, Completed, Sandbox, Status
from pytest_manylinux.errors import BuildError, SandboxError, StoreError, ToolchainError
from pytest_manylinux.escape import redact, without_commands
from pytest_manylinux.host.shutdown import Closeable
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.wheel import WheelFacts

_BOUND = 64 * 1024 * 1024
_TAIL = 400
_ERRORS = 60
_LINE = 64 * 1024
_CONTEXT = 3
_SHOWN, _LAST = 12, 15  # lines of errors, of a log's end
_ERROR_WORDS = ("rror", "ERROR", "undefined ", "xception: ", "command not found")
_ERROR = re.compile(
    r"\b(?:fatal )?error\b(?: [A-Z]+\d+)?:|undefined (?:symbol|reference)|^[\w.]*(?:Error|Exception): |"
    r"^ERROR\b|^\S+:\d+:\d+: ERROR: |: command not found|CMake Error",
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_NOT_THE_CAUSE = re.compile(
    r"-Werror|--?error|subprocess-exited-with-error|Failed building|errors? generated"
)


class BuildLog(Closeable):
    """Writes a build's output to a file as it comes, line by line, terminal controls taken out.

    On disk at most 64 MiB are kept (a build that writes without end must not fill the disk); in
    memory the last lines and the first errors of each step with a few lines that follow them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._errors: list[str] = []
        self._follow = 0
        self._step = 0
        self._earlier = 0  # errors of the steps before
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
        self._step = self._follow = 0
        self._earlier = len(self._errors)

    def ending(self, text: str) -> None:
        """Mark the end of a step, which goes on to be the one that is asked for."""
        self._flush()
        self._write(f"== {text}\n")

    def feed(self, data: bytes) -> None:
        """Take output as it comes: an `OutputListener` of engines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LINE:
            self._flush()
        self._file.flush()  # a killed run leaves its log, and people watch it grow

    def tail(self, count: int = _LAST) -> str:
        """The last lines."""
        self._flush()
        return "\n".join(list(self._tail)[-count:])

    def step(self) -> str:
        """What came since the last heading, of the lines that are kept in memory."""
        self._flush()
        lines = list(self._tail)
        return "\n".join(lines[max(0, len(lines) - self._step) :])

    def errors(self, count: int = _SHOWN) -> str:
        """The first errors that compilers, linkers and build back ends spoke of; may be empty.

        Of the last step, or where that has none, of those before it.
        """
        self._flush()
        return "\n".join((self._errors[self._earlier :] or self._errors)[:count])

    def decisive(self) -> str:
        """What to show of a step that failed: its first errors, or its end if nothing looks like one.

        Of a step that said nothing, the end of the log: what came before it.
        """
        self._flush()
        own = self._errors[self._earlier :][:_SHOWN]
        return "\n".join(own or self.step().splitlines()[-_LAST:]) or self.tail()

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
            if len(self._errors) - self._earlier < _ERRORS:
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


class TimeOverError(BuildError):
    """The build's time was over while a step ran; what the step did decides whose fault that is."""


class BuildSteps:
    """Runs steps; `what` names the build for people: `markupsafe for cp311 as manylinux1`.

    Every command starts with `prefix`.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        log: BuildLog,
        what: str,
        *,
        timeout: float,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.sandbox = sandbox
        self.log = log
        self.what = what
        self._prefix = prefix
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def run(
        self,
        title: str,
        argv: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        cwd: PurePosixPath = SCRATCH,
        needed_of: str = "",
    ) -> Completed:
        """Run one step to its end, whatever its exit code.

        With `needed_of`, the name of an image, a step that fails is the image's fault and raises
        ToolchainError.

        Raises BuildError when the build's time is over before the step, TimeOverError (which is one)
        when it is over during the step, and SandboxError when the sandbox is lost.
        """
        self.log.heading(title)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_long(BuildError, title)
        command = Command(argv=(*self._prefix, *argv), environment=environment, cwd=cwd, timeout=left)
        completed = self.sandbox.exec(command, listener=self.log.feed)
        match completed.status:
            case Status.TIMED_OUT:
                raise self._too_long(TimeOverError, title)
            case Status.LOST:
                raise SandboxError(f"{self.what}: the sandbox was lost during: {title}")
            case Status.SIGNALLED:
                self.log.ending(f"ended by signal {completed.signal}")
            case Status.EXITED:
                self.log.ending(f"exit code {completed.exit_code}, {completed.duration:.1f} s")
        if needed_of and not completed.ok:
            raise ToolchainError(
                f"{self.what}: {title} failed in {needed_of}",
                why=self.log.decisive(),
                remedy=f"the whole log is {self.log.path}",
            )
        return completed

    def add_time(self, seconds: float) -> None:
        """Put off the deadline: so long the build waited for what is not its own."""
        self._deadline += seconds

    def read_wheel(self, folder: Path) -> WheelFacts:
        """Read the one wheel in a folder of this machine that was copied out of the sandbox."""
        wheels = sorted(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise BuildError(
                f"{self.what}: the build gave {len(wheels)} wheels, not one",
                why=self.log.decisive(),
                remedy=f"the whole log is {self.log.path}",
            )
        return read_wheel(open_wheel(wheels[0]))

    def failure(self, what: str, completed: Completed, *, finding: str = "build-failed") -> BuildError:
        """The error for a step that did not end well: what the log says decides."""
        why = self.log.decisive()
        if completed.status is Status.SIGNALLED and completed.signal is not None:
            name = signal.Signals(completed.signal).name
            reason = " (out of memory, most likely)" if name == "SIGKILL" else ""
            why = f"it was ended by {name}{reason}\n{why}"
        return BuildError(
            f"{self.what}: {what}", why=why, remedy=f"the whole log is {self.log.path}", finding=finding
        )

    def _too_long(self, kind: type[BuildError], title: str) -> BuildError:
        return kind(
            f"{self.what}: the build took longer than {self._timeout:g} s, in: {title}",
            why=self.log.tail() or "it wrote nothing",
            remedy=f"raise build-timeout if it needs more; the whole log is {self.log.path}",
            finding="build-timeout",
        )
