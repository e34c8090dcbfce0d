"""``volumelease exporter``: metrics and the status page of a whole fleet, on one address."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import click

from .parameters import PathText
from .speech import Problem, note, say

if TYPE_CHECKING:
    from volumelease.serving.server import Server
    from volumelease.settings import Settings

    from .fleet_views import FleetViews
    from .places import Place

DEFAULT: Final = ":9110"
DAEMONS: Final = "127.0.0.1:9109"


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from volumelease.settings import is_address

    if value is not None and not is_address(value) and not value.endswith(":0"):
        raise click.BadParameter(
            f"{value} is not HOST:PORT, nor :PORT for every address of this machine",
            context,
            parameter,
        )
    return value


@click.command(short_help="Serve metrics and status of a whole fleet over HTTP.")
@click.argument("path", required=False, metavar="[PATH]", type=PathText())
@click.option(
    "--listen",
    callback=_address,
    metavar="HOST:PORT",
    help="Instead of VOLUMELEASE_HTTP, or :9110.",
)
def command(path: str | None, listen: str | None) -> int:
    """Serve what the whole fleet of a volume counted, and who holds what, until it is ended.

    /metrics for Prometheus, / for people, /api/v1/status and /api/v1/history for programs, /healthz
    and /readyz for what watches containers. PATH is the volume or something on it. Workers leave
    their counts on the volume (or in the Redis that keeps its leases), so they need not be
    reachable, and what they counted stays when they are gone.

    With VOLUMELEASE_ROOTS it also looks for writes below them that no lease covers.

    VOLUMELEASE_HTTP_TOKEN_FILE asks every client for a token; VOLUMELEASE_HTTP_CERT_FILE and
    VOLUMELEASE_HTTP_KEY_FILE turn TLS on.

    Limit: it takes no part in leases. Without a token, whoever reaches the port can read it.
    """
    from .places import place_of, settings_of_this_process
    from .reading import patiently

    settings = settings_of_this_process()
    place = patiently(lambda: place_of(path), path or "the volume")
    server, views = _serve(place, settings, listen)
    say(f"serving {place.root} on {server.url}")
    _until_ended()
    server.close()
    views.close()
    return 0


def _serve(place: Place, settings: Settings, listen: str | None) -> tuple[Server, FleetViews]:
    try:
        from volumelease.serving.server import Server
        from volumelease.settings import HTTP_OFF

        from .fleet_views import FleetViews
    except ImportError as error:
        raise Problem(
            f"the exporter needs a package that is not installed: {error.name}",
            advice="pip install volumelease[metrics]",
        ) from error
    address = listen or (DEFAULT if settings.http in (DAEMONS, HTTP_OFF) else settings.http)
    views = FleetViews(place, settings, note)
    server = Server(
        address,
        views.views(),
        token_file=settings.http_token_file,
        cert_file=settings.http_cert_file,
        key_file=settings.http_key_file,
    )
    server.start()
    views.start()
    return server, views


def _until_ended() -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(3600.0):
        continue
