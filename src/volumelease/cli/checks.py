"""The examination that ``doctor`` makes: what is examined, in which order, and what came of it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from volumelease.authorities.volume.layout import Layout
from volumelease.drivers.threads import Patience
from volumelease.errors import LeaseError, VolumeNotFound
from volumelease.paths.mounts import Mount, Verdict, mount_of
from volumelease.paths.proof import judge_with_proof
from volumelease.paths.resolve import resolve

from .places import Place, place_of
from .reading import Reader

Outcome = Literal["ok", "warn", "fail"]

PATIENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """What one check saw, and (``advice``) what to do about it."""

    name: str
    outcome: Outcome
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. ``place`` is None where no volume was made yet; ``scratch`` is a
    directory of ours on the mount, "" until the check that makes it."""

    directory: str
    mount: Mount
    verdict: Verdict
    place: Place | None
    scratch: str = ""


Examination = Callable[[Patient], Check]


def patient_of(directory: str | None) -> Patient:
    """Errors: ``VolumeNotFound`` where nothing is named and no volume is found."""
    place: Place | None
    if directory is None:
        place = place_of(None)
        directory = place.root
    else:
        try:
            place = place_of(directory)
        except VolumeNotFound:
            place = None
    real = resolve(directory)
    if not os.path.isdir(real):
        raise VolumeNotFound(
            f"{directory} is no directory", advice="Name a directory on the volume", path=directory
        )
    if place is not None and not place.volume.initialised:
        place = None
    mount = mount_of(real)
    root = real if place is None else place.volume.real_root
    return Patient(directory, mount, judge_with_proof(root, mount), place)


def examine(patient: Patient) -> Iterator[Check]:
    """One check after the other. Once the volume does not answer, or can't be written, the checks
    that need it are left out."""
    from . import host_checks, mount_checks, watch_checks

    yield _careful(mount_checks.mount, patient)
    yield _careful(mount_checks.identity, patient)
    if patient.place is not None:
        yield _careful(mount_checks.log, patient)
    scratch = _scratch_place(patient)
    made = _careful(lambda patient: mount_checks.write(replace(patient, scratch=scratch)), patient)
    yield made
    if made.outcome != "fail":
        try:
            yield from _on_the_mount(replace(patient, scratch=scratch))
        finally:
            with suppress(TimeoutError):  # then it stays there, as the volume does
                Patience().call(
                    lambda _: shutil.rmtree(scratch, ignore_errors=True), PATIENCE_SECONDS
                )
    for examination in (
        host_checks.clocks,
        host_checks.death,
        host_checks.descendants,
        watch_checks.detection,
    ):
        yield _careful(examination, patient)


def _on_the_mount(patient: Patient) -> Iterator[Check]:
    from . import enforcement_checks, mount_checks

    for examination in (
        mount_checks.entries,
        mount_checks.segments,
        mount_checks.heartbeat,
        mount_checks.cost,
        mount_checks.locks,
        mount_checks.skew,
        mount_checks.space,
        enforcement_checks.guard,
        enforcement_checks.landlock,
    ):
        check = _careful(examination, patient)
        yield check
        if check.detail.startswith(_SILENT):
            return


_SILENT: Final = "no answer in"


def _careful(examination: Examination, patient: Patient) -> Check:
    """Run it where a call that hangs can be given up."""
    name = getattr(examination, "__name__", "write").replace("<lambda>", "write")
    try:
        return Patience().call(lambda _: examination(patient), PATIENCE_SECONDS)
    except LeaseError as error:
        return Check(name, "fail", error.what, error.advice)
    except TimeoutError:
        detail = f"{_SILENT} {PATIENCE_SECONDS:g} s"
        return Check(name, "fail", detail, "Look at the mount and its server")
    except OSError as error:
        full = error.errno in (errno.EDQUOT, errno.ENOSPC)
        advice = "Free space, or raise the volume's size" if full else "Look at the mount"
        return Check(name, "fail", str(error), advice)


def _scratch_place(patient: Patient) -> str:
    name = f"doctor-{os.urandom(4).hex()}"
    if patient.place is not None:
        root = patient.place.volume.real_root
        try:
            identity = Reader(root).look().identity
        except LeaseError:
            pass  # the check of the log has said so
        else:
            return f"{Layout.of(root, identity).base}/{name}"
    return f"{resolve(patient.directory)}/.volumelease-{name}"
