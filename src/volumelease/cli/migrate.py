"""``volumelease migrate``: move the leases of a volume to another authority."""

from __future__ import annotations

import json

import click

from .parameters import PathText, at_least
from .speech import one_line, say


@click.command()
@click.argument("directory", metavar="DIR", type=PathText())
@click.option(
    "--authority",
    type=click.Choice(["volume", "redis"]),
    required=True,
    help="What grants leases from then on: the volume's own log, or the Redis of "
    "VOLUMELEASE_REDIS_URL.",
)
@click.option(
    "--timeout",
    type=float,
    callback=at_least(0),
    metavar="S",
    help="Seconds to wait for those who hold something (for ever).",
)
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(directory: str, authority: str, timeout: float | None, as_json: bool) -> int:
    """Let another authority grant the leases of DIR.

    Waits until nobody holds any, ends the old authority for good, and begins the new one, whose
    tokens are larger. It grants after one ttl. Workers notice by themselves; they need the setting
    of the new one (VOLUMELEASE_REDIS_URL) before.

    Interrupted at any moment, nothing is lost: run it again.
    """
    from volumelease.leases.migrating import migrate
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate
    from volumelease.paths.resolve import resolve

    from .reading import patiently, while_it_answers

    real = patiently(lambda: resolve(directory), directory)
    root = patiently(lambda: locate(real, explicit=real), directory)
    volumes = Volumes(Surroundings.of_this_process())
    try:
        identity, changed = while_it_answers(
            lambda: migrate(root, authority, volumes, timeout),  # type: ignore[arg-type] # click has checked it
            directory,
        )
    finally:
        volumes.close()
    if as_json:
        say(
            json.dumps(
                {
                    "schema": 1,
                    "volume": {"id": identity.id, "root": real},
                    "authority": identity.authority,
                    "ttl_seconds": identity.ttl,
                    "changed": changed,
                }
            )
        )
    elif changed:
        say(
            f"{one_line(directory)} takes its leases from {identity.authority!r} now; the first is "
            f"granted after {identity.ttl + 1:g} s"
        )
    else:
        say(f"{one_line(directory)} takes its leases from {identity.authority!r} already")
    return 0
