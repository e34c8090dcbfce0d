"""A simulated process: threads that run the product's protocols one step at a time.

A thread's step (from one effect to the next) is atomic, as under the lock of the real driver.
Between any two steps, and between asking for an effect and its execution, the thread can stand
still, the process can be stopped or killed, and its host can sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from volumelease import effects
from volumelease.host import ProcessFacts

from . import bells
from .clocks import HostClock
from .mount import Mount
from .setup import Setup
from .world import World

if TYPE_CHECKING:
    from .on_redis.wire import Wire


@dataclass(frozen=True, slots=True)
class News:
    """Wait until ``is_there`` says so or ``seconds`` are over; looked at when ``ring`` rings."""

    bell: Bell
    is_there: Callable[[], bool]
    seconds: float


Script: TypeAlias = Generator[Any, Any, Any]
"""What a thread runs: yields effects of the product, or ``News``."""

Ended = Callable[[Any, BaseException | None], None]


class Bell:
    """Wakes threads of one process; a simulated event."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []

    def ring(self) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener()


class _Lock:
    def __init__(self) -> None:
        self.taken = False
        self.queue: list[Callable[[], bool]] = []


class Turn:
    """The turn to commit, among the threads of one simulated process; as the real one, it knows
    who has it, and who waits in vain puts a new lock in its place."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lock = _Lock()
        self._owner: Thread | None = None

    def free(self) -> bool:
        if self._lock.taken:
            return False
        self._lock.taken, self._owner = True, self._process.steps
        return True

    def enter(
        self, world: World, thread: Thread, seconds: float, answer: Callable[[bool], None]
    ) -> None:
        if not self._lock.taken:
            self._lock.taken, self._owner = True, thread
            answer(True)
            return
        lock = self._lock
        answered: list[bool] = []

        def hear(had: bool) -> bool:
            if answered:
                return False
            answered.append(had)
            if lock is self._lock:
                if had:
                    self._owner = thread
                else:
                    self._lock, self._owner = _Lock(), None
            answer(had)
            return True

        lock.queue.append(lambda: hear(True))
        world.after(seconds, lambda: (hear(False), None)[1])

    def leave(self) -> None:
        if self._owner is None or self._owner is not self._process.steps:
            return
        lock, self._owner = self._lock, None
        while lock.queue:
            if lock.queue.pop(0)():
                return
        lock.taken = False


class Host:
    """One machine: a clock, a mount, and what runs on it."""

    def __init__(
        self, world: World, name: str, boot_id: str, clock: HostClock, mount: Mount
    ) -> None:
        self.world = world
        self.name = name
        self.boot_id = boot_id
        self.clock = clock
        self.mount = mount
        self.processes: list[Process] = []
        self.thawed_at = -1e9
        self._asleep: list[list[Process]] = []
        """For each sleep under way, who sleeps in it."""
        self.wire: Wire | None = None
        """Its way to the Redis that is the authority, where one is."""

    def admit(self, process: Process) -> None:
        """A process begins here: on a host that stands still, when that wakes."""
        self.processes.append(process)
        for asleep in self._asleep:
            asleep.append(process)
            process.stop()

    def sleep(self, seconds: float, *, frozen: bool = False) -> None:
        """Stand still. ``frozen``: from outside, so that no clock of the host shows it."""
        how = "frozen" if frozen else "suspended"
        self.world.note(self.name, f"{how} for {seconds:.2f} s")
        self.clock.sleep(frozen=frozen)
        if frozen:
            self.thawed_at = self.world.now + seconds
        asleep = list(self.processes)
        self._asleep.append(asleep)
        for process in asleep:
            process.stop()

        def wake() -> None:
            self._asleep = [other for other in self._asleep if other is not asleep]
            self.clock.wake()
            self.world.note(self.name, "awake")
            for process in asleep:
                process.resume()

        self.world.after(seconds, wake)


class Thread:
    """One protocol or script under way. ``interrupt`` throws into it after so many more effects,
    not before its first: who is interrupted before a call has not made it."""

    __slots__ = ("effects_left", "ended", "interruption", "name", "over", "process", "script")

    def __init__(self, process: Process, name: str, script: Script, ended: Ended) -> None:
        self.process = process
        self.name = name
        self.script = script
        self.ended = ended
        self.over = False
        self.interruption: BaseException | None = None
        self.effects_left = 0

    def interrupt(self, error: BaseException, after_effects: int) -> None:
        self.interruption = error
        self.effects_left = after_effects


class Process:
    """A worker process. Its facts say what others on its host can know about it."""

    def __init__(
        self, world: World, setup: Setup, host: Host, facts: ProcessFacts, name: str
    ) -> None:
        self.world = world
        self.host = host
        self.facts = facts
        self.name = name
        self.killed = False
        self.flying = 0
        self.calm = True
        self.undisturbed_since = 0.0
        self.steps: Thread | None = None
        """The thread that makes, or made, the last step."""
        self.on_resume: Callable[[], None] = lambda: None
        self.on_commit: Callable[[], None] | None = None
        """Called once, when a commit sets out."""
        self._setup = setup
        self._stops = 0
        self._parked: list[Callable[[], None]] = []
        self._stall = 0.008 * setup.strength("stall")
        self._stop = 0.002 * setup.strength("stop")
        host.admit(self)

    @property
    def running(self) -> bool:
        return not self.killed and self._stops == 0

    @property
    def provably_gone(self) -> bool:
        return self.killed and self.flying == 0

    # ---- threads

    def start(self, name: str, script: Script, ended: Ended) -> Thread:
        thread = Thread(self, name, script, ended)
        self.world.after(
            0.0005 * self.world.random.random(), lambda: self._step(thread, None, None)
        )
        return thread

    def _step(self, thread: Thread, value: Any, error: BaseException | None) -> None:
        if self.killed or thread.over:
            return
        if self._stops:
            self._parked.append(lambda: self._step(thread, value, error))
            return
        if thread.interruption is not None:
            thread.effects_left -= 1
            if thread.effects_left < 0:
                error, thread.interruption = thread.interruption, None
        self.steps = thread
        try:
            effect = thread.script.send(value) if error is None else thread.script.throw(error)
        except StopIteration as finished:
            thread.over = True
            thread.ended(finished.value, None)
        except BaseException as raised:  # noqa: BLE001 - handed to whoever started the thread
            thread.over = True
            thread.ended(None, raised)
        else:
            self._ask(thread, effect)

    def _ask(self, thread: Thread, effect: Any) -> None:
        """The thread asked for an effect; before it is executed, much can happen."""
        if not self.calm:
            if self.world.chance(self._stop):
                self.stop_for(self._pause())
            if self.world.chance(self._stall):
                pause = min(self._pause(), 2.0)
                self.world.note(self.name, f"{thread.name} stands still for {pause:.2f} s")
                self.undisturbed_since = self.world.now + pause
                self.world.after(pause, lambda: self._perform(thread, effect))
                return
        self._perform(thread, effect)

    def _pause(self) -> float:
        random = self.world.random
        return random.choice((0.02, 0.3, self._setup.ttl, 2 * self._setup.ttl)) * random.random()

    def _perform(self, thread: Thread, effect: Any) -> None:
        if self.killed:
            return
        if self._stops:
            self._parked.append(lambda: self._perform(thread, effect))
            return
        world = self.world

        def resume(value: Any, error: BaseException | None) -> None:
            if self.calm or not world.chance(self._stop):
                self._step(thread, value, error)
            else:
                self.stop_for(self._pause())
                self._step(thread, value, error)

        match effect:
            case effects.Sleep(seconds):
                wait = self.host.clock.true_seconds(max(0.0, seconds))
                world.after(wait, lambda: self._step(thread, None, None))
            case effects.EnterTurn(turn, seconds):
                assert isinstance(turn, Turn | bells.Turnstile)

                def entered(had: bool) -> None:
                    world.after(0, lambda: self._step(thread, had, None))

                if isinstance(turn, Turn):
                    turn.enter(world, thread, seconds, entered)
                else:
                    turn.enter(world, seconds, entered)
            case effects.Listen(bell, ahead, seconds):
                assert isinstance(bell, bells.Bell)
                bell.listen(
                    ahead,
                    self.host.clock.true_seconds(max(0.0, seconds)),
                    lambda heard: world.after(0, lambda: self._step(thread, heard, None)),
                )
            case effects.ProveDeath(process):
                gone = self._proves_death(process)
                world.after(0.0002, lambda: self._step(thread, gone, None))
            case effects.SeeLife(life, session):
                free = life.is_free(session)
                world.after(0.0002, lambda: self._step(thread, free, None))
            case News():
                self._listen(thread, effect)
            case effects.CallScript():
                if world.history is not None:
                    world.note(self.name, f"{thread.name}: {effect}")
                assert self.host.wire is not None
                self.host.wire.submit(self, effect, resume)
            case _:
                if world.history is not None:
                    world.note(self.name, f"{thread.name}: {effect}")
                self.host.mount.submit(self, effect, resume)

    def _listen(self, thread: Thread, news: News) -> None:
        heard: list[bool] = []

        def hear() -> None:
            if not heard:
                heard.append(True)
                self.world.after(0.0001, lambda: self._step(thread, None, None))

        def rung() -> None:
            if news.is_there():
                hear()
            elif not heard:
                news.bell.listeners.append(rung)

        if news.is_there():
            hear()
            return
        news.bell.listeners.append(rung)
        self.world.after(self.host.clock.true_seconds(max(0.0, news.seconds)), hear)

    def _proves_death(self, asked: ProcessFacts) -> bool:
        """What pidfd_open says here: it knows pids of its own namespace and kernel only, so the
        question is answered for whatever has that pid HERE."""
        if self._setup.daemons and not asked.start_time:
            return False
        gone = True
        for process in self.host.processes:
            facts = process.facts
            if facts.pid_namespace != self.facts.pid_namespace or facts.pid != asked.pid:
                continue
            if asked.start_time in (0, facts.start_time):
                gone = gone and process.provably_gone
        return gone

    # ---- what happens to it

    def stop_for(self, seconds: float) -> None:
        self.world.note(self.name, f"stopped for {seconds:.2f} s")
        self.stop()
        self.world.after(seconds, self.resume)

    def stop(self) -> None:
        self._stops += 1

    def resume(self) -> None:
        self._stops -= 1
        self.undisturbed_since = self.world.now
        if self._stops or self.killed:
            return
        assert self._stops == 0
        self.world.note(self.name, "runs")
        self.on_resume()
        parked, self._parked = self._parked, []
        self.world.random.shuffle(parked)
        for step in parked:
            step()

    def kill(self) -> None:
        self.world.note(self.name, "killed")
        self.killed = True
        self._parked.clear()
