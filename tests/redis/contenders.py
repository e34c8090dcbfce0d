"""What the workers of a storm do: ``python -m tests.redis.contenders JOB JSON``.

Each takes leases along one chain of directories, witnesses each by a file made exclusively, and
tells at the end what it saw. It never ends because of what it sees.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

from tests.volume.jobs import CHAIN, say, with_redis
from volumelease.errors import LeaseError, LeaseLost
from volumelease.leases.asking import volume_lease

HOLDS: Final = ((0.04, 1.5), (0.14, 0.5), (1.0, 0.005))
"""What share of the holds (all up to here) lasts for about how many ttl: long enough to be there
when a fault begins and when it is over."""

LOOK_SECONDS: Final = 0.005


class Overlap(Exception):
    """Somebody else is inside."""


class Witness:
    """Files made exclusively in a local folder, one for a writer and one for each reader."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = folder
        self._reader = f"reader-{number}"
        os.makedirs(folder, exist_ok=True)

    def enter(self, exclusive: bool) -> None:
        """Errors: ``Overlap``; then nothing of this worker is left there."""
        name = "writer" if exclusive else self._reader
        path = f"{self._folder}/{name}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            raise Overlap("two writers inside") from None
        others = set(os.listdir(self._folder)) - {name}
        if others if exclusive else others & {"writer"}:
            os.unlink(path)
            raise Overlap(f"{sorted(others)} inside with {name}")

    def leave(self, exclusive: bool) -> None:
        os.unlink(f"{self._folder}/" + ("writer" if exclusive else self._reader))


class Right(NamedTuple):
    """A lease, as far as a contender needs it."""

    token: int
    lost: Callable[[], str]
    """Why it is lost, or ""."""


Take = Callable[[str, bool], AbstractContextManager[Right]]


def with_leases(mount: str, url: str) -> tuple[Take, Callable[[], None]]:
    mine = with_redis(url)

    @contextmanager
    def take(path: str, exclusive: bool) -> Iterator[Right]:
        with volume_lease(
            f"{mount}/{path}", shared=not exclusive, on_lost="ignore", volumes=mine
        ) as lease:

            def lost() -> str:
                try:
                    lease.check()
                except LeaseLost as error:
                    return str(error.facts["reason"])
                return ""

            yield Right(lease.token, lost)

    return take, mine.close


def with_a_lock_that_forgets(mount: str, url: str) -> tuple[Take, Callable[[], None]]:
    """What everybody writes first: SET NX with a ttl, renewed by a thread, a counter for tokens.
    Here to see that a storm finds what is wrong with it."""
    import redis

    del mount
    client: Any = redis.Redis.from_url(url, socket_timeout=1.0)
    name, key, counter, ttl = os.urandom(8).hex(), "naive:lock", "naive:tokens", 6_000

    def renew(over: threading.Event) -> None:
        while not over.wait(1.0):
            try:
                if client.get(key) == name.encode():
                    client.pexpire(key, ttl)
            except redis.RedisError:
                continue

    @contextmanager
    def take(path: str, exclusive: bool) -> Iterator[Right]:
        del path, exclusive
        token = 0
        while not token:
            try:
                if client.set(key, name, nx=True, px=ttl):
                    token = client.incr(counter)
            except redis.RedisError:
                pass
            time.sleep(0.01)
        over = threading.Event()
        renewal = threading.Thread(target=renew, args=(over,))
        renewal.start()
        try:
            yield Right(token, lambda: "")
        finally:
            over.set()
            renewal.join()
            try:
                if client.get(key) == name.encode():
                    client.delete(key)
            except redis.RedisError:
                pass
            time.sleep(0.03)  # else it would take it again before anybody looks

    return take, client.close


TAKERS: Final = {"leases": with_leases, "naive": with_a_lock_that_forgets}


def contend(
    mount: str, witness: str, calm: str, number: int, url: str, ttl: float, taker: str
) -> None:
    """Until a line of standard input says that it is enough; once there is a file ``calm``, with
    short holds only."""
    chance = random.Random(number)
    inside = Witness(witness, number)
    take, close = TAKERS[taker](mount, url)
    grants: list[tuple[Any, ...]] = []
    overlaps: list[str] = []
    losses: list[tuple[float, str]] = []
    errors: Counter[str] = Counter()
    enough = threading.Event()
    threading.Thread(target=wait_for_a_line, args=(enough,), daemon=True).start()
    while not enough.is_set():
        exclusive = taker == "naive" or chance.random() < 0.7
        path = chance.choice(CHAIN)
        drawn = chance.random()
        hold = ttl * next(long for share, long in HOLDS if drawn < share)
        asked, entered, why = now(), 0.0, ""
        try:
            with take(path, exclusive) as right:
                entered = now()
                inside.enter(exclusive)
                try:
                    why = stay(right, hold, calm)
                finally:
                    inside.leave(exclusive)
                grants.append((asked, entered, now(), path, exclusive, str(right.token)))
        except Overlap as error:
            overlaps.append(f"at {now():.3f}: {error}")
        except LeaseError as error:
            if isinstance(error, LeaseLost) and entered:
                why = why or str(error.facts["reason"])
                continue
            errors[f"{type(error).__name__}: {error.what}"] += 1
            time.sleep(0.05)
        finally:
            if why:
                losses.append((now(), why))
        if len(grants) == 1:
            say(first=True)
    say(grants=grants, overlaps=overlaps, losses=losses, errors=errors)
    close()


def wait_for_a_line(heard: threading.Event) -> None:
    sys.stdin.readline()
    heard.set()


def stay(right: Right, seconds: float, calm: str) -> str:
    """Inside, until the time is over or the right is; why it is."""
    until = time.monotonic() + seconds
    while not (why := right.lost()) and time.monotonic() < until and not os.path.exists(calm):
        time.sleep(LOOK_SECONDS)
    return why


def now() -> float:
    """The same clock for all processes of a machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


if __name__ == "__main__":
    {"contend": contend}[sys.argv[1]](**json.loads(sys.argv[2]))
