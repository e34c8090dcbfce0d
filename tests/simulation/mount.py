"""How one host sees the volume: directory entries and attributes cached for up to a second,
answers that get lost, operations that land long after their caller gave up or died.

The model follows what was measured on a real volume: a directory that was renamed away is still
reached by its old path for a second; a request whose answer was lost is sent again, and then
answers EEXIST or ENOENT for one's own work.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from volumelease import effects
from volumelease.authorities.volume.layout import CONTROL, SETTLED

from .setup import Setup
from .volume import Node, Server, failure
from .world import World

if TYPE_CHECKING:
    from .process import Process

Done = Callable[[Any, OSError | None], None]
Operation = Callable[[], Any]
Place = Callable[[], tuple[Node, str]]

LONGEST_FLIGHT_SECONDS: Final = 75.0
"""Measured: an operation landed this long after its process was killed."""

LINK_CACHE_SECONDS: Final = 15.0
"""MooseFS remembers the target of a symlink for an hour; less here, so that a run has an end."""

_READS: Final = (effects.ReadLink, effects.ReadCounter, effects.ReadFile, effects.ListDirectory)


def told_apart(known: str, real: str) -> bool:
    """Whether their lengths differ. ``wire.widths`` sees to that, but for one in 800: that is the
    limit which ARCHITECTURE 15 states, and it is not searched for here."""
    return known != real


Moment = Literal["elects", "settles", "adopts"]
"""A call that ends a segment, one that says that one is settled, one that moves somebody's
directory away: the worst moments for many a trouble."""

Fate = Literal["", "late", "lost"]
"""What becomes of one call in particular; "" is left to chance."""


def _moment_of(effect: effects.Effect) -> Moment | None:
    if isinstance(effect, effects.Symlink):
        if effect.name.endswith("/" + SETTLED):
            return "settles"
        return "elects" if '"k":"next"' in effect.target else None
    if isinstance(effect, effects.Rename) and f"/{CONTROL}/" not in effect.source:
        return "adopts"
    return None


class OpenedDirectory:
    """Names the same directory for ever, whatever happens to its path."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __repr__(self) -> str:
        return f"#{self.node.number}"


class Call:
    """One system call of one process, from being sent to being answered."""

    __slots__ = ("answered", "delayed", "done", "operation", "process", "what")

    def __init__(self, process: Process, what: str, operation: Operation, done: Done) -> None:
        self.process = process
        self.what = what
        self.operation = operation
        self.done = done
        self.answered = False
        self.delayed = False

    def answer(self, value: Any, error: OSError | None) -> None:
        if not self.answered:
            self.answered = True
            self.process.flying -= 1
            self.done(value, error)


