"""What the processes of these tests do. ``python -m tests.daemon.jobs JOB FACTS``."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from volumelease import LeaseError, populate, volume_lease
from volumelease.cli import processes
from volumelease.client.connecting import Line


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def hold(facts: dict[str, Any]) -> None:
    """Take a lease, and say how it stands whenever a line comes."""
    on_lost = facts.get("on_lost", "raise")
    try:
        with volume_lease(facts["path"], on_lost=on_lost) as lease:
            lease.on_lost(lambda lost: say(told=True))
            say(token=lease.token, remaining=lease.remaining, session=type(lease._hosted).__name__)
            for _ in sys.stdin:
                say(lost=lease.lost, token=lease.token, remaining=lease.remaining)
    except LeaseError as error:
        say(error=type(error).__name__, what=str(error))


def hold_with_child(facts: dict[str, Any]) -> None:
    """Take a lease, and have a forked child that lives on, as the platform SDK's ping process."""
    with volume_lease(facts["path"]) as lease:
        child = os.fork()
        if child == 0:
            if facts["writes"]:
                write_for_ever(Path(facts["path"]))
            time.sleep(60)
            os._exit(0)
        while facts["writes"] and not os.path.exists(facts["path"] + "/file"):
            time.sleep(0.01)  # a child that has not begun to write is nobody's
        say(token=lease.token, child=child)
        time.sleep(60)


def write_for_ever(path: Path) -> None:
    os.setsid()
    with open(path / "file", "w") as file:
        for number in range(6000):
            file.write(f"{number}\n")
            file.flush()
            time.sleep(0.01)
    os._exit(0)


def adopt_the_child_of_another(facts: dict[str, Any]) -> None:
    """Have a lease on another path, and become the parent of what a killed client left."""
    processes.adopt_orphans()
    with volume_lease(facts["path"] + "-of-its-own"):
        words = [sys.executable, "-m", "tests.daemon.jobs", "hold_with_child", json.dumps(facts)]
        holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        child = json.loads(holder.stdout.readline())["child"]
        holder.kill()
        holder.wait()
        say(child=child, parent=processes.descendants(os.getpid())[0].parent)
        sys.stdin.readline()


def hold_with_child_in_its_draft(facts: dict[str, Any]) -> None:
    """Have a draft, and a child that writes it."""
    with volume_lease(facts["path"]) as lease, lease.stage() as draft:
        draft.mkdir()
        child = os.fork()
        if child == 0:
            write_for_ever(draft)
        while not (draft / "file").exists():
            time.sleep(0.01)
        say(child=child)
        time.sleep(60)


def write(facts: dict[str, Any]) -> None:
    """Have a file open for writing, and no lease."""
    Path(facts["path"]).mkdir(parents=True, exist_ok=True)
    with open(facts["path"] + "/file", "w"):
        say(writes=True)
        sys.stdin.readline()


def keep_the_gil(facts: dict[str, Any]) -> None:
    """Take a lease, and let no other thread run for longer than the ttl."""
    with volume_lease(facts["path"]) as lease:
        say(token=lease.token)
        ctypes.PyDLL(None).sleep(int(facts["seconds"]))
        say(lost=lease.lost, remaining=lease.remaining)


def contend(facts: dict[str, Any]) -> None:
    """Take and leave the lease again and again; note each time in a file of this process's own."""
    until = time.monotonic() + facts["seconds"]
    taken = 0
    with open(facts["log"], "a", buffering=1) as log:
        while time.monotonic() < until:
            try:
                with volume_lease(facts["path"], timeout=20, on_lost="ignore") as lease:
                    began = time.clock_gettime(time.CLOCK_BOOTTIME)
                    time.sleep(facts.get("inside", 0.002))
                    ended = time.clock_gettime(time.CLOCK_BOOTTIME)
                    if not lease.lost:
                        taken += 1
                        log.write(json.dumps([began, ended, lease.token]) + "\n")
            except LeaseError as error:
                log.write(json.dumps({"error": repr(error)}) + "\n")
                time.sleep(0.05)
    say(taken=taken)


def crowd(facts: dict[str, Any]) -> None:
    """Be many processes that each hold many leases, and do nothing."""
    pids: list[int] = []
    told, tell = os.pipe()
    for number in range(facts["clients"]):
        pid = os.fork()
        if pid == 0:
            line = Line(os.environ["VOLUMELEASE_SOCKET"], events=True)
            for lease in range(facts["leases"]):
                answer = line.ask("acquire", {"claims": [[f"{number}/{lease}"]], "seconds": 120})
                assert answer["is"] == "granted"
            os.write(tell, b"!")
            signal.pause()
        pids.append(pid)
    ready = 0
    while ready < len(pids):
        ready += len(os.read(told, 4096))
    say(ready=ready)
    sys.stdin.readline()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)


def keep_the_container(facts: dict[str, Any]) -> None:
    """Be a daemon with whose process everybody who uses it ends, as ``worker`` is."""
    from volumelease.daemon.running import Daemon  # the other jobs begin without it
    from volumelease.leases.volumes import Surroundings

    daemon = Daemon(facts["socket"], Surroundings.of_this_process(), print, keeps_life=True)
    daemon.run(lambda: say(listening=True))


def publish(facts: dict[str, Any]) -> None:
    """Publish one file."""
    with volume_lease(facts["path"]) as lease, lease.stage() as place:
        place.write_text("content")
    say(published=True)


def build(facts: dict[str, Any]) -> None:
    """Populate a directory."""

    def fill(draft: Path) -> None:
        draft.mkdir()
        (draft / "weights").write_text(str(os.getpid()))
        say(built=True)
        time.sleep(facts.get("seconds", 0.0))

    path = populate(facts["path"], fill)
    say(weights=(path / "weights").read_text())


if __name__ == "__main__":
    facts_: dict[str, Any] = json.loads(sys.argv[2])
    os.environ.update(facts_.pop("environment", {}))
    globals()[sys.argv[1]](facts_)
