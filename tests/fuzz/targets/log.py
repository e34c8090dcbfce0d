"""What the log is read from: entries and their marks, snapshots, the identity, marks of drafts."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.target import Decoder, Target, text_of, written
from volumelease.authorities.volume.layout import number_of
from volumelease.core import records
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Table
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client
from volumelease.wire import entries, identity, marks, snapshots
from volumelease.wire.drafts import DraftOwner, decode_owner, encode_owner
from volumelease.wire.fields import encode

FACTS = SessionFacts(ProcessFacts("h", "b-1", 4_026_531_836, 17, 4711), "e", "w", "d", "0.1", True)
CLAIMS = (Claim("models/ü", "models/u\u0308"), Claim("a\udcff", "a\udcff"), Claim("", ""))
BODIES: tuple[records.Body, ...] = (
    records.Open(FACTS),
    records.Request(CLAIMS, True, "main", Client(5, 99), "why"),
    records.Request(CLAIMS[:1], False, "main"),
    records.Cancel(3),
    records.Release(2**62),
    records.Downgrade(3),
    records.Expire("cd" * 8, "no beat for 16 s"),
    records.Close(),
    records.Publish(3, "stage/ab/f", CLAIMS[0]),
    records.Published(7, "EISDIR"),
    records.Breaking(3, "operator"),
    records.Broken(3),
    records.Ready(),
    records.Moved("redis"),
    records.Next("1-abcd"),
)


def entries_written() -> list[Entry]:
    return [Entry("ab" * 8, n, 1_800_000_000.125 + n, body) for n, body in enumerate(BODIES)]


def table_written() -> Table:
    table = Table(grace=False)
    for n in range(3):
        table.apply(n, Entry(f"{n:016x}", 0, 1.5, records.Open(FACTS)))
    for n, claim in enumerate((*CLAIMS[:2], Claim("b", "b"), CLAIMS[0])):
        body = records.Request((claim,), n != 2, "main", Client(5, 9), "why")
        table.apply(3 + n, Entry(f"{n % 3:016x}", 1 + n, 2.5, body))
    table.apply(8, Entry(f"{0:016x}", 9, 3.5, records.Publish(3, "stage/ab", CLAIMS[0])))
    table.apply(9, Entry(f"{1:016x}", 9, 3.5, records.Breaking(4, "operator")))
    return table


def _entry(data: bytes) -> None:
    """A record or none; a record is written and read again as itself."""
    found = entries.decode_entry(text_of(data))
    if found is not None:
        assert entries.decode_entry(entries.encode_entry(found)) == found


def _place(data: bytes) -> None:
    """What stands at a place of the log, under some mark."""
    target = text_of(data)
    for mark in (0, 0xDEADBEEF):
        marks.follow(mark, target)
        text = marks.unseal(mark, target)
        if text is not None and target.isascii():
            assert marks.unseal(mark, marks.seal(mark, text)) == text
        file = entries.referenced_file(text or "")
        assert file is None or (len(file) == 64 and "/" not in file)


def _snapshot(data: bytes) -> None:
    """A table or none; whole tables are written and read again as themselves."""
    head, *chunks = text_of(data).split("\n")
    header = snapshots.decode_header(head)
    if header is None:
        return
    table = snapshots.decode_snapshot(header, chunks)
    if table is not None:
        again = snapshots.encode_snapshot(table, 1)
        found = snapshots.decode_snapshot(snapshots.Header(again[0]), again[1:])
        assert found is not None
        assert snapshots.table_text(found) == snapshots.table_text(table)


def _table(data: bytes) -> None:
    """The same behind a right digest, which a fuzzer does not hit: the text of a table."""
    import base64
    import hashlib
    import zlib

    packed = base64.b85encode(zlib.compress(data, 1)).decode()
    chunks = [packed[at : at + 900] for at in range(0, len(packed), 900)]
    head = {"format": 1, "segment": 1, "chunks": len(chunks)}
    text = encode({**head, "digest": hashlib.sha256(data).hexdigest()})
    _snapshot("\n".join([text, *chunks]).encode())


def _identity(data: bytes) -> None:
    found = identity.decode_identity(text_of(data))
    if found is not None and found.format <= records.FORMAT_VERSION:
        again = identity.decode_identity(identity.encode_identity(found))
        # What is no era's is not written.
        assert again is not None
        assert again[:4] == found[:4]
        assert "/" not in found.id + found.log


def _owner(data: bytes) -> None:
    found = decode_owner(text_of(data))
    if found is not None:
        again = decode_owner(encode_owner(found))
        assert again is not None
        assert again.session == found.session


def _name(data: bytes) -> None:
    number = number_of(text_of(data))
    assert number >= -1


def decoders() -> Iterator[Decoder]:
    said = [entries.encode_entry(entry) for entry in entries_written()]
    yield Decoder("entry", _entry, tuple(map(written, said)))
    places = [marks.seal(0, text) for text in (*said, entries.reference_to(said[0]))]
    yield Decoder("place", _place, tuple(map(written, places)))
    snapshot = "\n".join(snapshots.encode_snapshot(table_written(), 1))
    yield Decoder("snapshot", _snapshot, (written(snapshot),))
    yield Decoder("table", _table, (written(snapshots.table_text(table_written())),))
    known = (
        identity.Identity(1, "ab" * 8, "volume", 15.0, 1.5),
        identity.Identity(1, "ab" * 8, "redis", 2.0, 1.5, 2, "cd" * 4, 70_000),
        identity.Identity(2, "ab" * 8, "volume", 15.0, 1.5),
    )
    yield Decoder("identity", _identity, tuple(written(identity.encode_identity(o)) for o in known))
    owner = DraftOwner("ab" * 8, FACTS, CLAIMS[0], True, 1.5, Client(3, 4))
    others = (owner, owner._replace(target=None, client=None))
    yield Decoder("owner", _owner, tuple(written(encode_owner(one)) for one in others))
    yield Decoder("name", _name, (b"0-0", b"17-ab12cd", b"000000000000000001-0.gone-abab"))


TARGET = Target("log", decoders)
