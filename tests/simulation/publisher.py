"""What a worker publishes and reads while it has a lease.

Files and directories of a few names below the leased paths. What is written names its draft, so a
reader can tell one publish from another, and a whole one from a torn one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from volumelease.core.conflicts import covers
from volumelease.effects import ReadFile, ReadLink, Sleep
from volumelease.errors import LeaseError
from volumelease.model import (
    Answer,
    Claim,
    Discard,
    Draft,
    Ended,
    Lost,
    Prepare,
    Prepared,
    Publish,
    Question,
)

from . import adopter, mover
from .mover import FILES, writes
from .process import Script

if TYPE_CHECKING:
    from .held import Held
    from .worker import Worker

PLACES: Final = ("f", "a/f", "a/d", "a/b/f", "a/b/d", "ab/d", "b/f", "b/d")
"""``f`` is published as a file, ``d`` as a directory."""


def publishes(worker: Worker, held: Held) -> Script:
    """Publish once or twice under a lease, unless it covers no place."""
    random = worker.fleet.world.random
    keys = [claim.key for claim in held.claims]
    places = [place for place in PLACES if any(covers(key, place) for key in keys)]
    if not places:
        return
    for _ in range(random.choice((1, 1, 2))):
        if held.ended or not held.exclusive:
            return
        old = [place for place in places if place in worker.fleet.setup.old]
        place = random.choice(old if old and random.random() < 0.5 else places)
        if place in worker.fleet.setup.old and random.random() < 0.7:
            yield from adopter.adopts(worker, held, place)
        elif worker.fleet.setup.moves:
            yield from mover.moves(worker, held, place)
        else:
            yield from _publish(worker, held, place)


def _publish(worker: Worker, held: Held, place: str) -> Script:
    random = worker.fleet.world.random
    draft: Draft | None = None
    try:
        prepared: Answer = yield from _ask(worker, held, Prepare(held.token, Claim(place, place)))
        if not isinstance(prepared, Prepared):
            return
        draft = prepared.draft
        directory = place.endswith("d")
        yield from writes(draft.path, directory, draft.unique, worker.pause_in_a_draft())
        if random.random() < 0.1:
            yield from _ask(worker, held, Discard(draft))
            return
        answer: Answer = yield from _ask(worker, held, Publish(draft))
    except (LeaseError, OSError, KeyboardInterrupt) as error:
        worker.fleet.world.note(worker.process.name, f"publish of {place}: {error!r}")
        yield from _discard(worker, held, draft)
        return
    if isinstance(answer, Lost):
        yield from _discard(worker, held, draft)
    if isinstance(answer, Ended):
        worker.fleet.tell("published", held, place, draft.unique)


def _discard(worker: Worker, held: Held, draft: Draft | None) -> Script:
    """As the library does after every error, whatever was decided before it."""
    if draft is not None and held.session.alive():
        with suppress(LeaseError, KeyboardInterrupt):
            yield from _ask(worker, held, Discard(draft))


def _ask(worker: Worker, held: Held, question: Question) -> Any:
    return worker.ask(held.session, question, None)


# ---- reading


def reads(worker: Worker) -> Script:
    """Read a directory as most programs do: find it, and some time later open its files one by
    one, for at most a third of the time for which a replaced version is kept."""
    random = worker.fleet.world.random
    place = random.choice([place for place in PLACES if place.endswith("d")])
    started = worker.fleet.world.now  # it may stand still as soon as it was answered
    try:
        link: str = yield ReadLink(f"{worker.root}/{place}")
    except OSError:
        return  # nothing there yet; that it does not vanish again, the checker sees by itself
    version = f"{worker.root}/{link.replace('../', '')}"
    found = []
    try:
        for name in FILES:
            yield Sleep(0.3 * random.random())
            found.append((yield ReadFile(f"{version}/{name}")))
    except FileNotFoundError:
        found = []
    except OSError:
        return
    if worker.fleet.world.now - started < worker.fleet.version_retention_seconds / 3:
        whole = len(found) == len(FILES) and len(set(found)) == 1
        worker.fleet.tell("read", worker, place, whole)
