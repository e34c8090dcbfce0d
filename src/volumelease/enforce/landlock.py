"""Landlock: rules that the kernel keeps for a thread and all that it starts, without privilege.

Three system calls, their numbers the same on every architecture that Linux adds calls to at once.
Called by their numbers because the C library has no names for them, and from a module of our own
because they are made between fork and exec, where nothing may be imported or allocated at length.

Limits: rules only allow, and bind to the files that are there when they are made; chmod, chown,
utime and xattr are no right that Landlock knows; a descriptor that is open already stays usable.
Source: landlock(7), Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Any, Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_SET_NO_NEW_PRIVS: Final = 38
_SET_PDEATHSIG: Final = 1
_SIGKILL: Final = 9

_WRITE_FILE: Final = 1 << 1
_TRUNCATE: Final = 1 << 14
_REFER: Final = 1 << 13
_FILE_RIGHTS: Final = _WRITE_FILE | _TRUNCATE
_WRITES: Final = sum(1 << bit for bit in range(4, 13)) | _WRITE_FILE
"""ABI 1: WRITE_FILE, REMOVE_DIR, REMOVE_FILE and MAKE_ of each kind."""


class LandlockMissing(OSError):
    """This kernel, or what filters its calls, does not let us have Landlock."""


class _RulesetAttributes(ctypes.Structure):
    """Only its first field, which every version of the call takes."""

    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@cache
def _libc() -> ctypes.CDLL:
    """Opened once: each opening makes a class, which costs more than the calls."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _syscall(number: int, *arguments: Any) -> int:
    """Errors: ``OSError``."""
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """The version of Landlock that this kernel has, from 1. Errors: ``LandlockMissing``, in words
    for a person."""
    try:
        none, flag = ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)
        return _syscall(_CREATE_RULESET, None, none, flag)
    except OSError as error:
        raise LandlockMissing(error.errno, _REASONS.get(error.errno or 0, str(error))) from None


_REASONS: Final = {
    errno.ENOSYS: "this kernel has no Landlock (Linux 5.13 or later), or a seccomp profile hides "
    "it",
    errno.EOPNOTSUPP: "Landlock is switched off in this kernel (its boot parameter lsm= does not "
    "name it)",
    errno.EPERM: "a seccomp profile of this container forbids Landlock",
    errno.EACCES: "a security policy of this container forbids Landlock",
}


def rights(version: int) -> int:
    """The rights to write that this version can withhold. Before 2 a file can't be moved to
    another directory, before 3 a file can be truncated anywhere."""
    return _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)


class Ruleset:
    """Everything that writes is denied, but what ``allow`` names. Close it with ``os.close``."""

    def __init__(self) -> None:
        self.version = abi()
        self._rights = rights(self.version)
        attributes = _RulesetAttributes(self._rights)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        self.number = _syscall(_CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint32(0))

    def allow(self, descriptor: int, *, directory: bool) -> None:
        """Writes to what is open there (O_PATH will do), and beneath it. Errors: ``OSError`` for
        what no rule can name (a pipe)."""
        allowed = self._rights if directory else self._rights & _FILE_RIGHTS
        rule = ctypes.byref(_PathBeneath(allowed, descriptor))
        _syscall(_ADD_RULE, self.number, ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))


class Confinement:
    """A call for ``preexec_fn``: the new process keeps to the ruleset from its first instruction,
    can gain no privileges, and dies with the thread that started it.

    Everything is looked up before the fork: another thread may hold any lock of Python's at that
    moment, and the child would wait for it for ever.
    """

    def __init__(self, ruleset: int) -> None:
        self._prctl, self._call = _libc().prctl, _libc().syscall
        zero = ctypes.c_ulong(0)
        one = ctypes.c_ulong(1)
        self._death = (_SET_PDEATHSIG, ctypes.c_ulong(_SIGKILL), zero, zero, zero)
        self._modesty = (_SET_NO_NEW_PRIVS, one, zero, zero, zero)
        self._limits = (ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0))
        self._confined = ruleset >= 0
        self._parent = os.getpid()

    def __call__(self) -> None:
        """Errors: ``OSError``, which ``subprocess`` reports."""
        failed = self._prctl(*self._death) != 0
        if os.getppid() != self._parent:  # it died before that was asked for
            os._exit(127)
        if self._confined:
            failed = failed or self._prctl(*self._modesty) != 0 or self._call(*self._limits) != 0
        if failed:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def confine(ruleset: Ruleset) -> None:
    """Keep this thread, and all that it starts, to the ruleset: for good. Errors: ``OSError``."""
    zero = ctypes.c_ulong(0)
    if _libc().prctl(_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    _syscall(_RESTRICT_SELF, ctypes.c_int(ruleset.number), ctypes.c_uint32(0))
    os.close(ruleset.number)
