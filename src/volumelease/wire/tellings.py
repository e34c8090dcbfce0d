"""What a Redis keeps for others about a session or a request, and passes on as it is."""

from __future__ import annotations

from typing import NamedTuple

from volumelease.core.records import SessionFacts
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client

from .entries import (
    decode_claims,
    decode_client,
    decode_facts,
    encode_claims,
    encode_client,
    encode_facts,
)
from .fields import Malformed, decode_object, encode, take

NOBODY = SessionFacts(ProcessFacts("", "", 0, 0, 0))
"""Stands for a session whose facts can't be read: nothing is known of it, nothing is proven."""


class About(NamedTuple):
    """What a request is told of with."""

    claims: tuple[Claim, ...]
    client: Client | None = None
    reason: str = ""


def encode_session(facts: SessionFacts) -> str:
    return encode(encode_facts(facts))


def decode_session(text: str) -> SessionFacts:
    """The facts, or ``NOBODY`` for a text that is none."""
    try:
        return decode_facts(decode_object(text))
    except Malformed:
        return NOBODY


def encode_about(about: About) -> str:
    return encode(
        {
            "p": encode_claims(about.claims),
            "c": encode_client(about.client),
            "r": about.reason,
        }
    )


def decode_about(text: str) -> About:
    """What it is about; nothing for a text that is none: it is only shown."""
    try:
        source = decode_object(text)
        return About(
            decode_claims(source, "p"), decode_client(source.get("c")), take(source, "r", str)
        )
    except Malformed:
        return About(())
