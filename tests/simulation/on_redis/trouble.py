"""What goes wrong with a Redis, and when; its calls have their own faults, in ``wire``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.simulation.trouble import Trouble
from volumelease.authorities.redis.calling import state_key
from volumelease.effects import CallScript
from volumelease.errors import LeaseError

from .held import as_redis
from .server import Redis
from .wire import Call, Wire

if TYPE_CHECKING:
    from .fleet import RedisFleet


class RedisTrouble(Trouble):
    """Schedules the troubles of one run and ends them."""

    _fleet: RedisFleet

    def __init__(self, fleet: RedisFleet) -> None:
        super().__init__(fleet)
        self._spared: dict[str, bool] = {}
        """Whether the calls that end that session all come late."""
        self._known_since: dict[str, float] = {}
        """Since when the server knows each session."""

    @property
    def _redis(self) -> Redis:
        return self._fleet.redis

    def _wires(self) -> list[Wire]:
        return [host.wire for host in self._fleet.hosts if host.wire is not None]

    def _set_out(self) -> None:
        for host in self._fleet.hosts:
            host.mount.calm = False
        for wire in self._wires():
            wire.calm = False

    def _happenings(self) -> dict[str, tuple[Callable[[], None], float]]:
        usual = super()._happenings()
        shared = ("kill", "stop", "suspend", "freeze", "delete", "break")
        return {name: usual[name] for name in shared} | {
            "cut": (self._cut_wire, 5.0),
            "wall": (self._step_a_clock, 3.0),
            "pause": (self._pause, 4.0),
            "flush": (self._flush, 2.0),
            "empty": (self._restart_empty, 2.0),
            "tail": (self._restart_without_its_tail, 3.0),
            "failover": (self._fail_over, 3.0),
            "line": (self._redis.take_new_line, 2.0),
            "readonly": (self._refuse_writes, 2.0),
            "full": (self._fill_up, 2.0),
            "garbage": (self._take_out, 3.0),
        }

    def end(self) -> None:
        super().end()
        self._redis.read_only = self._redis.full = False
        for wire in self._wires():
            wire.calm = True
            wire.heal()

    # ---- each trouble

    def _away(self) -> float:
        """How long a server that ended is away: short, or longer than a holder can wait."""
        random = self._world.random
        return 0.02 + random.choice((0.05, 0.2, 0.3, 1.2)) * random.random() * self._fleet.setup.ttl

    def _unwritten(self) -> float:
        """Of how many seconds the last writes are lost: often the last one or two alone."""
        random = self._world.random
        return random.choice((0.005, 0.05, 0.3, 1.0, 2.0)) * random.random()

    def _pause(self) -> None:
        self._redis.pause(self._length())

    def _flush(self) -> None:
        self._redis.flush()

    def _restart_empty(self) -> None:
        self._redis.restart(self._away(), lost_seconds=None)

    def _restart_without_its_tail(self) -> None:
        self._redis.restart(self._away(), lost_seconds=self._unwritten())

    def _fail_over(self) -> None:
        if self._world.random.random() < 0.3:
            self._redis.fail_over_and_back(self._away(), lag_seconds=self._unwritten())
        else:
            self._redis.fail_over(self._away(), lag_seconds=self._unwritten())

    def _refuse_writes(self) -> None:
        self._redis.read_only = True
        self._world.note("redis", "takes no writes")

        def over() -> None:
            self._redis.read_only = False
            self._world.note("redis", "takes writes again")

        self._world.after(self._length(), over)

    def _fill_up(self) -> None:
        self._redis.full = True
        self._world.note("redis", "is full")

        def over() -> None:
            self._redis.full = False
            self._world.note("redis", "has room again")

        self._world.after(self._length(), over)

    def _cut_wire(self) -> None:
        wire = self._world.random.choice(self._wires())
        if wire.cut:
            return
        wire.cut = True
        self._world.note("world", "a host loses the server")
        self._world.after(self._length(), wire.heal)

    def _delete(self) -> None:
        """And those who come later make a new volume of it."""
        super()._delete()
        if self._world.random.random() < 0.7:
            self._world.after(self._world.random.random(), self._arrive)

    def _step_a_clock(self) -> None:
        random = self._world.random
        if random.random() < 0.5:
            self._step_wall()
            return
        self._redis.clock_seconds += random.choice((-3600.0, -5.0, 5.0, 100.0)) * random.random()

    def _break(self) -> None:
        """Somebody breaks a lease of somebody; half of them stay to see it end."""
        breaker = self._somebody()
        if breaker is None or breaker.session is None:
            return
        table = self._fleet.tables.of(breaker.session.identity.id)
        held = [token for token, one in table.requests.items() if one.granted]
        if held:
            stays = self._world.random.random() < 0.5
            breaker.break_lease(breaker.session, self._world.random.choice(held), stays=stays)

    def _take_out(self) -> None:
        """Somebody who may do anything on the server releases what another holds, in its name: only
        by their count can that one notice."""
        worker = self._somebody()
        held = [] if worker is None else [one for one in worker.held if one.session.alive()]
        if not held or self._redis.down:
            return
        one = self._world.random.choice(held)
        session = as_redis(one.session)
        mine = session.requests.wanted.get(one.token)
        if mine is None:
            return
        head = (session.calls.incarnation, self._world.unique(), session.name, "0")
        arguments = (*head, mine.number, 0, 1)
        self._world.note("world", f"somebody takes out {one}")
        effect = CallScript("release", state_key(session.identity.id), arguments)
        with suppress(LeaseError):
            reply = self._redis.perform(effect)
            self._fleet.served(Call(one.worker.process, effect, lambda value, error: None), reply)
        self._fleet.lose_state()

    # ---- the worst moments

    def served(self, call: Call, reply: Any) -> float:
        """A server that ends right after it did something has told of it, and forgets it; or the
        connection lives on, and the answer comes when its session knows of the new memory."""
        word = reply[0]
        if word in (b"open", b"reclaimed"):
            self._known_since[call.session] = self._world.now
        if word == b"granted" and not self._over and self._forgets_its_session(call):
            return 0.0
        if self._over or word not in (b"granted", b"released", b"reclaimed", b"ready", b"expired"):
            return 0.0
        world, strength = self._world, self._fleet.setup.strength
        rare = 0.02 if word in (b"granted", b"released") else 0.15
        for trouble, how in self._losses().items():
            if world.chance(rare * strength(trouble)):
                world.after(0.01 * world.random.random() ** 2, self._unless_over(how))
                return 0.4 * world.random.random() if trouble == "flush" else 0.0
        return 0.0

    def _forgets_its_session(self, call: Call) -> bool:
        """A server that is soon back and never heard of that session, whose next call is likely to
        be its first."""
        known_for = self._world.now - self._known_since.get(call.session, -1e9)
        if known_for > 1.5 or not self._world.chance(0.3 * self._fleet.setup.strength("tail")):
            return False
        away = 0.02 + 0.01 * self._world.random.random()
        soon = 0.002 * self._world.random.random()
        lost = known_for + soon + 0.001
        self._world.after(
            soon, self._unless_over(lambda: self._redis.restart(away, lost_seconds=lost))
        )
        return True

    def draft_begun(self) -> None:
        """Somebody writes a draft for long: whoever rejoins before its author does not know whose
        it is."""
        world = self._world
        for trouble, how in self._losses().items():
            if not self._over and world.chance(0.5 * self._fleet.setup.strength(trouble)):
                soon = 0.2 * self._fleet.setup.ttl * world.random.random()
                world.after(soon, self._unless_over(how))
                return

    def _losses(self) -> dict[str, Callable[[], None]]:
        return {
            "flush": self._flush,
            "empty": self._restart_empty,
            "tail": self._restart_without_its_tail,
            "failover": self._fail_over,
        }

    def told(self, call: Call) -> float:
        """Who was taken for dead wakes up and beats before it is ended. What lets a new volume
        grant at once arrives right after its server forgot."""
        if call.script == "found":
            return self._founded_late()
        if call.script != "expire" or self._over:
            return 0.0
        victim = self._fleet.session_of(str(call.arguments[0]))
        if victim is None:
            return 0.0
        if victim.name not in self._spared:
            lucky = self._world.chance(0.7 * self._fleet.setup.strength("late"))
            self._spared[victim.name] = lucky
        if not self._spared[victim.name]:
            return 0.0
        sleeps = victim.worker.process.host.thawed_at - self._world.now
        beat = self._fleet.setup.ttl * self._world.random.random()
        return sleeps + beat if sleeps > 0 else 0.0

    def _founded_late(self) -> float:
        world, setup = self._world, self._fleet.setup
        if not world.chance(0.7 * setup.strength("late")):
            return 0.0
        later = setup.trouble_seconds * world.random.random()
        if setup.strength("flush") > 0:
            world.after(later - 1e-6, self._unless_over(self._flush))
        return later

    def _freeze(self) -> None:
        """Often until others have what the frozen one believes to hold; and then the server
        forgets, right before it wakes up and names that."""
        random, world = self._world.random, self._world
        host = random.choice(self._fleet.hosts)
        if host.clock.asleep:
            return
        ttl = self._fleet.setup.ttl
        seconds = ttl * (1.0 + random.random()) if random.random() < 0.5 else self._length()
        host.sleep(seconds, frozen=True)
        for trouble, how in self._losses().items():
            if world.chance(0.7 * self._fleet.setup.strength(trouble)):
                world.after(max(0.0, seconds - 0.1 * random.random()), self._unless_over(how))
