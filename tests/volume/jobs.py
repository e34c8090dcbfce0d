"""What the worker processes of the integration tests do: ``python -m tests.volume.jobs JOB JSON``.

Each prints one JSON object a line, and ends when its standard input does or its time is over.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from volumelease.effects import Effect
from volumelease.errors import LeaseError
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes

CHAIN: Final = ("a", "a/b", "a/b/c")


def say(**facts: Any) -> None:
    print(json.dumps({"at": time.clock_gettime(time.CLOCK_BOOTTIME), **facts}), flush=True)


def volumes(**changes: Any) -> Volumes:
    return Volumes(Surroundings.of_this_process()._replace(**changes))


def with_redis(redis: str | None, **changes: Any) -> Volumes:
    settings = Surroundings.of_this_process().settings._replace(redis_url=redis)
    return volumes(settings=settings, **changes)


def bells_of(names: str) -> frozenset[str]:
    return frozenset(names.split())


class Counting:
    """Performs effects, and counts those that the server hears of."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls = 0

    def perform(self, effect: Effect) -> Any:
        self.calls += type(effect).__name__ not in ("Sleep", "EnterTurn", "ProveDeath", "Listen")
        return self.inner.perform(effect)


class Witness:
    """Fails loudly if two conflicting leases are ever inside together: files made exclusively on
    the volume itself. Conflicts along one chain of directories only."""

    def __init__(self, mount: str) -> None:
        self.folder = f"{mount}/witness"
        os.makedirs(self.folder, exist_ok=True)

    def enter(self, exclusive: bool) -> None:
        name = "writer" if exclusive else f"reader-{os.getpid()}"
        os.close(os.open(f"{self.folder}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        others = [other for other in os.listdir(self.folder) if other != name]
        if exclusive and others:
            raise SystemExit(f"overlap: {others} inside with an exclusive holder")
        if not exclusive and "writer" in others:
            raise SystemExit("overlap: a writer inside with a shared holder")

    def leave(self, exclusive: bool) -> None:
        os.unlink(f"{self.folder}/" + ("writer" if exclusive else f"reader-{os.getpid()}"))


WARM_SECONDS: Final = 3.0
"""Starting eight workers keeps a small machine busy for so long."""


def contend(
    mount: str, seconds: float, seed: int, redis: str | None = None, bells: str = "redis fcntl"
) -> None:
    """Take leases along the chain, exclusive and shared, as often as possible."""
    import random

    chance = random.Random(seed)
    witness = Witness(mount)
    mine = with_redis(redis, bells=bells_of(bells))
    warm = time.monotonic() + WARM_SECONDS
    until = time.monotonic() + seconds
    grants, tokens, longest = 0, 0, 0.0
    while time.monotonic() < until:
        exclusive = chance.random() < 0.7
        path = f"{mount}/{chance.choice(CHAIN)}"
        asked = time.monotonic()
        with volume_lease(path, shared=not exclusive, volumes=mine) as lease:
            if asked > warm:
                longest = max(longest, time.monotonic() - asked)
            witness.enter(exclusive)
            assert lease.token > tokens
            tokens = lease.token
            witness.leave(exclusive)
        grants += 1
    say(grants=grants, longest=longest)
    mine.close()


def take(mount: str, path: str, hold: float = 3600.0, **options: Any) -> None:
    """Take one lease and keep it until told to stop; say when it is lost."""
    said = threading.Event()

    def lost(lease: Any) -> None:
        try:
            lease.check()
        except LeaseError as error:
            say(lost=True, remaining=lease.remaining, why=error.facts["reason"])
        said.set()

    say(started=True)
    with volume_lease(f"{mount}/{path}", on_lost="ignore", **options) as lease:
        lease.on_lost(lost)
        say(token=lease.token, granted=True)
        sys.stdin.readline()
        say(lost_at_end=lease.lost)


def relay(mount: str, turns: int, hold: float, bells: str, redis: str | None = None) -> None:
    """Take the same lease again and again; say when each turn began and ended."""
    import random

    mine = with_redis(redis, bells=bells_of(bells))
    os.makedirs(f"{mount}/baton", exist_ok=True)  # what is leased usually exists
    with volume_lease(f"{mount}/warm-{os.getpid()}", volumes=mine):
        say(ready=True)
    sys.stdin.readline()
    spans = []
    for _ in range(turns):
        with volume_lease(f"{mount}/baton", volumes=mine):
            begun = time.clock_gettime(time.CLOCK_BOOTTIME)
            time.sleep(hold * random.uniform(1.0, 1.5))  # else it keeps step with a poller
            spans.append((begun, time.clock_gettime(time.CLOCK_BOOTTIME)))
    (hosted,) = mine._sessions.values()
    say(spans=spans, kind=hosted.belfry.kind(()) if hosted.belfry else "poll")
    sys.stdin.readline()
    mine.close()


def keep_turnstile(mount: str) -> None:
    """Come through the turnstile of the log and stay there, until told to stop or killed."""
    from volumelease.bells.lockfile import TURNSTILE_BYTE, lock_file

    mine = volumes(bells=bells_of("fcntl"))
    with volume_lease(f"{mount}/warm-{os.getpid()}", volumes=mine):
        (hosted,) = mine._sessions.values()
    layout = hosted.session.replica.layout
    file = lock_file(layout.identity_id, layout.locks, mine.surroundings.process.boot_id)
    file.open()  # the session may not have come to it yet
    while not file.take(TURNSTILE_BYTE):
        time.sleep(0.01)
    say(kept=True)
    sys.stdin.readline()


def wait_counted(mount: str, bells: str, seconds: float, redis: str | None = None) -> None:
    """Wait for a lease that somebody holds; say what that cost the server, beats included."""
    from volumelease.bells.lockfile import _process

    counting = Counting(Surroundings.of_this_process().performer)
    mine = with_redis(redis, bells=bells_of(bells), performer=counting)
    with volume_lease(f"{mount}/warm-{os.getpid()}", volumes=mine):
        pass

    def wait() -> None:
        with volume_lease(f"{mount}/held", volumes=mine):
            say(granted=True)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.3)  # the request is in the log

    def calls() -> int:
        return counting.calls + sum(file.calls for file in _process.files.values())

    before = calls()
    time.sleep(seconds)
    (hosted,) = mine._sessions.values()
    ahead = hosted.session.membership.next_ahead(hosted.session.requests.waiting())
    kind = hosted.belfry.kind(ahead) if hosted.belfry else "poll"
    say(a_second=(calls() - before) / seconds, kind=kind)
    waiter.join()
    sys.stdin.readline()
    mine.close()


def start_together(mount: str, threads: int, same: bool, bells: str) -> None:
    """Have a session; then ``threads`` threads ask at once, each for a path of its own (and keep
    it until all have theirs) or all for the same. Say when each was granted."""
    mine = volumes(bells=bells_of(bells))
    with volume_lease(f"{mount}/warm-{os.getpid()}", volumes=mine):
        pass
    gate, all_there = threading.Barrier(threads + 1), threading.Barrier(threads)
    granted: list[float] = []

    def start(number: int) -> None:
        path = f"{mount}/one" if same else f"{mount}/own-{os.getpid()}-{number}"
        gate.wait()
        with volume_lease(path, volumes=mine):
            granted.append(time.clock_gettime(time.CLOCK_BOOTTIME))
            if not same:
                all_there.wait()

    starters = [threading.Thread(target=start, args=(number,)) for number in range(threads)]
    for starter in starters:
        starter.start()
    say(ready=True)
    sys.stdin.readline()
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    gate.wait()
    for starter in starters:
        starter.join()
    (hosted,) = mine._sessions.values()
    say(begun=begun, granted=granted, misses=hosted.session.committer.misses)
    sys.stdin.readline()
    mine.close()


def commits(mount: str, count: int, retention: float) -> None:
    """Many uncontended acquire + release on a path of one's own."""
    mine = volumes(retention_seconds=retention)
    path = f"{mount}/own-{os.getpid()}"
    for _ in range(count):
        with volume_lease(path, volumes=mine):
            pass
    say(done=count)
    sys.stdin.readline()
    say(**position(mine))
    mine.close()


def position(mine: Volumes) -> dict[str, Any]:
    from volumelease.wire.snapshots import digest_of

    (hosted,) = mine._sessions.values()
    hosted.run(hosted.session.replica.catch_up())
    replica = hosted.session.replica
    return {
        "next_index": replica.next_index,
        "digest": digest_of(replica.table),
        "garbage": replica.garbage,
        "lost": hosted.session.pulse.lost,
    }


class Accident:
    """Performs effects, and lets one thing go wrong at the n-th of a kind."""

    def __init__(self, inner: Any, kind: str, number: int, moment: str, what: str) -> None:
        self.inner = inner
        self.kind = kind
        self.number = number
        self.moment = moment
        self.what = what
        self.armed = False
        self.seen = 0

    def perform(self, effect: Effect) -> Any:
        if not self.armed or type(effect).__name__ in ("Sleep", "EnterTurn", "ProveDeath"):
            return self.inner.perform(effect)
        if self.kind not in ("any", threading.current_thread().name):
            return self.inner.perform(effect)
        self.seen += 1
        if self.seen != self.number:
            return self.inner.perform(effect)
        say(accident=type(effect).__name__)
        if self.moment == "before":
            self._happen(effect)
            return self.inner.perform(effect)
        try:
            return self.inner.perform(effect)
        finally:
            self._happen(effect)

    def _happen(self, effect: Effect) -> None:
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.what == "lose":  # the answer is lost and the mount gives up
            raise OSError(5, "the answer was lost")
        elif self.what == "resend":  # the mount sends it again: EEXIST for one's own entry
            self.inner.perform(effect)


def suffer(
    mount: str, kind: str, number: int, moment: str, what: str, before: int, thread: str
) -> None:
    """Commit ``before`` entries, then have an accident at the ``number``-th call after."""
    surroundings = Surroundings.of_this_process()
    accident = Accident(surroundings.performer, thread, number, moment, what)
    mine = volumes(performer=accident)
    with volume_lease(f"{mount}/warm", volumes=mine):
        pass
    (hosted,) = mine._sessions.values()
    while hosted.session.replica.next_index % 256 < before:
        with volume_lease(f"{mount}/warm", volumes=mine):
            pass
    say(ready=True)
    accident.armed = True
    try:
        if kind == "beat":
            time.sleep(hosted.session.timing.beat_interval * 2.5)
        with volume_lease(f"{mount}/target", volumes=mine) as lease:
            say(token=lease.token, granted=True)
    except LeaseError as error:
        say(error=type(error).__name__, text=str(error))
    accident.armed = False
    say(finished=True, seen=accident.seen)
    sys.stdin.readline()
    say(**position(mine))
    mine.close()


JOBS: Final[dict[str, Callable[..., None]]] = {
    "contend": contend,
    "take": take,
    "relay": relay,
    "keep_turnstile": keep_turnstile,
    "wait_counted": wait_counted,
    "start_together": start_together,
    "commits": commits,
    "suffer": suffer,
}

if __name__ == "__main__":
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))
