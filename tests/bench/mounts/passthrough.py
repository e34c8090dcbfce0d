"""The program behind ``ThrottledMount``: shows a directory through FUSE, at a set speed.

``python -m tests.bench.mounts.passthrough BACKING MOUNT LIMITS``, with the limits as JSON (the
fields of ``Limits``). Ends when it is unmounted.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import mfusepy

from tests.bench.mounts import precedence
from tests.bench.mounts.meter import Meter

REQUEST_BYTES: Final = 1 << 20
"""The most that one request carries. Linux asks for 128 KiB unless told otherwise, twice: by the
mount option and at the first handshake. With either missing, a job does not get beyond 1 GB/s."""

LIGHT: Final = 500e6
"""Bytes a second that take little of a core here."""

KEPT_FLAGS: Final = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC
ATTRIBUTES: Final = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink", "st_ino", "st_blocks")
TIMES: Final = ("st_atime", "st_mtime", "st_ctime")
SPACE: Final = "f_bsize f_frsize f_blocks f_bfree f_bavail f_files f_ffree f_favail f_namemax"


class Passthrough(mfusepy.Operations):  # type: ignore[misc] # a base without types
    """Every call is carried out in the backing directory, when its time has come."""

    use_ns = True

    def __init__(self, backing: str, limits: dict[str, Any]) -> None:
        self._backing = backing
        self._limits = limits
        self._volume = Meter(limits["bytes_per_second"], limits["credit_bytes"])
        self._streams: dict[int, Meter] = {}

    def init_with_config(self, connection: Any, config: Any) -> None:
        connection.max_write = REQUEST_BYTES
        connection.max_read = REQUEST_BYTES
        connection.max_readahead = REQUEST_BYTES
        if config is not None:
            config.attr_timeout = config.entry_timeout = self._limits["attribute_cache_seconds"]

    # ---- data

    def open(self, path: str, flags: int) -> int:
        return self._opened(os.open(self._below(path), flags & KEPT_FLAGS))

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._metadata()
        # Exclusive creation and O_NOFOLLOW were decided by the kernel, on what getattr said.
        return self._opened(os.open(self._below(path), os.O_CREAT | os.O_RDWR | os.O_TRUNC, mode))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        data = os.pread(fh, size, offset)
        self._transfer(fh, len(data))
        return data

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._transfer(fh, len(data))
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._metadata()
        return 0  # what was written has gone through the meter; the memory beneath has no disk

    def release(self, path: str, fh: int) -> int:
        self._streams.pop(fh, None)
        os.close(fh)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._metadata()
        os.truncate(self._below(path), length)
        return 0

    def _opened(self, descriptor: int) -> int:
        limits = self._limits
        self._streams[descriptor] = Meter(
            limits["stream_bytes_per_second"], limits["stream_credit_bytes"]
        )
        return descriptor

    def _transfer(self, descriptor: int, count: int) -> None:
        if latency := self._limits["request_seconds"]:
            time.sleep(latency)
        self._streams[descriptor].pass_through(count)
        self._volume.pass_through(count)

    # ---- names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self._metadata()
        found = os.lstat(self._below(path))
        told = {name: getattr(found, name) for name in ATTRIBUTES}
        return told | {name: getattr(found, f"{name}_ns") for name in TIMES}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        self._metadata()
        yield from (".", "..", *os.listdir(self._below(path)))

    def mkdir(self, path: str, mode: int) -> int:
        self._metadata()
        os.mkdir(self._below(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._metadata()
        os.rmdir(self._below(path))
        return 0

    def unlink(self, path: str) -> int:
        self._metadata()
        os.unlink(self._below(path))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self._metadata()
        os.symlink(source, self._below(target))
        return 0

    def readlink(self, path: str) -> str:
        self._metadata()
        return os.readlink(self._below(path))

    def link(self, target: str, source: str) -> int:
        self._metadata()
        os.link(self._below(source), self._below(target))
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        if flags:
            raise mfusepy.FuseOSError(errno.EINVAL)
        self._metadata()
        os.rename(self._below(old), self._below(new))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._metadata()
        os.chmod(self._below(path), mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._metadata()
        now = time.time_ns()
        os.utime(self._below(path), ns=times or (now, now), follow_symlinks=False)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._below(path))
        return {name: getattr(found, name) for name in SPACE.split()}

    def _metadata(self) -> None:
        if latency := self._limits["metadata_seconds"]:
            time.sleep(latency)

    def _below(self, path: str) -> str:
        return self._backing + path


def main(backing: str, mount: str, limits: dict[str, Any]) -> None:
    mfusepy.FUSE(
        Passthrough(backing, limits),
        mount,
        foreground=True,
        nothreads=False,
        max_read=REQUEST_BYTES,
        fsname=limits["source"],
        subtype=limits["kind"],
        kernel_cache=limits["keeps_pages"],
        allow_other=True,
        default_permissions=True,
    )


if __name__ == "__main__":
    told = json.loads(sys.argv[3])
    if 0 < told["bytes_per_second"] <= LIGHT:
        precedence.real_time()
    main(sys.argv[1], sys.argv[2], told)
