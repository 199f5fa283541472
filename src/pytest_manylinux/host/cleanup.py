"""A small shell that outlives us by a moment, to tidy up however we end, SIGKILL included."""

from __future__ import annotations

import subprocess

_UNTIL_THE_END = "read -r _\n"  # returns when the other end of the pipe is closed, by us or the kernel


class Tether:
    """Runs `before`, waits until its owner lets go or dies, then runs `after`.

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
