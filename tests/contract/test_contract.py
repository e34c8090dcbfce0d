"""What every authority must answer, under every driver. A new authority joins by a fixture line."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from tests.bed.redis import RedisServer, missing_redis
from tests.daemon.inside import Daemons
from volumelease.authorities.memory import MemoryAuthority
from volumelease.authorities.redis import founding as redis_founding
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import SystemClock
from volumelease.core.records import SessionFacts
from volumelease.drivers import asyncio as on_a_loop
from volumelease.drivers import threads as in_this_thread
from volumelease.drivers.crew import Crew
from volumelease.drivers.files import Files
from volumelease.effects import CallScript
from volumelease.errors import LeaseDeadlock, LeaseTimeout
from volumelease.host import this_process
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.leases.flows import SessionEnded, acquire
from volumelease.leases.hosting import HostedSession
from volumelease.leases.redis_hosting import HostedRedisSession, scripts_on
from volumelease.leases.talking import Conversation
from volumelease.model import (
    Acquire,
    Answer,
    Claim,
    Downgrade,
    Ended,
    Flow,
    Granted,
    Lost,
    Question,
    Release,
    Waiting,
)
from volumelease.settings import Settings
from volumelease.testing.hosted import HostedInMemory, Memory

T = TypeVar("T")
Driver = Callable[[Flow[Any], Any], Any]
Hosted = HostedInMemory | HostedSession | HostedRedisSession | HostedByDaemon

CREW: Final = Crew()


def with_asyncio(flow: Flow[T], host: on_a_loop.AsyncHost) -> T:
    return asyncio.run(on_a_loop.run_flow(flow, host, CREW))


DRIVERS: Final[dict[str, Driver]] = {
    "threads": in_this_thread.run_flow,
    "asyncio": with_asyncio,
}


class Member:
    """One session of the authority under test, under the driver under test."""

    def __init__(self, hosted: Hosted, driver: Driver) -> None:
        self.hosted = hosted
        self.driver = driver
        self.talk = Conversation(SystemClock(), None, hosted)

    def ask(self, question: Question) -> Answer:
        return self.hosted.ask(question)

    def now(self) -> float:
        return self.talk.now()

    def run(self, flow: Flow[T], host: Any = None) -> T:
        result: T = self.driver(flow, host or self.talk)
        return result

    def end(self) -> None:
        """Let go of everything, as a session that closes."""
        self.hosted.close()


def no_notice(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if reason := missing_redis():
        pytest.skip(reason)
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as started:
        yield started


@pytest.fixture(params=["memory", "volume", "redis", "daemon"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Hosted]:
    """Makes one more session of one authority."""
    if request.param == "redis":
        return on_redis(request.getfixturevalue("redis_url"), tmp_path)
    if request.param == "daemon":
        daemons = request.getfixturevalue("daemons")
        assert isinstance(daemons, Daemons)
        return daemons.one_more
    if request.param == "memory":
        memory = Memory(MemoryAuthority(SystemClock()), no_notice, SystemClock())
        return lambda: HostedInMemory(memory, SessionFacts(this_process()))
    files = Files(this_process())
    wanted = founding.Founding("0badcafe", ttl=15.0, created=0.0, ready=True)
    steps = founding.found(str(tmp_path), wanted)
    identity, _ = in_this_thread.Monitor(files).run(steps)

    def on_volume() -> HostedSession:
        hosted = HostedSession(
            identity=identity,
            layout=Layout.of(str(tmp_path), identity),
            facts=SessionFacts(this_process()),
            clock=SystemClock(),
            performer=files,
            report=no_notice,
            retention_seconds=600.0,
        )
        hosted.open()
        return hosted

    return on_volume


def on_redis(url: str, root: Path) -> Callable[[], HostedRedisSession]:
    files = Files(this_process())
    settings = Settings(redis_url=url)
    wanted = founding.Founding(os.urandom(8).hex(), ttl=15.0, created=0.0, ready=True)
    steps = redis_founding.found(str(root), wanted)
    identity, _ = in_this_thread.Monitor(files).run(steps)
    beginning = CallScript("found", state_key(identity.id), (0, "nonce", "somebody", "0"))
    scripts_on(settings, str(root), files).perform(beginning)

    def one_more() -> HostedRedisSession:
        hosted = HostedRedisSession(
            identity=identity,
            root=str(root),
            facts=SessionFacts(this_process()),
            clock=SystemClock(),
            performer=files,
            report=no_notice,
            settings=settings,
        )
        hosted.open()
        return hosted

    return one_more


@pytest.fixture(params=DRIVERS)
def join(
    request: pytest.FixtureRequest, host: Callable[[], Hosted]
) -> Iterator[Callable[[], Member]]:
    """Makes one more session, under one driver."""
    members: list[Member] = []

    def join() -> Member:
        members.append(Member(host(), DRIVERS[request.param]))
        return members[-1]

    yield join
    for member in members:
        member.end()


def take(
    member: Member,
    *paths: str,
    shared: bool = False,
    timeout: float | None = 0,
    owner: str = "owner",
) -> int:
    claims = tuple(Claim(path, path) for path in paths)
    question = Acquire(claims=claims, exclusive=not shared, owner=owner)
    granted = member.run(acquire(question, str(paths), member.now(), timeout))
    assert isinstance(granted, Granted)
    return granted.token


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("", "a/b/c"), ("a/b", ""), ("", "")],
)
def test_exclusive_excludes_the_path_its_parents_and_what_is_below(
    join: Callable[[], Member], first: str, second: str
) -> None:
    one, other = join(), join()
    token = take(one, first)
    for shared in (False, True):
        with pytest.raises(LeaseTimeout):
            take(other, second, shared=shared)
    one.ask(Release(token))
    assert take(other, second) > token


def test_siblings_and_longer_names_are_free(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    take(one, "a")
    take(other, "ab")
    take(other, "b/a")


def test_shared_leases_share_and_keep_a_writer_out(join: Callable[[], Member]) -> None:
    one, other, third = join(), join(), join()
    take(one, "a", shared=True)
    take(other, "a/b", shared=True)
    with pytest.raises(LeaseTimeout):
        take(third, "a")


def test_several_paths_come_together_or_not_at_all(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    token = take(one, "b")
    with pytest.raises(LeaseTimeout):
        take(other, "a", "b", "c")
    take(one, "a", owner="another")
    one.ask(Release(token))


def test_nobody_passes_a_waiter_that_conflicts(join: Callable[[], Member]) -> None:
    one, other, third = join(), join(), join()
    token = take(one, "a", shared=True)
    waiting = other.ask(Acquire((Claim("a", "a"),), True, "writer"))
    assert isinstance(waiting, Waiting)
    with pytest.raises(LeaseTimeout):
        take(third, "a", shared=True)
    one.ask(Release(token))


def test_a_waiter_is_granted_when_the_holder_lets_go(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    token = take(one, "a")
    timer = threading.Timer(0.1, lambda: one.ask(Release(token)))
    timer.start()
    assert take(other, "a", timeout=10) > token
    timer.join()


def test_a_session_that_ends_lets_go_of_all_it_has(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    take(one, "a")
    take(one, "b", owner="another")
    one.end()
    take(other, "a", "b")


def test_a_timeout_leaves_nothing_behind(join: Callable[[], Member]) -> None:
    one, other, third = join(), join(), join()
    token = take(one, "a")
    with pytest.raises(LeaseTimeout) as caught:
        take(other, "a", timeout=0.05)
    assert caught.value.facts["token"] == token
    one.ask(Release(token))
    take(third, "a")


def test_two_owners_that_wait_for_each_other_get_one_deadlock(
    join: Callable[[], Member],
) -> None:
    one, other = join(), join()
    take(one, "a", owner="x")
    held = take(other, "b", owner="y")
    waiting = one.ask(Acquire((Claim("b", "b"),), True, "x"))
    assert isinstance(waiting, Waiting)
    with pytest.raises(LeaseDeadlock):
        take(other, "a", owner="y", timeout=None)
    other.ask(Release(held))


def test_a_downgrade_lets_readers_in_and_keeps_writers_out(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    token = take(one, "a")
    answer = one.ask(Downgrade(token))
    assert answer == Granted(token, exclusive=False)
    take(other, "a", shared=True)
    with pytest.raises(LeaseTimeout):
        take(other, "a", owner="another")


def test_a_session_can_only_release_what_it_holds(join: Callable[[], Member]) -> None:
    one, other, third = join(), join(), join()
    token = take(one, "a")
    assert isinstance(other.ask(Release(token)), Ended | Lost)
    with pytest.raises(LeaseTimeout):
        take(third, "a")


def test_tokens_grow(join: Callable[[], Member]) -> None:
    members = [join(), join()]
    tokens = []
    for number in range(6):
        member = members[number % 2]
        tokens.append(take(member, "a"))
        member.ask(Release(tokens[-1]))
    assert tokens == sorted(set(tokens))


def test_an_interrupted_wait_is_given_back(join: Callable[[], Member]) -> None:
    one, other, third = join(), join(), join()
    token = take(one, "a")
    question = Acquire((Claim("a", "a"),), True, "owner")
    flow = acquire(question, "a", other.now(), None)

    class Interrupted(Exception):
        pass

    class Impatient:
        def still_waits(self, token: int) -> bool:
            raise Interrupted

        def wait(self, token: int, seconds: float) -> None:
            raise Interrupted

        def __getattr__(self, name: str) -> Any:
            return getattr(other.talk, name)

    with pytest.raises(Interrupted):
        other.run(flow, Impatient())
    one.ask(Release(token))
    take(third, "a")


def test_an_answer_that_nobody_heard_is_given_back(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    question = Acquire((Claim("a", "a"),), True, "owner")
    flow = acquire(question, "a", one.now(), None)

    class Interrupted(Exception):
        pass

    class Deaf:
        def ask(self, question: Question) -> Answer:
            answer = one.ask(question)
            if isinstance(question, Acquire):
                raise Interrupted
            return answer

        def __getattr__(self, name: str) -> Any:
            return getattr(one.talk, name)

    with pytest.raises(Interrupted):
        one.run(flow, Deaf())
    take(other, "a")


def test_a_session_that_was_ended_holds_nothing(join: Callable[[], Member]) -> None:
    one, other = join(), join()
    take(one, "a")
    one.end()
    question = Acquire((Claim("b", "b"),), True, "owner")
    assert isinstance(one.run(acquire(question, "b", one.now(), 0)), SessionEnded)
    take(other, "a")
