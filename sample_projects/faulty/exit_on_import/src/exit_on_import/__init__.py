"""Greets. Somebody forgot `if __name__ == "__main__":`."""

import sys


def greeting(name: str) -> str:
    """Words for somebody who comes in."""
    return f"Good day, {name}!"


def main() -> int:
    """Greet the user; the exit code says whether it worked."""
    print(greeting("you"))
    return 0


sys.exit(main())
