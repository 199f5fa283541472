"""Every error that a user can meet: what happened, why, and what to do next.

One root, :class:`ManylinuxError`. Each class carries the exit code that a command of ours ends with
(docs/reference/exit-codes.md). They are printed in one place each for the plugin and for the command;
nobody sees a traceback for a mistake of their own or for a machine that lacks something.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Collection

from pytest_manylinux.escape import plain, printable


class ExitCode(enum.IntEnum):
    """Exit codes of `pytest-manylinux` and of a run with `--manylinux`."""

    OK = 0
    NOT_PORTABLE = 1
    INTERRUPTED = 2
    NOT_PROVEN = 3
    USAGE = 4
    BAD_SIGNATURE = 5
    UPLOAD_FAILED = 6


class ManylinuxError(Exception):
    """The root of all errors that are meant for a user's eyes.

    `what` is one sentence, `why` the cause in the words of whoever knows it, `remedy` the next step.
    """

    exit_code: ExitCode = ExitCode.NOT_PROVEN

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        # paths are in them, whose bytes need not be UTF-8, and reports are
        self.what = printable(what)
        self.why = printable(why)
        self.remedy = printable(remedy)

    def __str__(self) -> str:
        """Join the three parts, a line each and made harmless; absent parts leave no line."""
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.remedy:
            lines.append(f"  next: {self.remedy}")
        return plain("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: errors cross process boundaries under xdist and on a cluster."""
        return (_rebuild, (type(self), self.what, self.why, self.remedy))


def _rebuild(kind: type[ManylinuxError], what: str, why: str, remedy: str) -> ManylinuxError:
    return kind(what, why=why, remedy=remedy)


def _rebuild_build(  # noqa: PLR0917 - as BuildError.__reduce__ lists them
    what: str, why: str, remedy: str, finding: str, policy: str, because: str
) -> BuildError:
    return BuildError(what, why=why, remedy=remedy, finding=finding, policy=policy, because=because)


def _rebuild_no_wheel(what: str, why: str, remedy: str, sdist: str) -> NoWheelError:
    return NoWheelError(what, why=why, remedy=remedy, sdist=sdist)


class InternalError(ManylinuxError):
    """A fault of pytest-manylinux itself; `what` is one line with the place of the saved traceback."""


class UsageError(ManylinuxError):
    """A setting, a flag or a path that cannot be meant."""

    exit_code = ExitCode.USAGE


class MalformedWheelError(ManylinuxError):
    """A file that is called a wheel and is none, or breaks the wheel specification."""

    exit_code = ExitCode.NOT_PORTABLE


class ProjectError(ManylinuxError):
    """A folder or sdist that cannot be built as it stands (no build system, unreadable archive)."""

    exit_code = ExitCode.USAGE


class BuildError(ManylinuxError):
    """The project's build or repair failed; the log says how.

    `finding` is the kebab-case name of the finding that the failure amounts to. `policy` is the oldest
    one that would do, where a newer one would help, and `because` a line on what asks for it.
    """

    exit_code = ExitCode.NOT_PORTABLE

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        remedy: str = "",
        finding: str = "build-failed",
        policy: str = "",
        because: str = "",
    ) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.finding = finding
        self.policy = policy
        self.because = because

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with all that is in it."""
        words = (self.what, self.why, self.remedy, self.finding, self.policy, self.because)
        return (_rebuild_build, words)


class ToolchainError(ManylinuxError):
    """What builds need but no project brings (compiler, front end, repair tools) cannot be had."""


class NoPythonError(ManylinuxError):
    """A Python that a distro does not package, and that could be neither fetched nor built for it."""


class EngineError(ManylinuxError):
    """An engine that is missing, does not answer, or went away."""


class RunEndedError(EngineError):
    """The run has ended, by a signal say: what was begun for it is of no use to anybody."""


class ImageError(ManylinuxError):
    """An image that could not be made or fetched."""


class ClusterError(EngineError):
    """A cluster that does not answer, has no worker that fits, or lost the worker."""


class SandboxError(EngineError):
    """One sandbox could not be started or was lost; others may still work."""


class DeadImageError(SandboxError):
    """An image in which no command runs on this machine: each one ends at once by a signal."""


class TrialTimeoutError(SandboxError):
    """A trial's time was over before anything could be seen of the wheel."""


class DependencyError(ManylinuxError):
    """What a wheel depends on cannot be had for a target; `why` is the resolver's decisive line."""


class NoWheelError(DependencyError):
    """A dependency that has no wheel for a target, and whose source its pip cannot build there.

    `sdist` is the file name of that source; empty where pip did not name it.
    """

    def __init__(self, what: str, *, why: str = "", remedy: str = "", sdist: str = "") -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.sdist = sdist

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with all that is in it."""
        return (_rebuild_no_wheel, (self.what, self.why, self.remedy, self.sdist))


class PackageIndexError(ManylinuxError):
    """A package index, or a server of wheels, that did not answer, or not as it should."""


class StoreError(ManylinuxError):
    """Our cache folder is full, read-only or damaged."""


class ProofError(ManylinuxError):
    """A proof file that is missing, not a proof, or of another version."""


class ReportError(ManylinuxError):
    """A report that could not be written where the user asked for it."""

    exit_code = ExitCode.USAGE


class SignatureError(ManylinuxError):
    """A proof that was changed after it was written, or not signed by whom it should be."""

    exit_code = ExitCode.BAD_SIGNATURE


class UploadError(ManylinuxError):
    """The upload program did not take files that the gate had let through."""

    exit_code = ExitCode.UPLOAD_FAILED


def nearest(word: str, known: Collection[str]) -> str:
    """Suggest the known word that is nearest, as the start of a sentence, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"perhaps you meant {near[0]!r}; " if near else ""
