"""One run: a fleet on a volume, the trouble that its setup asks for, and the checkers."""

from __future__ import annotations

from typing import Any, Final

from volumelease.authorities.volume import cleaning, collecting
from volumelease.authorities.volume.layout import CONTROL
from volumelease.host import ProcessFacts

from . import adopter
from .bells import Belfry, Gate
from .checkers import Checker
from .clocks import HostClock
from .heirs import Lives
from .held import WatchedSession
from .mount import Mount
from .mover import Moved
from .process import Host, Process
from .setup import Setup
from .trouble import Trouble
from .volume import Server
from .worker import Worker
from .world import World

LONGEST_ANSWER_SECONDS: Final = 0.01
"""From when a call is performed to when its answer is there, where no trouble delays answers."""

SAME_NAMESPACE: Final = 4_026_531_836
"""The inode of the first pid namespace is the same number on every Linux."""


class Fleet:
    """Everything that exists in one run."""

    def __init__(
        self, setup: Setup, checkers: list[type[Checker]], *, recording: bool = False
    ) -> None:
        self.setup = setup
        self.world = World(setup.seed, recording=recording)
        self.belfry = Belfry(self.world, setup.seed)
        self.gate = Gate()
        self.lives = Lives()
        self.moved = Moved()
        self.server = Server(self.world)
        self.server.remembers = setup.strength("forget") == 0
        self.hosts = [self._host(number) for number in range(setup.hosts)]
        self.sessions: dict[str, WatchedSession] = {}
        self.workers: list[Worker] = []
        self.ready = setup.ready
        self.finale = False
        self.interruptions = 0.0
        self.retention_seconds = cleaning.LEAST_RETENTION_SECONDS
        self.version_retention_seconds = collecting.VERSION_RETENTION_SECONDS
        self.checkers = [checker(self) for checker in checkers]
        self.crashes: list[tuple[str, BaseException]] = []
        self.state_lost_at = -1e9
        self.deletions = 0
        self._processes = 0
        self._trouble = self._troubles()

    # ---- making the fleet

    def _host(self, number: int) -> Host:
        random = self.world.random
        rate = 1.0 + random.uniform(-1, 1) * self.setup.drift
        name = f"host{number}"
        # Containers of different machines often have one and the same host name.
        shown = "worker" if random.random() < 0.5 else name
        clock = HostClock(self.world, rate)
        mount = Mount(self.world, self.server, self._setup_of_mounts(), name)
        return Host(self.world, shown, f"boot-{number}", clock, mount)

    def _setup_of_mounts(self) -> Setup:
        """What goes wrong with calls on the volume."""
        return self.setup

    def _worker(self, process: Process, name: str) -> Worker:
        return Worker(self, process, name)

    def _troubles(self) -> Trouble:
        return Trouble(self)

    def facts(self, host: Host, before: ProcessFacts | None) -> ProcessFacts:
        """A new process. Pids are small in containers, so they are used again and again."""
        random = self.world.random
        self._processes += 1
        if before is not None and random.random() < 0.7:
            namespace = before.pid_namespace
        else:
            namespace = SAME_NAMESPACE + random.choice((0, 0, 1))
        taken = {
            process.facts.pid
            for process in host.processes
            if process.facts.pid_namespace == namespace and not process.provably_gone
        }
        pid = next(p for p in range(random.choice((1, 1, 2)), 1000) if p not in taken)
        return ProcessFacts(host.name, host.boot_id, namespace, pid, 1000 + self._processes)

    def add_worker(
        self,
        host: Host,
        name: str,
        before: ProcessFacts | None = None,
        predecessor: Worker | None = None,
    ) -> Worker:
        process = Process(
            self.world, self.setup, host, self.facts(host, before), f"{name}.{self._processes}"
        )
        process.calm = host.mount.calm
        worker = self._worker(process, name)
        worker.predecessor = predecessor
        self.workers.append(worker)
        worker.begin()
        return worker

    # ---- running

    def run(self) -> None:
        """Run to the end. Errors: ``Violation``."""
        adopter.make_old_directories(self.server, self.setup.old)
        for number in range(self.setup.workers):
            host = self.world.random.choice(self.hosts)
            self.world.after(
                self.world.random.random(),
                lambda h=host, n=number: self.add_worker(h, f"w{n}"),  # type: ignore[misc]
            )
        self._trouble.begin()
        self.world.run(self.setup.trouble_seconds, lambda: False)
        self._trouble.end()
        self.world.run(max(host.mount.misled_until for host in self.hosts), lambda: False)
        self.world.run(self.world.now + 0.6 * self.setup.ttl, lambda: False)
        self.finale = True
        self.world.run(self.world.now + 1.5 * self.setup.ttl, lambda: False)
        self.tell("settled")
        self.world.run(self.world.now + self.bound, self._all_done)
        self.tell("progressed")
        self.world.run(self.world.now + 1.5 * self.setup.ttl + 3.0, lambda: False)
        self.tell("finished")

    @property
    def bound(self) -> float:
        """By when every worker must have had a lease after the last fault, in seconds: whoever
        is gone is noticed, a log made anew leaves its grace, slow calls come back, everybody had
        a turn."""
        return 5 * (self.setup.ttl + 1.0) + 30.0

    def _all_done(self) -> bool:
        return all(worker.finale_done for worker in self.alive())

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.process.killed]

    # ---- what the others tell

    def tell(self, what: str, *about: Any) -> None:
        for checker in self.checkers:
            getattr(checker, what)(*about)

    def crashed(self, worker: Worker, thread: str, error: BaseException) -> None:
        """A thread of the product's host ended with an error: nothing would beat any more."""
        if isinstance(error, AssertionError):
            raise error
        self.world.note(worker.process.name, f"{thread} died: {error!r}")
        self.crashes.append((f"{worker.process.name} {thread}", error))
        self.tell("crashed", worker, thread, error)

    def decided(self, worker: Worker) -> None:
        """A worker's publish is in the log and not visible yet."""
        self._trouble.decided(worker)

    def counts(self, session: WatchedSession) -> bool:
        """Whether what that replica reads can have an effect. After a master forgot, a session
        that is over may read on where it was, alone; so may, until its next beat, one whose
        machine was frozen meanwhile with clocks that show nothing."""
        if self.state_lost_at < 0:
            return True
        notices = session.worker.process.host.thawed_at + self.setup.ttl * 1.1 + 1.0
        return session.alive() and self.world.now > notices

    def knows(self, session: WatchedSession) -> bool:
        """Whether a beat of that session, sent since a master forgot, found in place what it read,
        and every answer from before has come: from then on there is nothing that excuses it."""
        delays = {"slow", "cut", "stop", "stall", "suspend", "freeze"} & set(self.setup.troubles)
        if delays:
            return False
        return session.knew_at > self.state_lost_at + LONGEST_ANSWER_SECONDS

    def notices_by(self, worker: Worker) -> float:
        """When a worker knows of its losses. Two it can only notice at its next beat: of what a
        master forgot, and of the time in which its machine was frozen with clocks that show
        nothing."""
        return max(worker.process.host.thawed_at, self.state_lost_at) + self.setup.ttl * 1.05

    def lose_state(self) -> None:
        self.state_lost_at = self.world.now
        self.tell("state_lost")

    def delete_control(self) -> None:
        self.server.delete_tree(CONTROL)
        self.deletions += 1
        self.ready = False  # a person says of a NEW volume that nobody holds anything on it
