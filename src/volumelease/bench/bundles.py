"""The tasks of small files: the same bytes as many files, and as one tar; and of checkpoints."""

from __future__ import annotations

import io
import mmap
import os
import random
import tarfile
import time
from collections.abc import Iterator
from typing import Any, Final

from .contents import Contents
from .job import Job
from .residency import forget

SMALLEST: Final = 4096
LARGEST: Final = 255 * 1024
CHUNK: Final = 1 << 20


def sizes(total_bytes: int, seed: str) -> list[int]:
    """Sizes of files under 256 KiB that make up about that many bytes, small ones more often."""
    chance = random.Random(f"{seed}:sizes")
    found: list[int] = []
    left = total_bytes
    while left > 0:
        size = int(SMALLEST * (LARGEST / SMALLEST) ** chance.random())
        found.append(min(size, left))
        left -= found[-1]
    return found


def write_files(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write many files and fsync each: as a download does that must not be lost."""

    def each(path: str, data: memoryview) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    return _counted(job, parameters, _files(parameters), each)


def read_files(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read them again, from the volume."""
    for number, _ in enumerate(sizes(parameters["bytes"], parameters["seed"])):
        _forget(_name(parameters, number))

    def each(path: str, data: memoryview) -> None:
        with open(path, "rb", buffering=0) as file:
            _compare(file.read(), data, path)

    return _counted(job, parameters, _files(parameters), each)


def write_tar(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write the same into one tar, and fsync that once."""
    path = parameters["directory"] + "/bundle.tar"
    with open(path, "xb", buffering=CHUNK) as file, tarfile.open(fileobj=file, mode="w|") as tar:

        def each(name: str, data: memoryview) -> None:
            member = tarfile.TarInfo(os.path.basename(name))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        def end() -> None:
            tar.close()
            file.flush()
            os.fsync(file.fileno())

        return _counted(job, parameters, _files(parameters), each, end)


def read_tar(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read all members of that tar."""
    path = parameters["directory"] + "/bundle.tar"
    _forget(path)
    with open(path, "rb", buffering=CHUNK) as file, tarfile.open(fileobj=file, mode="r|") as tar:

        def each(name: str, data: memoryview) -> None:
            member = tar.next()
            inside = None if member is None else tar.extractfile(member)
            _compare(b"" if inside is None else inside.read(), data, name)

        return _counted(job, parameters, _files(parameters), each)


def checkpoint(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write ``bytes`` to a draft, fsync it, rename it to what readers see, fsync the directory:
    a checkpoint counts when all of that is done."""
    directory, contents = parameters["directory"], Contents(parameters["seed"], "checkpoint")
    draft = directory + "/draft"
    began = job.begin()
    with open(draft, "xb", buffering=0) as file:
        for at in range(0, parameters["bytes"], CHUNK):
            if job.slot.told_to_stop():
                break
            if at % len(contents.view) == 0:
                contents.turn_to(at // len(contents.view), 0)
            first = at % len(contents.view)
            file.write(contents.view[first : first + CHUNK])
        written = time.monotonic_ns()
        os.fsync(file.fileno())
        synced = time.monotonic_ns()
    os.rename(draft, directory + "/checkpoint")
    _sync_directory(directory)
    done = time.monotonic_ns()
    job.slot.count(parameters["bytes"], done - began)
    job.slot.count_more(1, 0, time.process_time_ns())
    return {
        "bytes": parameters["bytes"],
        "operations": 1,
        "write_seconds": (written - began) / 1e9,
        "fsync_seconds": (synced - written) / 1e9,
        "publish_seconds": (done - synced) / 1e9,
        "done_seconds": (done - began) / 1e9,
    }


def _files(parameters: dict[str, Any]) -> Iterator[tuple[str, memoryview]]:
    """Prepared when this returns: only the turning of contents is left to when each is asked for,
    and whoever times them must not time how they were made up."""
    contents = Contents(parameters["seed"], "small")
    found = sizes(parameters["bytes"], parameters["seed"])

    def each() -> Iterator[tuple[str, memoryview]]:
        at = 0
        for number, size in enumerate(found):
            at = at if at + size <= len(contents.view) else 0
            contents.turn_to(number, 0)
            yield _name(parameters, number), contents.view[at : at + size]
            at += -(-size // mmap.PAGESIZE) * mmap.PAGESIZE

    return each()


def _name(parameters: dict[str, Any], number: int) -> str:
    return f"{parameters['directory']}/file-{number:06d}"


def _counted(
    job: Job,
    parameters: dict[str, Any],
    files: Iterator[tuple[str, memoryview]],
    each: Any,
    end: Any = None,
) -> dict[str, Any]:
    began = job.begin()
    done = count = 0
    for path, data in files:
        if job.slot.told_to_stop():
            break
        each(path, data)
        done += len(data)
        count += 1
        job.slot.count(done, time.monotonic_ns() - began)
    if end is not None:
        end()
    finished = time.monotonic_ns()
    job.slot.count(done, finished - began)
    job.slot.count_more(count, 0, time.process_time_ns())
    return {"bytes": done, "operations": count, "done_seconds": (finished - began) / 1e9}


def _compare(found: bytes, wanted: memoryview, path: str) -> None:
    if found != wanted:
        raise OSError(5, f"{path} does not hold what was written to it")


def _forget(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        forget(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
