"""Bugs that the simulator found, each with a case that shows it: none may come back.

A case shows its bug only to the simulator of its day, so where the bug is a rule that was missing,
``mutants`` keeps it too.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import pytest

from tests.simulation import search
from tests.simulation.setup import Case

NEEDS_LUA: Final = pytest.mark.skipif(find_spec("lupa") is None, reason="pip install lupa")

LIVE_SEGMENT_DELETED: Final = [
    Case(119, ("lost",), workers=4, busy=True),
    Case(122, ("stall",), workers=4, busy=True),
    Case(21, ("resend",)),
]
"""A draft's author lost the answer to the election, loaded the new segment's snapshot meanwhile,
found its draft still there through a directory entry a second old, and deleted the live segment.
Mutant: draft-removed-by-path."""

BEAT_DIED: Final = [Case(seed, ("delete",)) for seed in range(4)]
"""A beat that could not make its heartbeat file again ended the thread that beats."""

ANSWERED_TO_NOBODY: Final = [Case(1, ("interrupt", "slow")), Case(20, ("interrupt",))]
"""Ctrl-C between the answer and the flow, or a caller that gave up on a call that went on in its
thread, left a granted lease that nobody waited for. Mutant: abandoned-answers-kept."""


DRAFT_MARK_LEFT: Final = [Case(1123)]
"""The mark that a version was never public could not be taken away when it became public; so it
was cleared away as a draft of a dead writer. Mutant: draft-mark-left."""

DISCARDED_WHEN_PUBLIC: Final = [
    Case(8, ("lost", "slow")),
    Case(198, ("error", "late")),
]
"""A writer that got an error after its publish was decided discarded the draft, as after every
error, and with it what was public or about to be. Mutant: decided-and-discarded."""

GHOST_OPENED: Final = [Case(162, long=True)]
"""A session read an entry, its host lost the volume while it went on, a master forgot that entry,
and seconds later the session opened as if it had read the log just then."""

CLOSING_PLACES_FILLED: Final = [Case(12415, long=True), Case(15157, long=True)]
"""Each worker that had read another part of what was forgotten elected a segment of its own; no
place was left in which the log could be closed."""

HIDDEN_BY_VOID_ENTRIES: Final = [Case(57, ("forget", "late", "kill"))]
"""The last entry that counted was forgotten, and a beat saw only the void ones after it, which
stood since an earlier crash. Mutant: void-entries-counted."""

CAME_BACK_EMPTY: Final = [
    Case(293, ("forget", "late", "kill")),
    Case(636, ("lost", "late"), long=True),
]
"""A killed founder's late ``mkdir`` made the first segment's directory anew after it was retired.
Nothing after it was retired from then on."""

FOUNDED_AFTER_A_DELETION: Final = [Case(1208)]
"""A founder was elected, and slow to complete what it had made; meanwhile somebody deleted it all,
and another was elected. The first made its own log anew, granted at once and used it for a beat."""

ADOPTED_ONCE_MORE: Final = [Case(451), Case(451, ("late", "resend", "stall", "cut"))]
"""An adoption's rename landed late, when its version had been replaced and cleared away: it moved
the public link there. Mutant: passage-left-open."""

TURN_TAKEN_ALONG: Final = [Case(392, long=True), Case(1025, long=True)]
"""Who was interrupted as it got its turn to commit took the turn along, and who found out what
became of a slow call kept it for that second: a waiter slept over its grant meanwhile."""

GRANTED_WHEN_LOST: Final = [Case(18383, long=True)]
"""A bug of the checker: a process was stopped over its grant, and returned it when it was lost."""

BORN_ASLEEP: Final = [Case(5760, long=True)]
"""A bug of the simulator: a process that began on a frozen host ran, by clocks that stood."""

MADE_ANEW_THOUGH_RETIRED: Final = [Case(1161, long=True)]
"""On a mount that showed what a crashed master had forgotten (ESTALE), the newest segment did not
look settled. A newcomer that came to an older one the moment it was retired made it anew, as if
its draft had been forgotten, and went on there, on a log of its own."""

REDIS: Final = Case(0, authority="redis")

ONE_NUMBER_FOR_TWO_MEMORIES: Final = [
    REDIS._replace(seed=0, only=("flush", "interrupt")),
    REDIS._replace(seed=10, only=("kill", "empty", "break")),
]
"""A Redis forgot twice, and the second time somebody called first who knew of neither: it came to
the number of the first memory again, whose healthy sessions it did not know. Mutant:
redis-memory-by-its-number."""

FORGETTING_TAKEN_FOR_ANOTHER_REDIS: Final = [REDIS._replace(seed=13, only=("flush",))]
"""Who came to a memory that was older than one noted on the volume was told that there are two
Redises. Mutant: redis-forgetting-is-another-server."""

ONE_TOKEN_FOR_TWO: Final = [REDIS._replace(seed=265, only=("freeze", "flush"))]
"""Two memories of one number gave the same token, and both were reclaimed: a release failed in the
middle of its script. Without the rule before it is too rare for a mutant:
`test_a_token_that_two_were_given_is_reclaimed_once`."""

OPENED_IN_A_LOST_TAIL: Final = [
    REDIS._replace(seed=135, only=("flush", "empty", "tail", "failover")),
    REDIS._replace(seed=32, only=("tail",)),
]
"""A release trusts its memory; a session that was opened in the tail which that memory lost was
told that it is over. Mutant: redis-unknown-to-an-old-memory."""

FOUNDED_LATE: Final = [REDIS._replace(seed=75, only=("flush", "late"))]
"""The call that lets a new volume grant at once came long after it was made, right after a flush:
no grace, and two holders. Mutant: redis-founded-in-one-call."""

ENDED_WHILE_ANOTHER_WAS: Final = [Case(2880, long=True)]
"""Two leases were being broken at once: while a session ended one, another session ended the other.
The first looked that up, and its thread died: of a beat, the session with it."""

SHOWN_A_GHOST_TO_THE_END: Final = [Case(7274, long=True)]
"""A bug of the end of a run: its last fault was that a master forgot, and mounts showed what it
forgot for longer than the run went on. Whoever reads that has no session, as its error says."""

FORK_AFTER_FORGETTING: Final = [Case(seed, ("forget",)) for seed in range(100)]
"""A master that forgot acknowledged entries left some workers on a log of their own, for good.
Mutants: mark-not-checked, last-entry-alone, settled-at-once, newest-segment-trusted."""


@pytest.mark.parametrize(
    "case",
    [
        *LIVE_SEGMENT_DELETED,
        *BEAT_DIED,
        *ANSWERED_TO_NOBODY,
        *DRAFT_MARK_LEFT,
        *DISCARDED_WHEN_PUBLIC,
        *GHOST_OPENED,
        *CLOSING_PLACES_FILLED,
        *HIDDEN_BY_VOID_ENTRIES,
        *TURN_TAKEN_ALONG,
        *CAME_BACK_EMPTY,
        *FOUNDED_AFTER_A_DELETION,
        *ADOPTED_ONCE_MORE,
        *GRANTED_WHEN_LOST,
        *BORN_ASLEEP,
        *MADE_ANEW_THOUGH_RETIRED,
        *ENDED_WHILE_ANOTHER_WAS,
        *SHOWN_A_GHOST_TO_THE_END,
        *(
            pytest.param(case, marks=NEEDS_LUA)
            for case in (
                *ONE_NUMBER_FOR_TWO_MEMORIES,
                *FORGETTING_TAKEN_FOR_ANOTHER_REDIS,
                *ONE_TOKEN_FOR_TWO,
                *OPENED_IN_A_LOST_TAIL,
                *FOUNDED_LATE,
            )
        ),
    ],
    ids=lambda case: case.command(),
)
def test_what_was_found_stays_fixed(case: Case) -> None:
    assert search.violation_of(case) is None


def test_a_master_that_forgets_leaves_one_log() -> None:
    assert search.first(FORK_AFTER_FORGETTING) is None
