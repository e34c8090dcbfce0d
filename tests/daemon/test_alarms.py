"""A client that read an alarm ends in time what it may not have any more, whatever the daemon
does."""

from __future__ import annotations

import mmap
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease.drivers.crew import MOST_THREADS, Job
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.wire import slots

from .inside import Daemons
from .outside import Scene
from .test_desks import acquire, desk_of, wait_until

TTL = 3.0


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path, ttl=TTL) as made:
        yield made


def told_of_loss(hosted: HostedByDaemon, token: int) -> threading.Event:
    """Set in the watching thread, as that acts which ends a process or a task."""
    told = threading.Event()
    hosted.on_change(lambda: told.set() if hosted.loss_of(token) else None)
    return told


def raise_alarm(about: dict[str, Any]) -> None:
    """As the daemon does, on the page that both have mapped."""
    at = slots.alarms_at(about["slot"])
    with open(about["page"], "r+b") as file:
        memory = mmap.mmap(file.fileno(), slots.PAGE_BYTES)
    count = slots.decode_count(memory[at : at + 8])
    memory[at : at + 8] = slots.encode_count(count + 1)
    memory.close()


def asking() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "volumelease-alarm"}


def test_a_daemon_that_stands_still_after_an_alarm_does_not_keep_a_client_past_its_deadline(
    tmp_path: Path,
) -> None:
    with Scene(tmp_path, ttl=TTL) as scene:
        daemon = scene.start()
        hosted = scene.session()
        hosted.open()
        token = acquire(hosted).token
        told = told_of_loss(hosted, token)
        daemon.send_signal(signal.SIGSTOP)
        raise_alarm(hosted._about)
        time.sleep(hosted.remaining_seconds())
        assert told.wait(1.0), "whoever is to end the process waits for the daemon"


def test_a_daemon_that_beats_and_answers_nothing_does_not_keep_a_client_past_a_loss(
    daemons: Daemons,
) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    told = told_of_loss(hosted, token)
    go, of_others = threading.Event(), asking()
    busy = threading.Barrier(MOST_THREADS + 1)
    try:
        desk = desk_of(daemons)
        for _ in range(MOST_THREADS):
            desk.crews.short.do(Job(lambda: (busy.wait(), go.wait())))
        busy.wait(10)
        until = time.monotonic() + hosted.remaining_seconds()
        for _ in range(3):
            desk.alarm()
            hosted._news.set()
        wait_until(lambda: len(asking() - of_others) == 1)
        assert told.wait(until + 1.0 - time.monotonic())
        assert hosted.alive()
        assert len(asking() - of_others) == 1
    finally:
        go.set()


def test_an_alarm_that_was_for_another_lease_costs_nothing(daemons: Daemons) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    told = told_of_loss(hosted, token)
    belief, desk = hosted._belief, desk_of(daemons)
    assert belief is not None
    until = time.monotonic() + TTL
    while time.monotonic() < until:  # longer than any deadline that is on the page now
        desk.alarm()
        hosted._news.set()
        time.sleep(0.02)
    wait_until(lambda: not belief.in_doubt())
    assert not told.is_set()
    assert not hosted.loss_of(token)


def test_an_alarm_is_asked_about_as_soon_as_a_thread_can_be_made(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    desk, belief = desk_of(daemons), hosted._belief
    assert belief is not None
    start, refused = threading.Thread.start, threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "volumelease-alarm" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    told = told_of_loss(hosted, token)
    desk.alarm()
    assert refused.wait(5)
    wait_until(lambda: not belief.in_doubt())
    assert not told.is_set()
