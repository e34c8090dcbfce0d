"""A token, as a number outside and as a name in Redis.

Outside it is one integer, ``incarnation * 2**32 + sequence``, which only grows: a later
incarnation is larger than every sequence of an earlier one. It fits into 63 bits until 2088. In
Redis it is a name of two numbers with ten digits each, so that names sort like tokens.
"""

from __future__ import annotations

from typing import Final

from volumelease.wire.identity import Identity

_SEQUENCES: Final = 2**32


def token_of(name: str | bytes) -> int:
    """The token with that name in Redis."""
    incarnation, _, sequence = (name.decode() if isinstance(name, bytes) else name).partition("-")
    return int(incarnation) * _SEQUENCES + int(sequence)


def name_of(token: int) -> str:
    """Its name in Redis."""
    incarnation, sequence = divmod(token, _SEQUENCES)
    return f"{incarnation:010d}-{sequence:010d}"


def last_token_of(incarnation: int) -> int:
    """None of that incarnation is larger."""
    return (incarnation + 1) * _SEQUENCES - 1


def incarnation_of(token: int) -> int:
    return token // _SEQUENCES


def least_incarnation(identity: Identity) -> int:
    """Every token of this one is above those of the log that had the leases before."""
    return incarnation_of(identity.above) if identity.era else 0
