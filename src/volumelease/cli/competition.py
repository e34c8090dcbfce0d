"""Workers of two endpoints that compete for one path of a volume, and what became of it.

The workers are processes of this machine, on one or several mounts of one volume. That they take
turns is proven twice, without trusting the leases: by files that only one process can make, and
by the times at which each of them came in and left, on one clock.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import IO, Any, Final, Self

from .speech import Problem

ENDPOINTS: Final = ("sd-xl", "llama")
LEASED: Final = "models/shared"
_WORKERS: Final = 6
_PATIENCE_SECONDS: Final = 20.0


@dataclass(slots=True)
class Worker:
    """One worker and what is known of it. ``since`` (boottime) is when ``state`` began."""

    name: str
    endpoint: str
    mount: int
    process: subprocess.Popen[str]
    state: str = "starts"
    since: float = 0.0
    token: int = 0
    grants: int = 0

    def __str__(self) -> str:
        return f"{self.name} of {self.endpoint}"


@dataclass(slots=True)
class Turn:
    """One critical section, in boottime. ``ended_by`` is "" while it lasts."""

    worker: str
    token: int
    entered: float
    left: float = float("inf")
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A holder that did not release: what happened to it, when it stopped, and when the next one
    held (seconds after)."""

    worker: str
    accident: str
    stopped: float
    taken: float


@dataclass(slots=True)
class Outcome:
    turns: list[Turn] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    witnessed_overlaps: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def overlaps(self) -> int:
        """How often two were inside together: by the witness files, or by the clock."""
        in_order = sorted(self.turns, key=lambda turn: turn.entered)
        pairs = pairwise(in_order)
        return self.witnessed_overlaps + sum(after.entered < before.left for before, after in pairs)

    @property
    def tokens_grew(self) -> bool:
        tokens = [turn.token for turn in sorted(self.turns, key=lambda turn: turn.entered)]
        return all(before < after for before, after in pairwise(tokens))

    @property
    def handoff_p50(self) -> float:
        """Seconds from one worker's end to the next one's begin, where it let go by itself."""
        in_order = sorted(self.turns, key=lambda turn: turn.entered)
        pairs = pairwise(in_order)
        gaps = [b.entered - a.left for a, b in pairs if a.ended_by == "leaves"]
        return statistics.median(gaps) if gaps else float("nan")

    @property
    def fine(self) -> bool:
        return not self.overlaps and self.tokens_grew and not self.errors and bool(self.turns)


Audience = Callable[["Competition", str], None]
"""Told after each thing that happened; the text is "" for what is not worth a line."""


