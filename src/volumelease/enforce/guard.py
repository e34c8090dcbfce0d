"""The Python guard: a write on a volume needs a live lease of this process that covers it.

An audit hook, installed once and never removed (Python can't), driven by a table of volumes and
of what is leased there. A read costs one comparison; a write, the look at where it leads.

Promise: what is leased here, exclusively and still, can be written by every thread of the
process; a write elsewhere on the volume, or after the loss, raises before anything changes.
Limits: it sees what Python does. C and Rust code that opens files by itself, children, and
descriptors that were open before are not seen: see ``sandbox`` for those.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from volumelease.errors import LeaseLost, LeaseViolation
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.resolve import CONTROL

from .events import CHILDREN, MAKES_LINKS, WRITES, WRITING, Touched, Writing, sqlite_file
from .ground import Cover, Ground, error_of
from .places import Recent, real_place

if TYPE_CHECKING:
    from types import FrameType


_OPEN: Final = (Touched(0, -1, True),)
_OPEN_NOT_FOLLOWING: Final = (Touched(0, -1, False),)
_EXCLUSIVE: Final = os.O_CREAT | os.O_EXCL
_FOR_WRITING: Final = Writing("open for writing", _OPEN)
_CREATING: Final = Writing("open for writing", _OPEN_NOT_FOLLOWING)
_SQLITE: Final = Writing("sqlite3.connect to", _OPEN)
_CARRIERS: Final = frozenset(
    {"os", "pathlib", "shutil", "tempfile", "contextlib", "io", "subprocess"}
)
"""Modules of Python that write for whoever calls them."""

_MOST_SAID: Final = 1000


class _Guard:
    """The one of this process: the hook reads it at every event."""

    def __init__(self) -> None:
        self.grounds: tuple[Ground, ...] = ()
        self.denied = 0
        self.say: Callable[[str], None] = lambda text: None
        self._installed = False
        self._said: set[str] = set()
        self._busy: set[int] = set()
        self._recent = Recent(self._holds)
        self._lock = threading.RLock()  # a signal's handler may take a lease too

    def arm(self, root: VolumeRoot, volume: str) -> tuple[Ground, bool]:
        """The ground of that volume below ``root``, and whether it is new."""
        with self._lock:
            for ground in self.grounds:
                if ground.real_root == root.real_root and ground.volume == volume:
                    return ground, False
            ground = Ground(root, volume)
            for other in self.grounds:
                if other.volume == volume:  # mounted twice: a lease holds for both
                    ground.covers = other.covers
            self.grounds = (
                *(other for other in self.grounds if other.real_root != root.real_root),
                ground,
            )
            for one in self.grounds:
                one.beside(tuple(other.at for other in self.grounds if other is not one))
            if not self._installed:
                self._installed = True
                os.register_at_fork(after_in_child=self.after_fork)
                sys.addaudithook(_hook)
        return ground, True

    def begin(self, volume: str, cover: Cover) -> None:
        """From here on, ``cover`` counts on that volume."""
        with self._lock:
            for ground in self.grounds:
                if ground.volume == volume:
                    ground.covers = (*ground.covers, cover)

    def end(self, cover: Cover) -> None:
        with self._lock:
            for ground in self.grounds:
                ground.covers = tuple(other for other in ground.covers if other is not cover)

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self._busy = set()

    def _holds(self, directory: str) -> bool:
        return any(ground.name_of(directory) is not None for ground in self.grounds)

    # ---- judging

    def judge(self, writing: Writing, args: tuple[Any, ...], event: str) -> None:
        for touched in writing.touched:
            path = args[touched.path]
            if isinstance(path, int):
                continue  # a descriptor that is open already
            text = path if type(path) is str else os.fsdecode(path)
            at = args[touched.at] if touched.at >= 0 else -1
            if (at >= 0 or CONTROL in text) and _is_ours():
                if event == "os.rename":  # a publish: a directory may become a link
                    self._recent.forget_all()
                return  # a commit of ours; the look at where it leads would cost more than this
            real = real_place(text, at, touched.follows, self._recent)
            if real is not None:
                self._judge_place(writing.words, real, event == "os.mkdir")
                if event in MAKES_LINKS:
                    self._recent.forget(real.rpartition("/")[0])

    def _judge_place(self, words: str, real: str, making_directory: bool) -> None:
        for ground in self.grounds:
            name = ground.name_now(real)
            if name is None:
                continue
            why, lost = ground.refusal(name, making_directory)
            if not why or _is_ours():
                return
            ground.look_again()  # 0.1 ms, which no write pays that is let through
            name = ground.name_of(real)
            if name is None:  # another file system was mounted there meanwhile
                continue
            why, lost = ground.refusal(name, making_directory)
            if why:
                self._refuse(ground, words, name, why, lost)
            return

    def _refuse(self, ground: Ground, words: str, name: str, why: str, lost: Cover | None) -> None:
        thread = threading.get_ident()
        if thread in self._busy:
            return  # whoever is told writes it down, maybe on the volume
        self._busy.add(thread)
        try:
            self.denied += 1
            about = f"{words} {name}"
            if ground.enforced:
                ground.refused()
                raise error_of(ground, words, name, why, lost)
            if about not in self._said:
                error = error_of(ground, words, name, why, lost)
                self.say_once(f"volumelease: {error} (VOLUMELEASE_GUARD=warn: it goes on)", about)
        finally:
            self._busy.discard(thread)

    def child(self, event: str, args: tuple[Any, ...]) -> None:
        if not any(ground.leased() for ground in self.grounds) or _is_ours():
            return
        which = CHILDREN[event]
        named = f" ({args[which]!s:.80})" if which is not None else ""
        self.say_once(
            f"volumelease: {event}{named} starts a process that the guard does not reach: it can "
            "write anywhere on the volume, and after a loss. lease.run([...]) and volumelease hold "
            "--sandbox keep a program to what is leased (said once)",
            "child",
        )

    def say_once(self, text: str, about: str) -> None:
        if about not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(about)
            self.say(text)


def _is_ours() -> bool:
    """Whether code of this package does it, and not a user's that it called."""
    here = globals()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        its = frame.f_globals
        if its is not here:
            module: str = its.get("__name__", "")
            if module.startswith("volumelease."):
                return True
            if module.partition(".")[0] not in _CARRIERS:
                return False
        frame = frame.f_back
    return False


