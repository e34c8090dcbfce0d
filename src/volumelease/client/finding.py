"""Where a daemon's socket is. Every first lease asks, so nothing more is imported for it."""

from __future__ import annotations

import os

from volumelease.settings import Settings


def socket_of(path: str) -> str | None:
    """The socket to use: ``path`` if it is there; else, if that is only the usual place, the one in
    the user's own runtime directory; None where there is none."""
    if os.path.exists(path):
        return path
    own = own_socket()
    return own if path == Settings().socket and os.path.exists(own) else None


def own_socket() -> str:
    """Where a daemon listens that can't write /run."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/volumelease-{os.geteuid()}"
    return f"{runtime}/volumelease/daemon.sock"
