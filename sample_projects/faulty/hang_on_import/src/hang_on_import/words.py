"""Words that take long to load."""

PREPARED = []


def prepare() -> None:
    """Fill the list of words."""
    PREPARED.extend(["patience", "lock", "key"])