def _hook(
    event: str,
    args: tuple[Any, ...],
    # What it needs at every event, kept from the end of the interpreter, which empties modules.
    may_write: int = WRITES,
    writing: Mapping[str, Writing] = WRITING,
    others: frozenset[str] = frozenset(CHILDREN) | {"sqlite3.connect"},
    is_finalizing: Callable[[], bool] = sys.is_finalizing,
) -> None:
    if event == "open":
        if args[2] & may_write and not is_finalizing():
            _judge_open(*args)
    elif event in writing:
        if not is_finalizing():
            _judge(writing[event], args, event)
    elif event in others and not is_finalizing():
        _judge_other(event, args)


def _judge_open(path: Any, mode: str | None, flags: int) -> None:
    if mode is None:  # os.open, which does not tell the directory that a relative name starts from
        path = path if type(path) is str else os.fsdecode(path)
        if path[:1] != "/":
            return
    stays = flags & os.O_NOFOLLOW or flags & _EXCLUSIVE == _EXCLUSIVE
    _judge(_CREATING if stays else _FOR_WRITING, (path,), "open")


def _judge_other(event: str, args: tuple[Any, ...]) -> None:
    if event in CHILDREN:
        guard.child(event, args)
        return
    file = sqlite_file(args[0])
    if file is not None:
        _judge(_SQLITE, (file,), event)


def _judge(writing: Writing, args: tuple[Any, ...], event: str) -> None:
    try:
        if guard.grounds:
            guard.judge(writing, args, event)
    except (LeaseViolation, LeaseLost):
        raise
    except (TypeError, ValueError):
        return  # what is no path: the call itself says so
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not stop a write
        guard.say_once(
            f"volumelease: the guard failed at {event}: {error!r}; the write goes on", "failure"
        )


guard: Final = _Guard()
