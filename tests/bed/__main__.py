"""``python -m tests.bed``: a bed to play with, until Ctrl-C or the end of stdin."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from . import BedError, MooseFsBed, missing


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bed",
        description="Start a MooseFS volume with several hosts, print their mount points one a "
        "line, and keep it until SIGINT, SIGTERM or the end of stdin.",
    )
    parser.add_argument("--hosts", type=int, default=2, help="how many hosts mount it (default 2)")
    parser.add_argument("--directory", type=Path, help="where to make it (default: temporary)")
    arguments = parser.parse_args()
    if reason := missing():
        print(f"error: no test bed here\ntry: {reason}", file=sys.stderr)
        return 78
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            MooseFsBed(arguments.hosts, arguments.directory) as bed,
            contextlib.suppress(KeyboardInterrupt),
        ):
            show(bed)
            sys.stdin.read()
    except KeyboardInterrupt:  # while it was starting: it has taken itself down
        return 130
    except (BedError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def show(bed: MooseFsBed) -> None:
    for host in bed.hosts:
        print(host.mount, flush=True)
        print(f"  {host.name}: {' '.join(host.command(['COMMAND']))}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
