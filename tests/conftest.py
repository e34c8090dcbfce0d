"""Fixtures that need more than one test's folder: the MooseFS test bed."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed import MooseFsBed, missing
from tests.bed.redis import RedisServer, missing_redis


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "bed" in getattr(item, "fixturenames", ()):
            item.add_marker("bed")


@pytest.fixture(scope="session")
def bed() -> Iterator[MooseFsBed]:
    """One real volume with two hosts, for the whole run; every test finds it healed."""
    if reason := missing():
        pytest.skip(f"no test bed here: {reason}")
    with MooseFsBed(hosts=2) as bed:
        yield bed


@pytest.fixture(autouse=True)
def _healed_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    bed = request.getfixturevalue("bed") if "bed" in request.fixturenames else None
    yield
    if bed is not None:
        bed.heal()


@pytest.fixture
def shared_mounts(bed: MooseFsBed) -> list[Path]:
    """A fresh directory of the volume as each host sees it: two paths of the same directory."""
    name = f"test-{secrets.token_hex(4)}"
    (bed.hosts[0].mount / name).mkdir()
    return [host.mount / name for host in bed.hosts]


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A fresh redis-server."""
    if reason := missing_redis():
        pytest.skip(reason)
    with RedisServer() as server:
        yield server
