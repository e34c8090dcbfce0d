"""The operations on a lease, each written once, as what to ask and how long to wait.

Threads, an event loop and the simulator run the same lines (``drivers``).
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final, NamedTuple, assert_never

from volumelease.errors import LeaseDeadlock, LeaseError, LeaseTimeout
from volumelease.model import (
    Acquire,
    Answer,
    Ask,
    Busy,
    Cancel,
    Deadlocked,
    Ended,
    Flow,
    GiveBack,
    Granted,
    Holder,
    Inspect,
    Lost,
    Notice,
    Prepared,
    Wait,
    Waiting,
)

NOTICE_SECONDS: Final = 5.0
"""A wait that takes longer says once who is in the way."""

_LONGEST_WAIT: Final = 60.0


class SessionEnded(NamedTuple):
    """Nothing is held, because the session was lost meanwhile, or the lease broken as soon as it
    was granted; ask again."""

    reason: str


def acquire(
    question: Acquire, shown: str, started: float, timeout: float | None
) -> Flow[Granted | SessionEnded]:
    """Ask until granted, or until ``timeout`` seconds after ``started`` (None: for ever).

    Whatever ends the wait early, what was or may have been granted is given back.

    Errors: ``LeaseTimeout``, ``LeaseDeadlock``, and those of the authority.
    """
    deadline = None if timeout is None else started + timeout
    if timeout is not None and timeout <= 0:
        question = question._replace(wait=False)
    token: int | None = None
    notice_at = started + NOTICE_SECONDS
    try:
        resumed = yield Ask(question)
        while isinstance(resumed.answer, Waiting):
            token, ahead = resumed.answer
            now = resumed.now
            if deadline is not None and now >= deadline:
                raise _timed_out(shown, ahead, now - started)
            if now >= notice_at:
                notice_at = math.inf
                yield Notice(f"waiting for a lease on {shown}: {in_words(ahead)}")
            until = min(notice_at, math.inf if deadline is None else deadline)
            yield Wait(token, min(until - now, _LONGEST_WAIT))
            resumed = yield Ask(Inspect(token))
        if isinstance(resumed.answer, Lost) and resumed.answer.broken:
            # Broken before anybody here knew of the grant: it must not stay in our own way.
            with suppress(LeaseError):
                yield Ask(GiveBack(question) if token is None else Cancel(token))
    except GeneratorExit:
        raise
    except BaseException:
        with suppress(LeaseError):  # else the session gives it back at its next beat
            yield Ask(GiveBack(question) if token is None else Cancel(token))
        raise
    return _end_of(resumed.answer, shown, resumed.now - started)


def _end_of(answer: Answer | None, shown: str, waited: float) -> Granted | SessionEnded:
    match answer:
        case Granted() as granted:
            return granted
        case Lost(reason, _):
            return SessionEnded(reason)
        case Busy(ahead):
            raise _timed_out(shown, ahead, waited)
        case Deadlocked(cycle, ahead):
            raise _deadlocked(shown, cycle, ahead)
        case Waiting() | Ended() | Prepared() | None:
            raise AssertionError(f"{answer} does not end an acquire")
        case other:
            assert_never(other)


def _timed_out(shown: str, ahead: tuple[Holder, ...], waited: float) -> LeaseTimeout:
    what = f"no lease on {shown} after {max(0.0, waited):.1f} s: {in_words(ahead)}"
    if not ahead:
        return LeaseTimeout(what, path=shown, holder=None, token=None, since=None, waited=waited)
    first = ahead[0]
    return LeaseTimeout(
        what, path=shown, holder=first, token=first.token, since=first.since, waited=waited
    )


def _deadlocked(shown: str, cycle: tuple[int, ...], ahead: tuple[Holder, ...]) -> LeaseDeadlock:
    return LeaseDeadlock(
        f"waiting for {shown} would never end: {in_words(ahead)}, and it waits for this owner",
        path=shown,
        holder=ahead[0] if ahead else None,
        cycle=cycle,
    )


def in_words(ahead: tuple[Holder, ...]) -> str:
    """Who is in the way, for a person."""
    if not ahead:
        return "the volume's log is new and starts after one ttl"
    first = ahead[0]
    verb = "held" if first.granted else "asked for"
    mode = "exclusively" if first.exclusive else "shared"
    names = ", ".join(path or "the whole volume" for path in first.paths[:3])
    more = f" and {len(ahead) - 1} more ahead" if len(ahead) > 1 else ""
    reason = f", {first.reason!r}" if first.reason else ""
    since = clock_time(first.since)
    return f"{names} is {verb} {mode} by {first} since {since} (token {first.token}{reason}){more}"


def clock_time(wall: float) -> str:
    """The time of day of somebody's wall clock, to be shown."""
    days, seconds = divmod(int(wall), 86_400)
    del days
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} UTC"
