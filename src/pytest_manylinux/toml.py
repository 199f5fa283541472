"""TOML as text becomes data: one parser for every file, whichever Python it runs on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TomlError = tomllib.TOMLDecodeError
"""A text is not TOML; its words say where."""


@functools.lru_cache(maxsize=32)
def parse_toml(text: str) -> Mapping[str, Any]:
    """A TOML document: collection, settings and planning ask for the same one, which is parsed once.

    Nobody may change it. Raises TomlError, for numbers and nesting that Python gives up on as well.
    """
    try:
        return tomllib.loads(text)
    except TomlError:
        raise
    except ValueError as error:  # of an integer of thousands of digits
        raise TomlError(str(error)) from error
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
