"""What a session of the Redis authority sees of the others."""

from __future__ import annotations

from contextlib import suppress

from volumelease.authorities.redis.watching import NEAREST, Ahead, Undertaker, Watch
from volumelease.clock import Reading, SystemClock
from volumelease.core.liveness import Timing
from volumelease.core.records import SessionFacts
from volumelease.effects import ProveDeath, Steps
from volumelease.host import ProcessFacts

HERE = ProcessFacts("host", "boot", 1, 10, 100)


def at(seconds: float) -> Reading:
    return Reading(seconds, seconds, seconds)


def ahead(name: str, pid: int, hostname: str = "host", clients: tuple[int, ...] = ()) -> Ahead:
    facts = SessionFacts(HERE._replace(pid=pid, hostname=hostname))
    return Ahead(name, facts, tuple((client, 1) for client in clients))


def test_only_what_was_watched_for_a_whole_ttl_is_over() -> None:
    watch = Watch(Timing(6.0, cache=0.0))
    over = [
        watch.look([("s0", "7"), ("s1", str(second // 3))], at(second), at(second))
        for second in range(8)
    ]
    assert over == [[], [], [], [], [], [], ["s0"], ["s0"]]


def test_an_old_observation_is_not_continued() -> None:
    watch = Watch(Timing(6.0, cache=0.0))
    for second in range(5):
        watch.look([("s0", "7")], at(second), at(second))
    watch.look([], at(5), at(5))
    assert watch.look([("s0", "7")], at(9), at(9)) == []


def test_what_is_told_now_and_then_is_watched_on_when_it_comes_near() -> None:
    watch = Watch(Timing(6.0, cache=0.0))
    for second in range(6):
        far = [("s1", "7"), ("s2", str(second))] if second % 2 == 0 else None
        assert watch.look([("s0", str(second))], at(second), at(second), far) == []
    assert watch.look([("s1", "7")], at(6), at(6), None) == ["s1"]
    assert watch.look([], at(7), at(7), []) == []
    assert watch.look([("s1", "7")], at(8), at(8), None) == [], "it was away"


def test_a_gap_between_two_looks_counts_as_one_beat() -> None:
    watch = Watch(Timing(6.0, cache=0.0))
    watch.look([("s0", "7")], at(0), at(0))
    assert watch.look([("s0", "7")], at(100), at(100)) == []


def test_deaths_are_looked_for_among_the_nearest_of_this_host() -> None:
    """With all of a long queue, nothing else would get done."""
    undertaker = Undertaker(SystemClock(), HERE)
    queue = [ahead("far", 1, "another"), *(ahead(f"s{n}", n + 2) for n in range(9))]
    near = undertaker.within_reach(queue)
    assert [one.name for one in near] == [f"s{n}" for n in range(NEAREST)]
    assert not Undertaker(SystemClock(), None).within_reach(queue)


def test_a_session_is_dead_only_with_everybody_who_uses_its_leases() -> None:
    undertaker = Undertaker(SystemClock(), HERE)
    steps = undertaker.dead([ahead("s0", 2, clients=(3, 4)), ahead("s1", 5)])
    found: list[list[str]] = []

    def through() -> Steps[None]:
        found.append((yield from steps))

    gone, answer = {2, 3, 5}, None
    walk = through()
    with suppress(StopIteration):
        while True:
            effect = walk.send(answer)
            assert isinstance(effect, ProveDeath)
            answer = effect.process.pid in gone
    assert found == [["s1"]]
