"""What one client of a desk can do to another, and what a desk leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease.daemon.clients import User
from volumelease.daemon.desk import Desk
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.model import Acquire, Answer, Claim, Client, Ended, Granted, Release

from .inside import Daemons


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
    owner = next(iter(daemons.running[0].daemon.server.users.values()))
    owner.tell = lambda event, about: told.append(event)
    desk.hosted.session.pulse.lose("a test")
    desk.hosted.room.wake(token)
    wait_until(lambda: told == ["lost"])


def test_a_desk_that_closes_alarms_and_tells_those_who_have_something_left(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    token = acquire(hosted).token
    desk = desk_of(daemons)
    owner = next(iter(daemons.running[0].daemon.server.users.values()))
    told: list[tuple[str, object]] = []
    owner.tell = lambda event, about: told.append((event, about["token"]))
    desk.close()
    assert told == [("lost", str(token))]
    assert hosted.loss_of(token)


def test_what_a_client_of_an_earlier_daemon_does_not_claim_is_given_back(
    daemons: Daemons, hosted: HostedByDaemon
) -> None:
    tokens = [acquire(hosted, path).token for path in "abc"]
    desk = desk_of(daemons)
    owner = next(iter(daemons.running[0].daemon.server.users.values()))
    for token in tokens[:2]:
        owner.held[(desk.volume, token)].adopted = True
    desk.reclaim(owner, {tokens[0], tokens[2]}, [])
    assert owner.tokens(desk.volume) == [tokens[0], tokens[2]]
    owner.held[(desk.volume, tokens[2])].adopted = True
    desk.forsake(owner)
    assert owner.tokens(desk.volume) == [tokens[0]]
