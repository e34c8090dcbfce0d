"""A fleet under torture: a volume with three hosts, a Redis with a door for each, nine hands, and
what can be done to them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.bed import MooseFsBed
from tests.redis.ground import Ground

from . import crew, plan
from .crew import Started
from .founding import make_volume
from .notes import Notes, Signs, read

FAKETIME: Final = "libfaketime.so.1"
SKEWED_HOST: Final = 2
"""The host whose wall clock is set."""

SKEWS: Final = ("-3600", "+5", "+0", "-86400")
VERIFY_SECONDS: Final = 120.0


def libfaketime() -> str | None:
    """The library of Debian's package faketime, where it is."""
    for folder in (*Path("/usr/lib").glob("*/faketime"), Path("/usr/lib/faketime")):
        if (folder / FAKETIME).exists():
            return str(folder / FAKETIME)
    return None


class Scene:
    """``with Scene(...) as scene:`` everybody works. ``broken``: hands of that name (a mode and
    the number of a host) have a fault of their own, see ``broken``."""

    def __init__(
        self, authority: Any, seed: int, ttl: float, *, pace: float = 2.0, broken: str = ""
    ) -> None:
        self.authority, self.seed, self.ttl, self.pace = authority, seed, ttl, pace
        self.broken = broken
        self._stack = ExitStack()
        self._hands: dict[str, Started] = {}
        self._daemons: dict[str, Started] = {}
        self._incarnations: dict[str, int] = {}
        self._gone: list[Started] = []
        self._skews = 0
        self._locks = {name: threading.Lock() for name in ("redis", "master", "fleet", "volume")}

    # ---- life

    def __enter__(self) -> Self:
        with self._stack as stack:
            temporary = tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True)
            self.folder = Path(stack.enter_context(temporary))
            self.signs = Signs(self.folder)
            self.notes = Notes(self.folder / "torturer.notes")
            self.bed = stack.enter_context(MooseFsBed(plan.HOSTS))
            self.redis = stack.enter_context(Ground(plan.HOSTS, self.ttl))
            self._found()
            stack.callback(self._end_all)
            for host in map(str, range(plan.HOSTS)):
                self._start_daemon(host)
            for host, daemon in self._daemons.items():
                crew.wait_for_socket(self._socket(host), daemon)
            for name in plan.HANDS:
                self._start_hand(name)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _found(self) -> None:
        root = self.bed.hosts[0].mount / "volume"
        make_volume(root, self.ttl, self.authority, self.redis.urls[0])

    def _end_all(self) -> None:
        self.signs.give("enough")
        self.signs.give("end")
        for started in (*self._hands.values(), *self._daemons.values(), *self._gone):
            started.end()

    def mount(self, host: int) -> Path:
        return self.bed.hosts[host].mount / "volume"

    def _environment(self, host: int, **more: str) -> dict[str, str]:
        settings = {"AUTHORITY": self.authority, "REDIS_URL": self.redis.urls[host], **more}
        around = crew.environment(self.mount(host), self.folder, self.ttl, **settings)
        library = libfaketime()
        if host == SKEWED_HOST and library is not None and not (self.folder / "wall").exists():
            self._set_wall("+0")
        if host == SKEWED_HOST and library is not None:
            # Only what the machine calls the time of day: the other clocks are not set by anybody.
            around |= {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self.folder / "wall"),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
        return around

    def _incarnation(self, name: str) -> str:
        number = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        return f"{name}.{number}"

    def _watching(self, who: str) -> dict[str, str]:
        return {
            "notes": str(self.folder / f"{who}.notes"),
            "folder": str(self.folder),
            "authority": self.authority,
        }

    def _socket(self, host: str) -> Path:
        return self.folder / f"run-{host}" / "daemon.sock"

    def _start_daemon(self, host: str) -> None:
        who = self._incarnation(f"host{host}")
        around = self._environment(int(host), SOCKET=str(self._socket(host)))
        command = crew.watched(self._watching(who), "daemon")
        self._daemons[host] = Started(command, around, self.folder / f"{who}.log")

    def _start_hand(self, name: str) -> None:
        mode, host = name[:-1], name[-1]
        who = self._incarnation(name)
        facts: dict[str, Any] = {
            "mount": str(self.mount(int(host))),
            "folder": str(self.folder),
            "notes": str(self.folder / f"{who}.notes"),
            "seed": f"{self.seed} {who}",
            "ttl": self.ttl,
            "pace": self.pace,
            "own": f"own-{name}",
            "watch": self.authority,  # who finds no daemon has a session of its own, in any mode
        }
        more = {}
        if mode == "daemon":
            more["SOCKET"] = str(self._socket(host))
        if self.broken:
            facts["broken"] = self.broken
        command = crew.hand(facts)
        if mode == "worker":
            more["SOCKET"] = str(self.folder / f"{who}.sock")
            inside = self._watching(f"{who}-session")
            command = crew.watched(inside, "worker", "--", *command)
        around = self._environment(int(host), **more)
        log = self.folder / f"{who}.log"
        self._hands[name] = Started(command, around, log, boxed=mode == "worker")

    def who(self, name: str) -> str:
        return f"{name}.{self._incarnations[name]}"

    def tend(self) -> None:
        """Start again whoever has ended."""
        with self._locks["fleet"]:
            for host, daemon in list(self._daemons.items()):
                if not daemon.running:
                    self._start_daemon(host)
            for name, hand in list(self._hands.items()):
                if not hand.running:
                    self.notes.note("killed", who=self.who(name), how="found")
                    self._gone.append(hand)
                    self._start_hand(name)

    def ask_where_they_stand(self) -> None:
        """Who had no lease since the faults were over says, in its log, where its threads are."""
        for name, hand in self._hands.items():
            notes = list(read(self.folder / f"{self.who(name)}.notes"))
            calm = [line for line in notes if line["at"] > self.notes.last]
            if not any(line["kind"] == "granted" for line in calm):
                hand.send(signal.SIGUSR1)
                if name.startswith("daemon"):
                    self._daemons[name[-1]].send(signal.SIGUSR1)

    def broke(self) -> list[str]:
        """Hands that ended by an error of their own, and what they said last."""
        texts = {path.stem: path.read_text(errors="replace") for path in self.folder.glob("*.log")}
        return [
            f"{who}: {' | '.join(text.strip().splitlines()[-3:])}"
            for who, text in sorted(texts.items())
            if "Traceback" in text
        ]

    # ---- faults: each returns when it is over

    def suffer(self, step: plan.Step) -> None:
        self.notes.note("fault", fault=step.fault, target=step.target, seconds=step.seconds)
        fault: Callable[[plan.Step], None] = getattr(self, f"_{step.fault}")
        fault(step)
        self.notes.note("fault over", fault=step.fault, target=step.target)

    def _kill(self, step: plan.Step) -> None:
        with self._locks["fleet"]:
            hand = self._hands[step.target]
            self.notes.note("killed", who=self.who(step.target), how="fault")
            hand.kill()
            self._gone.append(hand)
            self._start_hand(step.target)

    def _kill_daemon(self, step: plan.Step) -> None:
        with self._locks["fleet"]:
            daemon = self._daemons[step.target]
            daemon.kill()
            self._gone.append(daemon)
            time.sleep(step.seconds)
            self._start_daemon(step.target)

    def _stop(self, step: plan.Step) -> None:
        who, hand = self.who(step.target), self._hands[step.target]
        self._stand_still(hand, who, step.seconds)

    def _stop_daemon(self, step: plan.Step) -> None:
        daemon = self._daemons[step.target]
        self._stand_still(daemon, self.who(f"host{step.target}"), step.seconds)

    def _stand_still(self, started: Started, who: str, seconds: float) -> None:
        with suppress(OSError, RuntimeError):
            self.notes.note("stopped", who=who)
            started.send(signal.SIGSTOP)
            time.sleep(seconds)
            started.send(signal.SIGCONT)
            self.notes.note("continued", who=who)

    def _cut(self, step: plan.Step) -> None:
        number = int(step.target)
        host, door = self.bed.hosts[number], self.redis.proxy.doors[number]
        host.cut()
        door.cut()
        time.sleep(step.seconds)
        host.heal()
        door.heal(deliver=True)

    def _lose_replies(self, step: plan.Step) -> None:
        host = self.bed.hosts[int(step.target)]
        host.lose_replies()
        time.sleep(step.seconds)
        host.restore_replies()

    def _lose_long_replies(self, step: plan.Step) -> None:
        host = self.bed.hosts[int(step.target)]
        host.lose_long_replies()
        time.sleep(step.seconds)
        host.restore_replies()

    def _restart_master(self, step: plan.Step) -> None:
        with self._locks["master"]:
            self.bed.stop_master()
            time.sleep(step.seconds)
            self.bed.start_master()

    def _pause_master(self, step: plan.Step) -> None:
        with self._locks["master"]:
            self.bed.pause_master()
            time.sleep(step.seconds)
            self.bed.resume_master()

    def _full_of_names(self, step: plan.Step) -> None:
        self._full(step, inodes=1)

    def _full_of_bytes(self, step: plan.Step) -> None:
        self._full(step, bytes=1)

    def _full(self, step: plan.Step, **limit: int) -> None:
        with self._locks["volume"], self._locks["master"]:
            self.bed.set_quota(self.mount(0), **limit)
            time.sleep(step.seconds)
            self.bed.clear_quota(self.mount(0))

    def _set_clock(self, step: plan.Step) -> None:
        del step
        self._skews += 1
        self._set_wall(SKEWS[self._skews % len(SKEWS)])

    def _set_wall(self, skew: str) -> None:
        (self.folder / "wall.new").write_text(f"{skew}\n")
        (self.folder / "wall.new").rename(self.folder / "wall")

    def _delete_log(self, step: plan.Step) -> None:
        """As a person does who tidies up: rm -rf."""
        del step
        with self._locks["volume"]:
            self._deleted()
            shutil.rmtree(self.mount(0) / ".volumelease", ignore_errors=True)
            self._deleted()

    def _deleted(self) -> None:
        self.signs.add("deletions")
        self.notes.note("deleted")

    def _restart_redis(self, step: plan.Step) -> None:
        self._on_redis(self.redis.restart_with_aof, step)

    def _empty_redis(self, step: plan.Step) -> None:
        self._on_redis(self.redis.kill_and_restart_empty, step)

    def _flush_redis(self, step: plan.Step) -> None:
        self._on_redis(self.redis.flush, step)

    def _fail_over_redis(self, step: plan.Step) -> None:
        self._on_redis(self.redis.fail_over_to_a_lagging_replica, step)

    def _pause_redis(self, step: plan.Step) -> None:
        self._on_redis(self.redis.pause, step)

    def _on_redis(self, act: Callable[[], object], step: plan.Step) -> None:
        del step
        with self._locks["redis"]:
            act()

    def _cut_redis(self, step: plan.Step) -> None:
        door = self.redis.proxy.doors[int(step.target)]
        door.cut()
        time.sleep(step.seconds)
        door.heal(deliver=True)

    def _lose_redis_replies(self, step: plan.Step) -> None:
        door = self.redis.proxy.doors[int(step.target)]
        door.drop_replies()
        time.sleep(step.seconds)
        door.heal()

    # ---- at the end

    def verify(self) -> tuple[int, str]:
        """Exit code and words of ``volumelease verify``."""
        done = subprocess.run(
            [*crew.python("volumelease"), "verify", str(self.mount(0))],
            env=self._environment(0),
            capture_output=True,
            text=True,
            check=False,
            timeout=VERIFY_SECONDS,
        )
        return done.returncode, (done.stdout + done.stderr).strip()