class Competition:
    """``with Competition(mounts, witness, audience) as competition:``, then let it run.

    ``mounts`` are directories that show one and the same volume; ``witness`` is a directory of
    this machine. At the end of the block all workers are gone.
    """

    def __init__(self, mounts: Sequence[str], witness: str, audience: Audience) -> None:
        self.mounts = tuple(mounts)
        self.workers: list[Worker] = []
        self.outcome = Outcome()
        self.started = boottime()
        self._witness = witness
        self._audience = audience
        self._events: queue.SimpleQueue[tuple[Worker, dict[str, Any]]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._over = False

    def __enter__(self) -> Self:
        for number in range(_WORKERS):
            self._start(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        for worker in self.workers:
            _pipe(worker.process.stdin).close()
        for worker in self.workers:
            _end(worker.process)
        for thread in self._threads:
            thread.join(1)
        self._hear_all()

    # ---- what may happen

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let them compete for so long. Returns whether it ended early, by ``until``."""
        end = boottime() + seconds
        while not until():
            left = end - boottime()
            if left <= 0:
                return False
            try:
                worker, event = self._events.get(timeout=min(left, 0.1))
            except queue.Empty:
                self._audience(self, "")
            else:
                self._note(worker, event)
        return True

    def tell(self, text: str) -> None:
        """Something that happened from outside."""
        self._audience(self, text)

    def kill_holder(self, mount: int) -> None:
        """SIGKILL a worker on that mount while it holds the lease; another one is started."""
        turn = self._wait_for_holder(mount)
        victim = self._worker(turn)
        victim.process.kill()
        died_at = boottime()
        victim.process.wait()
        self._threads[self.workers.index(victim)].join()
        self._hear_all()  # what it said before it died
        self._start(len(self.workers))
        if turn.ended_by:
            self.kill_holder(mount)  # it had let go a moment before
            return
        self._ended(victim, died_at, "killed")
        self._audience(self, f"{victim} is killed (SIGKILL) while it holds the lease")
        self._wait_for_takeover(turn, "killed", died_at)

    def cut_holder(self, mount: int, cut: Callable[[], None]) -> None:
        """Cut the host of that mount off while one of its workers holds the lease. Back when
        somebody else holds it."""
        turn = self._wait_for_holder(mount)
        victim = self._worker(turn)
        stdin = _pipe(victim.process.stdin)
        stdin.write("stay\n")
        stdin.flush()
        self.watch(_PATIENCE_SECONDS, lambda: bool(turn.ended_by) or victim.state == "stays")
        if turn.ended_by:
            self.cut_holder(mount, cut)  # it had let go a moment before
            return
        cut_at = boottime()
        cut()
        self._audience(self, f"the host of {victim} is cut off while {victim.name} holds the lease")
        self._wait_for_takeover(turn, "cut off", cut_at)

    def _hear_all(self) -> None:
        while not self._events.empty():
            self._note(*self._events.get())

    def _worker(self, turn: Turn) -> Worker:
        return next(worker for worker in self.workers if worker.name == turn.worker)

    def _wait_for_holder(self, mount: int) -> Turn:
        seen = len(self.outcome.turns)

        def on_that_mount() -> bool:
            turns = self.outcome.turns
            return len(turns) > seen and self._worker(turns[-1]).mount == mount

        if not self.watch(_PATIENCE_SECONDS, on_that_mount):
            raise Problem("no worker got the lease", advice="volumelease doctor")
        return self.outcome.turns[-1]

    def _wait_for_takeover(self, turn: Turn, accident: str, since: float) -> None:
        turns = self.outcome.turns
        place = turns.index(turn)
        if not self.watch(_PATIENCE_SECONDS, lambda: len(turns) > place + 1):
            raise Problem(f"nobody took over from {turn.worker}", advice="volumelease doctor")
        heir = turns[place + 1]
        self.watch(1.0, lambda: bool(turn.ended_by))
        after = Takeover(turn.worker, accident, turn.left - since, heir.entered - since)
        self.outcome.takeovers.append(after)
        self._audience(self, f"{heir.worker} took over {after.taken * 1000:.0f} ms later")

    # ---- the workers

    def _start(self, number: int) -> None:
        mount = number % len(self.mounts)
        name = f"w{number + 1}"
        # Each endpoint has workers on every mount.
        endpoint = ENDPOINTS[number // len(self.mounts) % len(ENDPOINTS)]
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.contender", self._path(mount), self._witness],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the demo, which ends them
            env=_environment(name, endpoint, self.mounts[mount]),
        )
        worker = Worker(name, endpoint, mount, process, since=boottime())
        self.workers.append(worker)
        thread = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _path(self, mount: int) -> str:
        return f"{self.mounts[mount]}/{LEASED}"

    def _listen(self, worker: Worker) -> None:
        with _pipe(worker.process.stdout) as lines:
            for line in lines:
                self._events.put((worker, json.loads(line)))

    def _note(self, worker: Worker, event: dict[str, Any]) -> None:
        what, at = event["what"], event["at"]
        if self._over and what not in ("leaves", "lost"):
            return  # workers that are told to end leave in any order
        said = ""
        if what == "asks":
            worker.state, worker.since = "waits", at
        elif what == "enters":
            waited = at - worker.since
            worker.state, worker.since, worker.token = "holds", at, event["token"]
            worker.grants += 1
            self.outcome.turns.append(Turn(worker.name, worker.token, at))
            waiting = sum(other.state == "waits" for other in self.workers)
            said = f"{worker} holds {LEASED} (token {worker.token}) after {waited:.2f} s; "
            said += f"{waiting} wait"
        elif what == "stays":
            worker.state = what
        elif what == "leaves":
            self._ended(worker, event["left_at"], what)
        elif what == "lost":
            self._ended(worker, at, what)
            said = f"{worker} finds its lease lost and has stopped"
        elif what == "overlap":
            self.outcome.witnessed_overlaps += 1
            said = f"OVERLAP: {worker} was let in while another was inside"
        else:
            self.outcome.errors.append(f"{worker}: {event.get('text', what)}")
            said = self.outcome.errors[-1]
        self._audience(self, said)

    def _ended(self, worker: Worker, at: float, how: str) -> None:
        worker.state, worker.since = ("rests" if how == "leaves" else how), at
        for turn in reversed(self.outcome.turns):
            if turn.worker == worker.name and not turn.ended_by:
                turn.left, turn.ended_by = at, how
                return


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _environment(worker: str, endpoint: str, volume: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "VOLUMELEASE_" not in name}
    return {
        **kept,
        "RUNPOD_POD_ID": worker,
        "RUNPOD_ENDPOINT_ID": endpoint,
        "VOLUMELEASE_VOLUME": volume,
    }


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
