"""One sandbox in which a build's steps run, with one log and one deadline for all of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.log import BuildLog
from pytest_manylinux.engines.api import SCRATCH, Command, Completed, Sandbox, Status
from pytest_manylinux.errors import BuildError, SandboxError, ToolchainError
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.wheel import WheelFacts


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
                self.log.heading(f"ended by signal {completed.signal}")
            case Status.EXITED:
                self.log.heading(f"exit code {completed.exit_code}, {completed.duration:.1f} s")
        if needed_of and not completed.ok:
            raise ToolchainError(
                f"{self.what}: {title} failed in {needed_of}",
                why=self.log.decisive(),
                remedy=f"the whole log is {self.log.path}",
            )
        return completed

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
