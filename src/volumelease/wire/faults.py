"""Errors on their way from the daemon to a client: by name, with their facts."""

from __future__ import annotations

import math
from typing import Any, Final

from volumelease.errors import LeaseError

from .fields import take

_LONGEST: Final = 2_000
_RESERVED: Final = frozenset({"self", "kind", "what", "advice", "facts"})


def _kinds() -> dict[str, type[LeaseError]]:
    """The errors that a user knows, by their names."""
    found: dict[str, type[LeaseError]] = {}
    front = [LeaseError]
    while front:
        kind = front.pop()
        if kind.__module__ == LeaseError.__module__:
            found[kind.__name__] = kind
            front.extend(kind.__subclasses__())
    return found


_KINDS: Final = _kinds()


def encode_error(error: BaseException) -> dict[str, Any]:
    """Facts that are no plain values stay behind."""
    if not isinstance(error, LeaseError):
        return {"kind": "LeaseError", "what": f"the daemon failed: {error!r}"[:_LONGEST]}
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS)
    return {
        "kind": next(kinds),
        "what": error.what[:_LONGEST],
        "advice": error.advice[:_LONGEST],
        "facts": {name: value for name, value in error.facts.items() if _plain(value)},
    }


def _plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _free(kind: type[LeaseError], name: str) -> bool:
    """Whether a fact may be called so: each becomes an attribute of the error, beside its own."""
    return name.isidentifier() and name not in _RESERVED and not hasattr(kind, name)


def decode_error(source: dict[str, Any]) -> LeaseError:
    """Errors: ``Malformed``. A kind that this version does not know is a ``LeaseError``."""
    kind = _KINDS.get(take(source, "kind", str), LeaseError)
    facts = take(source, "facts", dict, {})
    kept = {name: value for name, value in facts.items() if _free(kind, name) and _plain(value)}
    advice = take(source, "advice", str, "")
    return kind(take(source, "what", str), advice=advice, **kept)
