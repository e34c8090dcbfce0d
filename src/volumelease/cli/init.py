"""``volumelease init``: make a directory a volume."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from .parameters import PathText, at_least
from .speech import note, one_line, say

if TYPE_CHECKING:
    from volumelease.leases.choosing import Authority
    from volumelease.leases.volumes import Volumes
    from volumelease.paths.mounts import Mount, Verdict
    from volumelease.settings import Settings
    from volumelease.wire.identity import Identity

_CONTROL: Final = ".volumelease"


@click.command()
@click.argument("directory", metavar="DIR", type=PathText())
@click.option(
    "--ttl",
    type=float,
    callback=at_least(2),
    metavar="S",
    help="Seconds after which a dead host makes way (15).",
)
@click.option(
    "--authority",
    type=click.Choice(["volume", "redis"]),
    help="What grants leases: the volume's own log, or the Redis of VOLUMELEASE_REDIS_URL. Left "
    "out: the log where the mount can carry it, else the Redis.",
)
@click.option("--force", is_flag=True, help="Vouch for a file system that nobody measured.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(
    directory: str, ttl: float | None, authority: str | None, force: bool, as_json: bool
) -> int:
    """Make DIR a volume, on which leases can be taken.

    Once for a volume, on any host; a second time changes nothing. A network volume needs no init:
    its first lease makes it one, after a wait of one ttl.

    Limit: two mounts of different directories of one file system are two volumes to each other.
    """
    from .reading import patiently

    made = patiently(lambda: _init(directory, ttl, force, authority), directory)
    if as_json:
        say(json.dumps(made.as_document()))
    else:
        _announce(directory, made)
    return 0


class _Made(NamedTuple):
    """What the directory is now. ``grace``: its first lease waits for leases of an older log."""

    root: str
    identity: Identity
    mount: Mount
    verdict: Verdict
    created: bool
    grace: bool

    def as_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "volume": {
                "id": self.identity.id,
                "root": self.root,
                "fstype": self.mount.fstype,
                "source": self.mount.source,
            },
            "authority": self.identity.authority,
            "ttl_seconds": self.identity.ttl,
            "created": self.created,
            "grace_seconds": self.identity.ttl + 1 if self.grace else 0,
            "shared": self.verdict.shared,
        }


def _init(directory: str, ttl: float | None, force: bool, wanted: str | None) -> _Made:
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.mounts import mount_of
    from volumelease.paths.proof import judge_with_proof
    from volumelease.paths.resolve import resolve

    real = resolve(directory)
    _require_directory(directory, real)
    _refuse_nested(directory, real)
    mount = mount_of(real)
    verdict = judge_with_proof(real, mount)
    volumes = Volumes(Surroundings.of_this_process()._replace(report=lambda text: None))
    known = _existing(volumes, real, ttl, wanted)
    if known is not None:
        return _Made(real, known, mount, verdict, created=False, grace=_in_grace(real))
    settings = volumes.surroundings.settings
    authority = _authority(directory, mount, verdict, settings, wanted, force)
    identity = _found(volumes, real, ttl, authority)
    return _Made(real, identity, mount, verdict, created=True, grace=_in_grace(real))


def _authority(
    directory: str,
    mount: Mount,
    verdict: Verdict,
    settings: Settings,
    wanted: str | None,
    force: bool,
) -> Authority:
    """What is to grant leases there. Errors: ``VolumeUnsuitable``, ``SettingsMismatch``."""
    from volumelease.leases.choosing import require_url

    wanted = wanted or settings.authority
    by_redis = wanted == "redis" or (
        wanted == "auto"
        and settings.redis_url is not None
        and (verdict.suitable == "refused" or (verdict.suitable == "unknown" and not force))
    )
    if by_redis and "ro" not in mount.options:
        require_url(directory, settings)
        return "redis"
    _require_suitable(directory, mount, verdict)
    if verdict.suitable == "unknown" and not force:
        raise _unproven(directory, mount, verdict)
    return "volume"


def _require_directory(directory: str, real: str) -> None:
    from volumelease.errors import VolumeNotFound

    if not os.path.isdir(real):
        there = os.path.lexists(directory)
        raise VolumeNotFound(
            f"{directory} is no directory",
            advice="Name the directory that is to be the volume"
            if there
            else f"mkdir -p {directory}",
            path=directory,
        )


def _refuse_nested(directory: str, real: str) -> None:
    """A volume inside a volume would take its paths out of the other's leases."""
    from volumelease.errors import VolumeNotFound, VolumeUnsuitable
    from volumelease.paths.locate import locate

    try:
        outer = locate(real, explicit=None)
    except VolumeNotFound:
        return
    if outer.real_root != real:
        raise VolumeUnsuitable(
            f"{directory} is on the volume {outer.root}, and a volume inside a volume would not "
            "respect its leases",
            advice=f"Lease paths below {directory} as they are, or init {outer.root}",
            root=directory,
            fstype=outer.mount.fstype,
        )


