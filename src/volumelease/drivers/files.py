"""Effects performed on the real file system of this process."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from volumelease import effects, host
from volumelease.paths.resolve import CONTROL

from . import trees

LARGEST_FILE_BYTES: Final = 64 << 20
"""Of a file of ours; the largest, a sum of reports, has about a megabyte. What somebody else put
in its place must not take the memory of every worker."""


class OpenedDirectory:
    """A directory descriptor that closes when nobody holds it any more."""

    __slots__ = ("number",)

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class Files:
    """Performs one effect at a time, in the calling thread; any number of threads may call.

    Errors: whatever the system call raises (``OSError``).
    """

    def __init__(self, here: host.ProcessFacts | None = None) -> None:
        self._here = here
        self._perform: Final[dict[type, Callable[[Any], Any]]] = {
            effects.Symlink: _symlink,
            effects.ReadLink: _read_link,
            effects.OpenDirectory: lambda effect: OpenedDirectory(effect.path),
            effects.ListDirectory: lambda effect: os.listdir(effect.path),
            effects.MakeDirectory: _make_directory,
            effects.Rename: lambda effect: os.rename(effect.source, effect.target),
            effects.HardLink: lambda effect: os.link(
                effect.source, effect.target, follow_symlinks=False
            ),
            effects.Unlink: lambda effect: os.unlink(effect.path),
            effects.RemoveDirectory: lambda effect: os.rmdir(effect.path),
            effects.CreateFile: _create_file,
            effects.SetCounter: lambda effect: os.utime(
                effect.path, (effect.counter, effect.counter)
            ),
            effects.ReadCounter: lambda effect: int(os.stat(effect.path).st_mtime),
            effects.WriteNew: _write_new,
            effects.WriteDurably: _write_durably,
            effects.ReadFile: _read_file,
            effects.LookAt: _look_at,
            effects.SyncTree: lambda effect: trees.sync(effect.path),
            effects.Measure: lambda effect: trees.measure(effect.path, effect.seconds),
            effects.CopyTree: lambda effect: trees.copy(effect.source, effect.target),
            effects.RemoveTree: lambda effect: trees.remove(effect.path, effect.seconds),
            effects.ProveDeath: self._prove_death,
            effects.SeeLife: lambda effect: effect.life.is_free(effect.session),
            effects.Sleep: lambda effect: time.sleep(effect.seconds),
            effects.Listen: lambda effect: effect.bell.listen(effect.ahead, effect.seconds),
            effects.EnterTurn: lambda effect: effect.turn.enter(effect.seconds),
        }

    def perform(self, effect: effects.Effect) -> Any:
        try:
            return self._perform[type(effect)](effect)
        except ValueError as error:
            # A path that can't be one (NUL, half a surrogate) is read from forged records only.
            raise OSError(errno.EINVAL, str(error)) from None
        except RecursionError:  # a tree that somebody nested as deep as a path may be long
            raise OSError(errno.ELOOP, "nested too deeply") from None

    def _prove_death(self, effect: effects.ProveDeath) -> bool:
        return self._here is not None and host.provably_dead(effect.process, self._here)


_LINK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FORGOTTEN: Final = "this mount shows what a crashed server forgot; mount the volume anew"


def _symlink(effect: effects.Symlink) -> None:
    at: Any = effect.at
    if at is None:
        os.symlink(effect.target, effect.name)
    else:
        os.symlink(effect.target, effect.name, dir_fd=at.number)


def _read_link(effect: effects.ReadLink) -> str:
    """The target, if it is as long as the server says that this symlink is: what the mount knows
    by the number of an inode can be that of one which a crashed server forgot.

    One look-up for both: the attributes come with it. Limit: a server that tells no length
    (0, as /proc does) is believed. Errors: ``ESTALE`` for a target of another time.
    """
    at: Any = effect.at
    where = None if at is None else at.number
    descriptor = os.open(effect.name, _LINK, dir_fd=where)
    try:
        known = os.fstat(descriptor)
        if not stat.S_ISLNK(known.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), effect.name)
        target = os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)
    if known.st_size and known.st_size != len(os.fsencode(target)):
        raise OSError(errno.ESTALE, _FORGOTTEN, effect.name)
    return target


def _make_directory(effect: effects.MakeDirectory) -> None:
    """One in the control directory may be written by whoever may write the one above it: whoever
    turns a segment makes it for all, and may be root, or have a narrower umask.

    Limit: a system that keeps us from it (root squash) keeps it as it was made.
    """
    if f"/{CONTROL}/" not in effect.path:
        os.mkdir(effect.path)
        return
    above, _, name = effect.path.rpartition("/")
    parent = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.mkdir(name, dir_fd=parent)
        with suppress(OSError):
            _share(name, parent)
    finally:
        os.close(parent)


def _share(name: str, parent: int) -> None:
    # By descriptors: what somebody puts in its place meanwhile must not be given away.
    wanted = os.fstat(parent)
    made = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        known, us = os.fstat(made), os.geteuid()
        if known.st_uid != us:
            return
        if us == 0 and (known.st_uid, known.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.fchown(made, wanted.st_uid, wanted.st_gid)
            known = os.fstat(made)
        writers = stat.S_IWOTH | (stat.S_IWGRP if known.st_gid == wanted.st_gid else 0)
        mode = stat.S_IMODE(known.st_mode)
        missing = wanted.st_mode & writers & ~mode
        if missing:
            os.fchmod(made, mode | missing)
    finally:
        os.close(made)


def _create_file(effect: effects.CreateFile) -> None:
    os.close(os.open(effect.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _write_new(effect: effects.WriteNew) -> None:
    _write(effect.path, os.O_EXCL, effect.content)


def _write_durably(effect: effects.WriteDurably) -> None:
    _write(effect.path, os.O_TRUNC, effect.content)


def _write(path: str, flag: int, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | flag, 0o644)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_file(effect: effects.ReadFile) -> bytes:
    with open(effect.path, "rb") as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), effect.path)
    return content


def _look_at(effect: effects.LookAt) -> effects.Kind:
    mode = os.lstat(effect.path).st_mode
    if stat.S_ISDIR(mode):
        return effects.Kind("directory")
    if stat.S_ISREG(mode):
        return effects.Kind("file")
    return effects.Kind("link" if stat.S_ISLNK(mode) else "other")
