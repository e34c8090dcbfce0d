"""A table as the symlinks of a segment, ``s0`` .. ``sn``.

Symlinks, because a full volume still takes them when it takes no write. ``s0`` is the header;
the chunks hold the table as compressed JSON. The digest in the header is the digest of the table
itself, so a reader that replayed the log compares it with its own: two histories can't go on
side by side unseen.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, Final

from volumelease.core.records import FORMAT_VERSION
from volumelease.core.table import Holding, Pending, Session, Table

from .entries import (
    decode_claims,
    decode_client,
    decode_facts,
    decode_source,
    decode_target,
    encode_claims,
    encode_client,
    encode_facts,
)
from .fields import (
    Malformed,
    decode_object,
    encode,
    no_bool,
    take,
    take_index,
    take_number,
    take_objects,
)
from .widths import widen

CHUNK_BYTES: Final = 900
_LARGEST_TABLE_BYTES: Final = 256 * 1024 * 1024


def table_text(table: Table) -> str:
    """The whole table as text: equal tables give equal texts."""
    moved = {"moved": table.moved} if table.moved else {}
    return encode(
        {
            **moved,
            "grace": table.grace,
            "sessions": [_session(name, table.sessions[name]) for name in sorted(table.sessions)],
            "holdings": [_holding(table.holdings[token]) for token in sorted(table.holdings)],
            "pending": [_pending(table.pending[index]) for index in sorted(table.pending)],
        }
    )


def digest_of(table: Table) -> str:
    return hashlib.sha256(table_text(table).encode()).hexdigest()


def encode_snapshot(table: Table, segment: int) -> list[str]:
    """The targets of ``s0`` .. ``sn``."""
    text = table_text(table).encode()
    packed = base64.b85encode(zlib.compress(text, 6)).decode()
    chunks = [packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES)]
    header = {
        "format": FORMAT_VERSION,
        "segment": segment,
        "chunks": len(chunks),
        "digest": hashlib.sha256(text).hexdigest(),
    }
    return [widen(encode(header)), *chunks]


class Header:
    """What ``s0`` says."""

    __slots__ = ("chunks", "digest", "format", "segment")

    def __init__(self, text: str) -> None:
        source = decode_object(text)
        self.format = take_index(source, "format")
        self.segment = take_index(source, "segment")
        self.chunks = take_index(source, "chunks")
        self.digest = take(source, "digest", str)


def decode_header(text: str) -> Header | None:
    try:
        return Header(text)
    except Malformed:
        return None


def decode_snapshot(header: Header, chunks: Sequence[str]) -> Table | None:
    """The table, or None if the chunks are not exactly what the header promises."""
    if len(chunks) != header.chunks:
        return None
    try:
        packer = zlib.decompressobj()
        packed = base64.b85decode("".join(chunks))
        text = packer.decompress(packed, _LARGEST_TABLE_BYTES)
        whole = packer.eof and not packer.unused_data
        if not whole or hashlib.sha256(text).hexdigest() != header.digest:
            return None
        return _table(decode_object(text.decode()))
    except (ValueError, zlib.error):
        return None


def _session(name: str, session: Session) -> dict[str, Any]:
    recent = list(session.recent.items())
    return {
        "s": name,
        "f": encode_facts(session.facts),
        "w": session.opened_wall,
        "r": [[number, index] for number, index in recent],
    }


def _holding(holding: Holding) -> dict[str, Any]:
    return {
        "t": holding.token,
        "s": holding.session,
        "o": holding.owner,
        "p": encode_claims(holding.claims),
        "x": holding.exclusive,
        "c": encode_client(holding.client),
        "r": holding.reason,
        "w": holding.requested_wall,
        "g": holding.granted,
        "gw": holding.granted_wall,
        "b": holding.breaking,
    }


def _pending(pending: Pending) -> dict[str, Any]:
    return {
        "i": pending.publish,
        "s": pending.session,
        "t": pending.token,
        "from": pending.source,
        "to": encode_claims((pending.target,)),
    }


def _table(source: dict[str, Any]) -> Table:
    table = Table(grace=take(source, "grace", bool))
    table.moved = take(source, "moved", str, "")
    for item in take_objects(source, "sessions"):
        session = Session(decode_facts(take(item, "f", dict)), take_number(item, "w"))
        for pair in take(item, "r", list):
            match pair:
                case [int(number), int(index)] if no_bool((number, index)):
                    session.recent[number] = index
                case _:
                    raise Malformed("r")
        table.sessions[take(item, "s", str)] = session
    for item in take_objects(source, "holdings"):
        table.restore(
            Holding(
                token=take_index(item, "t"),
                session=take(item, "s", str),
                owner=take(item, "o", str),
                claims=decode_claims(item, "p"),
                exclusive=take(item, "x", bool),
                client=decode_client(item.get("c")),
                reason=take(item, "r", str),
                requested_wall=take_number(item, "w"),
                granted=take(item, "g", bool),
                granted_wall=take_number(item, "gw"),
                breaking=take(item, "b", bool),
            )
        )
    for item in take_objects(source, "pending"):
        index = take_index(item, "i")
        table.pending[index] = Pending(
            publish=index,
            session=take(item, "s", str),
            token=take_index(item, "t"),
            source=decode_source(item),
            target=decode_target(item, "to"),
        )
    return table
