"""Data from outside become typed values: msgspec's decoding, for any thread.

Before version 0.23 msgspec is not safe where two threads are the first to ask for a type: one makes the
type's description, the other reads it half made, and the process ends by a segmentation fault (seen
with 0.19.0, 0.20.0 and 0.22.0). Here descriptions are made one at a time; what uses them needs no lock.
So no other module calls msgspec's own decoders (TID251 in pyproject.toml).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

_T = TypeVar("_T")
_MAKING = threading.Lock()
_made: dict[Any, msgspec.json.Decoder[Any]] = {}


@overload
def json_decoder(kind: type[_T], hook: Callable[[type, Any], Any]) -> msgspec.json.Decoder[_T]: ...
@overload
def json_decoder(kind: type[_T], hook: None = None) -> msgspec.json.Decoder[_T]: ...
@overload
def json_decoder(kind: Any, hook: None = None) -> msgspec.json.Decoder[Any]: ...  # noqa: ANN401
def json_decoder(
    kind: Any,
    hook: Callable[[type, Any], Any] | None = None,
) -> msgspec.json.Decoder[Any]:
    """What reads JSON as a type; `hook` is msgspec's `dec_hook`, for types that JSON has not."""
    with _MAKING:
        if hook is not None:
            return msgspec.json.Decoder(kind, dec_hook=hook)
        decoder = _made.get(kind)
        if decoder is None:
            decoder = _made[kind] = msgspec.json.Decoder(kind)
        return decoder


@overload
def decode_json(content: bytes | str, kind: type[_T]) -> _T: ...
@overload
def decode_json(content: bytes | str, kind: Any) -> Any: ...  # noqa: ANN401
def decode_json(content: bytes | str, kind: Any) -> Any:
    """JSON as a value of a type.

    Raises msgspec.MsgspecError, and UnicodeDecodeError for what is not UTF-8.
    """
    return json_decoder(kind).decode(content)


@overload
def convert(value: object, kind: type[_T], *, from_attributes: bool = False) -> _T: ...
@overload
def convert(value: object, kind: Any, *, from_attributes: bool = False) -> Any: ...  # noqa: ANN401
def convert(value: object, kind: Any, *, from_attributes: bool = False) -> Any:
    """Plain values, or with `from_attributes` any objects, as a value of a type.

    Raises msgspec.ValidationError.
    """
    json_decoder(kind)  # makes the description, which `convert` alone would make without the lock
    return msgspec.convert(value, kind, from_attributes=from_attributes)
