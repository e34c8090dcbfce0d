"""A worker under torture: takes leases, publishes and reads, and writes down what it believes.

``python -m tests.torture.hand FACTS``. It uses the public interface alone, as any program does;
FACTS (JSON) say where and how, see ``Hand``. Ends when it is told to, by a sign.

A belief is noted from the first to the last moment at which ``lease.lost`` was seen to be false:
the times are taken so that it can only be noted as too short.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.simulation.mover import FILES, content_of
from tests.simulation.publisher import PLACES
from volumelease import Lease, LeaseDeadlock, LeaseError, LeaseLost, volume_lease
from volumelease.core.conflicts import covers
from volumelease.leases import process
from volumelease.leases.volumes import Surroundings, Volumes

from .crew import sleep_otherwise, tell_where_it_stands
from .notes import Notes, Signs, now

PATHS: Final = ("a", "a", "a/b", "a/b", "b", "ab", "a/d")
FOLDERS: Final = ("a/b", "ab", "b")
"""What has to be there before anything is published."""

TIMEOUTS: Final = (0.0, 1.0, 5.0, 20.0, None)
LOOK_SECONDS: Final = 0.02
NOTE_SECONDS: Final = 0.1
RETENTION_SECONDS: Final = 60.0
"""For so long a version that was replaced is kept at least."""

TORN: Final = "torn"


class Hand:
    """``mount``: the volume as this host sees it. ``folder``: where signs are given. ``notes``:
    where to write, or None. ``seed``, ``ttl``; ``pace``: by what the pauses are multiplied.
    ``own``: a path that no other hand uses, asked for now and then. ``brief``: no long turns.
    ``steady``: no chance: a path to hold exclusively, for so many seconds each time."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.mount: str = facts["mount"]
        self.ttl: float = facts["ttl"]
        self.pace: float = facts["pace"]
        self.own: str = facts["own"]
        self.brief: bool = facts.get("brief", False)
        self.steady: tuple[str, float] | None = facts.get("steady")
        self.chance = Random(facts["seed"])
        self.signs = Signs(Path(facts["folder"]))
        path = facts.get("notes")
        self.note = Notes(None if path is None else Path(path)).note
        self._good = 0.0
        self._noted = 0.0
        self._lost = False
        self._began = False

    def run(self) -> None:
        self.note("begins", pid=os.getpid())
        while not self.signs.given("enough"):
            self.turn()
        self.note("idle")
        while not self.signs.given("end"):
            time.sleep(0.1)
        self.note("leaves")

    @property
    def calm(self) -> bool:
        """Whether the faults are over: everybody shall have short turns."""
        return self.signs.given("calm")

    def turn(self) -> None:
        chance = self.chance
        time.sleep(self.pace * chance.choice((0.02, 0.2, 0.6)) * chance.random())
        if chance.random() < 0.25:
            self.read()
        paths = {chance.choice(PATHS) for _ in range(1 if chance.random() < 0.8 else 2)}
        if chance.random() < 0.2:
            paths = {self.own}
        exclusive = chance.random() < 0.65
        timeout = 5.0 if self.calm else chance.choice(TIMEOUTS)
        if self.steady is not None:
            paths, exclusive, timeout = {self.steady[0]}, True, None
        self.note("asked", paths=sorted(paths), exclusive=exclusive)
        self._lost = False
        try:
            with volume_lease(
                *(f"{self.mount}/{path}" for path in sorted(paths)),
                shared=not exclusive,
                timeout=timeout,
                on_lost="ignore",
            ) as lease:
                self.use(lease, sorted(paths), exclusive=exclusive)
                self.look(lease)
                self.note("ended", at=self._good, lost=self._lost)
            self.note("released")
            self.signs.add("leases")
            if not self._began:
                self._began = True
                self.signs.give(f"began-{self.own}")
        except LeaseLost as error:
            self.note("lost", reason=str(error.facts.get("reason")))
        except LeaseDeadlock as error:
            self.note("deadlock", what=str(error))
        except (LeaseError, OSError) as error:
            self.note("refused", error=type(error).__name__, what=str(error)[:300])
            time.sleep(0.05)

    # ---- inside

    def use(self, lease: Lease, paths: list[str], *, exclusive: bool) -> None:
        self._good = now()
        if lease.lost:
            return
        self._noted = self._good
        self.note(
            "granted",
            at=self._good,
            session=session_of(lease),
            token=str(lease.token),
            paths=paths,
            exclusive=exclusive,
        )
        places = [place for place in PLACES if any(covers(path, place) for path in paths)]
        if places:
            self.see(lease, self.chance.choice(places))
        self.stay(lease, self.hold())
        if exclusive and places and self.chance.random() < 0.6:
            self.publish(lease, self.chance.choice(places))
        if exclusive and not lease.lost and self.chance.random() < 0.1:
            self.note("changed")
            lease.downgrade()
        self.stay(lease, self.hold())

    def hold(self) -> float:
        """Some are there when a fault begins and when it is over."""
        if self.steady is not None:
            return self.steady[1]
        if self.calm or self.brief:
            return 0.01
        drawn = self.chance.random()
        return self.ttl * (1.2 if drawn < 0.03 else 0.3 if drawn < 0.1 else 0.01)

    def stay(self, lease: Lease, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.look(lease) and time.monotonic() < until and not (seconds > 1 and self.calm):
            time.sleep(LOOK_SECONDS)

    def look(self, lease: Lease) -> bool:
        """Whether the lease can be assumed."""
        before = now()
        if lease.lost:
            if not self._lost:
                self._lost = True
                self.note("noticed", alive=is_alive(lease))
            return False
        self._good = before
        if before > self._noted + NOTE_SECONDS:
            self._noted = before
            self.note("good", at=before)
        return True

    # ---- publishing and reading

    def publish(self, lease: Lease, place: str) -> None:
        with lease.stage(f"{self.mount}/{place}") as draft:
            unique = draft.parent.name
            content = content_of(unique)
            if place.endswith("f"):
                draft.write_bytes(content)
            else:
                draft.mkdir()
                for name in FILES:
                    (draft / name).write_bytes(content)
                    time.sleep(self.chance.choice((0.0, 0.05)))
        self.see(lease, place, unique)

    def see(self, lease: Lease, place: str, unique: str = "") -> None:
        """Note what is public there, if it was seen under the lease; ``unique`` was published."""
        began = now()
        seen = self.found_at(place)
        if seen is not None and self.look(lease):
            self.note("saw", at=began, place=place, seen=seen, published=unique)

    def found_at(self, place: str) -> str | None:
        """The draft that is public there, ``TORN``, "" for none; None: it can't be read now."""
        path = f"{self.mount}/{place}"
        names = [path] if place.endswith("f") else [f"{path}/{name}" for name in FILES]
        if not os.path.lexists(path):
            return ""
        try:
            return whole([Path(name).read_bytes() for name in names])
        except FileNotFoundError:
            return TORN
        except OSError:
            return None

    def read(self) -> None:
        """As most programs read: find a directory, and some time later open its files."""
        place = self.chance.choice([place for place in PLACES if place.endswith("d")])
        path, began = f"{self.mount}/{place}", now()
        try:
            version = f"{os.path.dirname(path)}/{os.readlink(path)}"
            found = []
            for name in FILES:
                time.sleep(0.3 * self.chance.random())
                found.append(Path(f"{version}/{name}").read_bytes())
        except FileNotFoundError as error:
            if error.filename == path:
                return  # nothing was published yet
            found = []
        except OSError:
            return
        if now() - began < RETENTION_SECONDS / 3:
            is_whole = len(found) == len(FILES) and whole(found) != TORN
            self.note("read", place=place, whole=is_whole)


def whole(contents: list[bytes]) -> str:
    uniques = {content.decode(errors="replace").partition(" ")[0] for content in contents}
    unique = uniques.pop()
    if uniques or any(content != content_of(unique) for content in contents):
        return TORN
    return unique


def session_of(lease: Lease) -> str:
    """The name of the session that has the lease, in this process or in a daemon."""
    hosted: Any = lease._hosted
    about = getattr(hosted, "_about", None)
    return str(hosted.session.name if about is None else about["session"])


def is_alive(lease: Lease) -> bool:
    """Whether the session that has it is."""
    hosted: Any = lease._hosted
    return bool(hosted.alive())


# ---- leaks, to see that the soak finds them


def leak(what: str) -> None:
    """Lose a little of ``what``, ten times a second."""
    kept: list[Any] = []

    def lose() -> None:
        while True:
            time.sleep(0.1)
            if what == "memory":
                kept.append(os.urandom(400_000))
            elif what == "descriptors":
                kept.append(os.open("/dev/null", os.O_RDONLY))
            elif what == "threads":
                threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()

    threading.Thread(target=lose, daemon=True).start()


def main(facts: dict[str, Any]) -> None:
    tell_where_it_stands()
    sleep_otherwise()
    if "watch" in facts:
        from .watching import install

        install(Notes(Path(facts["notes"])), Path(facts["folder"]), facts["watch"])
    if "retention" in facts:
        around = Surroundings.of_this_process()._replace(retention_seconds=facts["retention"])
        process.exchange(Volumes(around))
    for what in facts.get("leaks", ()):
        leak(what)
    if "broken" in facts:
        from .broken import BREAKS

        BREAKS[facts["broken"]]()
    Hand(facts).run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
