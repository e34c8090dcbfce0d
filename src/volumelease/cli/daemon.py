"""``volumelease daemon``: hosts the leases of all processes of a container."""

from __future__ import annotations

import logging
import os
import sys

import click

from .places import settings_of_this_process
from .speech import note


@click.command(
    "daemon",
    short_help="host the leases of this container's processes",
    help="Host the leases of this container's processes, so that they outlive a handler that is "
    "busy and end with one that died. Processes use it by themselves as soon as its socket is "
    "there (VOLUMELEASE_SOCKET, else /run/volumelease/daemon.sock, else the user's runtime "
    "directory).\n\nSIGTERM ends it: leases in use go on if another daemon is started before "
    "their deadline.",
)
@click.option("--socket", help="Where to listen.", type=click.Path(dir_okay=False))
def command(socket: str | None) -> int:
    from volumelease.daemon.running import serve
    from volumelease.leases.volumes import Surroundings

    from .showing import Showing

    settings = settings_of_this_process()
    logging.basicConfig(level=settings.log.upper(), stream=sys.stderr, format="%(message)s")
    path = socket or listening_place(settings.socket)
    surroundings = Surroundings.of_this_process()
    showing = Showing(surroundings.settings, note)

    def started() -> None:
        note(f"listening on {path}")
        showing.start()

    serve(path, surroundings, note, started, opened=showing.opened)
    return 0


def listening_place(wanted: str) -> str:
    """``wanted`` where its directory can be written, or made, or somebody asked for it; else the
    user's own place."""
    from volumelease.client.finding import own_socket
    from volumelease.settings import Settings

    if wanted != Settings().socket:
        return wanted
    folder = os.path.dirname(wanted)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return wanted if os.access(folder or "/", os.W_OK) else own_socket()
