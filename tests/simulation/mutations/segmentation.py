"""Rules about the life of segments."""

from __future__ import annotations

import errno
from typing import Any

from volumelease.authorities.volume.segments import Segments
from volumelease.core import records
from volumelease.effects import ListDirectory, ReadLink, Rename, Steps, Unlink
from volumelease.wire import snapshots

Patches = list[tuple[Any, str, Any]]


def retire_the_newest() -> Patches:
    numbers = Segments._numbers

    def all_of_them(self: Segments, folder: str) -> Steps[list[int]]:
        names = yield from numbers(self, folder)
        return [*names, 1 << 30, 1 << 30]

    return [(Segments, "_numbers", all_of_them)]


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
        try:
            yield Rename(self._layout.draft(draft), self._layout.segment(segment + 1))
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                yield from self._remove_tree(self._layout.draft(draft))
        if replica.segment == segment:
            replica.next_index = (segment + 1) * records.SEGMENT_ENTRIES
            replica.distrust()
            yield from self.retire()

    return [(Segments, "turn_over", turn_over)]


def draft_removed_by_path() -> Patches:
    """As the first version did: ask the volume whether the draft is still there."""

    def remove(self: Segments, draft: str) -> Steps[None]:
        try:
            yield ReadLink(f"{self._layout.draft(draft)}/s0")
        except OSError:
            return
        yield from self._remove_tree(self._layout.draft(draft))

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
            if self._replica.elected != draft:
                yield from remove(self, draft)

    return [(Segments, "_remove_draft", remove), (Segments, "turn_over", careless)]


def deleted_at_once() -> Patches:
    retire = Segments.retire

    def and_delete(self: Segments) -> Steps[None]:
        numbers = yield from self._numbers("log")
        yield from retire(self)
        for number in numbers[:-2]:
            folder = self._layout.retired(number)
            try:
                names: list[str] = yield ListDirectory(folder)
                for name in names:
                    yield Unlink(f"{folder}/{name}")
            except OSError:
                continue

    return [(Segments, "retire", and_delete)]
