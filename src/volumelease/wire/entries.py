"""One log entry as text: compact JSON that fits into the target of a symlink.

Paths that are no UTF-8 travel as surrogate escapes, which JSON keeps as ``\\udcXX``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, assert_never

from volumelease.core import records
from volumelease.core.records import Body, Entry, SessionFacts
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client

from .fields import (
    Malformed,
    decode_object,
    encode,
    nameable,
    no_bool,
    take,
    take_index,
    take_number,
)
from .widths import LONGEST_BYTES

INLINE_BYTES: Final = LONGEST_BYTES
"""A longer record goes to a file that the entry names."""

_REFERENCE: Final = "@"


def reference_to(text: str) -> str:
    """The entry that stands for a record too long for a symlink."""
    import hashlib  # loads OpenSSL; most processes never write a long record

    return _REFERENCE + hashlib.sha256(text.encode()).hexdigest()


def reference_to_name(name: str) -> str:
    """The entry that names the record file ``name``."""
    return _REFERENCE + name


def referenced_file(target: str) -> str | None:
    """The name of the file that holds the record, if ``target`` is a reference to one."""
    digest = target[1:]
    if target[:1] != _REFERENCE or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return None
    return digest


def encode_entry(entry: Entry) -> str:
    kind, fields = _encode_body(entry.body)
    head = {"k": kind, "s": entry.author, "n": entry.number, "w": entry.wall}
    return encode({**head, **fields})


def decode_entry(text: str) -> Entry | None:
    """The entry, or None for garbage: anything that is not exactly one whole record."""
    try:
        source = decode_object(text)
        decode_body = _DECODERS.get(take(source, "k", str))
        if decode_body is None:
            return None
        return Entry(
            author=take(source, "s", str),
            number=take_index(source, "n"),
            wall=take_number(source, "w"),
            body=decode_body(source),
        )
    except Malformed:
        return None


def encode_claims(claims: tuple[Claim, ...]) -> list[list[str]]:
    return [[c.path] if c.path == c.key else [c.path, c.key] for c in claims]


def decode_claims(source: dict[str, Any], name: str) -> tuple[Claim, ...]:
    claims = tuple(_claim(item) for item in take(source, name, list))
    if not claims:
        raise Malformed(name)
    return claims


def encode_facts(facts: SessionFacts) -> dict[str, Any]:
    process = facts.process
    who = [process.hostname, process.boot_id, process.pid_namespace, process.pid]
    keeper = {"k": True} if facts.keeper else {}
    return keeper | {
        "p": [*who, process.start_time],
        "e": facts.endpoint,
        "w": facts.worker,
        "d": facts.datacenter,
        "v": facts.version,
    }


def decode_facts(source: dict[str, Any]) -> SessionFacts:
    match take(source, "p", list):
        case [str(hostname), str(boot_id), int(namespace), int(pid), int(start_time)] if no_bool(
            (namespace, pid, start_time)
        ):
            process = ProcessFacts(hostname, boot_id, namespace, pid, start_time)
        case _:
            raise Malformed("p")
    return SessionFacts(
        process=process,
        endpoint=take(source, "e", str),
        worker=take(source, "w", str),
        datacenter=take(source, "d", str),
        version=take(source, "v", str),
        keeper=take(source, "k", bool, False),
    )


def encode_client(client: Client | None) -> list[int] | None:
    return None if client is None else [client.pid, client.start_time]


def decode_client(value: Any) -> Client | None:
    match value:
        case None:
            return None
        case [int(pid), int(start_time)] if no_bool((pid, start_time)):
            return Client(pid, start_time)
        case _:
            raise Malformed("client")


def _canonical(key: str) -> bool:
    """Whether it is a key at all: ``a//b`` and ``a/b`` would not be seen to conflict."""
    return not key or not {"", ".", ".."} & set(key.split("/"))


def _claim(item: Any) -> Claim:
    match item:
        case [str(path)] if _canonical(path):
            return Claim(path, path)
        case [str(path), str(key)] if _canonical(key):
            return Claim(path, key)
        case _:
            raise Malformed("claim")


def _encode_body(body: Body) -> tuple[str, dict[str, Any]]:
    match body:
        case records.Open(facts):
            return "open", {"f": encode_facts(facts)}
        case records.Request():
            fields: dict[str, Any] = {
                "p": encode_claims(body.claims),
                "x": body.exclusive,
                "o": body.owner,
            }
            if body.client is not None:
                fields["c"] = encode_client(body.client)
            if body.reason:
                fields["r"] = body.reason
            return "request", fields
        case records.Cancel(token):
            return "cancel", {"t": token}
        case records.Release(token):
            return "release", {"t": token}
        case records.Downgrade(token):
            return "downgrade", {"t": token}
        case records.Expire(session, proof):
            return "expire", {"v": session, "r": proof}
        case records.Publish(token, source, target):
            return "publish", {"t": token, "from": source, "to": encode_claims((target,))}
        case records.Published(index, failure):
            return "published", {"i": index, "r": failure}
        case records.Breaking(token, reason):
            return "breaking", {"t": token, "r": reason}
        case records.Broken(token):
            return "broken", {"t": token}
        case records.Close() | records.Ready():
            return type(body).__name__.lower(), {}
        case records.Moved(authority):
            return "moved", {"a": authority}
        case records.Next(draft):
            return "next", {"d": draft}
        case other:
            assert_never(other)


def _decode_request(source: dict[str, Any]) -> Body:
    return records.Request(
        claims=decode_claims(source, "p"),
        exclusive=take(source, "x", bool),
        owner=take(source, "o", str),
        client=decode_client(source.get("c")),
        reason=take(source, "r", str, ""),
    )


def _decode_publish(source: dict[str, Any]) -> Body:
    return records.Publish(
        take_index(source, "t"), decode_source(source), decode_target(source, "to")
    )


def decode_source(source: dict[str, Any]) -> str:
    """Where a publish comes from: what is staged and nothing else, for whoever applies it renames
    it."""
    path = take(source, "from", str)
    names = path.split("/")
    if not (len(names) in (2, 3) and names[0] == "stage" and _canonical(path) and nameable(path)):
        raise Malformed("from")
    return path


def decode_target(source: dict[str, Any], name: str) -> Claim:
    """The one claim that a publish replaces; never the volume itself, nor what no path can be, for
    whoever applies it would fail."""
    targets = decode_claims(source, name)
    if len(targets) != 1 or not all(part and _canonical(part) for part in targets[0]):
        raise Malformed(name)
    if not nameable(targets[0].path):
        raise Malformed(name)
    return targets[0]


_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Body]]] = {
    "open": lambda source: records.Open(decode_facts(take(source, "f", dict))),
    "request": _decode_request,
    "cancel": lambda source: records.Cancel(take_index(source, "t")),
    "release": lambda source: records.Release(take_index(source, "t")),
    "downgrade": lambda source: records.Downgrade(take_index(source, "t")),
    "expire": lambda source: records.Expire(take(source, "v", str), take(source, "r", str)),
    "close": lambda source: records.Close(),
    "publish": _decode_publish,
    "published": lambda source: records.Published(take_index(source, "i"), take(source, "r", str)),
    "breaking": lambda source: records.Breaking(take_index(source, "t"), take(source, "r", str)),
    "broken": lambda source: records.Broken(take_index(source, "t")),
    "ready": lambda source: records.Ready(),
    "moved": lambda source: records.Moved(take(source, "a", str)),
    "next": lambda source: records.Next(take(source, "d", str)),
}
