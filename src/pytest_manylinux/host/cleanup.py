"""What is tidied up: at the end of a `with` block, or however this process ends, SIGKILL included."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_UNTIL_THE_END = "read -r _\n"  # returns when the other end of the pipe is closed, by us or the kernel


class Closeable(ABC):
    """Leaving it closes it."""

    @abstractmethod
    def close(self) -> None:
        """End it, and return when it is gone. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Tether(Closeable):
    """A small shell that outlives us by a moment.

    Runs `before`, waits until its owner lets go or dies, then runs `after`.

    Both are scripts for /bin/sh that see `arguments` as $1, $2, …
    """

    def __init__(self, *arguments: str, before: str = "", after: str = "") -> None:
        script = f"{before}\n{_UNTIL_THE_END}{after}"
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *arguments],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who then let go
        )

    def close(self) -> None:
        """Let go; return when `after` is done."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
