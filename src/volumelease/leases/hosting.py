"""The running side of a session in this process: its threads, and who may talk to it.

One session for each volume and process. A thread beats; another watches the deadline, so that a
loss is noticed even while the beat hangs in the kernel; a third reads the log while requests
wait. All are daemon threads, and none of them is ever joined: a call on a network volume can
hang for an hour.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from volumelease.authorities import answers
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.session import Session
from volumelease.bells.belfry import Belfry
from volumelease.clock import Clock
from volumelease.core.records import SessionFacts
from volumelease.drivers.threads import Errand, Monitor, Performer, ThreadTurn, WaitingRoom
from volumelease.effects import Contents, Steps
from volumelease.errors import LeaseError
from volumelease.host import ProcessFacts
from volumelease.model import Acquire, Answer, Claim, Holder, Question, Waiting
from volumelease.tallies import Tally
from volumelease.wire.identity import Identity

from .losses import Rest
from .member import Member
from .ringing import Bells
from .talking import Conversation, Listener

GIVE_BACK_SECONDS: Final = 2.0
_WATCH_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.02


S = TypeVar("S", bound=Member)


class Hosting(Generic[S]):
    """A session with its threads. Thread-safe. Who makes one gives it its ``session``."""

    session: S

    def __init__(
        self,
        clock: Clock,
        performer: Performer,
        report: Callable[[str], None],
        belfry: Belfry | None,
        tally: Tally | None = None,
    ) -> None:
        self.clock = clock
        self.pid = os.getpid()
        self.tally = tally or Tally()
        self.belfry = belfry
        self._report = report
        self._room = WaitingRoom()
        self._monitor = Monitor(performer)
        self._attending = False
        self.watch_seconds = _WATCH_SECONDS
        """How often listeners are called while nothing happens."""
        self._ending: Errand | None = None  # for who watches, where no other thread can be had
        self._news = threading.Event()
        self._on_change: list[Listener] = []
        if belfry is not None:
            belfry.on_rung = lambda kind: self.tally.note((("wakeups_total", kind), 1.0))

    # ---- life

    def open(self) -> None:
        """Open the session and start its threads. Errors: those of ``Session.open``."""
        self._monitor.run(self.session.open())
        self._go()

    def _go(self) -> None:
        self.session.pulse.moved = self._deadline_moved
        try:
            self._start(self._keep, "volumelease-beat")
            self._start(self._watch, "volumelease-watch")
            if self.belfry is not None:
                self.belfry.start()
            if self.session.waits:  # a resumed one: nobody asked here, so nobody reads for them yet
                self._attend()
        except BaseException:  # or it would beat, and nobody would have what it holds
            self.session.pulse.lose("no thread could be had")
            raise

    def close(self, seconds: float = GIVE_BACK_SECONDS) -> None:
        """End the session, but don't wait longer than ``seconds`` for a volume that hangs."""
        if not self.alive():
            return
        self._on_change.clear()  # what ends by itself is not lost: nobody is to be told, or killed
        ending = Errand(lambda _: self._monitor.run(self.session.close()), lambda _: None)
        if not self._done_aside(ending.run):  # at a limit of threads, or the end of Python 3.12
            self._ending = ending
            self._news.set()
        if not ending.done.wait(seconds) or isinstance(ending.error, LeaseError | OSError):
            self.session.pulse.lose("the process is exiting")
        elif ending.error is not None:
            raise ending.error

    def alive(self) -> bool:
        """Whether this process still owns a live session: a forked child owns nothing."""
        return self.pid == os.getpid() and self.session.alive()

    @property
    def over(self) -> bool:
        """Whether a new session must take its place; does not look at the clock."""
        return bool(self.session.pulse.lost) or self.pid != os.getpid()

    def loss_of(self, token: int) -> str:
        if self.pid != os.getpid():
            return "it belongs to the process that this one was forked from"
        return self.session.loss_of(token)

    def remaining_seconds(self) -> float:
        return self.session.remaining_seconds()

    def last_seconds(self) -> float:
        """Half of what passes between a loss here and the first moment of somebody else."""
        return (self.session.timing.margin + self.session.timing.cache) / 2

    def _start(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    def _keep(self) -> None:
        try:
            self._monitor.run(self.session.keep())
        except BaseException as error:  # noqa: BLE001 - a beat that dies silently is the worst end
            self.session.pulse.lose(f"the heartbeat failed: {error!r}")
            self._report(f"volumelease: the heartbeat failed: {error!r}")
        finally:
            self._wake(None)

    def _watch(self) -> None:
        """Notice losses on time, whatever the volume does, and tell those who asked to know."""
        while True:
            alive = self.session.alive()
            left = self._tell_listeners()
            if not alive:
                self._room.wake(None)
                if self.belfry is not None:
                    self.belfry.close()
            self._do(*left)
            if not alive:
                return
            self._news.wait(min(self.session.remaining_seconds() + 0.001, self.watch_seconds))
            self._news.clear()
            if self._ending is not None:
                self._ending.run()

    def _tell_listeners(self) -> list[Rest]:
        """What they leave to be done is done in threads of their own, since it may block. Returns
        that for which there was none: to be done when nothing else is."""
        rests: list[Rest] = []
        for listener in list(self._on_change):
            try:
                rest = listener()
            except BaseException as error:  # noqa: BLE001 - of one; it must not end this thread
                self._report(f"volumelease: {listener!r} failed, told of a loss: {error!r}")
            else:
                rests += [] if rest is None else [rest]
        return [rest for rest in rests if not self._done_aside(rest)]

    def _done_aside(self, rest: Rest) -> bool:
        try:
            self._start(lambda: self._do(rest), "volumelease-told")
        except RuntimeError:  # no thread can be made
            return False
        return True

    def _do(self, *rests: Rest) -> None:
        for rest in rests:
            try:
                rest()
            except BaseException as error:  # noqa: BLE001 - sys.exit() too ends nothing here
                self._report(f"volumelease: who was told of a loss failed: {error!r}")

    def _deadline_moved(self) -> None:
        if self._on_change:  # a daemon's clients go by what its listener shows them
            self._news.set()

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` in the watching thread whenever a lease may have been lost, and when a
        beat moved the deadline: it must not block, and returns what may. Returns what stops it."""
        self._on_change.append(listener)
        if not self.alive() and (rest := listener()):
            rest()

        def stop() -> None:
            if listener in self._on_change:
                self._on_change.remove(listener)

        return stop

    # ---- waiting

    def _wake(self, token: int | None) -> None:
        self._room.wake(token)
        if token is None or self._on_change:  # else who watches only takes the waiter's time
            self._news.set()

    @property
    def room(self) -> WaitingRoom:
        return self._room

    def still_waits(self, token: int) -> bool:
        """Whether that request is still queued, in a session that lives."""
        raise NotImplementedError

    def _attend(self) -> None:
        with self._monitor.lock:
            if self._attending:
                return
            self._attending = True
        try:
            self._start(self._attend_while_needed, "volumelease-wait")
        except BaseException:
            self._attending = False
            raise

    def _attend_while_needed(self) -> None:
        try:
            while True:
                self._monitor.run(self.session.attend())
                with self._monitor.lock:
                    if not self.session.waits or not self.session.alive():
                        self._attending = False
                        return
        except BaseException as error:  # noqa: BLE001 - waiters must not hang on a dead thread
            self.session.pulse.lose(f"waiting failed: {error!r}")
            self._report(f"volumelease: waiting failed: {error!r}")
            self._wake(None)

    def who_holds(self, claim: Claim) -> Holder | None:
        """The oldest lease that an exclusive one on ``claim`` would wait for."""
        raise NotImplementedError

    def is_own(self, holder: Holder) -> bool:
        """Whether that is a lease of this process."""
        return holder.session == getattr(self.session, "name", None)

    def under_way(self, claim: Claim) -> Contents | None:
        """How much the live writer of a draft of ``claim`` has written. Errors: ``OSError``,
        those of the authority."""
        found: Contents | None = self.run(self.session.publishing.drafts.under_way(claim))
        return found

    # ---- talking to it

    def run(self, steps: Steps[Any]) -> Any:
        """Run a protocol in the calling thread. Errors: those of the protocol."""
        return self._monitor.run(steps)

    def ask(self, question: Question) -> Answer:
        """Answer one question, in the calling thread. Errors: those of ``Session.ask``."""
        answer: Answer = self._monitor.run(self.session.ask(question))
        if isinstance(answer, Waiting):
            self._attend()
        return answer

    def give_up(self, question: Acquire) -> None:
        """Nobody waits for the answer any more: the next beat gives back what it got."""
        raise NotImplementedError

    def own_requests(self) -> list[tuple[tuple[Claim, ...], bool, float]]:
        """What this process has or waits for: its claims, whether granted, since when (wall)."""
        raise NotImplementedError

    def tail(self) -> int:
        """Where the log went on, as far as this session knew; -1 where there is none."""
        return -1

    def notice(self, text: str) -> None:
        """Tell the user something."""
        self._report(text)

    def talk(self, errand: Errand | None = None) -> Conversation:
        """For one operation; ``errand`` when it runs for a caller who may give up on it."""
        return Conversation(self.clock, errand, self)


class HostedSession(Hosting[Session]):
    """A session of a volume that has a log."""

    def __init__(
        self,
        identity: Identity,
        layout: Layout,
        facts: SessionFacts,
        clock: Clock,
        performer: Performer,
        report: Callable[[str], None],
        retention_seconds: float,
        bells: Bells | None = None,
        tally: Tally | None = None,
        name: str = "",
        keeps_life: bool = False,
    ) -> None:
        name = name or os.urandom(8).hex()
        belfry = bells.of_session(name) if bells is not None else None
        lives = bells.lives() if bells is not None else None
        super().__init__(clock, performer, report, belfry, tally)
        self.session = Session(
            identity=identity,
            layout=layout,
            facts=facts,
            name=name,
            clock=clock,
            turn=ThreadTurn(),
            unique=lambda: os.urandom(8).hex(),
            wake=self._wake,
            retention_seconds=retention_seconds,
            bell=self.belfry,
            turnstile=bells.turnstile() if bells is not None else None,
            life=lives,
            tally=self.tally,
        )
        self._lives = lives if keeps_life else None
        self._looking = False
        if belfry is not None:
            belfry.on_awaited = self._look_soon

    def open(self) -> None:
        """As ``Hosting.open``; a keeper says so only when its life lock is taken."""
        if self._lives is not None:
            with suppress(OSError):
                kept = self._lives.take(self.session.name)
                self.session.facts = self.session.facts._replace(keeper=kept)
        super().open()

    def resume(self, predecessor: ProcessFacts, until: float) -> None:
        """In the place of ``open``: go on with the session of that name, whose process is gone.
        Errors: those of ``Session.resume``."""
        self._monitor.run(self.session.resume(predecessor, until))
        self._go()

    def requests_of_old(self) -> list[tuple[int, Acquire, bool]]:
        """What a resumed session has from before: token, question, and whether it is granted."""
        with self._monitor.lock:
            holdings = self.session.replica.table.holdings
            return [
                (token, asked, holdings[token].granted)
                for token, asked in self.session.requests.wanted.items()
                if token in holdings
            ]

    def _look_soon(self) -> None:
        """Somebody waits behind this session: it reads that now, and not when it lets go."""
        if not self._looking:
            self._looking = True
            try:
                self._start(self._look, "volumelease-look")
            except RuntimeError:  # no thread can be made now; it reads it when it lets go
                self._looking = False

    def _look(self) -> None:
        try:
            self._monitor.run(self.session.look())
        finally:
            time.sleep(_LOOK_AGAIN_SECONDS)  # a herd announces itself one by one
            self._looking = False

    def still_waits(self, token: int) -> bool:
        """Whether that request is still queued, in a session that lives."""
        with self._monitor.lock:
            holding = self.session.replica.table.holdings.get(token)
            return self.session.alive() and holding is not None and not holding.granted

    def who_holds(self, claim: Claim) -> Holder | None:
        """The oldest lease that an exclusive one on ``claim`` would wait for."""
        with self._monitor.lock:
            table = self.session.replica.table
            for holding in table.in_the_way((claim,), exclusive=True):
                if holding.granted:
                    return answers.describe(table, holding)
        return None

    def give_up(self, question: Acquire) -> None:
        """Nobody waits for the answer any more: the next beat gives back what it got."""
        with self._monitor.lock:
            self.session.requests.give_up(question)

    def own_requests(self) -> list[tuple[tuple[Claim, ...], bool, float]]:
        with self._monitor.lock:
            holdings = self.session.replica.table.holdings
            mine = [holdings[t] for t in self.session.requests.wanted if t in holdings]
            return [
                (one.claims, one.granted, one.granted_wall if one.granted else one.requested_wall)
                for one in mine
            ]

    def tail(self) -> int:
        return self.session.replica.next_index
