"""A holder stops before anybody else starts, whatever happens to either of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings, target
from hypothesis import strategies as st

from tests.core.schedules import Call, Holder, Host, Schedule, schedules, verdict_time
from volumelease.clock import Reading
from volumelease.core.liveness import LEAST_TTL_SECONDS, Pulse, Standstill, Succession, Timing

TIMING = Timing(15.0)
START = Reading(100.0, 100.0, 1.7e9)

many = settings(max_examples=350, deadline=None)


def later(seconds: float, *, suspended: float = 0.0, hidden: float = 0.0) -> Reading:
    """The clocks after ``seconds`` of boottime, so many of them suspended, and so many more that
    only the wall clock knows of."""
    return Reading(
        START.monotonic + seconds - suspended,
        START.boottime + seconds,
        START.wall + seconds + hidden,
    )


def look(standstill: Standstill, counter: int | None, seconds: float) -> bool:
    """A look that is answered at once."""
    return standstill.look(counter, later(seconds), later(seconds))


# ---- the times themselves


@given(st.floats(LEAST_TTL_SECONDS, 1e9))
def test_a_holder_stops_before_an_observer_may_act_for_every_ttl(ttl: float) -> None:
    timing = Timing(ttl)
    slow, fast = 0.95, 1.05
    believed = (ttl - timing.margin) / slow
    assert believed < timing.standstill / fast - timing.cache, "an attribute can be seen late"
    assert timing.beat_interval * 2 < ttl - timing.margin, "a single lost beat must cost nothing"


@pytest.mark.parametrize("ttl", [-1.0, 0.0, 1.99, math.nan, math.inf])
def test_a_ttl_that_protects_nobody_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="must stop before"):
        Timing(ttl)


def test_a_cache_that_eats_the_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="must stop before"):
        Timing(15.0, cache=-4.0)


# ---- holder and observer against each other


def assert_no_overlap(schedule: Schedule) -> None:
    """Searches for schedules in which the holder believes for as long as possible."""
    verdict = schedule.verdict()
    assume(verdict is not None)
    assert verdict is not None
    believed = schedule.holder.last_belief()
    target((believed - verdict) / schedule.timing.ttl)
    assert believed < verdict


@given(schedules(drift=0.05))
@many
def test_nobody_acts_while_a_holder_believes_whose_calls_are_slow(schedule: Schedule) -> None:
    assert_no_overlap(schedule)


@given(schedules(drift=0.05, kinds=("paused", "suspended")))
@many
def test_nobody_acts_while_a_holder_believes_that_did_not_run(schedule: Schedule) -> None:
    assert_no_overlap(schedule)


@given(schedules(drift=0.04, hidden=3))
@many
def test_nobody_acts_while_a_holder_believes_that_was_frozen_unseen(schedule: Schedule) -> None:
    """Small freezes are tolerated one by one, and must not add up."""
    assert_no_overlap(schedule)


@given(schedules(drift=0.04, kinds=("frozen",)))
@many
def test_nobody_acts_while_a_holder_believes_that_comes_back_from_a_freeze(
    schedule: Schedule,
) -> None:
    assert_no_overlap(schedule)


def test_a_look_that_is_answered_late_proves_nothing_about_the_time_since() -> None:
    """The holder's beat of 11.5 s was counted, and the value that the observer was told at 16 s
    had been read at 11 s: it would have ended a session that believes until 23 s."""
    holder = Holder(TIMING, Host(1.0), [Call(4.9, 0.0, 0.1, lost=True), Call(6.5, 0.0, 0.1)])
    holder.beats[0] = holder.beats[0]._replace(lands=math.inf)
    steady = Call(0.25, 0.0, 0.0)
    looks = [*[steady] * 44, Call(0.0, 0.0, 5.0), *[steady] * 200]
    verdict = verdict_time(TIMING, holder, Host(1.0), looks, 0.0)
    assert holder.believes(23.4)
    assert verdict is not None
    assert verdict > 23.5


def test_a_first_look_that_is_answered_late_may_have_seen_a_beat_of_its_last_moment() -> None:
    standstill = Standstill(TIMING)
    assert not standstill.look(1, later(0), later(60))
    assert not look(standstill, 1, 64)
    assert standstill.seen_seconds == pytest.approx(4)


# ---- the holder


def test_a_new_session_may_be_assumed_for_ttl_less_margin() -> None:
    assert Pulse(TIMING, START).alive(later(11.99))
    assert not Pulse(TIMING, START).alive(later(12))


def test_a_beat_counts_from_when_it_was_sent() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(5))
    assert pulse.answered(later(9))
    assert pulse.deadline == later(17).boottime


def test_a_late_answer_revives_nothing() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(5))
    assert not pulse.answered(later(12))
    assert pulse.lost
    pulse.sending(later(12.1))
    assert not pulse.answered(later(12.2))
    assert not pulse.alive(later(1))


def test_a_loss_keeps_its_first_reason() -> None:
    pulse = Pulse(TIMING, START)
    pulse.lose("the first")
    pulse.lose("the second")
    assert not pulse.alive(later(50))
    assert pulse.lost == "the first"


def test_an_answer_without_a_beat_counts_for_nothing() -> None:
    pulse = Pulse(TIMING, START)
    assert not pulse.answered(later(1))
    assert pulse.deadline == later(12).boottime
    assert pulse.alive(later(1))


def test_the_answer_of_one_beat_counts_once() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(1))
    assert pulse.answered(later(2))
    assert not pulse.answered(later(3))
    assert pulse.deadline == later(13).boottime


@pytest.mark.parametrize("gap", [{"suspended": 1.6}, {"hidden": 1.6}])
def test_a_gap_that_only_a_pause_explains_loses_the_session(gap: dict[str, float]) -> None:
    asked, beating, answered = (Pulse(TIMING, START) for _ in range(3))
    assert not asked.alive(later(3, **gap))
    beating.sending(later(3, **gap))
    assert beating.lost
    answered.sending(later(1))
    assert not answered.answered(later(3, **gap))


@pytest.mark.parametrize("gap", [{"suspended": 1.4}, {"hidden": 1.4}])
def test_clocks_that_differ_a_little_lose_nothing(gap: dict[str, float]) -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(3, **gap))
    assert pulse.answered(later(3.5, **gap))
    assert pulse.alive(later(4, **gap))


def test_pauses_too_short_to_notice_add_up_against_one_deadline() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(3, hidden=1))
    pulse.sending(later(6, hidden=2))  # the first ended in an error
    assert "wall clock" in pulse.lost


def test_pauses_before_a_beat_that_counted_are_over() -> None:
    pulse = Pulse(TIMING, START)
    for beat in range(1, 50):
        pulse.sending(later(5 * beat, hidden=beat))
        assert pulse.answered(later(5 * beat + 1, hidden=beat))


def test_a_pause_is_not_made_up_for_by_a_clock_set_back() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(3, hidden=-100))
    assert pulse.alive(later(3))  # the wall clock was set right: nothing to see
    pulse.sending(later(4, hidden=-90))
    assert pulse.lost


def test_a_clock_that_runs_backwards_loses_the_session() -> None:
    for earlier in (
        START._replace(boottime=START.boottime - 1),
        START._replace(monotonic=START.monotonic - 1),
    ):
        pulse = Pulse(TIMING, START)
        pulse.sending(earlier)
        assert "backwards" in pulse.lost


def test_asking_from_another_thread_with_an_older_reading_loses_nothing() -> None:
    pulse = Pulse(TIMING, START)
    pulse.sending(later(5))
    assert pulse.answered(later(5.5))
    assert pulse.alive(later(4))
    assert pulse.alive(later(5.6))


# ---- the observer


def test_a_session_is_over_after_standing_still_for_ttl_and_cache() -> None:
    standstill = Standstill(TIMING)
    assert not any(look(standstill, 7, second) for second in range(16))
    assert look(standstill, 7, 16)


def test_a_counter_that_moves_starts_the_count_again() -> None:
    standstill = Standstill(TIMING)
    for second in range(60):
        assert not look(standstill, second // 15, second)


def test_a_counter_that_falls_back_has_moved_too() -> None:
    """An abandoned beat can land after a later one; the session was alive to send that."""
    standstill = Standstill(TIMING)
    look(standstill, 2, 0)
    assert not look(standstill, 1, 15)
    assert standstill.seen_seconds == 0


@pytest.mark.parametrize("before", [None, 3])
def test_a_missing_file_counts_as_standing_still(before: int | None) -> None:
    standstill = Standstill(TIMING)
    look(standstill, before, 0)
    assert not any(look(standstill, None, second) for second in range(1, 16))
    assert look(standstill, None, 16)


def test_a_file_that_was_missing_for_a_moment_stood_still() -> None:
    standstill = Standstill(TIMING)
    for second in range(15):
        assert not look(standstill, None if second % 2 else 3, second)
    look(standstill, 3, 15)
    assert look(standstill, 3, 16)


def test_a_file_that_appears_has_moved() -> None:
    standstill = Standstill(TIMING)
    look(standstill, None, 0)
    look(standstill, None, 5)
    assert not look(standstill, 1, 10)
    assert standstill.seen_seconds == 0


@given(st.lists(st.floats(0, 100), max_size=30))
@settings(deadline=None)
def test_at_most_one_beat_interval_counts_between_two_looks(pauses: list[float]) -> None:
    standstill, now, counted = Standstill(TIMING), 0.0, 0.0
    look(standstill, 1, now)
    for pause in pauses:
        now += pause
        over = look(standstill, 1, now)
        counted += min(pause, TIMING.beat_interval)
        assert standstill.seen_seconds == pytest.approx(counted)
        assert over == (standstill.seen_seconds >= TIMING.standstill)


def test_time_that_the_observer_was_suspended_does_not_count() -> None:
    standstill = Standstill(TIMING)
    look(standstill, 1, 0)
    standstill.look(1, later(4, suspended=2.5), later(4, suspended=2.5))
    assert standstill.seen_seconds == pytest.approx(1.5)


@pytest.mark.parametrize(
    "jump",
    [
        Reading(200.0, 120.0, 1.7e9),
        Reading(120.0, 200.0, 1.7e9),
        Reading(90.0, 120.0, 1.7e9),
    ],
    ids=["monotonic", "boottime", "backwards"],
)
def test_what_was_observed_before_the_own_clock_jumped_is_dropped(jump: Reading) -> None:
    standstill = Standstill(TIMING)
    assert not any(look(standstill, 1, second) for second in range(16))
    assert not standstill.look(1, jump, jump)
    assert standstill.seen_seconds == 0


def test_a_jump_while_a_look_was_under_way_is_seen_too() -> None:
    standstill = Standstill(TIMING)
    assert not any(look(standstill, 1, second) for second in range(16))
    assert not standstill.look(1, later(16), later(60, suspended=40))
    assert standstill.seen_seconds == 0


def test_a_successors_counter_is_none_that_an_old_attribute_hides() -> None:
    """A mount may show the counter of some beats ago."""
    for hidden in range(1, 100):
        assert Succession(7, until=0.0).last_counter() + 1 > 7 + hidden
