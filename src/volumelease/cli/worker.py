"""``volumelease worker``: a container's command, with a daemon for it."""

from __future__ import annotations

import logging
import sys

import click

from .daemon import listening_place
from .places import settings_of_this_process

PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(
    "worker",
    short_help="run a container's command with a daemon for it",
    context_settings=PASSED_ON,
    help="Run COMMAND, the handler of a container, and host the leases of everything in the "
    "container (see: volumelease daemon). Made to be the container's entry point: it buries "
    "orphans, hands signals on and returns the exit code of the command. SIGTERM gives the "
    "command --grace seconds, then everything ends.\n\nWhat a handler that died left running is "
    "ended if it could still write what was leased. As PID 1 of its container it lets other hosts "
    "see when the container was killed, so that they need not wait for the ttl.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Seconds between SIGTERM and SIGKILL.",
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def command(grace: float, words: tuple[str, ...]) -> int:
    from .charge import Charge, serve

    settings = settings_of_this_process()
    path = listening_place(settings.socket)
    charge = Charge(words, grace, {"VOLUMELEASE_SOCKET": path})
    logging.basicConfig(level=settings.log.upper(), stream=sys.stderr, format="%(message)s")
    return serve(charge, path)
