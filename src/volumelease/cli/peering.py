"""``doctor --peer``: two hosts examine a file system together, and leave their verdict on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from volumelease.drivers.threads import Patience
from volumelease.errors import LeaseError
from volumelease.paths.proof import Proof, encode_proof, verdict_path
from volumelease.paths.resolve import resolve

from .checks import Check, Patient
from .peer_checks import examine_together
from .peers import Meeting, Party, Talk, this_party

HANG_SECONDS: Final = 600.0
"""Every wait for the other host ends by itself before; only a call that hangs takes longer."""


@dataclass(slots=True)
class Peering:
    """One examination with another host. ``proof`` is None until, and unless, there is one."""

    patient: Patient
    alone: list[Check]
    """What this host found out by itself: what fails for one fails for two."""
    other: Party | None = None
    proof: Proof | None = None
    _checks: list[Check] = field(default_factory=list)

    @property
    def root(self) -> str:
        place = self.patient.place
        return place.volume.real_root if place is not None else resolve(self.patient.directory)

    def examine(self) -> Iterator[Check]:
        """Meet the other host and go through all checks; then store the verdict.

        What keeps them from an end is a check that failed, and no verdict.
        """
        steps = self._meet_and_examine()
        while True:
            try:
                check = Patience().call(lambda _: next(steps, None), HANG_SECONDS)
            except (LeaseError, OSError) as error:
                what = error.what if isinstance(error, LeaseError) else str(error)
                advice = error.advice if isinstance(error, LeaseError) else "Look at the mount"
                yield Check("peer", "fail", what, advice)
                return
            if check is None:
                return
            yield check

    def _meet_and_examine(self) -> Iterator[Check]:
        me = this_party(self.patient.mount)
        with Meeting(self.root, me) as (talk, other):
            self.other = other
            met = _met(me, other)
            yield met
            if met.outcome == "fail":
                return
            for check in examine_together(talk):
                self._checks.append(check)
                yield check
            yield self._conclude(me, other, talk)

    def _conclude(self, me: Party, other: Party, talk: Talk) -> Check:
        broken = _broken(self._checks)
        mine = _broken([check for check in self.alone if check.name not in _NOT_OF_THE_MOUNT])
        theirs = talk.both("alone", broken=mine)["broken"]
        broken += tuple(sorted({*mine, *theirs}))
        hosts = (me.host, other.host) if talk.leads else (other.host, me.host)
        proof = Proof(me.fstype, hosts, round(time.time(), 3), broken)
        self._store(proof)
        self.proof = proof
        where = f"stored in {verdict_path(self.root)}"
        if proof.proved:
            return Check("verdict", "ok", f"PROVED: two hosts see one order of entries; {where}")
        detail = f"DISPROVED, {'; '.join(broken)}; {where}"
        return Check("verdict", "fail", detail, "Use a MooseFS or CephFS volume, or mount it anew")

    def _store(self, proof: Proof) -> None:
        """Both hosts write the same; in one step, so that nobody reads half of it."""
        path = verdict_path(self.root)
        draft = f"{path}.{os.urandom(4).hex()}"
        try:
            with open(draft, "x", encoding="utf-8") as file:
                file.write(encode_proof(proof))
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)
            raise

    def as_document(self) -> dict[str, Any]:
        proof = self.proof
        return {
            "verdict": "none" if proof is None else "proved" if proof.proved else "disproved",
            "host": self.other.host if self.other else None,
            "broken": list(proof.broken) if proof else [],
            "stored": verdict_path(self.root) if proof else None,
        }


_NOT_OF_THE_MOUNT: Final = frozenset({"mount", "identity", "log"})
"""Checks that say what it is called, and what lies on it already."""


def _broken(checks: list[Check]) -> tuple[str, ...]:
    return tuple(
        f"{check.name.removeprefix('peer ')}: {check.detail}"[:200]
        for check in checks
        if check.outcome == "fail"
    )


def _met(me: Party, other: Party) -> Check:
    if me.same_mount(other):
        detail = "the other one looks through the same mount of this machine, which proves nothing"
        return Check("peer", "fail", detail, "Run it on two hosts")
    detail = f"met {json.dumps(other.host)[1:-1]}, {other.fstype}"
    if me.boot_id == other.boot_id:
        detail += "; it is another mount of this very machine: two machines prove more"
    if me.fstype != other.fstype:
        return Check("peer", "warn", f"{detail}, while it is {me.fstype} here", "Mount it alike")
    return Check("peer", "ok", detail)
