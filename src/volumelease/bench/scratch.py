"""The directory of a run: its own, private, with a random name, and gone at the end.

Nothing of a user's is ever opened: files are made with O_EXCL and O_NOFOLLOW inside a directory
that this run made. What a killed run left is found by its name and its owner's file, and removed
by ``clean`` once it is certain that nobody uses it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Final, NamedTuple

from volumelease.host import ProcessFacts, provably_dead, this_process
from volumelease.paths.locate import BENCH_PREFIX

from .problems import BenchProblem, explain

PREFIX: Final = BENCH_PREFIX
_NAME: Final = re.compile(re.escape(PREFIX) + r"[0-9a-f]{16}")
_OWNER: Final = "owner.json"
BEAT_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 5.0
STALE_SECONDS: Final = 600.0
"""How long a run of another host may be silent before its directory counts as left."""


class Scratch:
    """``Scratch.make(directory)``: files of one run below one directory.

    ``budget_bytes`` is the space that they may take together; ``file`` refuses more.
    """

    def __init__(self, path: str, budget_bytes: int) -> None:
        self.path = path
        self.budget_bytes = budget_bytes
        self._reserved: dict[str, int] = {}
        self._device = os.stat(path).st_dev
        self._beaten = time.monotonic()

    @classmethod
    def make(cls, directory: str, budget_bytes: int) -> Scratch:
        """Errors: ``BenchProblem`` that says what is in the way."""
        path = os.path.join(directory, PREFIX + secrets.token_hex(8))
        try:
            os.mkdir(path, 0o700)
            with open(os.path.join(path, _OWNER), "x", encoding="utf-8") as file:
                json.dump(_owner(), file)
            return cls(path, budget_bytes)
        except BaseException as error:
            if not isinstance(error, FileExistsError):  # what is there already is another's
                shutil.rmtree(path, ignore_errors=True)
            if isinstance(error, OSError):
                explain(error, directory)
            raise

    def file(self, name: str, size_bytes: int) -> str:
        """The path of a file of that name, made if it isn't there, which may grow to that size.

        Errors: ``BenchProblem`` over the budget.
        """
        path = os.path.join(self.path, name)
        taken = sum(size for other, size in self._reserved.items() if other != name)
        if taken + size_bytes > self.budget_bytes:
            raise BenchProblem(
                f"{name} would take the benchmark over its budget of "
                f"{self.budget_bytes / 1e6:,.0f} MB",
                advice="Give it more: volumelease bench --budget 8G",
                path=path,
            )
        self._reserved[name] = max(size_bytes, self._reserved.get(name, 0))
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o600))
        return path

    def directory(self, name: str) -> str:
        """A new directory below it. Errors: ``OSError``."""
        path = os.path.join(self.path, name)
        os.mkdir(path, 0o700)
        return path

    def drop(self, name: str) -> None:
        """Remove a file or a directory of it, and give its budget back."""
        path = os.path.join(self.path, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._reserved.pop(name, None)

    def beat(self) -> None:
        """Tell other hosts that this run lives. Errors: ``BenchProblem`` when the directory is no
        longer where it was: then the disk beneath would be measured."""
        try:
            moved = os.stat(self.path).st_dev != self._device
        except OSError as error:
            explain(error, self.path)
        if moved:
            raise BenchProblem(
                f"{self.path} is on another file system than when the run began",
                advice="Mount the volume again, and start anew",
                path=self.path,
            )
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(os.path.join(self.path, _OWNER))

    def remove(self) -> None:
        """Remove all of it. What a job had open when it was killed may be there for a moment
        more. Errors: ``OSError``."""
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(self.path)
                return
            except OSError as error:
                if error.errno != errno.ENOTEMPTY or time.monotonic() > until:
                    raise
            time.sleep(0.1)


class Cleaned(NamedTuple):
    """What ``clean`` did with one directory: ``removed``, or why it is kept."""

    path: str
    removed: bool
    reason: str


def clean(directory: str) -> list[Cleaned]:
    """Remove what killed runs left in ``directory``; nothing else, and nothing that is in use.

    Of this boot of this host, where its process can be seen: as soon as that is gone, and never
    before. Of another one: after ten minutes without a sign of life, by the volume's own clock; a
    run there that was suspended for longer loses its directory. Errors: ``OSError``.
    """
    found = []
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            reason = _in_use(entry.path)
            if not reason:
                try:
                    shutil.rmtree(entry.path)
                except OSError as error:
                    reason = f"it can't be removed: {error.strerror}"
            found.append(Cleaned(entry.path, not reason, reason))
    return found


def _owner() -> dict[str, object]:
    return {
        "what": "a run of volumelease bench; volumelease bench clean removes it when it is over",
        "process": list(this_process()),
    }


def _in_use(path: str) -> str:
    """Why a directory has to stay; "" when it may go."""
    status = os.lstat(path)
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    owner = Path(path, _OWNER)
    try:
        last = owner.stat().st_mtime
        facts = ProcessFacts(*json.loads(owner.read_text(encoding="utf-8"))["process"])
        here = this_process()
        if provably_dead(facts, here):
            return ""
        is_seen = _seen_from(here, facts)
        who = f"process {facts.pid} on {facts.hostname}"
    except (OSError, ValueError, KeyError, TypeError):
        # Or was killed before it wrote that.
        last, who, is_seen = status.st_mtime, "a run that begins", False
    silent = _now_there(path) - last
    if silent >= STALE_SECONDS and not is_seen:
        return ""
    uses = "uses" if is_seen else "may use"
    return f"{who} {uses} it: its last sign of life was {max(0.0, silent):.0f} s ago"


def _seen_from(here: ProcessFacts, facts: ProcessFacts) -> bool:
    """Whether that process would be known to have ended: then its silence proves nothing."""
    told = (facts.hostname, facts.boot_id, facts.pid_namespace)
    return bool(all(told) and facts.start_time) and told == (
        here.hostname,
        here.boot_id,
        here.pid_namespace,
    )


def _now_there(path: str) -> float:
    """The time by the volume's clock."""
    os.utime(path)
    return os.stat(path).st_mtime
