"""A worker of the simulated fleet: it opens a session, takes leases, uses them, lets go.

It hosts its session as the real process does: one thread beats, one attends while requests wait,
one watches for losses, and the caller's threads run the flows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.core.records import SessionFacts
from volumelease.effects import Sleep, Steps
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.leases import flows
from volumelease.model import (
    Acquire,
    Answer,
    Ask,
    Cancel,
    Claim,
    Downgrade,
    Ended,
    Flow,
    GiveBack,
    Granted,
    Question,
    Release,
    Resumed,
    Step,
    Wait,
    Waiting,
)
from volumelease.wire.identity import Identity

from . import heirs, publisher
from .bells import Turnstile
from .held import Held, Page, WatchedSession, Wish
from .process import Bell, News, Process, Script, Turn

if TYPE_CHECKING:
    from .fleet import Fleet

ROOT: Final = "/v"
PATHS: Final = ("", "a", "a", "a/b", "a/b", "a/b/c", "ab", "b")
ANSWER_SECONDS: Final = 5.0
GIVE_BACK_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Errand:
    """A question that another thread answers, because the caller may give up on it."""

    bell: Bell = field(default_factory=Bell)
    over: bool = False
    answer: Answer | None = None
    error: BaseException | None = None


class Worker:
    """One incarnation of a worker: a process and the sessions it opens one after the other."""

    def __init__(self, fleet: Fleet, process: Process, name: str) -> None:
        self.fleet = fleet
        self.process = process
        self.name = name
        self.root = ROOT
        self.session: WatchedSession | None = None
        self.held: list[Held] = []
        self.asking = 0
        self.finale_done = False
        self.page = Page()
        self.predecessor: Worker | None = None
        self._bell = Bell()
        self._attended: set[str] = set()
        process.on_resume = self._resumed

    # ---- life

    def begin(self) -> None:
        self._start("main", self._live())

    def _start(self, name: str, script: Script, *, fatal: bool = True) -> None:
        def ended(value: Any, error: BaseException | None) -> None:
            del value
            if error is not None and fatal:
                self.fleet.crashed(self, name, error)

        self.process.start(name, script, ended)

    def _resumed(self) -> None:
        for checker in self.fleet.checkers:
            checker.resumed(self.process)

    def _live(self) -> Script:
        while True:
            session = yield from self._begin()
            if session is None:
                yield Sleep(0.3 * self.fleet.world.random.random())
                continue
            jobs = 1 + (self.fleet.world.random.random() < 0.4)
            # An heir's users are others: they must not be taken for those of its predecessor.
            of = f"{self.process.name}-" if self.fleet.setup.daemons else ""
            for number in range(jobs):
                self._start(f"job{number}", self._work(session, f"{of}owner-{number}"))
            yield from self._until(lambda s=session: not s.alive())  # type: ignore[misc]
            self.fleet.world.note(self.process.name, f"session lost: {session.pulse.lost}")
            self.fleet.tell("over", session)
            while self.asking:
                yield Sleep(0.05)
            for held in [held for held in self.held if held.session is session]:
                self._end(held)

    def _until(self, condition: Callable[[], bool]) -> Script:
        while not condition():
            yield Sleep(0.2)

    def _begin(self) -> Script:
        before, self.predecessor = self.predecessor, None
        resumed = None if before is None else (yield from heirs.resume(self, before))
        return resumed or (yield from self._open())

    def serve(self, session: WatchedSession) -> None:
        """It is open: begin what goes on for all of its life."""
        self.session = session
        self.fleet.sessions[session.name] = session
        self._start("beat", self._keep(session))
        self._start("watch", self._watch(session))

    def go_on_with(self, held: Held) -> None:
        """Use and release a lease that a predecessor was granted."""
        self._start("old job", self._old_job(held))

    def _old_job(self, held: Held) -> Script:
        yield from self._use(held)
        yield from self._release(held)

    def _open(self) -> Script:
        fleet, world = self.fleet, self.fleet.world
        try:
            wanted = founding.Founding(
                world.unique(), fleet.setup.ttl, self.process.host.clock.wall(), fleet.ready
            )
            identity = yield from self._found(wanted)
            session = self.session_of(identity)
            fleet.lives.keep(session.name, self.process)
            yield from session.open()
        except (LeaseError, OSError) as error:
            world.note(self.process.name, f"no session: {error}")
            return None
        self.serve(session)
        return session

    def _found(self, wanted: founding.Founding) -> Steps[Identity]:
        identity, _ = yield from founding.found(ROOT, wanted)
        return identity

    def session_of(self, identity: Identity, name: str = "") -> WatchedSession:
        world = self.fleet.world
        name = name or world.unique()
        process = self.process.facts
        session = WatchedSession(
            identity=identity,
            layout=Layout.of(ROOT, identity),
            facts=SessionFacts(
                process.without_proof() if self.fleet.setup.daemons else process,
                worker=self.name,
                keeper=self.fleet.setup.containers,
            ),
            name=name,
            clock=self.process.host.clock,
            turn=Turn(self.process),
            unique=world.unique,
            wake=lambda token: self._bell.ring(),
            retention_seconds=self.fleet.retention_seconds,
            bell=self.fleet.belfry.bell(name),
            turnstile=Turnstile(self.fleet.gate),
            life=self.fleet.lives if self.fleet.setup.containers else None,
        )
        session.fleet, session.worker = self.fleet, self
        return session

    def _keep(self, session: WatchedSession) -> Script:
        yield from session.keep()
        self._bell.ring()

    def _watch(self, session: WatchedSession) -> Script:
        """Wake everybody at the deadline, whatever the volume does."""
        while session.alive():
            yield Sleep(min(1.0, session.remaining_seconds() + 0.001))
        self._bell.ring()

    # ---- work

    def _work(self, session: WatchedSession, owner: str) -> Script:
        world = self.fleet.world
        self.asking += 1
        try:
            while session.alive() and not self.fleet.finale:
                pause = world.random.choice((0.01, 0.3, 1.0)) * world.random.random()
                yield Sleep(pause * self.fleet.setup.hurry)
                yield from self._job(session, owner)
            while session.alive() and not self.finale_done:
                yield from self._finale(session, owner)
                yield Sleep(0.1)
        finally:
            self.asking -= 1

    def _job(self, session: WatchedSession, owner: str) -> Script:
        random = self.fleet.world.random
        timeout = random.choice((0.0, 0.5, 3.0, None))
        if random.random() < 0.3:
            yield from publisher.reads(self)
        held = yield from self._acquire(session, owner, timeout)
        if held is None:
            return
        inner: Held | None = None
        yield from self._use(held)
        if held.exclusive and not held.ended and random.random() < 0.5:
            yield from publisher.publishes(self, held)
        if random.random() < 0.15 and held.session.alive():
            inner = yield from self._acquire(session, owner, random.choice((0.0, 2.0)))
        if random.random() < 0.2 and held.exclusive and not held.ended:
            yield from self._downgrade(held)
        yield from self._use(held)
        for one in (inner, held):
            if one is not None:
                yield from self._release(one)

    def _finale(self, session: WatchedSession, owner: str) -> Script:
        """After all faults are over, everybody must still come to a lease."""
        held = yield from self._acquire(session, owner, None, claims=(Claim("a", "a"),))
        if held is not None:
            yield from self._use(held)
            yield from self._release(held)
            self.finale_done = True

    def _claims(self) -> tuple[Claim, ...]:
        random = self.fleet.world.random
        how_many = 1 if random.random() < 0.8 else 2
        paths = sorted({random.choice(PATHS) for _ in range(how_many)})
        return tuple(Claim(path, path) for path in paths)

    def _acquire(
        self,
        session: WatchedSession,
        owner: str,
        timeout: float | None,
        claims: tuple[Claim, ...] = (),
    ) -> Script:
        world = self.fleet.world
        question = Acquire(
            claims=claims or self._claims(),
            exclusive=bool(claims) or world.random.random() < 0.6,
            owner=owner,
            reason="x" * 1200 if world.random.random() < 0.03 else "",
        )
        wish = Wish(self, question, timeout, world.now, session)
        self.fleet.tell("asked", wish)
        now = self.process.host.clock.boottime()
        flow = flows.acquire(question, "paths", now, timeout)
        try:
            wish.result = yield from self._run(flow, wish)
        except (LeaseError, KeyboardInterrupt) as error:
            wish.result = error
        world.note(self.process.name, f"{question.claims} -> {wish.result}")
        held: Held | None = None
        if isinstance(wish.result, Granted):
            token, exclusive = wish.result.token, wish.result.exclusive
            held = Held(self, session, token, question.claims, exclusive, owner, world.now)
            self.held.append(held)
            self.fleet.tell("granted", held)
        self.fleet.tell("answered", wish)
        return held

    def _run(self, flow: Flow[Any], wish: Wish) -> Script:
        """Drive a flow, as ``run_flow`` does."""
        random = self.fleet.world.random
        patient = wish.timeout is None
        interrupted = False
        try:
            step = next(flow)
            while True:
                try:
                    resumed = yield from self._perform(step, wish, patient=patient)
                    if not interrupted and random.random() < self.fleet.interruptions:
                        raise KeyboardInterrupt
                except BaseException as error:  # noqa: BLE001 - thrown into the flow
                    interrupted = True  # once: nobody can give back what he may not even ask for
                    step = flow.throw(error)
                else:
                    step = flow.send(resumed)
        except StopIteration as finished:
            return finished.value

    def _perform(self, step: Step, wish: Wish, *, patient: bool) -> Script:
        clock = self.process.host.clock
        if isinstance(step, Ask):
            seconds = None if patient else self._patience(step.question, wish)
            answer: Answer = yield from self.ask(wish.session, step.question, seconds)
            if isinstance(answer, Waiting):
                wish.token = answer.token
                self._attend(wish.session)
            return Resumed(clock.boottime(), answer)
        if isinstance(step, Wait):
            token = step.token
            yield News(self._bell, lambda: not self._waits(wish.session, token), step.seconds)
        return Resumed(clock.boottime())

    def _waits(self, session: WatchedSession, token: int) -> bool:
        holding = session.replica.table.holdings.get(token)
        return session.alive() and holding is not None and not holding.granted

    def _patience(self, question: Question, wish: Wish) -> float:
        if isinstance(question, Cancel | GiveBack | Release) or wish.timeout is None:
            return GIVE_BACK_SECONDS
        return wish.timeout + ANSWER_SECONDS

    def ask(self, session: WatchedSession, question: Question, seconds: float | None) -> Script:
        return self.ask_for(session, self._answer(session, question), seconds)

    def ask_for(self, session: WatchedSession, steps: Steps[Any], seconds: float | None) -> Script:
        """Have that done, but wait at most ``seconds``: then it goes on without anybody."""
        errand = _Errand()

        def over(value: Any, error: BaseException | None) -> None:
            errand.answer, errand.error, errand.over = value, error, True
            errand.bell.ring()

        thread = self.process.start("ask", steps, over)
        if self.fleet.world.chance(self.fleet.interruptions):
            thread.interrupt(KeyboardInterrupt(), self.fleet.world.random.choice((1, 1, 3, 10)))
        if seconds is None:
            while not errand.over:
                yield News(errand.bell, lambda: errand.over, 1e6)
        else:
            yield News(errand.bell, lambda: errand.over, seconds)
        if not errand.over:
            raise AuthorityUnreachable("no answer", root=ROOT, seconds=seconds)
        if errand.error is not None:
            raise errand.error
        return errand.answer

    def interrupt_asking(self) -> None:
        """Ctrl-C for the thread that makes a step right now, if somebody asks in it."""
        thread = self.process.steps
        if thread is not None and thread.name == "ask":
            thread.interrupt(KeyboardInterrupt(), self.fleet.world.random.choice((0, 1, 3, 6)))

    def _answer(self, session: WatchedSession, question: Question) -> Steps[Answer]:
        return session.ask(question)

    def _attend(self, session: WatchedSession) -> None:
        if session.name in self._attended:
            return
        self._attended.add(session.name)
        self._start("wait", self._attend_while_needed(session))

    def _attend_while_needed(self, session: WatchedSession) -> Script:
        try:
            while session.waits and session.alive():
                yield from session.attend()
        finally:
            self._attended.discard(session.name)

    # ---- breaking one

    def break_lease(self, session: WatchedSession, token: int, *, stays: bool) -> None:
        self._start("break", self._break(session, token, stays=stays))

    def _break(self, session: WatchedSession, token: int, *, stays: bool) -> Script:
        with suppress(LeaseError):
            broken = yield from session.breaking.begin(token, "a trial")
            self.fleet.world.note(self.process.name, f"breaks {token}: {broken}")
            while stays and token in session.replica.table.breaking and session.alive():
                yield Sleep(0.1)
                yield from session.replica.catch_up()
                yield from session.breaking.end_what_was_watched()

    # ---- using a lease

    def _use(self, held: Held) -> Script:
        """Look at the lease now and then, as a careful program does."""
        random = self.fleet.world.random
        for _ in range(random.choice((0, 1, 3, 8))):
            pause = random.choice((0.02, 0.3)) * random.random()
            yield Sleep(pause * self.fleet.setup.hurry)
            self.fleet.tell("looked", self)
            if held.ended:
                return
            if held.session.loss_of(held.token):
                self._end(held)
                yield from self._leave_broken(held)
                return

    def pause_in_a_draft(self) -> float:
        """Before each file that it writes into a draft, in seconds."""
        return self.fleet.world.random.choice((0.0, 0.0, 0.05))

    def _downgrade(self, held: Held) -> Script:
        held.exclusive = False  # from when it is asked for, nobody counts on more
        self.fleet.tell("changed", held)
        try:
            yield from self.ask(held.session, Downgrade(held.token), None)
        except (LeaseError, KeyboardInterrupt) as error:
            self.fleet.tell("unsure", held.session.name, held.owner)
            self.fleet.world.note(self.process.name, f"downgrade: {error!r}")

    def _let_go_of_lost(self, held: Held) -> Script:
        """A lease that is being broken is let go of; with a lost session there is nothing left."""
        if held.session.alive():
            yield from self._release(held)
        else:
            self._end(held)

    def _release(self, held: Held) -> Script:
        if held.ended:
            return
        self._end(held)
        yield from self._give_back(held)

    def _leave_broken(self, held: Held) -> Script:
        """Half of the workers whose lease is broken leave the block only after it has ended."""
        session = held.session
        stubborn = self.fleet.world.random.random() < 0.5
        while stubborn and session.alive() and held.token in session.replica.table.holdings:
            yield Sleep(0.2)
        if session.alive():
            yield from self._give_back(held)

    def _give_back(self, held: Held) -> Script:
        try:
            answer: Answer = yield from self.ask(held.session, Release(held.token), None)
            if isinstance(answer, Ended):
                self.fleet.tell("released", held)
        except (LeaseError, KeyboardInterrupt) as error:
            self.fleet.tell("unsure", held.session.name, held.owner)
            self.fleet.world.note(self.process.name, f"release: {error!r}")

    def _end(self, held: Held) -> None:
        if not held.ended:
            held.ended = True
            self.held.remove(held)
            self.fleet.tell("ended", held)
