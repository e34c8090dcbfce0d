"""Processes on a host of the test bed: one that detects, and those that write without a lease."""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from volumelease import LeaseLost
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.host import this_process
from volumelease.leases.asking import volume_lease
from volumelease.leases.process import of_this_process
from volumelease.leases.redis_hosting import scripts_on
from volumelease.settings import load
from volumelease.tallies import Tally, keys_of
from volumelease.watch.detector import Detector
from volumelease.watch.histories import History, LogHistory, TableHistory
from volumelease.watch.violations import Violation
from volumelease.wire.identity import Identity

KINDS = ("create", "append", "replace", "delete", "truncate", "mmap", "backdate")


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def detector_of(mount: str, roots: tuple[str, ...], sweep: tuple[float, float]) -> Detector:
    identity = Monitor(Files()).run(founding.read_identity(mount))
    assert identity is not None
    layout = Layout.of(mount, identity)

    def told(violation: Violation) -> None:
        say(violation=violation.as_document(), at=time.time())

    tally = Tally(keys_of(roots))
    history = history_of(mount, identity)
    return Detector(layout, roots, SystemClock(), this_process(), tally, told, sweep, history)


def history_of(mount: str, identity: Identity) -> History:
    if identity.authority == "volume":
        return LogHistory(Layout.of(mount, identity), SystemClock())
    scripts = scripts_on(load(os.environ), mount, Files())
    return TableHistory(identity.id, Monitor(scripts), SystemClock())


def detect(mount: str, sweep: float, roots: tuple[str, ...] = ("data",)) -> None:
    began = time.monotonic()
    detector = detector_of(mount, roots, (sweep, sweep))
    detector.start()
    while not detector.ready:
        time.sleep(0.05)
    gauges = detector.gauges()
    while not 0 < gauges["watched_directories",] == gauges["watches",]:
        time.sleep(0.05)
        gauges = detector.gauges()
    say(ready=True)
    sys.stdin.readline()
    shown = {" ".join(key): value for key, value in detector.gauges().items()}
    counts = {" ".join(key): v[0] for key, v in detector._tally.counts().values.items()}
    spent = {"cpu_seconds": time.process_time(), "seconds": time.monotonic() - began}
    told = {"overflows": detector.overflows, "counts": counts, "trouble": detector.trouble}
    say(gauges=shown, **told, **spent)
    detector.close()


def prepare(folder: Path, count: int) -> None:
    """The files that will be written to without a lease."""
    for number in range(count):
        if KINDS[number % len(KINDS)] != "create":
            (folder / f"{number}").write_bytes(b"x" * 5000)


def inject(folder: Path, count: int, pause: float = 0.0) -> None:
    for number in range(count):
        write(folder / f"{number}", KINDS[number % len(KINDS)])
        time.sleep(pause)


def write(path: Path, kind: str) -> None:
    match kind:
        case "create":
            path.write_bytes(b"new")
        case "append":
            with open(path, "ab") as file:
                file.write(b"more")
        case "replace":
            other = path.with_name(f".{path.name}.tmp")
            other.write_bytes(b"other")
            os.replace(other, path)
        case "delete":
            path.unlink()
        case "truncate":
            os.truncate(path, 10)
        case "backdate":  # as a restored backup: nothing but inode or change time tells
            before = os.stat(path)
            with open(path, "r+b") as old:
                old.write(b"restored")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "mmap":
            with open(path, "r+b") as mine, mmap.mmap(mine.fileno(), 0) as mapped:
                mapped[:5] = b"mmap!"
                mapped.flush()


def publish(place: Path) -> None:
    with volume_lease(place) as held, held.stage() as draft:
        draft.mkdir()
        (draft / "file").write_bytes(b"z")


def lease(folder: str, seconds: float, threads: int = 2) -> None:
    """Leased traffic: writes of every kind, each under a lease that ends right after it."""
    until = time.monotonic() + seconds

    def work(mine: Path) -> None:
        number = 0
        while time.monotonic() < until:
            try:
                leased_write(mine, number)
            except LeaseLost as error:  # a machine that stalled: what it wrote then was not leased
                say(lost=mine.name, why=str(error), at=time.time())
            number += 1
            time.sleep(0.05)
        say(writes=number)

    places = [Path(folder) / f"leased-{os.getpid()}-{n}" for n in range(threads)]
    workers = [threading.Thread(target=work, args=(place,)) for place in places]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    beats = {
        key[1]: values
        for tally in of_this_process()._tallies.values()
        for key, values in tally.counts().values.items()
        if key[0] == "renew_duration_seconds"
    }
    say(done=True, beats=beats)


def leased_write(mine: Path, number: int) -> None:
    kind = KINDS[number % len(KINDS)]
    with volume_lease(mine):
        mine.mkdir(exist_ok=True)
        path = mine / f"{number % 7}"
        if kind != "create" and not path.exists():
            path.write_bytes(b"y" * 5000)
        write(path, kind)
    if number % 5 == 0:
        publish(mine.with_name(f"{mine.name}-published"))


def main() -> None:
    job, facts = sys.argv[1], json.loads(sys.argv[2])
    os.environ.update(facts.get("environment", {}))
    match job:
        case "detect":
            detect(facts["mount"], facts["sweep"])
        case "inject":
            inject(Path(facts["folder"]), facts["count"], facts.get("pause", 0.0))
            say(done=True)
        case "lease":
            lease(facts["folder"], facts["seconds"], facts.get("threads", 2))


if __name__ == "__main__":
    main()
