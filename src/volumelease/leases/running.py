"""A program run under a lease: kept to what is leased, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from volumelease.enforce import landlock, sandbox
from volumelease.errors import EnforcementMissing

if TYPE_CHECKING:
    from volumelease.enforce.levels import Level

    from .lease import Lease

_STUBBORN_SECONDS: Final = 1.0
"""What hangs in the kernel dies when its call returns; it is not waited for."""


def run(
    lease: Lease,
    args: Sequence[str | os.PathLike[str]] | str,
    require: Level | None,
    options: dict[str, Any],
) -> subprocess.CompletedProcess[Any]:
    """See ``Lease.run``."""
    lease.check()
    timeout, check = options.pop("timeout", None), options.pop("check", False)
    given = options.pop("input", None)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    for taken in ("preexec_fn", "process_group", "start_new_session"):
        if taken in options:
            raise ValueError(f"{taken}: lease.run needs it for itself")
    rules = _rules(lease, require)
    level: Level = "none" if rules is None else "landlock"
    options["env"] = _environment(lease, options.pop("env", None), level)
    try:
        process = _start(args, rules, options)
    finally:
        if rules is not None:
            os.close(rules.number)
    out, err = _Watch(lease, process).until_it_ends(given, timeout)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _rules(lease: Lease, require: Level | None) -> landlock.Ruleset | None:
    """None: this kernel has no Landlock, and nobody insists. Errors: ``EnforcementMissing``;
    those of ``sandbox``."""
    terms = lease._terms
    names = [claim.path for claim in terms.asked] if lease.mode == "exclusive" else []
    drafts = [os.path.dirname(place) for place in list(lease._root._drafts)]
    try:
        if require == "supervised":
            raise landlock.LandlockMissing(0, "this version has no level supervised")
        return sandbox.ruleset(sandbox.plan(terms.root, names, drafts))
    except landlock.LandlockMissing as error:
        if require is not None and require != "none":
            raise EnforcementMissing(
                f"level {require} is required, and can't be had here: {error.strerror}",
                level=require,
                reason=error.strerror,
            ) from None
        terms.volumes.tell_once(
            f"volumelease: enforcement: level none for what lease.run starts: {error.strerror}"
        )
        return None


def _environment(lease: Lease, given: Any, level: Level) -> dict[str, str]:
    return {
        **(os.environ if given is None else given),
        "VOLUMELEASE_TOKEN": str(lease.token),
        "VOLUMELEASE_PATHS": os.pathsep.join(lease.paths),
        "VOLUMELEASE_MODE": lease.mode,
        "VOLUMELEASE_ENFORCEMENT": level,
    }


def _start(
    args: Any, rules: landlock.Ruleset | None, options: dict[str, Any]
) -> subprocess.Popen[Any]:
    """In a process group of its own, so that all of it can be ended."""
    # Not a thread that confines itself and starts it: the program must die with this process, or
    # it writes on while the next holder does, and that is asked for between fork and exec, by
    # calls of C that were looked up before.
    confinement = landlock.Confinement(-1 if rules is None else rules.number)
    try:
        return subprocess.Popen(
            args,
            preexec_fn=confinement,  # noqa: PLW1509 - see above
            process_group=0,
            **options,
        )
    except subprocess.SubprocessError as error:
        raise EnforcementMissing(
            f"the program was not started, because its sandbox could not be set up: {error}",
            level="landlock",
            reason=str(error),
        ) from None


class _Watch:
    """Ends a program with the lease that it runs under."""

    def __init__(self, lease: Lease, process: subprocess.Popen[Any]) -> None:
        self._lease = lease
        self._process = process
        self._lock = threading.Lock()
        self._ended = False
        self._told = False

    def until_it_ends(self, given: Any, timeout: float | None) -> tuple[Any, Any]:
        """What it wrote. Errors: ``LeaseLost``, ``subprocess.TimeoutExpired``."""
        stop = self._lease._hosted.on_change(self._look)
        try:
            written: tuple[Any, Any] = self._process.communicate(given, timeout=timeout)
        finally:
            stop()
            self._signal(signal.SIGKILL)
            with self._lock:
                self._ended = True
            with suppress(subprocess.TimeoutExpired, ValueError):
                self._process.communicate(timeout=_STUBBORN_SECONDS)
        if self._told:
            self._lease.check()
        return written

    def _look(self) -> None:
        """In the thread that watches the session: SIGTERM, and SIGKILL before another session
        may take over."""
        if not self._told and self._lease.lost:
            self._told = True
            self._signal(signal.SIGTERM)
            seconds = self._lease._hosted.last_seconds() / 2
            timer = threading.Timer(seconds, self._signal, (signal.SIGKILL,))
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # no thread can be made: better at once than never
                self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock, suppress(ProcessLookupError):
            if not self._ended and self._process.returncode is None:
                os.killpg(self._process.pid, number)
