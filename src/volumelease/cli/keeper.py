"""The keeper: the process of ``hold`` that has the session on the volume, and nothing else.

A call on a network volume can hang for an hour, and a process that is in one can't end. So the
process that people and supervisors see never touches the volume, and neither does the warden; this
one does, takes the lease in the warden's name, and reports. It lets go when it is told to; when
``hold`` was killed, as soon as the warden is gone; and it gives up when ``hold`` has been silent
for half a ttl, because then ``hold`` is stopped and its command is ended at the deadline.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from . import orders, processes
from .orders import Message, Sender

if TYPE_CHECKING:
    from volumelease import Lease
    from volumelease.enforce.levels import Level
    from volumelease.enforce.sandbox import Plan

_LOOK_SECONDS: Final = 0.1
_NEWS_SECONDS: Final = 0.01
"""A deadline that moved by less is no news."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to hold."""

    paths: tuple[str, ...]
    shared: bool
    timeout: float | None
    reason: str
    draft: bool = False
    """Hold one path in order to publish what the command writes to a draft of it."""
    resume: bool = False
    """Begin with the draft of a builder that died."""
    watched: bool = False
    """A person looks at the terminal: say how the wait goes on every second."""
    level: Level = "none"
    """What the command is kept to."""


def serve(wish: Wish, warden: int, orders_from: int, reports_to: int) -> NoReturn:
    """Be the keeper; the process ends here."""
    reports = Sender(reports_to)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        os.setpgid(0, 0)
        processes.rename("lease-keeper")
        processes.let_go_of_streams()
        kind: type[Keeper] = Keeper
        if wish.draft:
            from .builder import Builder

            kind = Builder
        kind(wish, warden, orders_from, reports).run()
    except BaseException as error:  # noqa: BLE001 - hold tells the person
        reports.send(Message(orders.REFUSED, text=packed(error)))
    finally:
        os._exit(0)


