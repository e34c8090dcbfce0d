"""The identity of a volume: one symlink whose target is elected once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from volumelease.core.liveness import LEAST_TTL_SECONDS

from .fields import Malformed, decode_object, encode, take, take_index, take_number


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log a volume has. ``format`` may be newer than this code: then only it is read."""

    format: int
    id: str
    authority: str
    ttl: float
    created: float


def encode_identity(identity: Identity) -> str:
    return encode(
        {
            "format": identity.format,
            "id": identity.id,
            "authority": identity.authority,
            "ttl": identity.ttl,
            "created": round(identity.created, 3),
        }
    )


def decode_identity(text: str) -> Identity | None:
    """The identity, or None for a text that is none."""
    try:
        source = decode_object(text)
        identity = Identity(
            format=take_index(source, "format"),
            id=take(source, "id", str),
            authority=take(source, "authority", str),
            ttl=take_number(source, "ttl"),
            created=take_number(source, "created"),
        )
    except Malformed:
        return None
    safe = identity.id.isalnum() and identity.id.isascii()
    if not safe or not math.isfinite(identity.ttl) or identity.ttl < LEAST_TTL_SECONDS:
        return None
    return identity
