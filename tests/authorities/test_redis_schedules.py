"""Schedules of the worst moments of sessions on a Redis, each of which went wrong once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.bed.redis import RedisServer
from volumelease.authorities.answers import SessionOver
from volumelease.authorities.redis import still
from volumelease.authorities.redis.calling import Memory
from volumelease.authorities.redis.tokens import incarnation_of
from volumelease.clock import SystemClock
from volumelease.effects import (
    CallScript,
    Effect,
    ReadFile,
    Rename,
    Symlink,
    WriteDurably,
    WriteNew,
)
from volumelease.leases import opening

from .stepped import Stepped, Volume, unreachable

TTL = 15.0
BEAT = TTL / 3 + 0.01


@pytest.fixture
def volume(redis_server: RedisServer, tmp_path: Path) -> Volume:
    return Volume(tmp_path, redis_server.url, TTL)


def never_both(volume: Volume, holder: tuple[Stepped, int], waiter: tuple[Stepped, int]) -> None:
    """Until the waiter holds."""
    assert not (holder[0].holds(holder[1]) and waiter[0].holds(waiter[1])), volume.clock.now


def note_of(worker: Stepped) -> Path:
    return Path(worker.session.publishing.layout.folder("redis"))


def test_who_opens_counts_from_the_try_that_was_answered(volume: Volume) -> None:
    """And whoever watches must not count from a try before it."""
    clock = volume.clock
    observer, waiter = volume.worker("0observer").opened(), volume.worker("1waiter").opened()
    assert observer.beat()
    assert waiter.beat()
    holder = volume.worker("2holder")
    lost = [4]

    def lose(effect: Effect) -> None:
        if isinstance(effect, CallScript) and lost[0]:
            lost[0] -= 1
            if lost[0] == 3:
                observer.beat()
            clock.now += 1.0
            raise unreachable()

    holder.performer.after = lose
    began = clock.now
    held = holder.opened().asks("a")
    holder.cut_off()
    waiting = waiter.asks("a")
    due = began + BEAT
    while clock.now < began + 2 * TTL and not waiter.holds(waiting):
        clock.now += 0.25
        if clock.now >= due:
            due += BEAT
            observer.beat()
            waiter.beat()
        waiter.look()
        never_both(volume, (holder, held), (waiter, waiting))
    assert waiter.holds(waiting)


def test_a_mark_of_a_memory_that_is_gone_does_not_count_in_the_next(
    volume: Volume, redis_server: RedisServer
) -> None:
    clock = volume.clock
    observer, waiter, holder, breaker = (
        volume.worker(name).opened() for name in ("0observer", "1waiter", "2holder", "3breaker")
    )
    held, waiting = holder.asks("a"), waiter.asks("a")
    assert all(one.beat() for one in (observer, waiter, holder, breaker))
    began = clock.now

    def mark() -> str:
        return str(breaker.run(breaker.session.breaking._call(held, "mark", "me")))

    assert mark() == "marked"
    clock.now += 1.0
    observer.beat()
    redis_server.flush()
    waiter.beat()
    waiter.look()
    breaker.beat()
    clock.now = began + 5.0
    assert holder.beat()
    clock.now += 0.5
    assert mark() == "marked"
    holder.cut_off()
    due = {observer: began + 6.0, waiter: began + 6.2, breaker: began + 6.3}
    while clock.now < began + 2 * TTL and not waiter.holds(waiting):
        clock.now += 0.1
        for one, at in due.items():
            if clock.now >= at:
                due[one] += BEAT
                one.beat()
        waiter.look()
        never_both(volume, (holder, held), (waiter, waiting))
    assert waiter.holds(waiting)


@pytest.mark.parametrize("takes", ["nothing", "links"])
def test_a_grace_does_not_end_before_the_volume_told_of_its_memory_for_a_ttl(
    volume: Volume, takes: str
) -> None:
    """Of two workers with two addresses, on a volume that is full."""
    with RedisServer() as second:
        holder = volume.worker("h").opened()
        held = holder.asks("a")
        assert holder.beat()
        before = note_of(holder).read_text()
        waiter = volume.worker("w", second.url)

        def full(effect: Effect) -> None:
            if isinstance(effect, WriteDurably | WriteNew):
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            if isinstance(effect, Symlink | Rename) and takes == "nothing":
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

        waiter.performer.before = full
        waiting = waiter.opened().asks("a")
        for number in range(1, 140):
            volume.clock.now += 0.25
            waiter.look()
            never_both(volume, (holder, held), (waiter, waiting))
            if number % 16 == 0:
                holder.beat()
                assert waiter.beat()
        assert holder.holds(held) == (takes == "nothing")
        assert waiter.holds(waiting) == (takes == "links")
        if takes == "nothing":
            assert note_of(holder).read_text() == before


def test_a_grace_begins_anew_when_the_note_of_its_memory_was_replaced_by_an_older_one(
    volume: Volume,
) -> None:
    """By a session of the first Redis, which stopped right before it put its own note in place."""
    with RedisServer() as second:
        holder = volume.worker("h").opened()
        held = holder.asks("a")
        assert holder.beat()
        older = note_of(holder).read_text()
        waiter = volume.worker("w", second.url).opened()
        waiting = waiter.asks("a")
        for number in range(1, 160):
            volume.clock.now += 0.25
            waiter.look()
            never_both(volume, (holder, held), (waiter, waiting))
            if number == 36:
                note_of(holder).write_text(older)
                assert holder.beat()  # and then it is slow
            if number % 16 == 5:
                assert waiter.beat()
        assert not holder.holds(held)
        assert waiter.holds(waiting)


def test_notes_of_every_kind_are_read_and_replaced_in_one_step(volume: Volume) -> None:
    worker = volume.worker("w").opened()
    note, layout = note_of(worker), worker.session.publishing.layout
    seen: list[str] = []
    worker.performer.before = lambda effect: seen.append(type(effect).__name__)
    for make in (lambda: note.write_text("7 abc\n"), lambda: note.symlink_to("7 abc")):
        note.unlink(missing_ok=True)
        make()
        assert worker.run(still.newest_memory(layout)) == Memory(7, "abc")
        seen.clear()
        assert worker.beat()
        assert seen.count("Rename") == 1
        assert "WriteDurably" not in seen
        assert worker.run(still.newest_memory(layout)) == worker.session.calls.memory
    assert not list(note.parent.glob("redis.*"))


def test_a_note_that_can_not_be_read_is_left_alone(volume: Volume) -> None:
    worker = volume.worker("w").opened()
    note_of(worker).write_text("7 abc\n")

    def broken(effect: Effect) -> None:
        if isinstance(effect, ReadFile) and effect.path.endswith("/redis"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    worker.performer.before = broken
    assert worker.beat()
    assert note_of(worker).read_text() == "7 abc\n"


def test_a_memory_that_is_learned_during_a_beat_is_noted_as_it_is(
    volume: Volume, redis_server: RedisServer
) -> None:
    """Half of it joined with half of the one that answered was that of a server nobody has."""
    worker, other = volume.worker("a").opened(), volume.worker("b").opened()
    other.session.calls._mine = "0" * 16  # less than what any other memory is called
    held = other.asks("x")
    assert worker.beat()
    assert other.beat()
    armed = [True]

    def forget(effect: Effect) -> None:
        if armed and isinstance(effect, ReadFile):
            armed.clear()
            redis_server.flush()
            assert other.beat()
            worker.run(worker.session.calls.once("look", 0))  # as the thread does that waits

    worker.performer.before = forget
    worker.beat()
    for _ in range(16):
        volume.clock.now += TTL / 8
        worker.beat()
        other.beat()
    assert other.holds(held)
    assert worker.session.alive()
    noted = worker.run(still.newest_memory(worker.session.publishing.layout))
    assert noted == other.session.calls.memory


def test_a_break_goes_on_where_the_redis_forgot_the_mark(
    volume: Volume, redis_server: RedisServer
) -> None:
    breaker, holder = volume.worker("b").opened(), volume.worker("h").opened()
    breaking, held = breaker.session.breaking, holder.asks("a")
    assert holder.beat()
    assert breaker.beat()
    assert breaker.run(breaking.begin(held, "stuck"))
    redis_server.flush()
    for _ in range(3):  # its holder has not named it yet
        volume.clock.now += 0.5
        breaker.run(breaking.look_on())
        assert breaking.under_way(held)
    assert holder.beat()
    breaker.run(breaking.look_on())
    volume.clock.now += 0.5
    assert holder.beat()
    assert not holder.holds(held), "marked again"
    while volume.clock.now < 1000 + 3 * TTL and breaking.under_way(held):
        volume.clock.now += TTL / 8
        assert breaker.beat()
        holder.beat()
        breaker.run(breaking.look_on())
    assert breaking.ends[held]
    assert breaker.holds(breaker.asks("a"))


def test_a_break_of_what_its_holder_never_names_again_ends_with_the_grace(
    volume: Volume, redis_server: RedisServer
) -> None:
    breaker, holder = volume.worker("b").opened(), volume.worker("h").opened()
    breaking, held = breaker.session.breaking, holder.asks("a")
    assert breaker.run(breaking.begin(held, "stuck"))
    redis_server.flush()
    began = volume.clock.now
    while volume.clock.now < began + 3 * TTL and breaking.under_way(held):
        volume.clock.now += TTL / 8
        assert breaker.beat()
        breaker.run(breaking.look_on())
    assert volume.clock.now >= began + TTL
    assert breaking.ends[held].startswith("let go")


def test_nothing_is_begun_where_there_is_nothing_to_break(volume: Volume) -> None:
    breaker, holder = volume.worker("b").opened(), volume.worker("h").opened()
    held = holder.asks("a")
    assert not breaker.run(breaker.session.breaking.begin(held + 1, "a mistake"))
    assert not breaker.session.breaking.ends


@pytest.mark.parametrize("incarnation", [2**31 - 1, still.LARGEST - 1])
def test_a_note_that_was_damaged_uses_up_no_tokens(volume: Volume, incarnation: int) -> None:
    worker = volume.worker("w")
    note_of(worker).write_text(f"{incarnation} x\n")
    assert incarnation_of(worker.opened().asks("a")) < 2**31


def test_a_session_that_took_too_long_to_open_is_followed_by_another_try(volume: Volume) -> None:
    """Of every authority: its end has one name."""
    tries: list[str] = []

    def slowly(effect: Effect) -> None:
        if isinstance(effect, CallScript):
            volume.clock.now += TTL

    class Slow:
        def open(self) -> None:
            worker = volume.worker("w")
            worker.performer.after = slowly
            worker.opened()

    def anew(moved: bool) -> Any:
        return Slow()

    with pytest.raises(SessionOver, match="in time"):
        opening.opened(anew(False), anew, SystemClock(), tries.append)
    assert len(tries) == opening.OPEN_TRIES - 1
