"""What the scripts of a Redis may reply; anything else is no reply.

A proxy that mixes up connections, a module that answers in another's name, a server of another
kind: what they say has the form of Redis's protocol, and must not be taken for a grant. So each
reply is compared with what the head of its script says, before anybody looks at it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

_MOST_DIGITS: Final = 19
_TOKEN: Final = re.compile(rb"[0-9]{10}-[0-9]{10}")
_LAST_INCARNATION: Final = b"%010d" % (2**31 - 1)
_LAST_SEQUENCE: Final = b"%010d" % (2**32 - 1)

_Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return type(value) is bytes


def _plain(value: Any) -> bool:
    """What we gave to Redis ourselves, and write into files again: a nonce, a name."""
    return type(value) is bytes and value.isascii()


def _plain_or_none(value: Any) -> bool:
    return value is None or _plain(value)


def _number(value: Any) -> bool:
    """Not negative, as Redis keeps it or as it counted it."""
    if type(value) is bytes:
        return value.isdigit() and len(value) <= _MOST_DIGITS
    return type(value) is int and value >= 0


def _token(value: Any) -> bool:
    """Of one name only: with more in its second number than that holds, it would be another's."""
    if type(value) is not bytes or _TOKEN.fullmatch(value) is None:
        return False
    return value[:10] <= _LAST_INCARNATION and value[11:] <= _LAST_SEQUENCE


def _flag(value: Any) -> bool:
    return value in (b"0", b"1")


def _moment(value: Any) -> bool:
    """Seconds since the epoch, by somebody's clock."""
    try:
        return type(value) is bytes and math.isfinite(float(value))
    except ValueError:
        return False


def _moment_or_none(value: Any) -> bool:
    return value == b"" or _moment(value)


def _process(value: Any) -> bool:
    if type(value) is not bytes:
        return False
    pid, colon, start_time = value.partition(b":")
    return _number(pid) and colon == b":" and _number(start_time)


def _lent_or_none(value: Any) -> bool:
    """A token, its session and its keys, between zeros."""
    if type(value) is not bytes:
        return False
    return not value or (value.count(b"\0") >= 2 and _token(value.partition(b"\0")[0]))


def _word(*words: bytes) -> _Check:
    return lambda value: value in words


def _all(check: _Check) -> _Check:
    return lambda value: type(value) is list and all(map(check, value))


def _in_order(*checks: _Check) -> _Check:
    """A list of just these."""
    return lambda value: (
        type(value) is list
        and len(value) == len(checks)
        and all(check(part) for check, part in zip(checks, value, strict=True))
    )


def _in_turn(*checks: _Check) -> _Check:
    """A list of these, again and again."""
    many = len(checks)
    return lambda value: (
        type(value) is list
        and len(value) % many == 0
        and all(checks[at % many](part) for at, part in enumerate(value))
    )


_TEXTS: Final = _all(_text)
_TOKENS: Final = _all(_token)
_AHEAD: Final = _all(_in_order(_token, _text, _flag, _moment_or_none, _moment, _text, _text, _text))
_STANDING: Final = _word(b"granted", b"waiting", b"breaking", b"gone")

_ANY: Final[dict[bytes, tuple[tuple[_Check, ...], ...]]] = {
    b"incarnation": ((_number, _text, _plain),),
    b"unknown": ((),),
    b"ended": ((_plain,), (_plain, _plain_or_none)),
}
"""What every script may say, word by word: what follows, in one of these ways."""

_STANDINGS: Final[dict[bytes, tuple[tuple[_Check, ...], ...]]] = {
    b"granted": ((_token, _flag),),
    b"waiting": ((_token, _AHEAD),),
    b"breaking": ((_token, _text),),
}
_LET_GO: Final = ((_TOKENS,),)

_REPLIES: Final[dict[str, dict[bytes, tuple[tuple[_Check, ...], ...]]]] = {
    "acquire": {
        **_STANDINGS,
        b"busy": ((_AHEAD,),),
        b"deadlocked": ((_TOKENS, _AHEAD),),
        b"finished": ((),),
    },
    "beat": {
        b"beat": ((_text, _number, _number, _TOKENS, _in_turn(_text, _text), _plain),),
    },
    "break": {b"marked": _LET_GO, b"broken": _LET_GO, b"void": _LET_GO},
    "close": {b"closed": ((),)},
    "downgrade": {**_STANDINGS, b"granted": ((_token, _flag, _TOKENS),), b"void": ((),)},
    "expire": {b"expired": _LET_GO, b"void": _LET_GO},
    "fold": {b"folded": ((),), b"moved": ((),)},
    "found": {b"founded": ((_text,),), b"exists": ((_text,),)},
    "inspect": {
        b"all": (
            (
                _number,
                _all(_in_order(_number, _token, _moment_or_none, _word(b"", b"0", b"1"), _text)),
            ),
        ),
    },
    "look": {
        b"look": (
            (
                _text,
                _in_turn(_number, _STANDING),
                _all(_in_order(_text, _text, _text, _all(_process))),
                _TOKENS,
            ),
        ),
    },
    "move": {b"void": ((),)},
    "moved": {b"memory": ((_number, _plain, _plain, _plain),)},
    "names": {b"names": ((_text, _TEXTS),)},
    "open": {b"open": ((_number, _text, _plain),), b"evicts": ((_text,),)},
    "past": {
        b"past": (
            (
                _number,
                _text,
                _number,
                _number,
                _all(_lent_or_none),
                _all(_in_order(_token, _text, _text)),
                _all(_in_order(_text, _text)),
            ),
        ),
    },
    "picture": {
        b"picture": (
            (
                _number,
                _text,
                _all(_in_order(_text, _text, _number)),
                _all(
                    _in_order(_token, _text, _flag, _moment_or_none, _moment, _text, _text, _text)
                ),
            ),
        ),
    },
    "ready": {b"ready": _LET_GO, b"void": _LET_GO},
    "reclaim": {b"reclaimed": ((_text, _all(_number)),)},
    "release": {b"released": ((_TOKENS, _token),), b"void": _LET_GO},
    "report": {b"reported": ((_number,),)},
    "reports": {b"reports": ((_in_turn(_text, _text), _TEXTS),)},
    "uninstall": {b"removed": ((),)},
}


def is_reply(script: str, reply: Any) -> bool:
    """Whether that script can have replied so."""
    if type(reply) is not list or not reply or type(reply[0]) is not bytes:
        return False
    word = reply[0]
    ways = _REPLIES[script].get(word) or _ANY.get(word, ())
    for checks in ways:
        if len(reply) == 1 + len(checks):
            return all(check(part) for check, part in zip(checks, reply[1:], strict=True))
    return False
