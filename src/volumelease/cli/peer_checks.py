"""What two hosts prove to each other about the file system that both mount.

Both run the same checks side by side. Each check ends with both saying what they saw, and the worse
of the two counts, so both hosts come to one verdict.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from volumelease.core.liveness import ATTRIBUTE_CACHE_SECONDS, LEAST_MARGIN_SECONDS

from .checks import Check, Outcome
from .peers import HEAR_SECONDS, GivenUp, Talk, make_directory, poll, read_link

SLOWEST_SECONDS: Final = ATTRIBUTE_CACHE_SECONDS + LEAST_MARGIN_SECONDS / 2
"""How late another host may see a change: what observers allow for, and half a margin for the
measuring."""

_PINGS: Final = 30
_BATCHES: Final = 100
_BATCH: Final = 2
"""Short, so that both start anew together again and again: who is first keeps its lead."""
_CONTENDERS: Final = 2
_BEATS: Final = 6
_READINGS: Final = 10
_RECORDS: Final = 5
_RENAMES: Final = 3
_WORST: Final = {"ok": 0, "warn": 1, "fail": 2}
_RATE_TOLERANCE: Final = 0.05
_UNFIT: Final = "Don't use this mount for leases; other mount options may help (caches off)"

Seen = tuple[Outcome, str, str]
"""Outcome, detail and advice, as one host sees it."""


def examine_together(talk: Talk) -> Iterator[Check]:
    """One check after the other. Errors: ``Silence``."""
    first = read_clocks(talk, "first")
    for check in (names, entries, heartbeats, record_files, renames, locks):
        yield _together(talk, check)
    yield _together(talk, lambda talk: clocks(talk, first), "clocks")


def _together(talk: Talk, check: Callable[[Talk], Seen], name: str = "") -> Check:
    name = f"peer {name or check.__name__.replace('_', ' ')}"
    mark = name.replace(" ", "-")
    talk.begin()
    talk.both(f"{mark}-begins")
    try:
        seen = check(talk)
    except GivenUp as error:
        seen = ("fail", f"it can't be tried out: {error.what}", _UNFIT)
    except OSError as error:
        seen = ("fail", f"it can't be tried out: {error}", _UNFIT)
        talk.give_up(str(error))
    talk.begin()
    theirs = talk.both(f"{mark}-ends", seen=[part[:200] for part in seen])["seen"]
    leading, following = (seen, theirs) if talk.leads else (theirs, seen)
    worse = following if _WORST[following[0]] > _WORST[leading[0]] else leading
    return Check(name, worse[0], worse[1], worse[2])


# ---- each check


def names(talk: Talk) -> Seen:
    """A name that one host makes is seen by the other who looks for it."""
    took = []
    for number in range(_PINGS):
        started = time.monotonic()
        if talk.leads:
            talk.tell(f"ping{number}")
            talk.hear(f"pong{number}")
        else:
            talk.hear(f"ping{number}")
            talk.tell(f"pong{number}")
        took.append(time.monotonic() - started)
        # The follower's first wait began before the leader was there; both stop alike.
        slow = talk.leads and took[-1] > 2 * SLOWEST_SECONDS
        if talk.both(f"round{number}", slow=slow)["slow"] or slow:
            detail = f"an entry of the other host is seen only after {max(took) / 2:.1f} s"
            return "fail", detail, _UNFIT
    middle = sorted(took)[len(took) // 2]
    detail = f"an entry of the other host is seen and answered in {middle * 1e3:.1f} ms (p50)"
    return "ok", f"{detail}, {max(took) * 1e3:.1f} ms at worst", ""


def entries(talk: Talk) -> Seen:
    """The compare-and-set of the log, contended by both: one winner each, the same for all."""
    folder = talk.path("entries")
    make_directory(folder)
    side = "leader" if talk.leads else "follower"
    won: dict[int, str] = {}
    lost: dict[int, str] = {}

    def contend(thread: int, first: int) -> None:
        for number in range(first, first + _BATCH):
            mine, path = f"{side}-{thread}-{number}", f"{folder}/{number}"
            try:
                os.symlink(mine, path)
            except OSError:  # whose it is says the entry, not the error
                there = poll(lambda path=path: read_link(path), HEAR_SECONDS)  # type: ignore[misc]
                if there != mine:
                    lost[number * _CONTENDERS + thread] = there or ""
                    continue
            won[number] = mine

    for batch in range(_BATCHES):
        talk.both(f"batch{batch}")
        threads = [
            threading.Thread(target=contend, args=(thread, batch * _BATCH))
            for thread in range(_CONTENDERS)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    talk.both("contended")
    total = _BATCHES * _BATCH
    final = {number: read_link(f"{folder}/{number}") or "" for number in range(total)}
    digest = hashlib.sha256("\n".join(final[n] for n in sorted(final)).encode()).hexdigest()
    theirs = talk.both("entries-read", digest=digest, won=len(won))
    return _judge_entries(final, won, lost, digest == theirs["digest"], theirs["won"])


def _judge_entries(
    final: dict[int, str], won: dict[int, str], lost: dict[int, str], same: bool, others: int
) -> Seen:
    stolen = [number for number, mine in won.items() if final[number] != mine]
    changed = [key for key, seen in lost.items() if final[key // _CONTENDERS] != seen]
    if stolen:
        return "fail", f"{len(stolen)} entries were won twice, or vanished", _UNFIT
    if changed or "" in final.values():
        return "fail", "entries were seen that are not there any more", _UNFIT
    if not same or len(won) + others != len(final):
        return "fail", "the two hosts read different logs", _UNFIT
    detail = f"{len(final)} entries contended by both, one winner each ({len(won)}:{others})"
    if not won or not others:
        return "warn", f"{detail}; one host was always late, so little is proved", "Try again"
    return "ok", detail, ""


def heartbeats(talk: Talk) -> Seen:
    """A beat of one host is seen by the other who looks by path, as observers do."""
    slowest = 0.0
    for leads in (True, False):
        if slowest > SLOWEST_SECONDS:
            break
        beats = talk.leads == leads
        path = talk.path(f"beat-{leads}")
        if beats:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        talk.both(f"beat-file-{leads}")
        for counter in range(1, _BEATS + 1):
            late = _one_beat(talk, path, counter, f"{leads}-{counter}", beats=beats)
            slowest = max(slowest, late)
            if late > SLOWEST_SECONDS:
                break
    if slowest > SLOWEST_SECONDS:
        shown = f"only after {slowest:.1f} s" if slowest < HEAR_SECONDS else "never"
        return "fail", f"a heartbeat of the other host is seen {shown}", _UNFIT
    detail = f"{2 * _BEATS} beats, each seen by the other host within {slowest * 1e3:.0f} ms"
    return "ok", f"{detail} (up to {SLOWEST_SECONDS:g} s is allowed)", ""


def _one_beat(talk: Talk, path: str, counter: int, name: str, *, beats: bool) -> float:
    """How late the other saw it, in seconds; both return the same."""
    if beats:
        # The other looks already: an attribute that its mount has cached is what makes beats late.
        talk.hear(f"looks-{name}")
        sent = time.monotonic()
        os.utime(path, (counter, counter))
        found = talk.hear(f"saw-{name}", 2 * HEAR_SECONDS)["seen"]
        late = time.monotonic() - sent if found else HEAR_SECONDS
        talk.tell(f"late-{name}", seconds=late)
        return late
    _counter(path)
    talk.tell(f"looks-{name}")
    seen = poll(lambda: True if _counter(path) == counter else None, HEAR_SECONDS)
    talk.tell(f"saw-{name}", seen=bool(seen))
    return float(talk.hear(f"late-{name}")["seconds"])


def record_files(talk: Talk) -> Seen:
    """A file that one host wrote and synced is whole for the other who hears of it."""
    for number in range(_RECORDS):
        for leads in (True, False):
            path, name = talk.path(f"record-{leads}-{number}"), f"record-{leads}-{number}"
            if talk.leads == leads:
                content = os.urandom(4096)
                with open(path, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                talk.tell(name, digest=hashlib.sha256(content).hexdigest())
                whole = talk.hear(f"{name}-read")["whole"]
            else:
                wanted = talk.hear(name)["digest"]
                whole = bool(poll(lambda: True if _digest(path) == wanted else None, 0.25))  # noqa: B023
                talk.tell(f"{name}-read", whole=whole)
            if not whole:
                return "fail", "a file that the other host wrote and synced reads wrong", _UNFIT
    return "ok", f"{2 * _RECORDS} files of the other host were read whole", ""


def renames(talk: Talk) -> Seen:
    """A directory that one host renames in place takes entries of the other, who looked before."""
    slowest = 0.0
    for number in range(_RENAMES):
        for leads in (True, False):
            name, target = f"segment-{leads}-{number}", talk.path(f"segment-{leads}-{number}")
            if talk.leads == leads:
                os.mkdir(f"{target}.draft")
                os.symlink("first", f"{target}.draft/0")
                talk.hear(f"{name}-missed")
                os.rename(f"{target}.draft", target)
                moved = time.monotonic()
                talk.tell(f"{name}-moved")
                facts = talk.hear(f"{name}-used")
                late = time.monotonic() - moved
                read = poll(lambda: read_link(f"{target}/1"), HEAR_SECONDS)  # noqa: B023
                fits = bool(facts["found"]) and read == "second"
                talk.tell(f"{name}-late", seconds=late, fits=fits)
            else:
                read_link(f"{target}/0")
                talk.tell(f"{name}-missed")
                talk.hear(f"{name}-moved")
                found = poll(lambda: read_link(f"{target}/0"), HEAR_SECONDS)  # noqa: B023
                if found:
                    os.symlink("second", f"{target}/1")
                talk.tell(f"{name}-used", found=bool(found))
                facts = talk.hear(f"{name}-late")
                late, fits = facts["seconds"], facts["fits"]
            slowest = max(slowest, late)
            if not fits or late > 2 * SLOWEST_SECONDS:
                return "fail", f"a renamed directory is seen after {late:.1f} s, or wrong", _UNFIT
    detail = f"{2 * _RENAMES} directories renamed by one host, used by the other"
    return "ok", f"{detail} within {slowest * 1e3:.0f} ms", ""


def locks(talk: Talk) -> Seen:
    """POSIX locks between hosts: leases don't need them, but what wakes waiters may use them."""
    import fcntl

    path, advice = talk.path("lock"), "Nothing: leases don't use locks"
    if talk.leads:
        with open(path, "xb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                talk.tell("locked", held=False)
                return "warn", f"POSIX locks don't work: {error}", advice
            talk.tell("locked", held=True)
            excluded = talk.hear("tried-lock")["excluded"]
    else:
        if not talk.hear("locked")["held"]:
            return "ok", "", ""
        excluded = _excluded(path)
        talk.tell("tried-lock", excluded=excluded)
    if excluded:
        return "ok", "POSIX locks exclude the other host", ""
    return "warn", "LOCAL ONLY: POSIX locks exclude nobody on another host", advice


def _excluded(path: str) -> bool:
    import fcntl

    poll(lambda: True if os.path.exists(path) else None, HEAR_SECONDS)
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


class Meter(NamedTuple):
    """The other's clocks as the one who leads read them: when by its own monotonic clock, and how
    long the question took."""

    asked: float
    took: float
    monotonic: float
    ahead: float


def read_clocks(talk: Talk, name: str) -> Meter | None:
    """The best of some readings; None for the one who follows."""
    best: Meter | None = None
    for number in range(_READINGS):
        if not talk.leads:
            talk.hear(f"{name}{number}")
            talk.tell(f"{name}-read{number}", wall=time.time(), monotonic=time.monotonic())
            continue
        asked, wall = time.monotonic(), time.time()
        talk.tell(f"{name}{number}")
        theirs = talk.hear(f"{name}-read{number}")
        took = time.monotonic() - asked
        if best is None or took < best.took:
            ahead = theirs["wall"] - wall - took / 2
            best = Meter(asked + took / 2, took, theirs["monotonic"], ahead)
    return best


def clocks(talk: Talk, first: Meter | None) -> Seen:
    """How far their wall clocks are apart, and whether their clocks run alike: of two hosts leases
    compare no times, but both must count a ttl alike."""
    last = read_clocks(talk, "clock")
    if first is None or last is None:
        return "ok", "", ""
    here, there = last.asked - first.asked, last.monotonic - first.monotonic
    unsure = (first.took + last.took) / 2
    detail = f"the wall clocks differ by {abs(last.ahead):.3f} s (give or take {last.took / 2:.3f})"
    if abs(there - here) > _RATE_TOLERANCE * here + unsure:
        detail = f"one host's clock runs {there / here:.2f} times as fast as the other's"
        return "fail", detail, "Don't run workers there: they would count a ttl differently"
    if abs(last.ahead) > 2 + last.took:
        return "warn", detail, "Set the clocks (NTP); leases compare none, but times shown are off"
    return "ok", f"{detail}; leases don't compare them", ""


def _counter(path: str) -> int | None:
    try:
        return int(os.stat(path).st_mtime)
    except OSError:
        return None


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None
