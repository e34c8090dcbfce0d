"""The turn to commit, among the threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from volumelease.drivers.threads import ThreadTurn


def elsewhere(work: Callable[[], bool | None]) -> bool | None:
    """What ``work`` returns in a thread of its own."""
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_one_thread_has_it_at_a_time() -> None:
    turn = ThreadTurn()
    assert turn.free()
    assert not elsewhere(turn.free)
    turn.leave()
    assert elsewhere(turn.free)


def test_who_does_not_have_it_takes_it_from_nobody_by_leaving() -> None:
    turn = ThreadTurn()
    assert turn.free()
    elsewhere(turn.leave)
    assert not elsewhere(turn.free)
    turn.leave()
    turn.leave()
    assert turn.free()


def test_who_waits_in_vain_for_one_that_never_leaves_makes_a_new_one() -> None:
    turn = ThreadTurn()
    assert elsewhere(turn.free)
    assert not turn.enter(0.01)
    assert turn.enter(0.01)
    turn.leave()
    assert turn.free()


def test_a_late_leave_of_the_old_one_does_not_end_the_turn_of_the_next() -> None:
    turn = ThreadTurn()
    had, go = threading.Event(), threading.Event()

    def late() -> None:
        assert turn.free()
        had.set()
        go.wait()
        turn.leave()

    thread = threading.Thread(target=late)
    thread.start()
    had.wait()
    assert not turn.enter(0.01)
    assert turn.enter(0.01)
    go.set()
    thread.join()
    assert not elsewhere(turn.free)


def test_a_thread_that_takes_turn_after_turn_lets_the_waiting_ones_in() -> None:
    turn = ThreadTurn()
    had: list[bool] = []

    def wait_for_it() -> None:
        had.append(turn.enter(30))
        turn.leave()

    assert turn.free()
    threads = [threading.Thread(target=wait_for_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    turn.leave()
    rounds = 0
    while any(thread.is_alive() for thread in threads):  # never gives up the processor itself
        assert turn.free() or turn.enter(30)
        rounds += 1
        turn.leave()
    assert had == [True] * 8
    assert turn.free()


def test_who_waits_in_vain_at_a_door_that_nobody_opens_makes_a_new_one() -> None:
    turn = ThreadTurn()
    assert turn._door.acquire(timeout=1)  # interrupted right after
    assert not turn.enter(0.01)
    assert turn.enter(0.01)
    turn.leave()
    assert turn.free()


def test_who_leaves_while_another_one_takes_its_place_does_no_harm() -> None:
    turn = ThreadTurn()
    assert turn.free()
    turn._lock = threading.Lock()  # right after the leaver saw that it has the turn
    turn.leave()
    assert elsewhere(turn.free)
