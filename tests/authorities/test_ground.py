"""What a segment begins with is compared with the table as it was when the segment was reached."""

from __future__ import annotations

from typing import Any

import pytest

from volumelease.authorities.volume import ground
from volumelease.authorities.volume.layout import Layout
from volumelease.core import records
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Table
from volumelease.effects import ReadLink
from volumelease.errors import LogDamaged
from volumelease.host import ProcessFacts
from volumelease.wire.snapshots import digest_of, encode_snapshot

NAME = "1-ab"
OPEN = records.Open(SessionFacts(ProcessFacts("host", "boot", 1, 1, 1)))


def checked(table: Table, links: list[str], *, meanwhile: Entry | None) -> str:
    """The digest that ``check_snapshot`` answers, when another flow applies ``meanwhile`` while
    the first call is under way."""
    directory: Any = object()
    steps = ground.check_snapshot(Layout.first("/v", "0"), NAME, directory, table)
    effect = next(steps)
    if meanwhile is not None:
        assert not table.apply(256, meanwhile).void
    try:
        while True:
            assert isinstance(effect, ReadLink)
            effect = steps.send(links[int(effect.name.removeprefix("s"))])
    except StopIteration as finished:
        digest: str = finished.value
        return digest


def test_another_flow_may_go_on_while_a_segment_is_compared() -> None:
    table = Table(grace=False)
    table.apply(0, Entry("a", 1, 0.0, OPEN))
    before, links = digest_of(table), encode_snapshot(table, 1)
    assert checked(table, links, meanwhile=Entry("b", 1, 0.0, OPEN)) == before
    assert digest_of(table) != before


def test_a_segment_that_begins_with_another_table_is_damage() -> None:
    table, other = Table(grace=False), Table(grace=False)
    other.apply(0, Entry("a", 1, 0.0, OPEN))
    with pytest.raises(LogDamaged, match="does not begin with the table"):
        checked(table, encode_snapshot(other, 1), meanwhile=None)
