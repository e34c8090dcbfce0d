"""A simulated Redis: one master at a time, whose memory and life can be lost.

Every call is one atomic step, in the order of arrival. What calls meet on their way lives in
``wire``; here live only the server's own faults. A split brain (two masters that both take writes)
is outside of the promise and is not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.world import World
from volumelease.authorities.redis.calling import text
from volumelease.effects import CallScript
from volumelease.errors import AuthorityUnreachable, AuthorityUnsuitable, LeaseError

from .lua import interpreter, texts
from .memory import NEED_MEMORY, WRITES, Memory

EPOCH_SECONDS: Final = 1.764e9
"""The server's clock when the run begins."""


class Redis:
    """The server that everybody's address leads to.

    ``down``: nobody listens. ``paused``: calls are taken and answered later. ``read_only``: it is
    a replica for now. ``full``: maxmemory is reached.
    """

    def __init__(self, world: World, *, remembers: bool) -> None:
        self._world = world
        self.memory = Memory(lambda: world.now, remembers=remembers)
        self.ring: Callable[[list[str]], None] = lambda names: None
        """Hears which sessions a script wakes."""
        self.lost: Callable[[], None] = lambda: None
        """Hears that memory was lost."""
        self.clock_seconds = EPOCH_SECONDS
        self.down = self.paused = self.read_only = self.full = False
        self.lives = 0
        """How often it was started, so that a connection from before is none any more."""
        self._away: list[tuple[float, float]] = []
        self._nodes = [self._identity(), self._identity()]
        self._master = 0
        self._replication = self._identity()
        self._waiting: list[Callable[[], None]] = []
        self._wrote = self._was_full = False

    @property
    def life(self) -> bytes:
        """Of this line of masters."""
        return self._replication

    def _identity(self) -> bytes:
        return f"{self._world.random.getrandbits(160):040x}".encode()

    # ---- calls

    def when_it_answers(self, call: Callable[[], None]) -> None:
        """At once, or when its pause is over."""
        if self.paused:
            self._waiting.append(call)
        else:
            call()

    def perform(self, effect: CallScript) -> Any:
        """Execute one call. Errors: as ``CallScript`` has them."""
        if self.down:
            raise unreachable("refuses connections: nobody listens there")
        lua = interpreter()
        lua.commands = self._command
        self._wrote, self._was_full = False, self.full
        arguments = tuple(_as_bytes(one) for one in effect.arguments)
        return lua.evaluate(texts()[effect.script], effect.key.encode(), arguments)

    def _command(self, name: bytes, *arguments: bytes) -> Any:
        if name in WRITES:
            # A script may go on with what it began: that is how a full Redis takes releases.
            if self.read_only:
                raise unreachable("is a read-only replica")
            if self._was_full and not self._wrote and name in NEED_MEMORY:
                raise AuthorityUnsuitable(
                    "Redis has no memory left (maxmemory is reached)", redis="redis", code="OOM"
                )
            self._wrote = True
        match name:
            case b"INFO":
                return self._info()
            case b"TIME":
                seconds = self.clock_seconds + self._world.now
                return [b"%d" % int(seconds), b"%d" % int(seconds % 1 * 1e6)]
            case b"PUBLISH":
                self.ring(text(arguments[1]).split())
                return 1
        return self.memory.perform(name, *arguments)

    def _info(self) -> bytes:
        return b"\r\n".join(
            (
                b"run_id:" + self._nodes[self._master],
                b"maxmemory:0",
                b"maxmemory_policy:noeviction",
                b"master_replid:" + self._replication,
            )
        )

    # ---- faults

    def away_since(self, since: float) -> float:
        """For how many seconds nobody was answered from then to now."""
        now = self._world.now
        return sum(max(0.0, min(until, now) - max(begin, since)) for begin, until in self._away)

    def pause(self, seconds: float) -> None:
        if self.paused or self.down:
            return
        self.paused = True
        self._world.note("redis", f"paused for {seconds:.2f} s")
        lives = self.lives
        self._world.after(seconds, lambda: self._go_on() if self.lives == lives else None)

    def _go_on(self) -> None:
        self.paused = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def flush(self) -> None:
        self._world.note("redis", "flushed")
        self.memory.flush()
        self.lost()

    def restart(self, seconds: float, *, lost_seconds: float | None) -> None:
        """Killed and started again, and there after ``seconds``: empty, or without what was
        written in the last ``lost_seconds``."""
        self._end(seconds, lost_seconds)
        self._nodes[self._master] = self._identity()

    def fail_over(self, seconds: float, *, lag_seconds: float) -> None:
        """Its replica, which lagged, is the master after ``seconds``."""
        self._end(seconds, lag_seconds)
        self._master = 1 - self._master

    def fail_over_and_back(self, seconds: float, *, lag_seconds: float) -> None:
        """The same process is the master again, and was a replica in between, which nobody
        asked."""
        self._end(seconds, lag_seconds)

    def take_new_line(self) -> None:
        """A master whose last replica has been gone for long: nothing is lost."""
        self._world.note("redis", "begins a new line of masters")
        self._replication = self._identity()

    def _end(self, seconds: float, lost_seconds: float | None) -> None:
        if lost_seconds is None:
            self.memory.flush()
        else:
            count = self.memory.forget(lost_seconds)
            self._world.note("redis", f"{count} writes of the last {lost_seconds:.2f} s are lost")
        self.lost()
        self._world.note("redis", f"down for {seconds:.2f} s")
        self._replication = self._identity()
        self._waiting.clear()
        self.lives += 1
        self.down, self.paused = True, False
        lives = self.lives
        self._away.append((self._world.now, self._world.now + seconds))

        def up() -> None:
            if self.lives == lives:
                self.down = False
                self._world.note("redis", "up")

        self._world.after(seconds, up)


def unreachable(what: str, seconds: float | None = None) -> LeaseError:
    return AuthorityUnreachable(f"Redis {what}", root=None, seconds=seconds)


def _as_bytes(argument: str | bytes | int) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return b"%d" % argument if isinstance(argument, int) else argument.encode()
