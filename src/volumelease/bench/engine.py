"""The engine: jobs in processes of their own, started together, sampled, stopped when steady.

Processes and not threads: at 4 KiB and the speed of memory, threads of one interpreter reach 0.4
of what fio does (measured); processes 0.96 to 1.16.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from .page import GO, HOLD, SLOTS, STOP, Counts, Page
from .problems import BenchProblem
from .statistics import STEADY_SAMPLES, steady_at
from .workers import Worker, end_all, wait_for_any

SAMPLE_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 120.0
"""How long jobs may take for what is not sampled: preparing, and the last fsync."""
LEAST_PATIENCE_SECONDS: Final = 5.0
"""The same when the time of the whole run is over."""

Watch = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of jobs gave. ``bytes_per_s`` is taken from where it was steady, else from its
    second half; ``samples`` are bytes a second; ``answers`` those of the tasks, in order."""

    bytes_per_s: float
    steady: bool
    seconds: float
    samples: tuple[float, ...]
    answers: tuple[dict[str, Any], ...]
    cpu_share: float
    """Of a core, the busiest job."""
    cpu_total: float = 0.0
    """In cores, all jobs together."""


class Engine:
    """``with Engine() as engine:`` runs tasks; at its end no process is left.

    ``until_monotonic``: when a run of limited time has to be through; a job that does not answer
    is waited for until then, and at least five seconds.

    Limit: a process that hangs in a system call on a dead mount can't be ended; it is killed, and
    goes when the kernel lets it.
    """

    def __init__(self, until_monotonic: float = float("inf")) -> None:
        self._until = until_monotonic
        self._page = Page()
        self._workers: list[Worker] = []

    def run(
        self,
        task: str,
        parameters: Sequence[dict[str, Any]],
        *,
        seconds: float = float("inf"),
        until_steady: bool = False,
        whole: bool = False,
        watch: Watch | None = None,
    ) -> Run:
        """Run a task once for each of ``parameters``, at the same time.

        Jobs are told to stop after ``seconds``, or when their samples are steady; those that end
        by themselves may. ``whole``: the rate is that from beginning to end, for work that is one
        piece. Errors: ``OSError`` of a job with its errno, after all have ended;
        ``BenchProblem`` when one died, does not answer or has a fault (fact ``job``), and for
        what leases say.
        """
        if len(parameters) > SLOTS:
            raise ValueError(f"at most {SLOTS} jobs")
        try:
            workers = self._hire(len(parameters))
            self._page.order = HOLD
            for number, worker in enumerate(workers):
                self._page.reset(number)
                worker.order({"number": number, "task": task, "parameters": parameters[number]})
            self._until_ready(workers)
            sampler = _Sampler(self._page, len(workers))
            self._page.order = GO
            self._sample(workers, sampler, seconds, until_steady, watch)
            self._page.order = STOP
            answers = self._collect(workers)
        except BaseException:
            # What is still under way must not answer, or count, in the next run.
            self.dismiss()
            raise
        return sampler.result([_good(answer) for answer in answers], whole)

    def dismiss(self) -> None:
        """End all jobs, at once, whatever they do. The next run begins with new ones."""
        self._page.order = STOP
        end_all(self._workers)

    def _hire(self, count: int) -> list[Worker]:
        while len(self._workers) < count:
            self._workers.append(Worker(self._page.descriptor))
        return self._workers[:count]

    def _patience(self) -> float:
        left = self._until - time.monotonic()
        return min(PATIENCE_SECONDS, max(LEAST_PATIENCE_SECONDS, left))

    def _until_ready(self, workers: Sequence[Worker]) -> None:
        patience = self._patience()
        until = time.monotonic() + patience
        while not all(self._page.counts(number).ready for number in range(len(workers))):
            if time.monotonic() > until:
                raise _silent(patience)
            # one that died never gets ready
            wait_for_any([worker for worker in workers if not worker.answered], 0.002)

    def _sample(
        self,
        workers: Sequence[Worker],
        sampler: _Sampler,
        seconds: float,
        until_steady: bool,
        watch: Watch | None,
    ) -> None:
        end = time.monotonic() + seconds
        due = time.monotonic() + SAMPLE_SECONDS
        while running := [worker for worker in workers if not worker.answered]:
            now = time.monotonic()
            if now >= end:
                return
            if now < due:
                wait_for_any(running, min(due, end) - now)
                continue
            due = now + SAMPLE_SECONDS
            if len(running) == len(workers) and sampler.look():
                if watch is not None:
                    watch(sampler.samples[-1] / 1e6)
                if until_steady and sampler.steady:
                    return

    def _collect(self, workers: Sequence[Worker]) -> list[dict[str, Any]]:
        patience = self._patience()
        until = time.monotonic() + patience
        while waiting := [worker for worker in workers if not worker.answered]:
            if time.monotonic() > until:
                raise _silent(patience)
            wait_for_any(waiting, 0.5)
        return [worker.answer() for worker in workers]

    def close(self) -> None:
        """End all jobs: at once, whatever they do."""
        self.dismiss()
        self._page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Sampler:
    """Looks at the counts four times a second, and knows when they became steady."""

    def __init__(self, page: Page, jobs: int) -> None:
        self._page = page
        self._looks: list[list[Counts]] = [[Counts()] * jobs]
        self._began = time.monotonic()
        self.samples: list[float] = []
        self.steady = False

    def look(self) -> bool:
        """Take a sample. False when a job completed nothing since the last: that says nothing
        about a rate yet, however slow it is."""
        now = self._counts()
        if any(
            new.active_ns <= old.active_ns for new, old in zip(now, self._looks[-1], strict=True)
        ):
            return False
        self.samples.append(_rate(self._looks[-1], now))
        self._looks.append(now)
        self.steady = self.steady or steady_at(self.samples) is not None
        return True

    def result(self, answers: list[dict[str, Any]], whole: bool) -> Run:
        if whole or not self.samples:
            self._looks = [self._looks[0], self._counts()]
        back = STEADY_SAMPLES if self.steady else max(1, len(self.samples) // 2)
        first, last = self._looks[-1 - min(back, len(self._looks) - 1)], self._looks[-1]
        return Run(
            bytes_per_s=_rate(first, last),
            steady=self.steady,
            seconds=time.monotonic() - self._began,
            samples=tuple(self.samples),
            answers=tuple(answers),
            cpu_share=max(map(_cpu_share, first, last), default=0.0),
            cpu_total=sum(map(_cpu_share, first, last)),
        )

    def _counts(self) -> list[Counts]:
        return [self._page.counts(number) for number in range(len(self._looks[0]))]


def _rate(first: Sequence[Counts], last: Sequence[Counts]) -> float:
    """Bytes a second of all jobs together."""
    return sum(
        (new.bytes - old.bytes) / (new.active_ns - old.active_ns) * 1e9
        for old, new in zip(first, last, strict=True)
        if new.active_ns > old.active_ns
    )


def _cpu_share(old: Counts, new: Counts) -> float:
    active = new.active_ns - old.active_ns
    return (new.cpu_ns - old.cpu_ns) / active if active > 0 else 0.0


def _good(answer: dict[str, Any]) -> Any:
    """What a job answered. Errors: its own."""
    if "answer" in answer:
        return answer["answer"]
    if answer["errno"] is None:
        bug = {"job": "failed", "trace": answer["trace"]} if "trace" in answer else {}
        raise BenchProblem(
            f"a job failed: {answer['message']}",
            advice=answer.get("advice", "Tell the authors of this program: it is a fault of it"),
            **bug,
        )
    raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["message"])


def _silent(seconds: float) -> BenchProblem:
    return BenchProblem(
        f"a job on the volume did not answer within {seconds:.0f} s",
        advice="See whether the volume answers: volumelease doctor DIR",
        job="silent",
    )
