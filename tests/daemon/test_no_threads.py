"""The container is at its limit of threads: requests are refused, and nobody else is held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from volumelease.client import connecting
from volumelease.client.connecting import HungUp, Line, connect
from volumelease.daemon.connection import Connection, Request
from volumelease.drivers.crew import Crew, Job
from volumelease.errors import AuthorityUnreachable, DaemonUnavailable, LeaseError
from volumelease.leases.hosting import HostedSession
from volumelease.leases.volumes import Volumes
from volumelease.paths.locate import locate

from .inside import Daemons, Inside, surroundings
from .test_desks import QUESTION, acquire, desk_of, owner_of, wait_until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path, ttl=3.0) as made:
        yield made


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Whether the threads of crews, and those that look, can be started."""
    start, reached = threading.Thread.start, threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if thread.name in ("volumelease-call", "volumelease-look") and reached.is_set():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    yield lambda now: reached.set() if now else reached.clear()
    reached.clear()


def test_what_can_be_given_no_thread_is_refused_and_the_connection_stays(
    daemons: Daemons, limit: Callable[[bool], None]
) -> None:
    hosted = daemons.one_more()
    server = daemons.running[0].daemon.server
    with connect(hosted._path, events=False) as line:
        server._doors, desk_of(daemons).crews.short = Crew(), Crew()  # whose threads have ended
        daemons.running[0].daemon._volumes._crews.clear()
        limit(True)
        for do, fields in (
            ("attach", {"path": str(daemons.root)}),
            ("acquire", {"claims": [["a"]]}),
        ):
            with pytest.raises(AuthorityUnreachable, match=f"no thread .* for '{do}'"):
                line.ask(do, fields)
        assert line.ask("ping", {}) == {"is": "pong"}
        limit(False)
        assert line.ask("acquire", {"claims": [["a"]]})["is"] == "granted"


def test_what_lets_go_is_done_when_there_is_a_thread_again_and_never_in_the_loop(
    daemons: Daemons, limit: Callable[[bool], None]
) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    desk, owner = desk_of(daemons), owner_of(daemons)
    with connect(hosted._path, events=False) as line:
        desk.crews.short, desk.crews.aside = Crew(), Crew()
        limit(True)
        with pytest.raises(AuthorityUnreachable, match="no thread"):
            line.ask("release", {"token": str(token)})
        assert owner.held
        limit(False)
        wait_until(lambda: not owner.held)


def test_what_a_client_that_has_gone_had_is_given_back_when_there_is_a_thread_again(
    daemons: Daemons, limit: Callable[[bool], None]
) -> None:
    acquire(daemons.one_more())
    server, owner = daemons.running[0].daemon.server, owner_of(daemons)
    limit(True)
    server.on_loop(lambda: server._gone(owner))
    wait_until(lambda: owner.gone)
    time.sleep(0.2)
    assert owner.held, "it was done in the loop"
    limit(False)
    wait_until(lambda: not owner.held)


def test_a_loss_is_told_and_a_grant_looked_at_later_where_no_thread_can_be_made(
    daemons: Daemons, limit: Callable[[bool], None]
) -> None:
    hosted = daemons.one_more()
    first, second = acquire(hosted).token, acquire(hosted, "b").token
    desk, owner = desk_of(daemons), owner_of(daemons)
    with connect(hosted._path, events=True) as line:
        waiting = line.ask("acquire", {"claims": [["a"]], "owner": "another"})["token"]
        desk.crews.aside = Crew()
        limit(True)
        told: list[tuple[str, object]] = []
        owner.tell = lambda event, about: told.append((event, about["token"]))
        desk.hosted.run(desk.hosted.session.breaking.begin(second, "stuck"))
        assert told == [("lost", str(second))]
        line.ask("release", {"token": str(first)})
        time.sleep(0.2)
        assert len(told) == 1
        limit(False)
        wait_until(lambda: told[1:] == [("granted", waiting)])


def test_who_is_waited_for_looks_once_there_is_a_thread_again(
    daemons: Daemons, limit: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of the bell asks for it, and must not end by it."""
    daemons.one_more()
    hosted = desk_of(daemons).hosted
    assert isinstance(hosted, HostedSession)
    looked = threading.Event()
    monkeypatch.setattr(hosted, "_look", looked.set)
    limit(True)
    hosted._look_soon()
    limit(False)
    hosted._look_soon()
    assert looked.wait(10)


def test_a_job_that_is_kept_waits_for_a_thread(limit: Callable[[bool], None]) -> None:
    crew, job = Crew(), Job(threading.get_ident)
    limit(True)
    crew.keep(job)
    crew.rouse()
    assert not job.done
    with pytest.raises(RuntimeError, match="no thread"):
        crew.do(Job(lambda: None), urgent=True, here=False)
    limit(False)
    crew.rouse()
    wait_until(lambda: job.done)
    assert job.value != threading.get_ident()


class Failing:
    def receive(self, data: bytes) -> NoReturn:
        raise MemoryError


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "is closed unread"])
def test_a_connection_that_fails_is_no_client_that_left(tmp_path: Path, fails: bool) -> None:
    root = tmp_path / "volume"
    root.mkdir()
    around = surroundings(root, 2.0)
    Volumes(around).found(locate(root, explicit=str(root)), ready=True)
    inside = Inside(tmp_path / "daemon.sock", around)
    server = inside.daemon.server
    with Line(str(inside.socket), events=True) as line:
        assert line.ask("acquire", {"paths": [str(root / "a")]})["is"] == "granted"
        (desk,) = server.reception.all_desks()
        (connection,) = server.connections
        began = time.monotonic()
        if fails:
            broken: Any = Failing()
            connection.side = broken
            with pytest.raises(HungUp):
                line.ask("ping", {})
        else:
            connection.send(b"{}\n")
    wait_until(lambda: not desk.in_use())
    waited = time.monotonic() - began
    assert waited > desk.grace_seconds if fails else waited < desk.grace_seconds
    inside.end()


def test_a_daemon_that_hangs_up_again_and_again_is_asked_with_pauses_and_not_for_ever(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = daemons.one_more()
    server = daemons.running[0].daemon.server
    asked: list[str] = []

    def hang_up(connection: Connection, request: Request) -> None:
        asked.append(request.asked.do)
        connection.abort()

    monkeypatch.setattr(server, "asked", hang_up)
    monkeypatch.setattr(connecting, "REDIAL_SECONDS", 0.5)
    caught: list[LeaseError] = []

    def ask() -> None:
        try:
            hosted.ask(QUESTION)
        except LeaseError as error:
            caught.append(error)

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(5)
    times = len(asked)
    monkeypatch.undo()
    assert [type(error) for error in caught] == [DaemonUnavailable]
    assert "again and again" in str(caught[0])
    assert 1 < times < 40