class Keeper:
    """Keeps one lease."""

    def __init__(self, wish: Wish, warden: int, orders_from: int, reports: Sender) -> None:
        # Imported in this process alone: hold and the warden stay small.
        from volumelease import volume_lease
        from volumelease.host import this_process
        from volumelease.leases.volumes import Surroundings, Volumes
        from volumelease.model import Client

        self._wish = wish
        self._here = this_process()
        self._warden = this_process(warden)
        self._orders = orders_from
        self._reports = reports
        self._heard = threading.Event()
        self._let_go = threading.Event()
        self._order = Message(orders.RELEASE)
        self._alone = False
        self._granted = False
        self._volumes = Volumes(Surroundings.of_this_process()._replace(report=self._note))
        self._wanted = volume_lease(
            *wish.paths,
            shared=wish.shared,
            timeout=wish.timeout,
            on_lost="ignore",
            reason=wish.reason,
            client=Client(self._warden.pid, self._warden.start_time),
            volumes=self._volumes,
        )

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        lease = self._acquire()
        if lease is not None:
            self._hold(lease)

    def _acquire(self) -> Lease | None:
        """The lease, or None if there is nothing to hold it for."""
        lease = self._wanted.__enter__()
        self._granted = True
        return lease

    def _hold(self, lease: Lease) -> None:
        volume = self._volumes.find(lease.paths[0])[0]
        timing = self._volumes.session(volume).session.timing
        # Half of the time that is sure to pass between our last moment and another's first.
        grace = (timing.margin - timing.tolerance + timing.cache) / 2
        self._reports.send(Message(orders.GRACE, at=grace))
        if self._wish.level == "landlock":
            self._plan_sandbox(lease)
        if self._keep(lease, timing.ttl / 2):
            self._give_back(lease)

    def _plan_sandbox(self, lease: Lease) -> None:
        from volumelease.enforce import sandbox

        terms = lease._terms
        names = [claim.path for claim in terms.asked] if lease.mode == "exclusive" else []
        try:
            plan = sandbox.plan(terms.root, names)
        except BaseException:
            self._volumes.close()  # the next one need not wait for a ttl
            raise
        for place in plan.made:
            self._note(f"{place} was not there, and was made as a directory")
        for place in plan.published:
            self._note(f"{place} is published, and a version never changes: it can't be written")
        self._note(f"enforcement: level landlock: {_in_words(lease, plan)}")
        self._reports.send(Message(orders.SANDBOX, text=plan.encoded()))

    def _give_back(self, lease: Lease) -> None:
        del lease  # with the session all that it holds is free
        self._volumes.close()
        self._reports.send(Message(orders.RELEASED))

    def _listen(self) -> None:
        while True:
            message = orders.read(self._orders)
            if message is not None and message.kind == orders.PING:
                self._heard.set()
                continue
            if not self._granted:  # nothing runs yet
                self._volumes.close()
                self._reports.send(Message(orders.RELEASED))
                os._exit(0)
            if message is None:
                self._alone = True
                return
            self._obey(message)

    def _obey(self, message: Message) -> None:
        self._order = message
        self._let_go.set()

    def _keep(self, lease: Lease, patience: float) -> bool:
        """Report deadlines. Returns whether the lease is to be given back: not when it is lost."""
        told = silent = 0.0
        looked_at = _now()
        while not self._let_go.wait(_LOOK_SECONDS if told else 0):
            # Read before the lease is: a pause between the two makes the deadline too early, and
            # the other way round it would be too late.
            now = _now()
            # After a pause of this very process, what hold said meanwhile was not heard yet.
            silent += min(now - looked_at, 2 * _LOOK_SECONDS)
            looked_at = now
            if self._heard.is_set():
                self._heard.clear()
                silent = 0.0
            remaining = lease.remaining
            if remaining <= 0 or silent > patience:
                reason = _loss_of(lease) if remaining <= 0 else "hold was stopped for too long"
                self._reports.send(Message(orders.LOST, at=now, text=reason))
                return False
            if self._alone:
                if self._warden_is_gone():
                    return True
                silent = 0.0
            self._tell(lease, told, now + remaining)
            told = max(told, now + remaining)
        return True

    def _tell(self, lease: Lease, told: float, deadline: float) -> None:
        if not told:
            from volumelease.paths.lists import joined

            paths = joined(lease.paths)
            self._reports.send(Message(orders.GRANTED, lease.token, deadline, paths))
        elif deadline > told + _NEWS_SECONDS:
            self._reports.send(Message(orders.DEADLINE, at=deadline))

    def _warden_is_gone(self) -> bool:
        from volumelease.host import provably_dead

        return provably_dead(self._warden, self._here)

    def _note(self, text: str) -> None:
        self._reports.send(Message(orders.NOTE, text=text))


def _in_words(lease: Lease, plan: Plan) -> str:
    root, asked = lease._terms.root.root, lease._terms.asked
    below = [f"{root.rstrip('/')}/{claim.path}" if claim.path else root for claim in asked]
    what = f"only below {', '.join(below)}" if plan.leased else "nowhere"
    said = f"the command can write on {root} {what}"
    above = ", ".join(place for place in plan.above() if place != "/")
    return f"{said}; and make nothing new right in {above}" if above else said


def _loss_of(lease: Lease) -> str:
    from volumelease import LeaseLost

    try:
        lease.check()
    except LeaseLost as error:
        return str(error.facts["reason"])
    return "its deadline passed"


def packed(error: BaseException) -> str:
    try:
        return pickle.dumps(error).decode("latin-1")
    except Exception as trouble:  # noqa: BLE001 - whatever a foreign error does when it is pickled
        return pickle.dumps(RuntimeError(f"{error!r} ({trouble!r})")).decode("latin-1")


def unpacked(text: str) -> BaseException:
    """Only for what ``packed`` made, in a process of ours."""
    error = pickle.loads(text.encode("latin-1"))
    assert isinstance(error, BaseException)
    return error


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
