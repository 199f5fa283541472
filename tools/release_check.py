"""What a release waits for besides the tests: a catalogue that is of today.

    python tools/release_check.py [--day YYYY-MM-DD]

The tests look at no clock, so that they give the same answer for a commit on any day; this does. Ends
with 1 and a line for each fault if the catalogue's figures are older than 120 days, or a distro of a
fixed group is past its end of life without a reason to keep it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, datetime, timezone

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.catalogue.lookup import age, faults_at_release


def main(words: Sequence[str] | None = None) -> int:
    """Check, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    today = datetime.now(tz=timezone.utc).date()
    parser.add_argument("--day", type=date.fromisoformat, default=today, help="instead of today (UTC)")
    day = parser.parse_args(words).day
    catalogue = load_catalogue()
    faults = list(faults_at_release(catalogue, day))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(
            f"the catalogue's figures are {age(catalogue, day)} days old; "
            "no group has a member past its end of life"
        )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
