"""What lies beside a draft: whose it is and for which path, in the target of a symlink."""

from __future__ import annotations

from typing import NamedTuple

from volumelease.core.records import SessionFacts
from volumelease.model import Claim, Client

from .entries import INLINE_BYTES, decode_claims, decode_facts, encode_claims, encode_facts
from .fields import Malformed, decode_object, encode, take, take_number


class DraftOwner(NamedTuple):
    """Who writes a draft. ``target`` is None where its name is too long for a symlink: then
    nobody can resume it. ``since`` (seconds since the epoch, the writer's clock) is shown to
    people and never compared. ``client``: the process that writes, where it is not the
    session's. ``moved_in``: it was written elsewhere, and is no copy."""

    session: str
    facts: SessionFacts
    target: Claim | None
    resumable: bool
    since: float
    client: Client | None = None
    moved_in: bool = False


def encode_owner(owner: DraftOwner) -> str:
    fields = {
        "s": owner.session,
        "f": encode_facts(owner.facts),
        "r": owner.resumable,
        "w": owner.since,
    }
    if owner.client is not None:
        fields["c"] = [owner.client.pid, owner.client.start_time]
    if owner.moved_in:
        fields["m"] = True
    text = encode({**fields, "to": encode_claims((owner.target,) if owner.target else ())})
    return text if len(text) <= INLINE_BYTES else encode({**fields, "r": False, "to": []})


def decode_owner(text: str) -> DraftOwner | None:
    """The owner, or None for a text that is none."""
    try:
        source = decode_object(text)
        target = decode_claims(source, "to")[0] if take(source, "to", list) else None
        client = take(source, "c", list, [])
        if client and (len(client) != 2 or not all(type(part) is int for part in client)):
            return None
        return DraftOwner(
            session=take(source, "s", str),
            facts=decode_facts(take(source, "f", dict)),
            target=target,
            resumable=take(source, "r", bool),
            since=take_number(source, "w"),
            client=Client(*client) if client else None,
            moved_in=take(source, "m", bool, False),
        )
    except Malformed:
        return None
