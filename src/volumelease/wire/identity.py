"""The identity of a volume: one symlink whose target is elected once, and another one for each
time its leases moved to another authority."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from volumelease.core.liveness import LEAST_TTL_SECONDS
from volumelease.core.records import FORMAT_VERSION

from .fields import Malformed, decode_object, encode, take, take_index, take_number

_HEX: Final = frozenset("0123456789abcdef")
_LONGEST_ID: Final = 64


class Identity(NamedTuple):
    """Which log a volume has. ``format`` may be another one than this code's: then only it is read,
    and the rest is empty.

    ``era`` says how often its leases moved to another authority; then ``log`` is the folder of
    the log that began with this era, if it is one's, and every token is above ``above``."""

    format: int
    id: str
    authority: str
    ttl: float
    created: float
    era: int = 0
    log: str = ""
    above: int = -1


def encode_identity(identity: Identity) -> str:
    text: dict[str, Any] = {
        "format": identity.format,
        "id": identity.id,
        "authority": identity.authority,
        "ttl": identity.ttl,
        "created": round(identity.created, 3),
    }
    if identity.era:
        text |= {"era": identity.era, "log": identity.log, "above": identity.above}
    return encode(text)


def decode_identity(text: str) -> Identity | None:
    """The identity, or None for a text that is none."""
    try:
        source = decode_object(text)
        version = take_index(source, "format")
        if version != FORMAT_VERSION:
            return Identity(version, "", "", 0.0, 0.0) if version else None
        identity = Identity(
            format=version,
            id=take(source, "id", str),
            authority=take(source, "authority", str),
            ttl=take_number(source, "ttl"),
            created=take_number(source, "created"),
            era=take(source, "era", int, 0),
            log=take(source, "log", str, ""),
            above=take(source, "above", int, -1),
        )
    except Malformed:
        return None
    # The id becomes part of every path, where "identity" or ".." would name something else.
    safe = 0 < len(identity.id) <= _LONGEST_ID and set(identity.id) <= _HEX
    safe = safe and identity.era >= 0 and set(identity.log) <= _HEX and len(identity.log) <= 64
    if not safe or identity.ttl < LEAST_TTL_SECONDS:
        return None
    return identity
