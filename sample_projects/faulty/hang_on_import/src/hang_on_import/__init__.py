"""Loads its words in a thread, to be ready sooner; it never is.

The thread imports from this package, so it waits until the package is imported. The import waits for
the thread.
"""

import threading


def _load() -> None:
    from hang_on_import import words

    words.prepare()


_loader = threading.Thread(target=_load, daemon=True)
_loader.start()
_loader.join()
