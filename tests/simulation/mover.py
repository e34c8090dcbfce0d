"""Workers that publish what they wrote elsewhere, as ``lease.publish(source)`` does.

What they wrote may be the only copy. It is called by its source, and not by its draft.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from volumelease.effects import MakeDirectory, Sleep, WriteDurably
from volumelease.errors import LeaseError
from volumelease.model import Answer, Claim, Discard, Draft, Ended, Lost, Prepare, Prepared, Publish

from .process import Script

if TYPE_CHECKING:
    from .held import Held
    from .worker import Worker

FILES: Final = ("one", "two")


def content_of(unique: str) -> bytes:
    return f"{unique} whole".encode()


def writes(path: str, directory: bool, name: str, pause: float) -> Script:
    """The writer's own calls; what consists of two files is torn in between."""
    if not directory:
        yield WriteDurably(path, content_of(name))
        return
    yield MakeDirectory(path)
    for file in FILES:
        yield Sleep(pause)
        yield WriteDurably(f"{path}/{file}", content_of(name))


class Moved:
    """All that was written elsewhere in a run."""

    def __init__(self) -> None:
        self._begun = 0
        self.whole: dict[str, int] = {}
        """Of how many files it consists."""
        self._names: dict[str, str] = {}

    def begin(self) -> str:
        self._begun += 1
        return f"source-{self._begun}"

    def into(self, unique: str, name: str) -> None:
        self._names[unique] = name

    def name_of(self, unique: str) -> str:
        """What the content of that draft is called."""
        return self._names.get(unique, unique)


def moves(worker: Worker, held: Held, place: str) -> Script:
    moved, session = worker.fleet.moved, held.session
    name = moved.begin()
    source, directory = f"{worker.root}/{name}", place.endswith("d")
    draft: Draft | None = None
    try:
        yield from writes(source, directory, name, worker.pause_in_a_draft())
        moved.whole[name] = len(FILES) if directory else 1
        question = Prepare(held.token, Claim(place, place), source=source)
        prepared: Answer = yield from worker.ask(session, question, None)
        if not isinstance(prepared, Prepared):
            return
        draft = prepared.draft
        moved.into(draft.unique, name)
        yield Sleep(worker.pause_in_a_draft())
        answer: Answer = yield from worker.ask(session, Publish(draft), None)
    except (LeaseError, OSError, KeyboardInterrupt) as error:
        worker.fleet.world.note(worker.process.name, f"publish of {source}: {error!r}")
        yield from _gives_back(worker, held, draft, source)
        return
    if isinstance(answer, Lost):
        yield from _gives_back(worker, held, draft, source)
    if isinstance(answer, Ended):
        worker.fleet.tell("published", held, place, name)


def _gives_back(worker: Worker, held: Held, draft: Draft | None, source: str) -> Script:
    if draft is not None and held.session.alive():
        with suppress(LeaseError, KeyboardInterrupt):
            yield from worker.ask(held.session, Discard(draft, source), None)
