"""``volumelease doctor``: proves, on this machine and mount, what works."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from .parameters import PathText
from .speech import one_line, say

if TYPE_CHECKING:
    from .checks import Check, Patient

LIMIT: Final = (
    "not proven from one host: that two hosts see one order of entries; the kind of the mount "
    "speaks for it, or not"
)


@click.command()
@click.argument("directory", required=False, metavar="[DIR]", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(directory: str | None, as_json: bool) -> int:
    """Try out what leases need, on this machine and on the mount of DIR.

    Makes a directory of its own there and removes it again. DIR need not be a volume yet; without
    it, the volume of the working directory, else the mounted network volume.

    Limit: one host can't prove what two hosts see. Exit code 1 when something does not work.
    """
    from .checks import examine, patient_of
    from .reading import patiently

    patient = patiently(lambda: patient_of(directory), directory or "the volume")
    checks: list[Check] = []
    for check in examine(patient):
        checks.append(check)
        if not as_json:
            _tell(check)
    if as_json:
        say(json.dumps(_document(patient, checks)))
    else:
        say(f"limit: {LIMIT}")
    return 1 if any(check.outcome == "fail" for check in checks) else 0


def _document(patient: Patient, checks: Iterable[Check]) -> dict[str, Any]:
    return {
        "schema": 1,
        "directory": patient.directory,
        "fstype": patient.mount.fstype,
        "source": patient.mount.source,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome,
                "detail": check.detail,
                "advice": check.advice,
            }
            for check in checks
        ],
        "limit": LIMIT,
    }


def _tell(check: Check) -> None:
    colour = {"ok": "green", "warn": "yellow", "fail": "red"}[check.outcome]
    # click drops the colour where nobody can see it
    say(f"{click.style(f'{check.outcome:4}', fg=colour)}  {check.name}: {one_line(check.detail)}")
    if check.advice:
        say(f"      try: {one_line(check.advice)}")
