"""What does a lease through the daemon cost? The goal: no more than in process, and three round
trips of the socket (acquire, release, and one to spare), each with a request that does nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .measure import Goal, Samples, alternate, report

DAEMON = "through the daemon"
INSIDE = "in process"
ROUND_TRIPS = "three round trips"
GOAL = "in process + three round trips"
TITLE = "acquire + release through the daemon, uncontended"


@contextmanager
def daemon(path: Path, root: Path) -> Iterator[None]:
    environment = {**os.environ, "VOLUMELEASE_SOCKET": str(path), "VOLUMELEASE_VOLUME": str(root)}
    command = [sys.executable, "-m", "volumelease", "daemon"]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        running.stderr.readline()
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    from volumelease.client.connecting import Line
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    around = Surroundings.of_this_process()
    # A volume for each, or each would have to read what the other wrote.
    inside, apart = Volumes(around), {}
    for name in (DAEMON, INSIDE):
        apart[name] = folder / name.replace(" ", "-")
        (apart[name] / "data").mkdir(parents=True)
        root = str(apart[name])
        inside.found(locate(root, explicit=root), ready=True, ttl=15.0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "daemon.sock"
        with daemon(path, apart[DAEMON]), Line(str(path), events=False) as line:
            settings = around.settings._replace(socket=str(path))
            outside = Volumes(around._replace(daemon=True, settings=settings))

            def lease(volumes: Volumes, name: str) -> Callable[[], None]:
                def once() -> None:
                    with volume_lease(apart[name] / "data" / "a", volumes=volumes):
                        pass

                return once

            def three() -> None:
                for _ in range(3):
                    line.ask("ping", {})

            calls = {
                DAEMON: lease(outside, DAEMON),
                ROUND_TRIPS: three,
                INSIDE: lease(inside, INSIDE),
            }
            results = alternate(calls, rounds, calls=25)
            outside.close()
    inside.close()
    inside_and = Samples(GOAL)
    both = zip(results[INSIDE].seconds, results[ROUND_TRIPS].seconds, strict=True)
    inside_and.seconds.extend(one + other for one, other in both)
    results[GOAL] = inside_and
    return report(TITLE, where, results, [Goal(DAEMON, GOAL, 1.0)], target)
