"""Strict reading of JSON objects that somebody else wrote.

A decoder either finds every field with its exact type or the whole text is no record. All readers
must come to the same verdict about one text, so there is no leniency and no coercion.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeVar

T = TypeVar("T")

MISSING: Final[Any] = object()


class Malformed(ValueError):
    """The text is not what it should be; decoders turn it into "no record"."""


def _no_constant(text: str) -> Any:
    raise Malformed(text)


def encode(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def decode_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from None
    if type(value) is not dict:
        raise Malformed("no object")
    return value


def take(source: dict[str, Any], name: str, kind: type[T], default: Any = MISSING) -> T:
    """The field ``name``, which must be exactly of ``kind`` (bool is no int here)."""
    value = source.get(name, default)
    if value is MISSING or type(value) is not kind:
        raise Malformed(name)
    return value


def take_number(source: dict[str, Any], name: str) -> float:
    value = source.get(name)
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            raise Malformed(name) from None
        if math.isfinite(number):  # 1e999 is valid JSON
            return number
    raise Malformed(name)


def take_index(source: dict[str, Any], name: str) -> int:
    value = take(source, name, int)
    if value < 0:
        raise Malformed(name)
    return value
