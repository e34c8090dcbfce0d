"""What lies on a volume beside the log: reports, violations, manifests, verdicts, bequests."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.target import Decoder, Target, text_of, written
from volumelease.authorities.redis import still
from volumelease.authorities.volume import fleet
from volumelease.authorities.volume.layout import Layout
from volumelease.bells import lockfile
from volumelease.cli import peers
from volumelease.daemon import bequest
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, ReadFile
from volumelease.paths import proof
from volumelease.tallies import Counts
from volumelease.watch import handoff, violations
from volumelease.wire import slots
from volumelease.wire.counts import decode_counts, encode_counts
from volumelease.wire.moments import decode_moment, encode_moment

from .log import FACTS


@cache
def _folder() -> Path:
    """For what only reads from a disk. In memory, where there is such a place."""
    shm = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="volumelease-fuzz-", dir=shm if shm.is_dir() else None))


def _layout() -> Layout:
    layout = Layout.first(str(_folder()), "ab")
    os.makedirs(layout.folder("audit"), exist_ok=True)
    return layout


def _with_link(data: bytes, name: str, check: Callable[[Layout], None]) -> None:
    """Call ``check`` while that text is the target of ``audit/<name>``, if it can be one."""
    layout = _layout()
    place = os.fsencode(layout.audit(name))
    try:
        os.symlink(data, place)
    except (OSError, ValueError):
        return
    try:
        check(layout)
    finally:
        os.unlink(place)


def _counts_of() -> Counts:
    counts = Counts()
    counts.note(("acquire_duration_seconds", "other", "acquired"), 0.25)
    counts.note(("lost_total", "other", "expired"), 2.0)
    return counts


def _counts(data: bytes) -> None:
    found = decode_counts(text_of(data))
    if found is not None:
        assert decode_counts(encode_counts(found)) is not None


def _packed(data: bytes) -> None:
    """The same behind the packing, which a fuzzer breaks first."""
    import binascii
    import zlib

    _counts(binascii.b2a_base64(zlib.compress(data, 1), newline=False))


def _sum(data: bytes) -> None:
    found = fleet._decoded(3, data)
    if found is not None:
        assert fleet._decoded(3, fleet._encoded(found)) is not None


def _violation(data: bytes) -> None:
    def look(layout: Layout) -> None:
        found = violations.recorded(layout)
        violations.within_a_day(found, 1.8e9)
        for one in found:
            json.dumps(one.as_document())
            assert len(one.encode()) <= 990
            assert one.name
        violations.forget_old(layout, 1.0)

    _with_link(data, violations.PREFIX + "ab", look)


def _manifest(data: bytes) -> None:
    def look(layout: Layout) -> None:
        found = handoff._read(layout.audit("handoff-ab"))
        if found is not None:
            handoff._nobody_between(layout, "a", found.token, 7)
            assert isinstance(found.digest, str)
            assert isinstance(found.at, int)

    _with_link(data, "handoff-ab", look)


def _verdict(data: bytes) -> None:
    found = proof.decode_proof(data.decode(errors="replace"))
    if found is not None:
        assert proof.decode_proof(proof.encode_proof(found)) == found


def _bequest(data: bytes) -> None:
    place = _folder() / "bequest"
    place.write_bytes(data)
    found = bequest.read(str(place))
    if found is not None:
        bequest.write(str(place), found)
        assert bequest.read(str(place)) == found


class _Content:
    """A volume on which every file is this one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, ReadFile):
            return self._data
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def _memory(data: bytes) -> None:
    found = Monitor(_Content(data)).run(still.newest_memory(_layout()))
    assert found is None or 0 <= found.incarnation < still.LARGEST


def _party(data: bytes) -> None:
    found = peers.decode_party(text_of(data))
    assert found is None or isinstance(found.host, str)


def _lock(data: bytes) -> None:
    """The byte of a session: in its range, whatever the session calls itself."""
    assert 0 <= lockfile.byte_of(text_of(data)) < 1 << 48


def _slot(data: bytes) -> None:
    slots.decode_seconds(data[:8].ljust(8, b"\0"))
    slots.decode_count(data[:8].ljust(8, b"\0"))


def _moment(data: bytes) -> None:
    found = decode_moment(text_of(data))
    if found is not None:
        assert 0 <= found < float("inf")
        assert decode_moment(encode_moment(found)) == found


def decoders() -> Iterator[Decoder]:
    counts = _counts_of()
    assert decode_counts(encode_counts(counts)) == counts
    yield Decoder("counts", _counts, (written(encode_counts(counts)),))
    inside = b'[["acquire_duration_seconds","other","acquired",{"0":0.25,"3":1}],["x",{"0":1}]]'
    yield Decoder("packed", _packed, (inside,))
    yield Decoder("sum", _sum, (fleet._encoded(fleet.Sum(3, counts, {"ab" * 8: 1.5})),))
    violation = violations.Violation("a/b", "created", "remote", "other", 1.5e9, "h", "7 3 1 1")
    assert violations.decode(violation.encode()) == violation
    yield Decoder("violation", _violation, (written(violation.encode()),))
    manifest = handoff.Manifest(7, 1_800_000_000, "ab" * 16)
    yield Decoder("manifest", _manifest, (written(json.dumps(manifest._asdict())),))
    verdicts = (proof.Proof("fuse.x", ("a", "b"), 1.5, ()), proof.Proof("x", ("a",), 1.5, ("no",)))
    yield Decoder("verdict", _verdict, tuple(proof.encode_proof(o).encode() for o in verdicts))
    place = _folder() / "seed"
    left = bequest.Left("/v", "ab" * 8, "cd" * 8, 3)
    bequest.write(str(place), bequest.Bequest(FACTS.process, (left,)))
    yield Decoder("bequest", _bequest, (place.read_bytes(),))
    yield Decoder("memory", _memory, (b"170000000 ab-1\n", b"0 \n"))
    party = peers.Party("ab12", "host", "boot", 4026531836, "0:40", "fuse.x")
    told = json.dumps({name: getattr(party, name) for name in peers.Party.__slots__})
    assert peers.decode_party(told) == party
    yield Decoder("party", _party, (written(told),))
    yield Decoder("lock", _lock, (b"ab" * 8,))
    yield Decoder("moment", _moment, (written(encode_moment(12345.678)),))
    yield Decoder("slot", _slot, (slots.encode_seconds(17.5), slots.encode_count(-3)))


TARGET = Target("notes", decoders)
