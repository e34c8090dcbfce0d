"""``volumelease doctor``: proves, on this machine and mount, what works."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import click

from .parameters import PathText
from .speech import Problem, note, one_line, say

if TYPE_CHECKING:
    from volumelease.authorities.redis.addresses import RedisAddress

    from .checks import Check, Patient
    from .peering import Peering

LIMIT: Final = (
    "not proven from one host: that two hosts see one order of entries; the kind of the mount "
    "speaks for it, or not (volumelease doctor --peer proves it)"
)
LIMIT_OF_REDIS: Final = (
    "not proven from here: that every worker reaches it, and what it does when it fails over"
)
LIMIT_OF_TWO: Final = "two hosts were tried, as they are mounted now, without anything going wrong"


@click.command(short_help="Try out what leases need, here and on the mount.")
@click.argument("directory", required=False, metavar="[DIR]", type=PathText())
@click.option("--peer", is_flag=True, help="Together with another host that runs the same now.")
@click.option("--redis", is_flag=True, help="Only the configured Redis, as an authority.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(directory: str | None, peer: bool, redis: bool, as_json: bool) -> int:
    """Try out what leases need, on this machine and on the mount of DIR.

    Makes a directory of its own there and removes it again. DIR need not be a volume yet; without
    it, the volume of the working directory, else the mounted network volume. A Redis that is
    configured (VOLUMELEASE_REDIS_URL) is tried out too.

    --peer: start it on two hosts within a minute. They prove to each other that both
    see one order of entries, and how soon, and leave the verdict in DIR/.volumelease-peer: on a
    file system that nobody measured, a volume is made only where it was proved.

    --redis: no volume is needed; the configured Redis is judged as if it were to grant leases.

    Limit: one host can't prove what two hosts see; two can't prove what a third one does. Exit
    code 1 when something does not work.
    """
    from volumelease.authorities.redis.addresses import address_in

    from .places import settings_of_this_process

    address = address_in(settings_of_this_process())
    if redis:
        return _redis_alone(address, directory is not None or peer, as_json)
    return _volume(directory, address, peer, as_json)


def _volume(directory: str | None, address: RedisAddress | None, peer: bool, as_json: bool) -> int:
    from .checks import examine, patient_of
    from .reading import patiently

    patient = patiently(lambda: patient_of(directory), directory or "the volume")
    checks = _told(chain(examine(patient), _of_redis(patient, address)), aloud=not as_json)
    peering = _with_peer(patient, checks, aloud=not as_json) if peer else None
    if as_json:
        say(json.dumps(_document(patient, checks, peering) | _about(address)))
    else:
        say(f"limit: {LIMIT_OF_TWO if peer else LIMIT}")
    return _exit_code(checks)


def _of_redis(patient: Patient, address: RedisAddress | None) -> Iterator[Check]:
    if address is not None:
        from . import redis_checks

        grants, ttl = redis_checks.purpose(patient)
        yield from redis_checks.examine(address, grants=grants, ttl=ttl)


def _redis_alone(address: RedisAddress | None, more: bool, as_json: bool) -> int:
    from . import redis_checks

    if more:
        raise click.UsageError("--redis goes with no DIR and no --peer")
    if address is None:
        raise Problem(
            "no Redis is configured", advice="Set VOLUMELEASE_REDIS_URL to its address", exit_code=2
        )
    _, ttl = redis_checks.purpose(None)
    checks = _told(redis_checks.examine(address, grants=True, ttl=ttl), aloud=not as_json)
    if as_json:
        found = {"schema": 1, "checks": _as_documents(checks), "limit": LIMIT_OF_REDIS}
        say(json.dumps(found | _about(address)))
    else:
        say(f"limit: {LIMIT_OF_REDIS}")
    return _exit_code(checks)


def _about(address: RedisAddress | None) -> dict[str, Any]:
    return {"redis": None if address is None else str(address)}


def _told(checks: Iterable[Check], *, aloud: bool) -> list[Check]:
    """All of them, each told as soon as it is known."""
    found = []
    for check in checks:
        found.append(check)
        if aloud:
            _tell(check)
    return found


def _exit_code(checks: Iterable[Check]) -> int:
    return 1 if any(check.outcome == "fail" for check in checks) else 0


def _with_peer(patient: Patient, checks: list[Check], *, aloud: bool) -> Peering:
    from .peering import Peering

    peering = Peering(patient, list(checks))
    note("now start the same on another host, within a minute")
    for check in peering.examine():
        checks.append(check)
        if aloud:
            _tell(check)
    return peering


def _document(patient: Patient, checks: Iterable[Check], peering: Peering | None) -> dict[str, Any]:
    more = {"peer": peering.as_document()} if peering else {}
    return {
        "schema": 1,
        "directory": patient.directory,
        "fstype": patient.mount.fstype,
        "source": patient.mount.source,
        "checks": _as_documents(checks),
        "limit": LIMIT_OF_TWO if peering else LIMIT,
        **more,
    }


def _as_documents(checks: Iterable[Check]) -> list[dict[str, str]]:
    return [
        {
            "name": check.name,
            "outcome": check.outcome,
            "detail": check.detail,
            "advice": check.advice,
        }
        for check in checks
    ]


def _tell(check: Check) -> None:
    colour = {"ok": "green", "warn": "yellow", "fail": "red"}[check.outcome]
    # click drops the colour where nobody can see it
    say(f"{click.style(f'{check.outcome:4}', fg=colour)}  {check.name}: {one_line(check.detail)}")
    if check.advice:
        say(f"      try: {one_line(check.advice)}")