def _require_suitable(directory: str, mount: Mount, verdict: Verdict) -> None:
    from volumelease.errors import VolumeUnsuitable

    reason = verdict.reason if verdict.suitable == "refused" else ""
    if "ro" in mount.options:
        reason = "it is mounted read-only"
    if reason:
        raise VolumeUnsuitable(
            f"{directory} ({mount.fstype}) can't carry leases: {reason}",
            advice="Use a writable MooseFS, CephFS or local volume",
            root=directory,
            fstype=mount.fstype,
        )


def _unproven(directory: str, mount: Mount, verdict: Verdict) -> Exception:
    from volumelease.errors import VolumeUnsuitable

    return VolumeUnsuitable(
        f"{directory} ({mount.fstype}) is not proven to carry leases: {verdict.reason}",
        advice=f"Prove it from two hosts (volumelease doctor --peer {directory}), or vouch for it "
        "with --force",
        root=directory,
        fstype=mount.fstype,
    )


def _existing(
    volumes: Volumes, real: str, ttl: float | None, authority: str | None
) -> Identity | None:
    """The identity that is there. Errors: ``SettingsMismatch`` when it has another ttl or
    authority."""
    from volumelease.authorities.volume import founding
    from volumelease.drivers.threads import Monitor
    from volumelease.errors import SettingsMismatch
    from volumelease.paths.locate import locate

    known = Monitor(volumes.surroundings.performer).run(founding.read_identity(real))
    if known is None:
        return None
    if ttl is not None and ttl != known.ttl:
        raise SettingsMismatch(
            f"{real} was made with a ttl of {known.ttl:g} s, and all its workers count on that",
            advice="Leave --ttl away, or uninstall the volume and init it again",
            setting="--ttl",
            ours=ttl,
            theirs=known.ttl,
        )
    if authority not in (None, known.authority):
        raise SettingsMismatch(
            f"{real} takes its leases from {known.authority!r}, and nothing changes that by itself",
            advice=f"Leave --authority away, or move them: volumelease migrate {real} "
            f"--authority {authority}",
            setting="--authority",
            ours=authority,
            theirs=known.authority,
        )
    return volumes.identity(locate(real, explicit=real))


def _found(volumes: Volumes, real: str, ttl: float | None, authority: Authority) -> Identity:
    from volumelease.errors import LeaseError
    from volumelease.paths.locate import locate

    control = f"{real}/{_CONTROL}"
    fresh = _make_control(real, control)
    try:
        return volumes.found(locate(real, explicit=real), ready=fresh, ttl=ttl, authority=authority)
    except LeaseError:
        if fresh:  # an empty one would look like the trace of a deleted log
            with suppress(OSError):
                os.rmdir(control)
        raise


def _make_control(real: str, control: str) -> bool:
    """Returns whether there was no trace of us before. A trace may be all that is left of a log
    whose leases still live, so then the new log starts in grace."""
    from volumelease.errors import VolumeFull, VolumeUnsuitable

    try:
        os.mkdir(control)
    except FileExistsError:
        return False
    except OSError as error:
        what = f"{real} can't be written: {os.strerror(error.errno or 0)}"
        if error.errno in (errno.EDQUOT, errno.ENOSPC):
            raise VolumeFull(what, root=real) from error
        raise VolumeUnsuitable(
            what, advice="Mount it writable and run as a user who may write it", root=real
        ) from error
    return True


def _in_grace(real: str) -> bool:
    from .reading import Reader

    return Reader(real).look().table.grace


def _announce(directory: str, made: _Made) -> None:
    identity = made.identity
    facts = f"id {identity.id}, ttl {identity.ttl:g} s"
    if identity.authority == "redis":
        facts += ", leases by the Redis of VOLUMELEASE_REDIS_URL"
    if not made.created:
        say(f"{one_line(directory)} is a volume already: {facts}")
        return
    say(f"{one_line(directory)} is now a volume: {facts}")
    if made.grace:
        note(
            f"there are traces of an earlier log, whose leases may still live: the first lease "
            f"is granted after {identity.ttl + 1:g} s"
        )
    if identity.authority == "redis":
        note("a publish is checked with the Redis before it is made visible, and not sealed")
    if not made.verdict.shared:
        note(f"{made.verdict.reason}; workers on other hosts are not excluded")
