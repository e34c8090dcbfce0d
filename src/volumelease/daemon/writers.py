"""Who could still write what a dead client had leased.

A process that died may have left children that write on, and after its death nothing says whose
children they are: their parent is whoever adopted them, which may be PID 1, or a client that lives
and is a subreaper. So parents acquit nobody: whoever began no earlier than the client counts, if it
has a file open for writing, or mapped, beneath a path that the client held exclusively, or in one
of its drafts. As long as that lease is live nobody else has any business to write there.

Everything is read from /proc, nothing asked of the volume: it may hang. Limits: a process of
another user, or in another pid namespace above ours, can't be looked at; a descriptor that is on
its way through a socket is nobody's; a child that will open its file a moment later is not
writing yet; a program that writes there without a lease is waited for like a child.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from volumelease.core.conflicts import covers
from volumelease.model import Client
from volumelease.paths.canonical import VolumePath
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import mount_of, parse_mounts
from volumelease.paths.resolve import CONTROL, below

_WRITES: Final = os.O_WRONLY | os.O_RDWR
_DELETED: Final = " (deleted)"


class Writer(NamedTuple):
    """``beneath``: it descends from this process, which so may end it."""

    pid: int
    start_time: int
    path: str
    beneath: bool


class _Process(NamedTuple):
    pid: int
    parent: int
    start_time: int


def writers_of(client: Client, root: VolumeRoot, keys: Collection[str]) -> list[Writer]:
    """Who may be a child of that client which died or left, or is the client itself, and has a
    file beneath ``keys`` open for writing.
    Those beneath our control directory are compared letter by letter: a draft's place, or what
    its name begins with, up to a dash."""
    if not keys:
        return []
    processes = {process.pid: process for process in _everybody()}
    found = []
    for process in processes.values():
        if process.start_time < client.start_time or process.pid == os.getpid():
            continue
        path = next(iter(_written_by(process.pid, root, keys)), None)
        if path is not None:
            beneath = _descends(process, processes)
            found.append(Writer(process.pid, process.start_time, path, beneath))
    return found


def _descends(process: _Process, processes: Mapping[int, _Process]) -> bool:
    """Whether its parents lead to this process."""
    seen: set[int] = set()
    at: _Process | None = process
    while at is not None and at.pid not in seen:
        if at.parent == os.getpid():
            return True
        seen.add(at.pid)
        at = processes.get(at.parent)
    return False


def _everybody() -> Iterable[_Process]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = _look_up(int(name))
            if process is not None:
                yield process


def _look_up(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return _Process(pid, int(fields[1]), int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def _written_by(pid: int, root: VolumeRoot, keys: Collection[str]) -> Iterable[str]:
    paths = [*_open_for_writing(pid), *_mapped_for_writing(pid)]
    if not paths:
        return
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            mounts = parse_mounts(file.read())
    except OSError:
        return
    home = root.mount.inside(root.real_root)
    for path in paths:
        mount = mount_of(path, mounts)
        rest = below(mount.inside(path), home) if mount.device == root.mount.device else None
        if rest is not None and _matters(rest, keys):
            yield path


def _matters(rest: str, keys: Collection[str]) -> bool:
    if CONTROL in rest.split("/"):  # a lease on the whole volume is none on what others prepare
        ours = [key for key in keys if key.startswith(CONTROL)]
        return any(covers(key, rest) or rest.startswith(f"{key}-") for key in ours)
    import unicodedata

    key = VolumePath(rest, unicodedata.normalize("NFC", rest)).key
    return any(covers(one, key) for one in keys)


def _open_for_writing(pid: int) -> Iterable[str]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            path = os.readlink(f"{folder}/{name}")
            if path.startswith("/") and not path.endswith(_DELETED) and _may_write(pid, name):
                yield path
        except (OSError, ValueError):
            continue


def _may_write(pid: int, name: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{name}", "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return bool(int(line.split()[1], 8) & _WRITES)
    return False


def _mapped_for_writing(pid: int) -> Iterable[str]:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            for line in file:
                fields = line.split(maxsplit=5)
                if len(fields) == 6 and b"w" in fields[1] and b"s" in fields[1]:
                    path = os.fsdecode(fields[5].rstrip(b"\n"))
                    if path.startswith("/") and not path.endswith(_DELETED):
                        yield path
    except OSError:
        return
