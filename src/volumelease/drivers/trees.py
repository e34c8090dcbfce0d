"""Whole trees on the real file system: bring them onto the volume, copy them, remove them.

Each is one effect, because nothing decides between two files of a draft: it is nobody else's.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator
from typing import Final

from volumelease.effects import Contents

_COPY_BYTES: Final = 4 * 1024 * 1024
"""The size at which a network volume is fast with one request at a time."""


def sync(path: str) -> Contents:
    """fsync every file and directory of a tree, the deepest first.

    Files that others wrote are opened read-only for it, which is enough on Linux. What is neither
    file, directory nor link (a socket, a pipe) has no content. Errors: ``OSError``; EDQUOT and
    ENOSPC come from here, for ``write`` only fills a cache on a network volume.
    """
    files = size = 0
    astray: list[str] = []
    outward: list[str] = []
    entries = 0
    for entry, mode in _walk(path):
        entries += entry.rpartition("/")[0] == path
        if stat.S_ISLNK(mode):
            leads = os.readlink(entry)
            if leads.startswith((path + "/", os.path.realpath(path) + "/")):
                astray.append(entry)
            elif _leads_out(entry, leads, path):
                outward.append(entry)
        elif stat.S_ISREG(mode):
            size += _sync_one(entry)
            files += 1
        elif stat.S_ISDIR(mode):
            _sync_one(entry)
    return Contents(files, size, tuple(astray), tuple(outward), entries)


def _leads_out(link: str, leads: str, top: str) -> bool:
    """Whether a relative link leaves the tree, by its words alone."""
    if leads.startswith("/"):
        return False
    there = os.path.normpath(f"{os.path.dirname(link)}/{leads}")
    return there != top and not there.startswith(top + "/")


def measure(path: str, seconds: float = math.inf) -> Contents:
    """How many files a tree has, and their sizes together, as far as ``seconds`` allow; what
    vanishes meanwhile is left out. Errors: ``OSError`` for the tree itself."""
    files = size = 0
    todo = [path]
    until = time.monotonic() + seconds
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if time.monotonic() > until:
                        return Contents(files, size, complete=False)
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            if folder == path:
                raise
    return Contents(files, size)


def _sync_one(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _walk(path: str) -> Iterator[tuple[str, int]]:
    """Everything in a tree, what a directory holds before the directory."""
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        with os.scandir(path) as found:
            names = sorted(entry.name for entry in found)
        for name in names:
            yield from _walk(f"{path}/{name}")
    yield path, mode


def copy(source: str, target: str) -> None:
    """Copy a tree: contents, permissions, times and links, into new inodes.

    Never shares blocks with the source (no reflink): a late write to the old inode must not reach
    the new one. A file that vanishes meanwhile is left out. Errors: ``OSError``.
    """
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(mode):
        os.mkdir(target)
        for name in sorted(os.listdir(source)):
            try:
                copy(f"{source}/{name}", f"{target}/{name}")
            except FileNotFoundError:
                continue
        _copy_facts(source, target)
    elif stat.S_ISREG(mode):
        _copy_file(source, target)
        _copy_facts(source, target)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as old, open(target, "xb", buffering=0) as new:
        buffer = memoryview(bytearray(_COPY_BYTES))
        while count := old.readinto(buffer):
            rest = buffer[:count]
            while rest:
                rest = rest[new.write(rest) :]


def _copy_facts(source: str, target: str) -> None:
    facts = os.stat(source)
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    try:
        os.chmod(target, stat.S_IMODE(facts.st_mode))
    except PermissionError:  # mode bits protect nothing on such a volume
        return


def remove(path: str, seconds: float) -> bool:
    """Remove a tree for at most ``seconds``; whether nothing is left. What is gone already is no
    error. Errors: ``OSError``."""
    return _remove(path, time.monotonic() + seconds)


def _remove(path: str, until: float) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
    else:
        return True
    try:
        names = os.listdir(path)
        for name in names:
            if not _remove(f"{path}/{name}", until) or time.monotonic() > until:
                return False
        os.rmdir(path)
    except FileNotFoundError:
        return True
    return True
