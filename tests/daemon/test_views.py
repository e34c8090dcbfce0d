"""What a process has of a daemon's session when it lost its view of it, or was not heard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from volumelease.client.connecting import HungUp, Line, connect
from volumelease.drivers.crew import MOST_THREADS, Job
from volumelease.errors import AuthorityUnreachable, DaemonUnavailable
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Claim,
    GiveBack,
    Granted,
    Inspect,
    Lost,
    Question,
    Release,
    Waiting,
)
from volumelease.wire.dialogue import Told

from .inside import Daemons, surroundings, through
from .test_desks import desk_of, owner_of, wait_until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path, ttl=3.0) as made:
        yield made


def question(path: str = "a", *, wait: bool = True) -> Acquire:
    return Acquire((Claim(path, path),), True, "thread-1", wait, "")


def another(daemons: Daemons) -> HostedByDaemon:
    """The view that a process opens after it lost one."""
    around = surroundings(daemons.root, 3.0)
    hosted = through(daemons.running[0].socket, daemons.root, daemons.volume, around)
    hosted.open()
    return hosted


@pytest.mark.parametrize("adopted", [True, False])
def test_what_a_lost_view_had_is_no_deadlock_for_the_next_and_is_given_back(
    daemons: Daemons, adopted: bool
) -> None:
    first = daemons.one_more()
    had = first.ask(question())
    assert isinstance(had, Granted)
    desk, user = desk_of(daemons), owner_of(daemons)
    user.held[(desk.volume, had.token)].adopted = adopted
    second = another(daemons)
    first._lose("no beat of the daemon was answered in time")
    lost_at = time.monotonic()
    answer: Answer = second.ask(question())
    assert isinstance(answer, Waiting), answer
    while isinstance(answer, Waiting):
        assert time.monotonic() < lost_at + 10, "nobody gives back what the lost view had"
        time.sleep(0.02)
        answer = second.ask(Inspect(answer.token))
    assert isinstance(answer, Granted)
    assert time.monotonic() - lost_at > 0.9 * desk.grace_seconds
    second.close()


def test_a_late_reclaim_of_a_lost_view_takes_nothing_from_the_next(daemons: Daemons) -> None:
    first = daemons.one_more()
    assert isinstance(first.ask(question()), Granted)
    line = connect(first._path, events=True)  # the listener of the first view got so far
    second = another(daemons)
    first._lose("no beat of the daemon was answered in time")
    got = second.ask(question("b"))
    assert isinstance(got, Granted)
    with suppress(HungUp):
        first._reclaim(line)  # and goes on
    line.ask("reclaim", {"session": second._about["session"], "tokens": [], "drafts": []})
    line.close()
    assert not second.loss_of(got.token)
    assert isinstance(second.ask(Inspect(got.token)), Granted)
    assert not isinstance(desk_of(daemons).hosted.ask(Inspect(got.token)), Lost)
    second.close()


def test_a_release_that_was_given_up_before_its_turn_is_done_all_the_same(
    daemons: Daemons,
) -> None:
    hosted = daemons.one_more()
    desk = desk_of(daemons)
    go, busy = threading.Event(), threading.Barrier(MOST_THREADS + 1)
    path = hosted._path
    with connect(path, events=False) as first, connect(path, events=False) as line:
        token = first.ask("acquire", {"claims": [["a"]]})["token"]
        for _ in range(MOST_THREADS):  # as many drafts that take long to publish
            desk.crews.short.do(Job(lambda: (busy.wait(), go.wait())))
        busy.wait(10)
        with pytest.raises(Exception, match="did not answer"):
            line.ask("release", {"token": token, "seconds": 0.5})
        go.set()
        wait_until(lambda: not desk.crews.short.behind)
        time.sleep(0.3)
        assert not owner_of(daemons).held


def test_a_release_that_could_not_be_said_is_said_again(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    got = hosted.ask(question())
    assert isinstance(got, Granted)
    with monkeypatch.context() as patched:
        patched.setattr(hosted._daemon.lines, "take", nobody_answers)
        with pytest.raises(DaemonUnavailable):
            hosted.ask(Release(got.token))
    wait_until(lambda: not owner_of(daemons).held)


def test_a_request_that_was_given_up_while_the_daemon_was_silent_is_given_back(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    asked = question()
    key = hosted._mine.asking(asked)
    with connect(hosted._path, events=False) as line:
        about = {"claims": [["a"]], "key": key, **hosted._named}
        assert line.ask("acquire", about)["is"] == "granted"  # and that was not heard
        with monkeypatch.context() as patched:
            patched.setattr(hosted._daemon.lines, "take", nobody_answers)
            with pytest.raises(DaemonUnavailable):
                hosted.ask(GiveBack(asked))
        wait_until(lambda: not owner_of(daemons).held)


@pytest.mark.parametrize(
    "trouble",
    [HungUp("it closed"), DaemonUnavailable("it is stopped", socket="s", root=None, seconds=10.0)],
)
def test_what_a_lost_view_had_is_given_back_though_the_daemon_did_not_hear_it_at_once(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    first = daemons.one_more()
    for path in "abc":
        assert isinstance(first.ask(question(path)), Granted)
    user, second = owner_of(daemons), another(daemons)
    tries = iter([None, trouble])
    real = Line.ask

    def ask(line: Line, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        if do == "cancel" and (error := next(tries, None)) is not None:
            raise error
        return real(line, do, fields)

    monkeypatch.setattr(Line, "ask", ask)
    first._lose("no beat of the daemon was answered in time")
    wait_until(lambda: not user.held)
    second.close()


def test_an_error_about_one_lease_of_a_lost_view_keeps_no_other_one(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = daemons.one_more()
    for path in "abc":
        assert isinstance(first.ask(question(path)), Granted)
    user, second, hosting = owner_of(daemons), another(daemons), desk_of(daemons).hosted
    troubles = iter([AuthorityUnreachable("no answer", root=None, seconds=1.0)])
    real = hosting.ask

    def ask(asked: Question) -> Answer:
        if isinstance(asked, Cancel) and (error := next(troubles, None)) is not None:
            raise error
        return real(asked)

    monkeypatch.setattr(hosting, "ask", ask)
    first._lose("no beat of the daemon was answered in time")
    wait_until(lambda: not user.held)
    second.close()


def test_what_was_released_after_its_view_was_lost_is_given_back_too(daemons: Daemons) -> None:
    """Its user could not say so any more."""
    first = daemons.one_more()
    had = first.ask(question())
    assert isinstance(had, Granted)
    user, second = owner_of(daemons), another(daemons)
    first._lose("no beat of the daemon was answered in time")
    assert isinstance(first.ask(Release(had.token)), Lost)
    wait_until(lambda: not user.held)
    second.close()


def nobody_answers() -> Any:
    raise DaemonUnavailable("it is stopped", socket="s", root=None, seconds=10.0)


def test_who_waits_for_a_daemon_and_finds_the_session_lost_does_not_wait_for_itself(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    hosted._daemon.gone()
    late = iter(["", "no beat of the daemon was answered in time"])
    monkeypatch.setattr(hosted._belief, "loss", lambda: next(late, "lost"))
    asking = threading.Thread(target=lambda: hosted.ask(question()), daemon=True)
    asking.start()
    asking.join(10)
    assert not asking.is_alive()


def test_a_grant_that_was_heard_and_not_looked_at_is_claimed(daemons: Daemons) -> None:
    hosted = daemons.one_more()
    with connect(hosted._path, events=False) as line:
        token = line.ask("acquire", {"claims": [["a"]]})["token"]
        waits = hosted.ask(question())
        assert isinstance(waits, Waiting)
        line.ask("release", {"token": token})
        wait_until(lambda: not hosted.still_waits(waits.token))
        (page,) = hosted._mine.as_pages()
        assert page["tokens"] == [str(waits.token)]


def test_what_the_only_view_had_is_not_given_back_before_its_user_had_time_to_end(
    daemons: Daemons,
) -> None:
    hosted = daemons.one_more()
    assert isinstance(hosted.ask(question()), Granted)
    desk, user = desk_of(daemons), owner_of(daemons)
    lost_at = time.monotonic()
    hosted._lose("no beat of the daemon was answered in time")
    wait_until(lambda: not user.held)
    assert time.monotonic() - lost_at > 0.9 * desk.grace_seconds


def test_an_event_that_comes_before_the_answer_it_is_about_wakes_the_waiter(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    real = hosted._daemon.ask

    def ask(do: str, fields: dict[str, Any]) -> dict[str, Any]:
        answer = real(do, fields)
        if do == "acquire":
            about = {"volume": hosted.volume, "token": answer["token"]}
            hosted._heard(Told("granted", about))  # the other connection was faster
        return answer

    with connect(hosted._path, events=False) as line:
        assert line.ask("acquire", {"claims": [["a"]]})["is"] == "granted"
        monkeypatch.setattr(hosted._daemon, "ask", ask)
        waits = hosted.ask(question())
        assert isinstance(waits, Waiting)
        assert not hosted.still_waits(waits.token), "it sleeps over what it was told"
        assert isinstance(hosted.ask(Inspect(waits.token)), Waiting)
        assert hosted.still_waits(waits.token)
