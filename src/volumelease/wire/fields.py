"""Strict reading of JSON objects that somebody else wrote.

A decoder either finds every field with its exact type or the whole text is no record. All readers
must come to the same verdict about one text, so there is no leniency and no coercion, and nothing
of the reading process has a say in it: not its stack, its file system encoding or its limit on
the digits of an integer. Two verdicts would be two tables, and two tables two writers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MISSING: Final[Any] = object()

_DEEPEST: Final = 8
"""Brackets within brackets; what we write has at most five."""

_LONGEST_INTEGER: Final = 19
"""Characters: 64 bits with a sign. Python's own limit is a setting of the process."""


class Malformed(ValueError):
    """The text is not what it should be; decoders turn it into "no record"."""


def _no_constant(text: str) -> Any:
    raise Malformed(text)


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise Malformed("an integer too long")
    return int(text)


_JSON: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)


_WRITER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _prepared() -> Callable[[Any, int], Iterable[str]]:
    """What ``JSONEncoder.encode`` makes anew at every call, a third of its time; where the
    interpreter has it."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: _WRITER.iterencode(value)
    text = json.encoder.encode_basestring_ascii
    prepared: Callable[[Any, int], Iterable[str]] = make(
        None, _WRITER.default, text, None, ":", ",", False, False, False
    )
    return prepared


_ENCODE: Final = _prepared()


def encode(value: dict[str, Any]) -> str:
    return "".join(_ENCODE(value, 0))


def decode_object(text: str) -> dict[str, Any]:
    """The object that ``text`` is. Errors: ``Malformed``.

    A ``RecursionError`` is passed on: the caller's stack is nearly used up, which says nothing
    about the text.
    """
    value = _decode(text)
    if type(value) is not dict:
        raise Malformed("no object")
    return value


def decode_list(text: str) -> list[Any]:
    """The list that ``text`` is. Errors: as ``decode_object``."""
    value = _decode(text)
    if type(value) is not list:
        raise Malformed("no list")
    return value


def _decode(text: str) -> Any:
    if not text.isascii() or _too_deep(text):
        raise Malformed("not as we write it")
    try:
        return _JSON.decode(text)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _too_deep(text: str) -> bool:
    """Judged before parsing: how deep the parser gets depends on the stack it's called on."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    # What is left of every second piece is outside of strings. In a text that is no JSON this
    # holds as far as the parser would get.
    pieces = text.replace("\\\\", "").replace('\\"', "").split('"')
    depth = 0
    for character in "".join(pieces[::2]):
        if character in "[{":
            depth += 1
            if depth > _DEEPEST:
                return True
        elif character in "]}":
            depth -= 1
    return False


def nameable(text: str) -> bool:
    """Whether a file could be called so: without NUL, and of bytes that a name can have."""
    try:
        return "\0" not in text and bool(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False


def no_bool(values: Iterable[Any]) -> bool:
    """Whether none of ``values`` is a bool: the pattern ``int()`` takes them for integers."""
    return all(type(value) is not bool for value in values)


def take(source: dict[str, Any], name: str, kind: type[T], default: Any = MISSING) -> T:
    """The field ``name``, which must be exactly of ``kind`` (bool is no int here)."""
    value = source.get(name, default)
    if value is MISSING or type(value) is not kind:
        raise Malformed(name)
    return value


def take_objects(source: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = take(source, name, list)
    if any(type(item) is not dict for item in items):
        raise Malformed(name)
    return items


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
