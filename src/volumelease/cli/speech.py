"""How the command line speaks: plain lines, two-line errors, tables for a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import click

from volumelease.errors import LeaseError


class Problem(LeaseError):
    """Something that only the command line can find wrong. ``exit_code`` is what it ends with."""

    def __init__(self, what: str, *, advice: str = "", exit_code: int = 1, **facts: Any) -> None:
        super().__init__(what, advice=advice, exit_code=exit_code, **facts)
        self.exit_code = exit_code


def complain(what: str, advice: str) -> None:
    """The two lines of an error, on stderr."""
    advice = advice or "volumelease doctor"
    if advice[:2].istitle():
        advice = advice[0].lower() + advice[1:]
    _to_stderr(f"error: {one_line(what).rstrip('.')}")
    _to_stderr(f"try: {one_line(advice)}")


def note(text: str) -> None:
    """Something a person should know while the command goes on, on stderr."""
    _to_stderr(f"volumelease: {one_line(text.removeprefix('volumelease: '))}")


def _to_stderr(line: str) -> None:
    """Whoever read it may be gone (a terminal that hung up): the work goes on, and its exit code
    stays."""
    with suppress(OSError):
        click.echo(line, err=True)


def say(text: str = "") -> None:
    """A line of the result, on stdout, at once: whoever reads a pipe is watching too."""
    click.echo(text)
    sys.stdout.flush()


def one_line(text: str) -> str:
    """``text`` without anything that could move a terminal's cursor: names on a volume are made
    by others, and may hold any byte but the slash and NUL."""
    words = " ".join(text.splitlines()) if "\n" in text else text
    return "".join(c if c.isprintable() else _escaped(c) for c in words)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def seconds(value: float) -> str:
    """A duration for a person, in at most two units."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, left = divmod(int(value), 60)
    if minutes < 60:
        return f"{minutes} min {left} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def moment(wall: float) -> str:
    """A time of day for a person, with its date, in UTC: workers sit in many time zones."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall))
    except (ValueError, OverflowError, OSError):  # whatever somebody wrote into a log
        return f"{wall:g}"


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def who(worker: str, endpoint: str, pid: int, host: str) -> str:
    """A process on one line: worker and endpoint where it has them, process and host always."""
    words = [f"worker {worker}" if worker else "", f"endpoint {endpoint}" if endpoint else ""]
    named = " of ".join(word for word in words if word)
    process = f"pid {pid} on {host}"
    return one_line(f"{named} ({process})" if named else process)


def on_terminal() -> bool:
    """Whether a person looks at stdout, rather than a pipe."""
    return sys.stdout is not None and sys.stdout.isatty()
