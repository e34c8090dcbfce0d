"""What one client of a desk can do to another, and what a desk leaves behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from volumelease.client.connecting import connect
from volumelease.daemon.clients import User
from volumelease.daemon.connection import Request
from volumelease.daemon.desk import Desk
from volumelease.daemon.returning import reclaim
from volumelease.drivers.crew import MOST_THREADS, Job
from volumelease.errors import LeaseViolation
from volumelease.leases.belongings import Belongings
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.model import Acquire, Answer, Claim, Client, Ended, Granted, Lost, Release
from volumelease.wire.dialogue import Asked, ClientSide, ProtocolError, ServerSide

from .inside import Daemons

QUESTION: Final = Acquire((Claim("a", "a"),), True, "o", True, "")


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as made:
        yield made


@pytest.fixture
def hosted(daemons: Daemons) -> HostedByDaemon:
    return daemons.one_more()


def desk_of(daemons: Daemons) -> Desk:
    return daemons.running[0].daemon.server.reception.all_desks()[0]


def owner_of(daemons: Daemons) -> User:
    return next(iter(daemons.running[0].daemon.server.users.values()))


def acquire(hosted: HostedByDaemon, path: str = "a") -> Granted:
    answer: Answer = hosted.ask(Acquire((Claim(path, path),), True, "o", True, ""))
    assert isinstance(answer, Granted)
    return answer


def test_who_releases_what_is_another_ones_does_not_keep_its_loss_from_it(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    token = acquire(hosted).token
    desk = desk_of(daemons)
    stranger: Any = User(Client(1, 1), -1, "")
    assert desk.ask(stranger, Release(token)) == Ended()
    assert desk.in_use()
    told: list[str] = []
    owner = owner_of(daemons)
    owner.tell = lambda event, about: told.append(event)
    desk.hosted.session.pulse.lose("a test")
    desk.hosted.room.wake(token)
    wait_until(lambda: told == ["lost"])


def test_a_desk_that_closes_alarms_and_tells_those_who_have_something_left(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    token = acquire(hosted).token
    desk = desk_of(daemons)
    owner = owner_of(daemons)
    told: list[tuple[str, object]] = []
    owner.tell = lambda event, about: told.append((event, about["token"]))
    desk.close()
    assert told == [("lost", str(token))]
    assert hosted.loss_of(token)


def test_a_beat_that_counts_is_on_the_page_at_once(tmp_path: Path) -> None:
    with Daemons(tmp_path, ttl=3.0) as daemons:
        hosted = daemons.one_more()
        desk = desk_of(daemons)
        timing = desk.hosted.session.timing
        desk.hosted.watch_seconds = 3600.0  # nobody else brings it up to date
        least, until = timing.ttl, time.monotonic() + 2 * timing.ttl
        while time.monotonic() < until:
            least = min(least, hosted.remaining_seconds())
            time.sleep(0.005)
    assert least > (timing.ttl - timing.margin - timing.beat_interval) / 4


def test_what_a_client_of_an_earlier_daemon_does_not_claim_is_given_back(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    tokens = [acquire(hosted, path).token for path in "abc"]
    desk = desk_of(daemons)
    owner = owner_of(daemons)
    for token in tokens[:2]:
        owner.held[(desk.volume, token)].adopted = True
    named = [str(tokens[0]), str(tokens[2])]
    reclaim(desk, owner, {"tokens": named, "drafts": []})
    assert owner.tokens(desk.volume) == [tokens[0], tokens[2]]
    owner.held[(desk.volume, tokens[2])].adopted = True
    desk.forsake(owner)
    assert owner.tokens(desk.volume) == [tokens[0]]


def test_pages_of_a_reclaim_count_together_or_not_at_all(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    tokens = [acquire(hosted, path).token for path in "abc"]
    desk, owner = desk_of(daemons), owner_of(daemons)
    for token in tokens:
        owner.held[(desk.volume, token)].adopted = True

    def say(token: int, **page: Any) -> Any:
        return reclaim(desk, owner, {"tokens": [str(token)], "drafts": [], **page})["tokens"]

    with pytest.raises(ProtocolError, match="0 was to come"):
        say(tokens[1], page=1)  # of what was said to a daemon before this one
    assert say(tokens[2], page=0, more=True) == [str(tokens[2])]
    assert say(tokens[0], page=0, more=True) == [str(tokens[0])]  # from the beginning again
    with pytest.raises(ProtocolError, match="1 was to come"):
        say(tokens[1], page=2)
    assert owner.tokens(desk.volume) == tokens
    say(tokens[0], page=0, more=True)
    assert say(tokens[1], page=1) == [str(tokens[1])]
    assert owner.tokens(desk.volume) == tokens[:2]


def test_what_one_message_can_carry_is_claimed_in_one() -> None:
    mine = Belongings()
    mine.held.update(range(100))
    (page,) = mine.as_pages()
    assert len(page["tokens"]) == 100
    assert "page" not in page
    mine.held.update(range(10**18, 10**18 + 9000))
    pages = mine.as_pages()
    assert [one.get("more", False) for one in pages] == [True] * (len(pages) - 1) + [False]
    assert [one["page"] for one in pages] == list(range(len(pages)))
    assert sum(len(one["tokens"]) for one in pages) == 9100
    for one in pages:
        ClientSide().ask("reclaim", {"volume": "v" * 16, "session": "s" * 16, **one})


def test_who_names_no_session_has_the_next_one_after_a_loss(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    desk = desk_of(daemons)
    with connect(str(daemons.running[0].socket), events=False) as line:
        assert line.ask("acquire", {"claims": [["a"]]})["is"] == "granted"
        desk.hosted.session.pulse.lose("a test")
        assert line.ask("acquire", {"claims": [["b"]], "session": desk.session})["is"] == "lost"
        assert line.ask("acquire", {"claims": [["b"]]})["is"] == "granted"
        assert line.ask("acquire", {"claims": [["c"]], "session": desk.session})["is"] == "lost"


def test_a_request_that_was_given_back_before_it_began_never_begins(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    desk, owner = desk_of(daemons), owner_of(daemons)
    desk.give_back(owner, "k")
    with pytest.raises(LeaseViolation, match="gone"):
        desk.ask(owner, QUESTION, "k")
    assert not owner.held
    assert hosted.alive()


def test_a_request_whose_connection_ends_before_its_turn_gets_nothing(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    desk, owner = desk_of(daemons), owner_of(daemons)
    go = threading.Event()
    for _ in range(MOST_THREADS):
        desk.crews.short.do(Job(go.wait))
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(str(daemons.running[0].socket))
        gone.sendall(b'{"hello":{"versions":[1],"name":"x"}}\n')
        gone.recv(1000)
        gone.sendall(b'{"id":1,"do":"acquire","claims":[["a"]]}\n')
        wait_until(lambda: desk.crews.short.behind)
    time.sleep(0.2)
    go.set()
    wait_until(lambda: not desk.crews.short.behind)
    assert acquire(hosted).token
    assert len(owner.held) == 1


def test_an_answer_that_nobody_hears_is_given_back() -> None:
    class Deaf:
        lock = threading.Lock()
        side = ServerSide()
        under_way: ClassVar[dict[int, Request]] = {}

        def send(self, data: bytes) -> bool:
            del data
            return False

    deaf: Any = Deaf()
    request = Request(deaf, Asked(1, "acquire", {}))
    given_back: list[bool] = []
    request.abandon = lambda: given_back.append(True)
    request.answer({"is": "granted"})
    assert given_back
    assert request.done


def test_a_successors_records_are_far_from_those_that_may_be_under_way(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    session = desk_of(daemons).hosted.session
    session.committer.go_on_after(5)
    acquire(hosted)
    assert max(session.replica.table.sessions[session.name].recent) > 1 << 20


def test_what_is_asked_of_one_session_is_not_answered_by_the_next(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    desk, owner = desk_of(daemons), owner_of(daemons)
    desk.session = "the next"
    answer = hosted.ask(QUESTION)
    assert isinstance(answer, Lost)
    assert "another" in answer.reason
    assert not owner.held


def test_no_two_sessions_of_a_process_use_the_same_key() -> None:
    assert Belongings().asking(QUESTION) != Belongings().asking(QUESTION)


def test_the_same_key_may_be_in_use_on_another_volume(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    desk, owner = desk_of(daemons), owner_of(daemons)
    owner.asking[("another", "k")] = None
    assert isinstance(desk.ask(owner, QUESTION, "k"), Granted)
    assert hosted.alive()
