"""What nobody else has to do with is decided at a glance, and only by the memory that was named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.authorities.glances import Glances
from tests.authorities.redis_table import RedisTable
from tests.authorities.test_redis_faults import Fleet
from tests.authorities.test_redis_scripts import Caller
from tests.bed.redis import RedisServer
from volumelease.drivers.files import Files
from volumelease.leases.redis_hosting import scripts_on
from volumelease.model import Acquire, Claim, Release
from volumelease.settings import Settings


@pytest.fixture
def glances(redis_server: RedisServer) -> Iterator[Glances]:
    glances = Glances(scripts_on(Settings(redis_url=redis_server.url), "/nowhere", Files()))
    yield glances
    glances.close()


@pytest.fixture
def table(glances: Glances) -> RedisTable:
    return RedisTable(glances, grace=False)


def client_of(server: RedisServer) -> Any:
    import redis

    return redis.Redis.from_url(server.url)


def test_a_session_names_its_memory_so_that_a_glance_is_enough(
    redis_server: RedisServer, glances: Glances
) -> None:
    fleet = Fleet(redis_server.url, 0)
    for lossy in fleet.lossy:
        lossy._scripts = glances  # type: ignore[assignment] # performs the same
    one, other = fleet.sessions[:2]
    question = Acquire((Claim("a", "a"),), exclusive=True, owner="o")
    mine = fleet.run(0, one.ask(question), patient=True)
    number = one.requests.wanted[mine.token].number
    fleet.run(0, one.calls.once("look", 0, number), patient=True)
    assert glances.taken == [("acquire", True), ("look", True)]
    theirs = fleet.run(1, other.ask(question), patient=True)
    fleet.run(0, one.ask(Release(mine.token)), patient=True)
    fleet.run(1, other._look(), patient=True)
    fleet.run(1, other.ask(Release(theirs.token)), patient=True)
    handed_over = [("acquire", False), ("release", True), ("look", True), ("release", True)]
    assert glances.taken[2:] == handed_over
    assert fleet.call("picture")[4] == []
    fleet.scripts.close()


ASKED: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "a lease on something free": ("acquire", (7, 1, 1, "o", "free", "", "")),
    "a look at a lease": ("look", (0, 1)),
    "the release of what somebody waits for": ("release", (1, 2, 1)),
}


def at_a_glance(caller: Caller, asked: str) -> bool:
    """Whether a glance is enough for it."""
    glances = caller.table._scripts
    assert isinstance(glances, Glances)
    script, arguments = ASKED[asked]
    caller.call(script, *arguments)
    return glances.taken[-1][1]


@pytest.fixture
def caller(table: RedisTable) -> Caller:
    """Holds what another waits for."""
    caller, other = Caller(table, "s0"), Caller(table, "s1")
    caller.acquire(1, "a")
    other.acquire(1, "a")
    return caller


@pytest.mark.parametrize("asked", ASKED)
def test_a_glance_is_enough_while_nothing_happened(caller: Caller, asked: str) -> None:
    assert at_a_glance(caller, asked)


@pytest.mark.parametrize("asked", ASKED)
def test_no_glance_takes_one_memory_for_another(caller: Caller, asked: str) -> None:
    """Of the same number: a server that forgets twice can come to it again."""
    caller.table.nonce = "of another memory"
    assert not at_a_glance(caller, asked)


@pytest.mark.parametrize("asked", ASKED)
def test_no_glance_is_enough_for_who_names_but_a_number(caller: Caller, asked: str) -> None:
    caller.table.glance = False
    assert not at_a_glance(caller, asked)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    ("field", "value"), [("life", "of another one"), ("grace", "a nonce"), ("ended", "volume")]
)
def test_no_glance_grants_by_an_old_memory_in_a_grace_or_after_the_end(
    caller: Caller, redis_server: RedisServer, asked: str, field: str, value: str
) -> None:
    client = client_of(redis_server)
    client.hset(f"{{volumelease:{caller.table.volume}}}:state", field, value)
    client.close()
    assert not at_a_glance(caller, asked)


def test_a_release_that_nobody_waits_for_trusts_its_memory(
    table: RedisTable, glances: Glances, redis_server: RedisServer
) -> None:
    """It grants nothing. Not so one whose session is not known: that may be in a lost tail."""
    caller = Caller(table, "s0")
    caller.acquire(1, "a")
    client = client_of(redis_server)
    client.hset(f"{{volumelease:{table.volume}}}:state", "life", "of another one")
    client.close()
    assert caller.release(1)[0] == b"released"
    assert glances.taken[-1] == ("release", True)
    assert table.call("nobody", "release", 1, 2, 1)[0] == b"incarnation"
    assert glances.taken[-1] == ("release", False)
