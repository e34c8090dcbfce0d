"""How the calls of one host come to the server and back: late, lost, twice, or not at all.

A client waits a second for an answer. What it sent may be executed much later all the same: it lay
in a proxy, or in the socket of a server that stood still.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.setup import Setup
from tests.simulation.world import World
from volumelease.authorities.redis import connecting
from volumelease.effects import CallScript
from volumelease.errors import LeaseError

from .server import Redis, unreachable

if TYPE_CHECKING:
    from tests.simulation.process import Process

Done = Callable[[Any, LeaseError | None], None]
Served = Callable[["Call", Any], float]

LONGEST_FLIGHT_SECONDS: Final = 20.0
"""How long a call may lie somewhere before it is executed."""


class Call:
    """One call of one process."""

    __slots__ = ("_done", "answered", "effect", "process")

    def __init__(self, process: Process, effect: CallScript, done: Done) -> None:
        self.process = process
        self.effect = effect
        self.answered = False
        self._done = done

    @property
    def script(self) -> str:
        return self.effect.script

    @property
    def session(self) -> str:
        """In whose name it is made."""
        return str(self.effect.arguments[2])

    @property
    def arguments(self) -> tuple[str | bytes | int, ...]:
        """Those of this script alone."""
        return self.effect.arguments[4:]

    def __str__(self) -> str:
        return f"{self.script}{self.arguments} of {self.session}"

    def answer(self, value: Any, error: LeaseError | None) -> None:
        if not self.answered:
            self.answered = True
            self._done(value, error)


class Wire:
    """One host's way to the server."""

    def __init__(self, world: World, redis: Redis, setup: Setup, name: str, served: Served) -> None:
        self._world = world
        self._redis = redis
        self._name = name
        self._served = served
        self._stranded: list[Callable[[], None]] = []
        self.cut = False
        self.calm = True
        self.tells: Callable[[Call], float] = lambda call: 0.0
        """Told of each call that sets out. Answers for how many seconds it lies somewhere."""
        self._fates: list[tuple[float, Callable[[Call], None]]] = []
        total = 0.0
        for trouble, most, fate in (
            ("error", 0.05, self._refuse),
            ("lost", 0.08, self._lose_answer),
            ("late", 0.06, self._land_late),
            ("resend", 0.10, self._send_twice),
            ("slow", 0.06, self._be_slow),
        ):
            if setup.strength(trouble) > 0:
                total += most * setup.strength(trouble)
                self._fates.append((total, fate))

    def submit(self, process: Process, effect: CallScript, done: Done) -> None:
        """Perform one call. ``done`` hears of it once, unless the process is killed first."""
        call = Call(process, effect, done)
        wait = process.host.clock.true_seconds(connecting.ANSWER_SECONDS)
        self._world.after(wait, lambda: call.answer(None, unreachable("did not answer", wait)))
        if self.cut:
            self._strand(call)
            return
        later = 0.0 if self.calm else self.tells(call)
        if later > 0:
            self._world.note(self._name, f"{effect.script} lies somewhere for {later:.2f} s")
            self._world.after(later, lambda: self._execute_for_nobody(call))
            self._break_soon(call)
            return
        if not self.calm:
            drawn = self._world.random.random()
            for limit, fate in self._fates:
                if drawn < limit:
                    self._world.note(self._name, f"{fate.__name__[1:]} {effect.script}")
                    fate(call)
                    return
        self._world.after(self._way(), lambda: self._land(call))

    def _way(self) -> float:
        return 0.0001 + 0.001 * self._world.random.random()

    # ---- on the way

    def _land(self, call: Call) -> None:
        """It arrives, and its answer goes back."""
        if self.cut:
            self._strand(call)
            return
        self._execute(call, lambda value, error: self._back(call, value, error))

    def _execute(self, call: Call, then: Done) -> None:
        def now() -> None:
            try:
                value = self._redis.perform(call.effect)
            except LeaseError as error:
                self._note(call, error)
                then(None, error)
                return
            self._note(call, value)
            held_up = self._served(call, value)
            if held_up:
                self._world.after(held_up, lambda: then(value, None))
            else:
                then(value, None)

        self._redis.when_it_answers(now)

    def _note(self, call: Call, what: Any) -> None:
        if self._world.history is not None:
            self._world.note(call.process.name, f"  {call.effect.script} -> {what}")

    def _back(self, call: Call, value: Any, error: LeaseError | None) -> None:
        lives = self._redis.lives

        def arrive() -> None:
            if self.cut:
                return  # and the client gives up on it
            if self._redis.lives != lives:
                call.answer(None, unreachable("closed the connection"))
            else:
                call.answer(value, error)

        self._world.after(self._way(), arrive)

    def _execute_for_nobody(self, call: Call) -> None:
        self._execute(call, lambda value, error: None)

    # ---- what becomes of some

    def _refuse(self, call: Call) -> None:
        delay = 0.3 * self._world.random.random() ** 2
        self._world.after(delay, lambda: call.answer(None, unreachable("closed the connection")))

    def _lose_answer(self, call: Call) -> None:
        self._world.after(self._way(), lambda: self._execute_for_nobody(call))
        self._break_soon(call)

    def _land_late(self, call: Call) -> None:
        """Its client asks again on another connection; the first copy lies in a proxy, which
        brings it to whatever server there is by then."""
        random = self._world.random
        later = random.choice((0.05, 1.0, 8.0, LONGEST_FLIGHT_SECONDS)) * random.random()
        self._world.after(later, lambda: self._execute_for_nobody(call))
        self._break_soon(call)

    def _break_soon(self, call: Call) -> None:
        """Often the connection breaks; else the client waits for its whole second."""
        random = self._world.random
        if random.random() < 0.7:
            delay = 0.01 + 0.3 * random.random() ** 2
            self._world.after(
                delay, lambda: call.answer(None, unreachable("closed the connection"))
            )

    def _send_twice(self, call: Call) -> None:
        """Something on the way sends it again; the answer is that of the first."""
        random = self._world.random
        self._world.after(self._way(), lambda: self._land(call))
        later = random.choice((0.01, 1.0, 8.0)) * random.random()
        self._world.after(later, lambda: self._execute_for_nobody(call))

    def _be_slow(self, call: Call) -> None:
        random = self._world.random
        delay = random.choice((0.3, 0.9, 3.0)) * random.random()
        if random.random() < 0.5:
            self._world.after(delay, lambda: self._land(call))
        else:
            self._execute(
                call,
                lambda value, error: self._world.after(
                    delay, lambda: self._back(call, value, error)
                ),
            )

    # ---- losing and finding the server

    def _strand(self, call: Call) -> None:
        """Some of it lies in a socket and arrives when the way is open again."""
        if self._world.random.random() < 0.5:
            self._stranded.append(lambda: self._execute_for_nobody(call))

    def heal(self) -> None:
        self.cut = False
        stranded, self._stranded = self._stranded, []
        for land in stranded:
            self._world.after(0.3 * self._world.random.random(), land)
