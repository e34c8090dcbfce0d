"""The platform as its SDK sees it, on loopback: jobs are taken by long polls, results posted.

What it promises to a job is what the platform does: at least once. A job goes back into the queue
when its worker is known to be dead or was not heard of for a while, though it may still be at it;
when its result was an error that a retry can cure (the platform asks a client to say ``/retry``);
and, with ``doubles``, now and then for no reason at all.

Source of the addresses and messages: the SDK's ``rp_job``, ``rp_http`` and ``rp_ping``.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from cheroot.wsgi import Server

POLL_SECONDS: Final = 1.0
MOST_TRIES: Final = 20
CURED_BY_RETRY: Final = ("LeaseLost", "LeaseTimeout", "AuthorityUnreachable", "DaemonUnavailable")
"""Errors of ours; an error of another kind fails the job for good."""

Reply = tuple[str, Any]
NOTHING: Final[Reply] = ("204 No Content", None)


@dataclass(slots=True)
class Job:
    id: str
    endpoint: str
    input: dict[str, Any]
    worker: str = ""
    """Who has it; "" while it is in the queue, and when it is over."""
    tries: int = 0
    errors: list[str] = field(default_factory=list)
    streamed: list[Any] = field(default_factory=list)
    output: Any = None
    state: str = "IN_QUEUE"

    @property
    def over(self) -> bool:
        return self.state in ("COMPLETED", "FAILED", "CANCELLED")


class JobServer:
    """``with JobServer() as server:`` it serves. Thread-safe.

    ``silence_seconds``: a worker that says nothing for so long has lost its jobs. ``doubles``: how
    likely a job that is taken stays in the queue as well, and is given to another worker even if it
    was done meanwhile.
    """

    def __init__(
        self, *, silence_seconds: float = 8.0, doubles: float = 0.0, seed: int = 0
    ) -> None:
        self._changed = threading.Condition()
        self.jobs: dict[str, Job] = {}
        self._queues: dict[str, deque[str]] = {}
        self._doubled: set[str] = set()
        self._heard: dict[str, float] = {}
        self._to_stop: dict[str, list[str]] = {}
        self._silence = silence_seconds
        self._doubles = doubles
        self._chance = random.Random(seed)
        self.results = 0
        """How many were posted: more than there are jobs, if some were done twice."""
        self.downloads_begun = 0
        self.download_goes_on = threading.Event()
        """Until then every download stands still at its beginning."""
        self.download_goes_on.set()
        self.downloads: list[bytes] = []
        """What each download of the model was given; no two are the same."""
        self.model_bytes = 1 << 20
        self.model_seconds = 0.0
        """How long a download takes."""
        self.stops = False
        self._server: Any = Server(("127.0.0.1", 0), self._serve, numthreads=48)
        self._server.shutdown_timeout = 1

    def __enter__(self) -> Self:
        self._server.prepare()
        threading.Thread(target=self._server.serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self.stops = True
            self._changed.notify_all()
        self._server.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.bind_addr[1]}"

    def environment(self, endpoint: str, worker: str) -> dict[str, str]:
        """What the platform gives a worker of that endpoint."""
        base = f"{self.address}/v2/{endpoint}"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=none",
            "RUNPOD_AI_API_KEY": "no-secret",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_POD_ID": worker,
            "RUNPOD_ENDPOINT_ID": endpoint,
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "MODEL_URL": f"{self.address}/model",
        }

    # ---- clients of the endpoints

    def submit(self, endpoint: str, **given: Any) -> Job:
        with self._changed:
            job = Job(f"job-{len(self.jobs)}", endpoint, given)
            self.jobs[job.id] = job
            self._enqueue(job)
        return job

    def deliver_again(self, jobs: Iterable[Job], seconds: float) -> None:
        """Though they are over. Back when each was answered once more."""
        with self._changed:
            wanted = self.results
            for job in jobs:
                self._doubled.add(job.id)
                self._queues[job.endpoint].append(job.id)
                wanted += 1
            self._changed.notify_all()
        self.wait_until(lambda: self.results >= wanted, seconds, "not delivered again")

    def stop(self, job: Job) -> None:
        """A client cancels it."""
        with self._changed:
            job.state = "CANCELLED"
            self._to_stop.setdefault(job.worker, []).append(job.id)
            self._changed.notify_all()

    def wait_until(self, true: Callable[[], bool], seconds: float, what: str = "") -> None:
        """Until that is so; looked at whenever something is said."""
        until = time.monotonic() + seconds
        with self._changed:
            while not true():
                left = until - time.monotonic()
                assert left > 0, f"{what or 'not'} within {seconds} s: {self._summary()}"
                self._changed.wait(min(left, 0.5))
                self._take_from_the_silent()

    def wait_for(self, jobs: Iterable[Job], seconds: float) -> None:
        """Until they are over."""
        wanted = list(jobs)
        self.wait_until(lambda: all(job.over for job in wanted), seconds, "jobs are not over")

    def _summary(self) -> str:
        open_jobs = [job for job in self.jobs.values() if not job.over]
        return f"{len(open_jobs)} of {len(self.jobs)} jobs are open, as {open_jobs[:2]}"

    # ---- workers that come and go

    def bury(self, worker: str) -> None:
        """The platform saw that container end."""
        with self._changed:
            self._heard.pop(worker, None)
            self._take_from(worker)

    def _take_from(self, worker: str) -> None:
        for job in self.jobs.values():
            if job.worker == worker and not job.over:
                self._enqueue(job)

    def _take_from_the_silent(self) -> None:
        for worker, heard in list(self._heard.items()):
            if time.monotonic() - heard > self._silence:
                del self._heard[worker]
                self._take_from(worker)

    def _enqueue(self, job: Job) -> None:
        job.worker, job.state = "", "IN_QUEUE"
        queue = self._queues.setdefault(job.endpoint, deque())
        if job.id not in queue:
            queue.append(job.id)
        self._changed.notify_all()

    # ---- what the SDK asks

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        words = environ["PATH_INFO"].strip("/").split("/")
        if words == ["model"]:
            start("200 OK", [("Content-Type", "application/octet-stream")])
            return self._model()
        _, endpoint, do, worker, *rest = words
        query = parse_qs(environ["QUERY_STRING"])
        with self._changed:
            self._heard[worker] = time.monotonic()
            status, answer = self._answer(endpoint, do, worker, rest, query, body)
        data = b"" if answer is None else json.dumps(answer).encode()
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]

    def _answer(
        self,
        endpoint: str,
        do: str,
        worker: str,
        rest: list[str],
        query: dict[str, list[str]],
        body: bytes,
    ) -> Reply:
        match do:
            case "job-take":
                taken = self._take(endpoint, worker, 1)
                return ("200 OK", taken[0]) if taken else NOTHING
            case "job-take-batch":
                taken = self._take(endpoint, worker, int(query["batch_size"][0]))
                return ("200 OK", taken) if taken else NOTHING
            case "job-stop":
                stopped = self._poll(lambda: self._to_stop.pop(worker, []))
                return ("200 OK", {"jobsToStop": stopped}) if stopped else NOTHING
            case "job-done":
                self._done(self.jobs[rest[0]], json.loads(body))
            case "job-stream":
                self.jobs[rest[0]].streamed.append(json.loads(body)["output"])
            case "ping":
                pass
            case other:
                raise AssertionError(other)
        self._changed.notify_all()
        return "200 OK", {}

    def _poll(self, look: Callable[[], list[Any]]) -> list[Any]:
        until = time.monotonic() + POLL_SECONDS
        while not self.stops:
            found = look()
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            self._changed.wait(left)
        return []

    def _take(self, endpoint: str, worker: str, most: int) -> list[dict[str, Any]]:
        return self._poll(lambda: self._next(endpoint, worker, most))

    def _next(self, endpoint: str, worker: str, most: int) -> list[dict[str, Any]]:
        queue = self._queues.setdefault(endpoint, deque())
        taken: list[dict[str, Any]] = []
        while queue and len(taken) < most:
            job = self.jobs[queue.popleft()]
            again = job.id in self._doubled
            self._doubled.discard(job.id)
            if job.over and not again:
                continue
            if not job.over:
                job.worker, job.state, job.tries = worker, "IN_PROGRESS", job.tries + 1
            taken.append({"id": job.id, "input": job.input})
            if not again and self._chance.random() < self._doubles:
                self._doubled.add(job.id)
                queue.append(job.id)
        return taken

    def _done(self, job: Job, result: dict[str, Any]) -> None:
        self.results += 1
        if job.over:
            return
        error = result.get("error")
        if error is None:
            job.output, job.state, job.worker = result.get("output"), "COMPLETED", ""
            return
        job.errors.append(str(error))
        if job.tries < MOST_TRIES and any(kind in str(error) for kind in CURED_BY_RETRY):
            self._enqueue(job)
        else:
            job.state, job.worker = "FAILED", ""

    def _model(self) -> Iterable[bytes]:
        """A download; in pieces, and slowly if it is to be."""
        content = os.urandom(16) * (self.model_bytes // 16)
        pieces = 8
        size = len(content) // pieces
        with self._changed:
            self.downloads_begun += 1
            self._changed.notify_all()
        self.download_goes_on.wait(120)
        for number in range(pieces):
            time.sleep(self.model_seconds / pieces)
            yield content[number * size : (number + 1) * size]
        with self._changed:
            self.downloads.append(content)
            self._changed.notify_all()
