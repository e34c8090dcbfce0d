"""Checks of a mount: is it fit to carry the log? Each that tries something out does so in the
scratch directory."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import Final

from volumelease.bells.locality import locks_in, p50, symlink_cost
from volumelease.errors import SettingsMismatch

from .checks import Check, Patient
from .places import settings_of_this_process
from .reading import Reader

_ROUNDS: Final = 20
_CONTENDERS: Final = 4
_LITTLE_SPACE: Final = 64 << 20
"""Some volumes refuse every write when less than one chunk of 64 MiB is left."""


def mount(patient: Patient) -> Check:
    found = patient.mount
    where = f"{found.fstype} from {found.source} at {found.mount_point}"
    if "ro" in found.options:
        return Check("mount", "fail", f"{where} is read-only", "Mount it writable")
    detail = f"{where}: {patient.verdict.reason}"
    match patient.verdict.suitable:
        case "refused":
            return Check("mount", "fail", detail, "Use a MooseFS, CephFS or local volume")
        case "unknown":
            advice = f"Prove it from two hosts: volumelease doctor --peer {patient.directory}"
            return Check("mount", "warn", detail, advice)
        case _:
            return Check("mount", "ok", detail)


def identity(patient: Patient) -> Check:
    if patient.place is None:
        advice = f"volumelease init {patient.directory}"
        return Check("identity", "warn", f"{patient.directory} is no volume yet", advice)
    known = Reader(patient.place.volume.real_root).look().identity
    settings = settings_of_this_process()
    if settings.ttl is not None and settings.ttl != known.ttl:
        raise SettingsMismatch(
            f"VOLUMELEASE_TTL is {settings.ttl:g} s, the volume's ttl {known.ttl:g} s",
            advice="Unset VOLUMELEASE_TTL",
            setting="VOLUMELEASE_TTL",
            ours=settings.ttl,
            theirs=known.ttl,
        )
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(known.created))
    detail = f"id {known.id}, ttl {known.ttl:g} s, authority {known.authority}, made {made}"
    return Check("identity", "ok", detail)


def log(patient: Patient) -> Check:
    assert patient.place is not None
    picture = Reader(patient.place.volume.real_root).look()
    by_redis = picture.identity.authority == "redis"
    where = "in the Redis, incarnation" if by_redis else "entry"
    detail = (
        f"{len(picture.table.sessions)} sessions, {len(picture.holders())} leases, "
        f"{len(picture.waiters())} waiting, {where} {picture.next_index}"
    )
    if authority := picture.table.moved:
        detail += f"; it has ended, for the leases move to {authority!r}"
        root = patient.place.root
        advice = f"volumelease migrate {root} --authority {authority}"
        return Check("log", "warn", detail, advice)
    if picture.garbage:
        detail += f", {picture.garbage} entries of garbage in this segment"
        return Check("log", "warn", detail, "Find out what else writes into .volumelease")
    if picture.table.grace:
        detail += "; it is new and grants its first lease after one ttl"
    return Check("log", "ok", detail)


def write(patient: Patient) -> Check:
    os.mkdir(patient.scratch)
    content = os.urandom(1 << 16)
    path = f"{patient.scratch}/data"
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a full volume speaks only here
    with open(path, "rb") as file:
        same = file.read() == content
    if not same:
        return Check("write", "fail", "what was read back is not what was written", "Replace it")
    return Check("write", "ok", "a file was written, synced and read back")


def entries(patient: Patient) -> Check:
    """The compare-and-set of the log: of all who make one symlink, one wins, and all see whose."""
    for number in range(_ROUNDS):
        path = f"{patient.scratch}/entry{number}"
        winners = _race(path)
        if winners != [os.readlink(path)]:
            detail = f"{len(winners)} of {_CONTENDERS} won one entry"
            return Check("entries", "fail", detail, "Don't use this mount for leases")
    long = "x" * 999
    os.symlink(long, f"{patient.scratch}/long")
    if os.readlink(f"{patient.scratch}/long") != long:
        return Check("entries", "fail", "a symlink of 999 bytes was cut short", "Use another mount")
    detail = f"{_CONTENDERS} contenders for each of {_ROUNDS} entries, one winner each"
    return Check("entries", "ok", detail)


def _race(path: str) -> list[str]:
    start = threading.Barrier(_CONTENDERS)
    winners: list[str] = []

    def contend(name: str) -> None:
        start.wait()
        try:
            os.symlink(name, path)
        except FileExistsError:
            return
        winners.append(name)

    threads = [threading.Thread(target=contend, args=(str(n),)) for n in range(_CONTENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return winners


def segments(patient: Patient) -> Check:
    """What turning over a segment needs: an open directory follows a rename, and no directory is
    renamed onto one that holds something."""
    old, new = f"{patient.scratch}/draft", f"{patient.scratch}/segment"
    os.mkdir(old)
    directory = os.open(old, os.O_PATH | os.O_DIRECTORY)
    try:
        os.rename(old, new)
        os.symlink("late", "0", dir_fd=directory)
    finally:
        os.close(directory)
    if os.readlink(f"{new}/0") != "late":
        return Check("segments", "fail", "a renamed directory lost an entry", "Use another mount")
    os.mkdir(old)
    try:
        os.rename(old, new)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return Check("segments", "ok", "directories are renamed whole, and never over another")
        detail = f"a rename onto a full directory says {error.strerror!r} instead of what it is"
        return Check("segments", "fail", detail, "Don't use this mount for leases")
    advice = "Don't use this mount for leases"
    return Check("segments", "fail", "a directory was renamed over one that held entries", advice)


def heartbeat(patient: Patient) -> Check:
    """A beat is a number in a modification time, seen by whoever looks by path."""
    path = f"{patient.scratch}/beat"
    with open(path, "xb"):
        pass
    for counter in range(1, _ROUNDS + 1):
        os.utime(path, (counter, counter))
        seen = int(os.stat(path).st_mtime)
        if seen != counter:
            detail = f"beat {counter} was written and {seen} was read"
            return Check("heartbeat", "fail", detail, "Don't use this mount for leases")
    return Check("heartbeat", "ok", f"{_ROUNDS} beats, each seen at once")


def cost(patient: Patient) -> Check:
    commit, read, beat = symlink_cost(patient.scratch), _read_cost(patient), _beat_cost(patient)
    detail = f"symlink {_shown(commit)}, readlink {_shown(read)}, utime {_shown(beat)} (p50); "
    detail += f"an uncontended lease of a log costs about {_shown(2 * commit)}"
    if commit > 0.1:
        return Check("cost", "warn", detail, "Look at the load of the volume's server")
    return Check("cost", "ok", detail)


def _read_cost(patient: Patient) -> float:
    return p50(lambda number: os.readlink(f"{patient.scratch}/long"))


def _beat_cost(patient: Patient) -> float:
    return p50(lambda number: os.utime(f"{patient.scratch}/beat", (number, number)))


def _shown(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 0.001 else f"{seconds * 1e3:.1f} ms"


def locks(patient: Patient) -> Check:
    """POSIX locks: leases don't need them, but what wakes waiters may use them."""
    unneeded = "Nothing: leases don't use locks"
    found = locks_in(patient.scratch, shared=patient.verdict.shared)
    if found.trouble:
        return Check("locks", "warn", f"POSIX locks don't work: {found.trouble}", unneeded)
    detail = f"POSIX lock and unlock {_shown(found.lock_seconds)}, "
    detail += f"a symlink {_shown(found.symlink_seconds)} (p50)"
    if not found.excludes:
        return Check("locks", "warn", f"POSIX locks exclude nobody; {detail}", unneeded)
    if found.local_only:
        detail = f"LOCAL ONLY: locks never leave this host, they are too cheap for it; {detail}"
        return Check("locks", "warn", detail, f"{unneeded}; don't use them for anything else")
    where = "processes" if patient.verdict.shared else "processes of this host"
    return Check("locks", "ok", f"exclude other {where}; {detail}")


def skew(patient: Patient) -> Check:
    before = time.time()
    path = f"{patient.scratch}/now"
    with open(path, "xb") as file:
        file.write(b"now")
    ahead = os.stat(path).st_mtime - (before + time.time()) / 2
    detail = f"the server's clock and this host's differ by {abs(ahead):.1f} s"
    if abs(ahead) > 2:
        advice = "Set the clocks (NTP); leases compare none, but the times shown are off"
        return Check("skew", "warn", detail, advice)
    return Check("skew", "ok", f"{detail}; leases don't compare them")


def space(patient: Patient) -> Check:
    found = os.statvfs(patient.scratch)
    free = found.f_bavail * found.f_frsize
    detail = f"{free / (1 << 30):.1f} GiB free"
    if found.f_files:
        detail += f", {found.f_favail} inodes free"
    detail += "; a quota does not show here, only when a write fails (EDQUOT)"
    if found.f_files and found.f_favail < 1000:
        return Check("space", "warn", detail, "Remove files: leases need directory entries")
    if free < _LITTLE_SPACE:
        return Check("space", "warn", detail, "Free space: leases work on, writes of data fail")
    return Check("space", "ok", detail)
