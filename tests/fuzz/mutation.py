"""Valid texts after something happened to them, with regard to what they are made of.

A fuzzer that flips bytes of JSON hardly gets past the parser. Here a value is put in the place of
another one, at any depth, also inside of lines; coverage decides what is worth going on with.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

MOST_BYTES: Final = 6000

TELLING: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 255, 256, 4095, 4096, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30),
    *(0.5, -0.0, 1e308, 1e-320, [], {}, [[]], [0], [""], [{}], {"a": 1}, "", "0", "-1", "a", "/"),
    *("..", ".", "a/b", "a//b", "\0", "a\0b", "\n", "\udc80", "\ud800", "é", "e\u0301", "😀", "²"),
    *("1" * 20, "9" * 5000, "x" * 1000, "nan", "inf", "-inf", "1e999", "granted", "stage/x"),
)
RAW: Final = (
    *("NaN", "Infinity", "1e999", "-0", "01", "9" * 5000, "9" * 400, "[" * 3000, "{" * 9),
    *('{"a":' * 2000, "1.5e3", '"\\ud800"', '"\\u0000"', "true", "null"),
)


def mutate(data: bytes, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """``data`` changed a little; its first byte, which chooses the decoder, stays mostly."""
    if not data or chance.random() < 0.02:
        return chance.choice(seeds)
    head, body = data[:1], data[1:]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        lines = body.split(b"\n")
        at = chance.randrange(len(lines))
        if len(lines) > 1 and chance.random() < 0.3:
            _line(lines, at, chance, seeds)
        else:
            lines[at] = _inside(lines[at], chance, seeds)
        body = b"\n".join(lines)
    return (head + body)[:MOST_BYTES]


def _line(lines: list[bytes], at: int, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Whole lines: gone, twice, elsewhere, of another text."""
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        case 2:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            theirs = chance.choice(seeds)[1:].split(b"\n")
            lines.insert(at, chance.choice(theirs))


def _inside(line: bytes, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    start = min((at for at in (line.find(b"{"), line.find(b"[")) if at >= 0), default=-1)
    if start >= 0 and chance.random() < 0.7:
        try:
            value = json.loads(line[start:])
        except (ValueError, RecursionError):
            pass
        else:
            return line[:start] + _of_json(value, chance)
    return _of_bytes(line, chance, seeds)


def _of_json(value: Any, chance: random.Random) -> bytes:
    raw = chance.choice(RAW) if chance.random() < 0.15 else ""
    changed = _changed(value, "@raw@" if raw else None, chance)
    text = json.dumps(changed, separators=(",", ":"))
    return text.replace('"@raw@"', raw, 1).encode() if raw else text.encode()


def _changed(value: Any, new: Any, chance: random.Random) -> Any:
    """``value`` with something else somewhere in it."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(sorted(value))
        match chance.randrange(10):
            case 0:
                return {key: kept for key, kept in value.items() if key != name}
            case 1:
                return value | {chance.choice(("x", "self", "args", "errno", name + "x")): 1}
            case _:
                return value | {name: _changed(value[name], new, chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        match chance.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value[:at], value[at], *value[at:]]
            case _:
                return [*value[:at], _changed(value[at], new, chance), *value[at + 1 :]]
    if new is not None:
        return new
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 16, -256, 2**32))
    if isinstance(value, str) and value and chance.random() < 0.3:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(("\0", "/", " ", "é", "\udc80", "")) + value[at + 1 :]
    return chance.choice(TELLING)


def _of_bytes(line: bytes, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(line) + 1)
    match chance.randrange(7):
        case 0:
            return line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :]
        case 1:
            return line[:at]
        case 2:
            return line[:at] + line[at + chance.randrange(1, 20) :]
        case 3:
            return line[:at] + chance.choice(RAW).encode() + line[at:]
        case 4:
            other = chance.choice(seeds)[1:]
            cut = chance.randrange(len(other) + 1)
            return line[:at] + other[cut : cut + 200]
        case 5:
            said = chance.choice(TELLING)
            return line[:at] + str(said).encode("utf-8", "surrogatepass") + line[at:]
        case _:
            return line[:at] + line[: chance.randrange(len(line) + 1)] + line[at:]
