"""What goes wrong in a run, and when; calls have their own faults, in ``mount``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from volumelease.authorities.volume.layout import CONTROL, number_of
from volumelease.core import records
from volumelease.wire import marks
from volumelease.wire.entries import encode_entry
from volumelease.wire.snapshots import Header

from .mount import Fate, Moment, Mount
from .process import Process
from .volume import JOURNAL_SECONDS, RESTART_SECONDS, Node
from .worker import Worker

if TYPE_CHECKING:
    from .fleet import Fleet

GARBAGE: Final = ("garbage", '{"k":"request"}', '{"k":"next","s":"x","n":0,"w":0,"d":"1-zz"}')


class Trouble:
    """Schedules the troubles of one run and ends them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._world = fleet.world
        self._over = False
        self._turns = 0.2
        """How likely a master crashes at a turnover."""
        self._elected_at = -1e9
        self._quiet_until = -1.0
        """Until when it crashes no more: who forgot must have the time to go on."""

    def begin(self) -> None:
        setup = self._fleet.setup
        self._set_out()
        self._fleet.interruptions = 0.04 * setup.strength("interrupt")
        for name, (happen, most) in self._happenings().items():
            strength = setup.strength(name)
            if strength > 0:
                scale = setup.trouble_seconds / (4 * setup.ttl)
                for _ in range(1 + int(most * strength * scale)):
                    when = self._world.random.uniform(0.2, 1.0) * setup.trouble_seconds
                    self._world.at(when, self._unless_over(happen))

    def _set_out(self) -> None:
        """From now on calls meet faults, and the worst moments are told of."""
        for host in self._fleet.hosts:
            host.mount.calm = False
            host.mount.tells = self._told

    def _happenings(self) -> dict[str, tuple[Callable[[], None], float]]:
        """What happens, and how often at most in four ttls."""
        return {
            "kill": (self._kill, 5.0),
            "stop": (self._stop, 5.0),
            "cut": (self._cut, 4.0),
            "suspend": (self._suspend, 5.0),
            "freeze": (self._freeze, 5.0),
            "wall": (self._step_wall, 3.0),
            "full": (self._fill, 1.5),
            "forget": (self._forget, 2.0),
            "delete": (self._delete, 0.0),
            "garbage": (self._litter, 8.0),
            "break": (self._break, 6.0),
        }

    def _unless_over(self, happen: Callable[[], None]) -> Callable[[], None]:
        return lambda: None if self._over else happen()

    def end(self) -> None:
        """No new faults from here on; what is under way still lands."""
        self._over = True
        fleet = self._fleet
        self._world.note("world", "no more faults")
        fleet.interruptions = 0.0
        fleet.server.free_inodes = None
        for host in fleet.hosts:
            host.mount.calm = True
            host.mount.heal()
            for process in host.processes:
                process.calm = True

    # ---- each trouble

    def _somebody(self) -> Worker | None:
        alive = self._fleet.alive()
        return self._world.random.choice(alive) if alive else None

    def _length(self) -> float:
        random = self._world.random
        return random.choice((0.3, 1.0, 2.0)) * random.random() * self._fleet.setup.ttl

    def decided(self, worker: Worker) -> None:
        """The worst moment for the author of a publish: it is decided and not visible."""
        world, strength = self._world, self._fleet.setup.strength
        if self._over:
            return
        if world.chance(0.2 * strength("kill")):
            world.after(0.003 * world.random.random(), lambda: self._kill_worker(worker))
        elif world.chance(0.2 * strength("stop")):
            worker.process.stop_for(self._length())
        elif world.chance(0.2 * strength("interrupt")):
            worker.interrupt_asking()

    def _kill(self) -> None:
        worker = self._somebody()
        if worker is None:
            return
        if self._fleet.setup.daemons and self._world.random.random() < 0.7:
            # The worst moment for its heir: a commit is on its way.
            worker.process.on_commit = self._unless_over(lambda: self._kill_worker(worker))
        else:
            self._kill_worker(worker)

    def _kill_worker(self, worker: Worker) -> None:
        process = worker.process
        if process.killed:
            return
        process.kill()
        self._fleet.tell("killed", worker)
        heir_of, away = None, self._length()
        if self._fleet.setup.daemons:
            heir_of = worker
            away *= self._world.random.choice((0.01, 0.1, 0.3, 1.0))
        self._world.after(
            away,
            lambda: self._fleet.add_worker(process.host, worker.name, process.facts, heir_of),
        )

    def _stop(self) -> None:
        worker = self._somebody()
        if worker is not None:
            worker.process.stop_for(self._length())

    def _cut(self) -> None:
        mount = self._world.random.choice(self._fleet.hosts).mount
        if mount.cut:
            return
        self._cut_off(mount)

    def _cut_off(self, mount: Mount) -> None:
        mount.cut = True
        self._world.note("world", "a host is cut off")
        self._world.after(self._length(), lambda: self._heal(mount))

    def _heal(self, mount: Mount) -> None:
        """Links that come back often flap."""
        if not mount.cut:
            return
        mount.heal()
        if not self._over and self._world.random.random() < 0.5:
            soon = 0.3 * self._world.random.random() ** 2
            self._world.after(
                soon, lambda: self._cut_off(mount) if not (self._over or mount.cut) else None
            )

    def _suspend(self) -> None:
        self._sleep(frozen=False)

    def _freeze(self) -> None:
        self._sleep(frozen=True)

    def _sleep(self, *, frozen: bool) -> None:
        host = self._world.random.choice(self._fleet.hosts)
        if not host.clock.asleep:
            host.sleep(self._length(), frozen=frozen)

    def _step_wall(self) -> None:
        random = self._world.random
        host = random.choice(self._fleet.hosts)
        host.clock.step_wall(random.choice((-100.0, -1.0, 0.3, 5.0, 3600.0)) * random.random())

    def _fill(self) -> None:
        server, random = self._fleet.server, self._world.random
        server.free_inodes = random.choice((0, 1, 5, 30))
        self._world.note("world", f"{server.free_inodes} inodes left")

        def space() -> None:
            server.free_inodes = None

        self._world.after(self._length(), space)

    def _told(self, moment: Moment, process: Process) -> Fate:
        strength = self._fleet.setup.strength
        if self._over:
            return ""
        if moment == "adopts":
            return self._moves_away(process)
        if strength("forget") > 0:
            self._turns_over(settles=moment == "settles")
        # Who does not hear of its election is late to find out what became of its draft.
        return "lost" if moment == "elects" and self._world.chance(0.3 * strength("lost")) else ""

    def _moves_away(self, process: Process) -> Fate:
        """The worst moment to die for who adopts: the directory is, or will be, missing; or it is
        moved when somebody else has adopted it."""
        world, strength = self._world, self._fleet.setup.strength
        worker = next(one for one in self._fleet.alive() if one.process is process)
        if world.chance(0.8 * strength("kill")):
            world.after(0.003 * world.random.random(), lambda: self._kill_worker(worker))
        elif world.chance(0.8 * strength("interrupt")):
            worker.interrupt_asking()
        return "late" if world.chance(0.5 * strength("late")) else ""

    def _turns_over(self, *, settles: bool) -> None:
        """The worst moments for a master to crash: on the way of an election, whose draft it
        forgets; right after one, which it forgets while the draft stays; and when the newest
        segment is said to be settled, which it forgets that it was elected."""
        world, random = self._world, self._world.random
        elected_at, self._elected_at = self._elected_at, self._elected_at if settles else world.now
        ago = world.now - elected_at
        if not world.chance(self._turns):
            return
        if (settles and ago > JOURNAL_SECONDS) or world.now < self._quiet_until:
            return
        self._turns /= 2
        again = random.random() < 0.4
        if not again:
            self._quiet_until = world.now + 2 * self._fleet.setup.ttl * random.random()
        soon, seconds = 0.0, 0.01 * random.random()
        if settles:
            seconds = min(seconds + ago, JOURNAL_SECONDS)
        elif random.random() < 0.5:
            soon = 0.005 * random.random()
            seconds += soon
        world.after(soon, self._unless_over(lambda: self._crash(seconds, again=again)))
        if random.random() < 0.5:
            world.after(random.random(), self._unless_over(self._arrive))

    def _arrive(self) -> None:
        """Somebody new: whoever comes after a crash knows nothing of what was before."""
        fleet = self._fleet
        fleet.add_worker(self._world.random.choice(fleet.hosts), f"n{len(fleet.workers)}")

    def _forget(self) -> None:
        if self._world.now >= self._quiet_until:
            random = self._world.random
            # Often it forgets the last operation or two alone, under everybody's feet.
            seconds = random.choice((0.01, 0.1, 1.0)) * random.random()
            self._crash(seconds, again=self._world.chance(0.4))

    def _crash(self, seconds: float, *, again: bool) -> None:
        """The master forgets what it did in the last ``seconds``."""
        random, server = self._world.random, self._fleet.server
        count = server.forget(seconds)
        longer = random.choice((0.0, 0.0, 0.02, 1.0, 2.0)) * random.random()
        server.down_until = self._world.now + RESTART_SECONDS + longer
        self._world.note("world", f"the master forgets {count} operations")
        self._fleet.lose_state()
        if again:  # it crashes again soon after it came back
            soon = RESTART_SECONDS + longer + 0.5 * random.random()
            self._world.after(soon, self._unless_over(self._forget))

    def _delete(self) -> None:
        self._world.note("world", "the control directory is deleted")
        self._fleet.delete_control()

    def _break(self) -> None:
        """Somebody breaks a lease of somebody; half of them stay to see it end."""
        breaker = self._somebody()
        session = breaker.session if breaker is not None else None
        if breaker is None or session is None:
            return
        held = [token for token, one in session.replica.table.holdings.items() if one.granted]
        if held:
            stays = self._world.random.random() < 0.5
            breaker.break_lease(session, self._world.random.choice(held), stays=stays)

    def _litter(self) -> None:
        """Something that is no record, or one that its author may not write, takes the next place
        of the log; or somebody removes a heartbeat."""
        home = self._home()
        if home is None:
            return
        if self._world.chance(0.2):
            beats = home.entries["sessions"].entries
            if beats:
                name = self._world.random.choice(sorted(beats))
                self._world.note("world", f"somebody removes the heartbeat of {name}")
                del beats[name]
            return
        log = home.entries["log"]
        name = max(log.entries, key=number_of, default="")
        segment = log.entries.get(name)
        if segment is None or "s0" not in segment.entries:
            return
        place = next(p for p in range(10_000) if str(p) not in segment.entries)
        with suppress(OSError):  # a full volume takes no garbage either
            self._litter_at(segment, place, name)

    def _litter_at(self, segment: Node, number: int, name: str) -> None:
        server, random = self._fleet.server, self._world.random
        self._world.note("world", f"garbage at place {number} of segment {name}")
        place = str(number)
        kind = random.random()
        if kind < 0.2:
            server.create_file(segment, place)
        elif kind < 0.3:
            server.make_directory(segment, place)
        elif kind < 0.6:
            server.symlink(
                segment, place, marks.seal(_mark(segment, number, name), self._trespass())
            )
        else:
            server.symlink(segment, place, self._scribble(_mark(segment, number, name)))

    def _scribble(self, mark: int) -> str:
        random = self._world.random
        text = random.choice(GARBAGE)
        return marks.seal(mark, text) if random.random() < 0.5 else text

    def _trespass(self) -> str:
        """A live session releases what another holds."""
        random = self._world.random
        sessions = [w.session for w in self._fleet.alive() if w.session is not None]
        held = [held for worker in self._fleet.alive() for held in worker.held]
        if not sessions or not held:
            return GARBAGE[0]
        author = random.choice(sessions).name
        others = [one for one in held if one.session.name != author]
        if not others:
            return GARBAGE[0]
        body = records.Release(random.choice(others).token)
        return encode_entry(records.Entry(author, random.getrandbits(40) + 10_000, 0.0, body))

    def _home(self) -> Node | None:
        control = self._fleet.server.root.entries.get(CONTROL)
        if control is None:
            return None
        for node in control.entries.values():
            if node.kind == "directory" and "log" in node.entries and "sessions" in node.entries:
                return node
        return None


def _mark(segment: Node, place: int, name: str) -> int:
    """The running mark of the next place: who means harm can read like everybody else."""
    mark = marks.begin(name, Header(segment.entries["s0"].target).digest)
    for number in range(place):
        mark = marks.follow(mark, segment.entries[str(number)].target)
    return mark
