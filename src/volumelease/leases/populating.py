"""``populate``: one worker of the fleet builds, all others wait and use what it built."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from volumelease.errors import LeaseError, PathInvalid
from volumelease.model import Claim
from volumelease.paths.resolve import CONTROL, text_of

from .asking import volume_lease
from .flows import clock_time
from .order import AnyPath
from .staging import Stage

if TYPE_CHECKING:
    from volumelease.paths.locate import VolumeRoot

    from .volumes import Volumes

FIRST_REPORT_SECONDS: Final = 5.0
REPORT_SECONDS: Final = 15.0


def populate(
    path: AnyPath,
    build: Callable[[Path], Any],
    *,
    timeout: float | None = None,
    resume: bool = False,
    reason: str | None = None,
    report: Callable[[str], None] | None = None,
    volumes: Volumes | None = None,
) -> Path:
    """The published ``path``; if it is not there yet, one worker of the fleet runs ``build``.

    ``build(draft)`` writes a file or a directory at ``draft``, which is then published in one
    step. Everybody else waits, for at most ``timeout`` seconds (None: for ever), and gets the
    result; a line every quarter of a minute says who builds and how far it is (to the log, or to
    ``report``). If ``build`` raises, nothing is left, its caller gets the exception and the next
    waiter tries; if its process dies, the next one takes its place.

    ``resume=True`` gives the next builder what a dead one had written so far: ``draft`` then
    exists when ``build`` is called, so ``build`` must be able to go on from any state (as
    ``huggingface_hub``, ``rsync`` and ``curl -C -`` are). Late writes of the dead one don't reach
    it.

    Promise: built once at a time, and never seen half-written. Limit: what exists at ``path`` and
    is a file is taken for published, whoever made it. Errors: those of ``volume_lease`` and
    ``Lease.stage``, and what ``build`` raises; ``PathInvalid`` if a directory that was not
    published is in the way.
    """
    chosen = volumes or _of_this_process()
    if timeout is not None and (isinstance(timeout, bool) or not timeout >= 0):
        raise ValueError(f"timeout={timeout!r}: seconds, 0 to try once, None to wait for ever")
    root, where = chosen.find(path)
    target = Claim(where.display, where.key)
    result = Path(text_of(path))
    if is_published(path):
        return result
    say = report or chosen.surroundings.report
    wanted = volume_lease(
        path, timeout=timeout, reason=reason or "populate", volumes=volumes, on_lost="raise"
    )
    with reporting(chosen, root, target, str(result), say) as stop, wanted as lease:
        stop.set()
        if not is_published(path):
            stage = Stage(lease, path, resume=resume)
            with stage as draft:
                if stage.resumed:
                    say(f"going on with {result} where a builder that died left off")
                build(draft)
    return result


def _of_this_process() -> Volumes:
    from .process import of_this_process

    return of_this_process()


def is_published(path: AnyPath) -> bool:
    """Errors: ``PathInvalid`` for a directory that nobody published."""
    text = text_of(path)
    try:
        found = os.stat(text)
    except OSError:  # not there, or a link that leads nowhere: build it
        return False
    if not stat.S_ISDIR(found.st_mode):
        return True
    if f"/{CONTROL}/" in os.path.realpath(text):
        return True
    with suppress(OSError):
        if not os.listdir(text):
            return False  # made ahead; publishing replaces it
    raise PathInvalid(
        f"{text} is a directory that was not published, so nobody knows whether it is complete",
        advice=f"If it is: volumelease adopt {text}. If not, move it away",
        path=text,
    )


# ---- waiting, with words


@contextmanager
def reporting(
    volumes: Volumes,
    root: VolumeRoot,
    target: Claim,
    shown: str,
    say: Callable[[str], None],
    every: float | None = None,
) -> Iterator[threading.Event]:
    """While the block waits, say now and then (or ``every`` so many seconds) who builds and how
    far it is."""
    stop = threading.Event()
    started = time.monotonic()

    def tell() -> None:
        pause = every or FIRST_REPORT_SECONDS
        while not stop.wait(pause):
            asked = time.monotonic()
            with suppress(LeaseError, OSError):
                line = _progress(volumes, root, target)
                if line and not stop.is_set():
                    say(f"waiting for {shown} for {time.monotonic() - started:.0f} s: {line}")
            # Measuring a large tree must stay a small part of what the volume has to do.
            pause = max(every or REPORT_SECONDS, 20 * (time.monotonic() - asked))

    threading.Thread(target=tell, name="volumelease-progress", daemon=True).start()
    try:
        yield stop
    finally:
        stop.set()


def _progress(volumes: Volumes, root: VolumeRoot, target: Claim) -> str:
    hosted = volumes.hosted(root)
    if hosted is None:
        return ""
    builder = hosted.who_holds(target)
    contents = hosted.under_way(target)
    if builder is None:
        return ""
    since = clock_time(builder.since)
    if contents is None:
        return f"{builder} has it since {since}"
    so_far = f"{_amount(contents.bytes)} in {contents.files} files so far"
    return f"{builder} builds it since {since}, {so_far}"


def _amount(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
