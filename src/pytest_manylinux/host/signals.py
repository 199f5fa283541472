"""How a run ends when it is told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def end_in_order() -> Callable[[], None]:
    """Have SIGTERM, a CI's way to cancel a job, end the run as Ctrl-C does: nothing is left behind.

    Gives what undoes it. A handler that somebody else has set stays.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def undo() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return undo
