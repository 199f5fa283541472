"""Each kind of wheel in a row: how one is made, and what is to be told of it on four Debian releases.

A new kind is a function that writes a wheel into an empty folder, and a row in the file of its group.
"""

from __future__ import annotations

import archive_kinds
import data_kinds
import library_kinds
import module_kinds
import program_kinds
import refused_kinds
from kinds_of_wheels import WheelKind

KINDS: tuple[WheelKind, ...] = (
    *library_kinds.KINDS,
    *data_kinds.KINDS,
    *module_kinds.KINDS,
    *program_kinds.KINDS,
    *refused_kinds.KINDS,
    *archive_kinds.KINDS,
)