class Mount:
    """One host's mount of the volume."""

    def __init__(self, world: World, server: Server, setup: Setup, name: str) -> None:
        self._world = world
        self._server = server
        self._setup = setup
        self._name = name
        self._directories: dict[str, tuple[Node, float]] = {}
        self._counters: dict[str, tuple[int, float]] = {}
        self._links: dict[int, tuple[str, float]] = {}
        self._stranded: list[Callable[[], None]] = []
        self.cut = False
        self.calm = True
        """No faults are added to calls while calm; what is under way still lands."""
        self.tells: Callable[[Moment, Process], Fate] | None = None
        """Told when a call sets out on which much depends. Answers what becomes of that call."""
        self._fates = self._weigh(setup)

    def _weigh(self, setup: Setup) -> list[tuple[float, Callable[[Call], None]]]:
        fates = (
            ("error", 0.03, self._fail),
            ("lost", 0.06, self._lose_answer),
            ("late", 0.03, self._land_late),
            ("resend", 0.10, self._send_again),
            ("slow", 0.02, self._be_slow),
        )
        total = 0.0
        weighed: list[tuple[float, Callable[[Call], None]]] = []
        for trouble, most, fate in fates:
            if setup.strength(trouble) > 0:
                total += most * setup.strength(trouble)
                weighed.append((total, fate))
        return weighed

    # ---- calls

    def submit(self, process: Process, effect: effects.Effect, done: Done) -> None:
        """Perform one effect. ``done`` hears of it once, unless the process is killed first."""
        if isinstance(effect, effects.ReadCounter):
            cached = self._counters.get(effect.path)
            if cached is not None and self._world.now - cached[1] < self._setup.cache_seconds:
                done(cached[0], None)
                return
        forced = self._tell(process, effect)
        if (
            process.on_commit is not None
            and isinstance(effect, effects.Symlink)
            and effect.at is not None
        ):
            sets_out, process.on_commit = process.on_commit, None
            self._world.after(0.0001, sets_out)
        process.flying += 1
        call = Call(process, type(effect).__name__, self._operation(effect), done)
        if self.cut:
            self._strand(call)
            return
        if forced:
            self._world.note(self._name, f"{forced} {effect}")
            (self._land_late if forced == "late" else self._lose_answer)(call)
            return
        if not self.calm and self._fates:
            drawn = self._world.random.random()
            for limit, fate in self._fates:
                if drawn < limit:
                    self._world.note(self._name, f"{fate.__name__[1:]} {effect}")
                    fate(call)
                    return
        random = self._world.random
        self._world.after(0.0002 + 0.002 * random.random(), lambda: self._land(call))

    def _tell(self, process: Process, effect: effects.Effect) -> Fate:
        if self.tells is None:
            return ""
        moment = _moment_of(effect)
        return "" if moment is None else self.tells(moment, process)

    def _land(self, call: Call) -> None:
        """The operation arrives, and its answer goes back."""
        if self.cut:
            self._strand(call)
            return
        if call.process.killed and not call.delayed:
            call.delayed = True
            random = self._world.random
            delay = random.choice((0.0, 1.0, 10.0, LONGEST_FLIGHT_SECONDS)) * random.random()
            self._world.after(delay, lambda: self._land(call))
            return
        self._execute(call, call.answer)

    def _execute(self, call: Call, then: Done) -> None:
        down = self._server.down_until - self._world.now
        if down > 0:
            later = down + 0.01 * self._world.random.random()
            self._world.after(later, lambda: self._execute_when_up(call, then))
            return
        try:
            value = call.operation()
        except OSError as error:
            trouble: OSError | None = error
            value = None
        else:
            trouble = None
        if self._world.history is not None:
            self._world.note(call.process.name, f"  {call.what} -> {trouble or value!r}")
        if self._world.random.random() < 0.25:
            delay = 0.003 * self._world.random.random()
            self._world.after(delay, lambda: self._reply(then, value, trouble))
        else:
            then(value, trouble)

    def _execute_when_up(self, call: Call, then: Done) -> None:
        if self.cut:
            self._stranded.append(lambda: self._execute(call, then))
        else:
            self._execute(call, then)

    def _reply(self, then: Done, value: Any, trouble: OSError | None) -> None:
        if self.cut:
            self._stranded.append(lambda: then(value, trouble))
        else:
            then(value, trouble)

    def _nobody(self, value: Any, error: OSError | None) -> None:
        """Who hears the answer of an operation whose caller has one already."""

    # ---- fates

    def _fail(self, call: Call) -> None:
        delay = 2.0 * self._world.random.random() ** 2
        self._world.after(delay, lambda: call.answer(None, failure(errno.EIO)))

    def _lose_answer(self, call: Call) -> None:
        random = self._world.random
        self._world.after(0.01 * random.random(), lambda: self._execute_or_strand(call))
        self._world.after(
            0.01 + 3.0 * random.random() ** 2, lambda: call.answer(None, failure(errno.EIO))
        )

    def _land_late(self, call: Call) -> None:
        random = self._world.random
        first = 1.0 * random.random() ** 2
        self._world.after(first, lambda: call.answer(None, failure(errno.EIO)))
        if not call.what.startswith("Read"):
            later = first + random.choice((0.05, 1.0, 8.0, 20.0)) * random.random()
            self._world.after(later, lambda: self._execute_or_strand(call))

    def _send_again(self, call: Call) -> None:
        random = self._world.random
        first = 0.005 * random.random()
        self._world.after(first, lambda: self._execute_or_strand(call))
        again = first + random.choice((0.01, 0.3, 2.0)) * random.random()
        self._world.after(again, lambda: self._land(call))

    def _execute_or_strand(self, call: Call) -> None:
        if self.cut:
            self._stranded.append(lambda: self._execute(call, self._nobody))
        else:
            self._execute(call, self._nobody)

    def _be_slow(self, call: Call) -> None:
        random = self._world.random
        delay = random.choice((1.0, 4.0, 9.0)) * random.random()
        if random.random() < 0.5:
            self._world.after(delay, lambda: self._land(call))
        else:
            self._world.after(
                0.002,
                lambda: self._execute(
                    call,
                    lambda value, error: self._world.after(
                        delay, lambda: self._reply(call.answer, value, error)
                    ),
                ),
            )

    # ---- losing and finding the volume

    def _strand(self, call: Call) -> None:
        """The operation waits for the link; its caller waits too, or gets EIO first."""
        random = self._world.random
        self._stranded.append(lambda: self._land_stranded(call))
        if random.random() < 0.3:
            self._world.after(4.0 * random.random(), lambda: call.answer(None, failure(errno.EIO)))

    def _land_stranded(self, call: Call) -> None:
        random = self._world.random
        delay = random.choice((0.01, 0.01, 1.0, 3.4)) * random.random()
        self._world.after(delay, lambda: self._land(call))

    def heal(self) -> None:
        self.cut = False
        stranded, self._stranded = self._stranded, []
        for land in stranded:
            land()

    # ---- what this mount knows by the number of an inode, whatever became of that

    @property
    def misled_until(self) -> float:
        """Until when it may answer with what a master forgot. A real one may for an hour: whoever
        meets that is told to mount the volume anew."""
        server, until = self._server, self._world.now
        real = server.targets() if self._links else {}
        for number, (known, since) in self._links.items():
            if server.gives_again(number) or real.get(number, known) != known:
                until = max(until, since + LINK_CACHE_SECONDS)
        return until

    def _linked(self, node: Node) -> None:
        if not self._server.remembers:
            self._links[node.number] = node.target, self._world.now

    def _target(self, node: Node) -> str:
        """Read with its attributes, as ``drivers.files`` does; those come from the server."""
        if self._server.remembers:
            return node.target
        now = self._world.now
        known, since = self._links.get(node.number, ("", -LINK_CACHE_SECONDS))
        if now - since >= LINK_CACHE_SECONDS:
            known, _ = self._links[node.number] = node.target, now
        if told_apart(known, node.target):
            raise failure(errno.ESTALE)
        return known

    # ---- what each effect is

    def _operation(self, effect: effects.Effect) -> Operation:
        """The operation, with its path looked up through the caches as of now."""
        server = self._server
        match effect:
            case effects.ReadLink(name, at):
                place = self._place(name, at)
                return lambda: self._target(server.symlink_at(*place()))
            case effects.ReadCounter(path):
                place = self._place(path, None)
                return lambda: self._counted(path, place)
            case effects.Symlink(target, name, at):
                place = self._place(name, at)
                return lambda: self._linked(server.symlink(*place(), target))
            case effects.OpenDirectory(path):
                find = self._directory(path)
                return lambda: OpenedDirectory(find())
            case effects.ListDirectory(path):
                find = self._directory(path)
                return lambda: self._shuffled(server.names(find()))
            case effects.MakeDirectory(path):
                place = self._place(path, None)
                return lambda: self._made(path, server.make_directory(*place()))
            case effects.Rename(source, target):
                return self._rename(source, target)
            case effects.HardLink(source, target):
                old, new = self._place(source, None), self._place(target, None)
                return lambda: server.link(old(), new())
            case effects.Unlink(path):
                place = self._place(path, None)
                return lambda: self._unlinked(path, place)
            case effects.RemoveDirectory(path):
                place = self._place(path, None)
                return lambda: self._removed(path, place)
            case effects.CreateFile(path):
                place = self._place(path, None)
                return lambda: self._nothing(server.create_file(*place()))
            case effects.SetCounter(path, counter):
                place = self._place(path, None)
                return lambda: self._beaten(path, place, counter)
            case effects.WriteDurably(path, content):
                place = self._place(path, None)
                return lambda: server.write(*place(), content)
            case effects.WriteNew(path, content):
                place = self._place(path, None)
                return lambda: server.write_new(*place(), content)
            case effects.ReadFile(path):
                place = self._place(path, None)
                return lambda: server.content(*place())
            case effects.LookAt(path):
                place = self._place(path, None)
                return lambda: effects.Kind(server.kind(*place()))
            case effects.SyncTree(path) | effects.Measure(path):
                place = self._place(path, None)
                return lambda: server.contents(*place())
            case effects.CopyTree(source, target):
                from_place, to_place = self._place(source, None), self._place(target, None)
                return lambda: server.copy(from_place(), to_place())
            case effects.RemoveTree(path):
                place = self._place(path, None)
                return lambda: self._removed_all(path, place)
            case _:
                raise AssertionError(f"{effect} does not touch the volume")

    def _place(self, name: str, at: Any) -> Place:
        """The parent directory and the last name. The parent is found through the cache, the
        name always by the server."""
        if at is not None:
            node: Node = at.node
            return lambda: (node, name)
        folder, _, last = name.rpartition("/")
        find = self._directory(folder)
        return lambda: (find(), last)

    def _directory(self, path: str) -> Callable[[], Node]:
        cached = self._directories.get(path)
        if cached is not None and self._world.now < cached[1]:
            node = cached[0]
            return lambda: node
        return lambda: self._look_up(path)

    def _look_up(self, path: str) -> Node:
        node = self._server.directory(path)
        self._directories[path] = (node, self._world.now + self._setup.cache_seconds)
        return node

    def _forget_path(self, path: str) -> None:
        """This host's own changes are seen by this host at once."""
        self._directories.pop(path, None)
        for known in [known for known in self._directories if known.startswith(path + "/")]:
            del self._directories[known]

    def _nothing(self, node: Node) -> None:
        del node

    def _shuffled(self, names: list[str]) -> list[str]:
        self._world.random.shuffle(names)
        return names

    def _made(self, path: str, node: Node) -> None:
        self._directories[path] = (node, self._world.now + self._setup.cache_seconds)

    def _rename(self, source: str, target: str) -> Operation:
        from_place, to_place = self._place(source, None), self._place(target, None)

        def operation() -> None:
            self._server.rename(from_place(), to_place())
            self._forget_path(source)
            self._forget_path(target)

        return operation

    def _unlinked(self, path: str, place: Place) -> None:
        self._counters.pop(path, None)
        self._server.unlink(*place())

    def _removed(self, path: str, place: Place) -> None:
        self._server.remove_directory(*place())
        self._forget_path(path)

    def _removed_all(self, path: str, place: Place) -> bool:
        with suppress(FileNotFoundError):
            self._server.remove_all(*place())
        self._forget_path(path)
        return True

    def _beaten(self, path: str, place: Place, counter: int) -> None:
        self._server.set_counter(*place(), counter)
        self._counters[path] = (counter, self._world.now)

    def _counted(self, path: str, place: Place) -> int:
        counter = self._server.counter(*place())
        self._counters[path] = (counter, self._world.now)
        return counter
