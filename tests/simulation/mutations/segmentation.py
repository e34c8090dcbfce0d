"""Rules about the life of segments."""

from __future__ import annotations

from typing import Any

from volumelease.authorities.volume import ground
from volumelease.authorities.volume.layout import Layout, number_of
from volumelease.authorities.volume.segments import Segments
from volumelease.core import records
from volumelease.effects import ListDirectory, ReadLink, RemoveDirectory, Rename, Steps, Unlink
from volumelease.wire import snapshots

Patches = list[tuple[Any, str, Any]]


def _remove(folder: str) -> Steps[None]:
    try:
        names: list[str] = yield ListDirectory(folder)
        for name in names:
            yield Unlink(f"{folder}/{name}")
        yield RemoveDirectory(folder)
    except OSError:
        return


def retire_the_newest() -> Patches:
    retire = Segments.retire

    def all_of_them(self: Segments, settled: int) -> Steps[None]:
        yield from retire(self, 1 << 30)

    return [(Segments, "retire", all_of_them)]


def elected_by_rename() -> Patches:
    """Whoever renames first has made the next segment; nothing in the log says so."""

    def turn_over(self: Segments) -> Steps[None]:
        replica = self._replica
        yield from replica.catch_up()
        if replica.place < records.CLOSING_ENTRIES:
            return
        segment = replica.segment
        draft = f"{segment + 1}-{self._unique()}"
        yield from self._write_draft(draft, snapshots.encode_snapshot(replica.table, segment + 1))
        names = yield from ground.segments_in(self._layout, "log")
        there = [name for name in names if number_of(name) == segment + 1]
        if not there:
            try:
                yield Rename(self._layout.draft(draft), self._layout.segment(draft))
            except OSError:
                return
            there = [draft]
        if replica.segment == segment:
            replica.next_index = replica._first = (segment + 1) * records.SEGMENT_ENTRIES
            replica.name, replica.mark = there[0], None
            replica.distrust()

    return [(Segments, "turn_over", turn_over)]


def draft_removed_by_path() -> Patches:
    """As the first version did: whoever finds another draft elected removes its own by its path,
    if it is still there."""
    turn_over = Segments.turn_over

    def careless(self: Segments) -> Steps[None]:
        made: list[str] = []
        write = self._write_draft

        def noting(draft: str, targets: list[str]) -> Steps[None]:
            made.append(draft)
            yield from write(draft, targets)

        self._write_draft = noting  # type: ignore[method-assign]
        try:
            yield from turn_over(self)
        finally:
            self._write_draft = write  # type: ignore[method-assign]
        for draft in made:
            if self._replica.name == draft:
                continue
            try:
                yield ReadLink(f"{self._layout.draft(draft)}/s0")
            except OSError:
                continue
            yield from _remove(self._layout.draft(draft))

    return [(Segments, "turn_over", careless)]


def deleted_at_once() -> Patches:
    """As soon as two newer segments were elected."""
    turn_over = Segments.turn_over

    def retire(self: Segments, settled: int) -> Steps[None]:
        names = yield from ground.segments_in(self._layout, "log")
        for name in names:
            if number_of(name) < settled - 1:
                try:
                    yield Rename(self._layout.segment(name), self._layout.retired(name))
                except OSError:
                    return
                yield from _remove(self._layout.retired(name))

    def and_retire(self: Segments) -> Steps[None]:
        yield from turn_over(self)
        yield from retire(self, self._replica.segment)

    return [(Segments, "turn_over", and_retire)]


def newest_segment_trusted() -> Patches:
    """Whoever comes new starts from the newest segment there is.

    A crash forgets an election and not its draft; its author moves that in place all the same and
    goes on there, and somebody new follows it, while all others elect another."""

    def newest(layout: Layout, names: list[str], above: int = -1) -> Steps[str | None]:
        return names[-1] if names and number_of(names[-1]) > above else None
        yield

    return [(ground, "newest_settled", newest)]
