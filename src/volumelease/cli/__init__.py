"""The command line: says things to people, decides nothing about leases."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; errors are two lines on stderr."""
    from .program import run

    return run(arguments)
