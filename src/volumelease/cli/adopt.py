"""``volumelease adopt``: make a directory that is there a published version, in place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from .parameters import PathText, at_least
from .speech import Problem, note, one_line, plural, say

if TYPE_CHECKING:
    from volumelease import Lease
    from volumelease.authorities.volume.adopting import Adopted
    from volumelease.leases.volumes import Volumes


@click.command(short_help="Make a directory a published version, without copying.")
@click.argument("path", metavar="PATH", type=PathText())
@click.option(
    "--timeout",
    type=float,
    callback=at_least(0),
    metavar="S",
    help="Wait at most S seconds for the lease, 0 not at all.",
)
def command(path: str, timeout: float | None) -> int:
    """Make the directory PATH a published version, so that whole directories can be published
    there from now on. Nothing is copied.

    Takes an exclusive lease on PATH, brings its files onto the volume (fsync), renames it away
    and publishes a link to it. If it is interrupted, run it again: it goes on; until then nothing
    is lost, and PATH is missing.

    Limit: PATH is missing for a moment, in which a reader without a lease gets an error. What
    still has a file of PATH open for writing can change the version.
    """
    from volumelease.leases.volumes import Surroundings, Volumes

    from .reading import patiently

    spelled = os.path.abspath(path)
    volumes = Volumes(Surroundings.of_this_process()._replace(report=note))
    try:
        done = patiently(lambda: _look(volumes, spelled), path)
        if not done:
            adopted = _adopt(volumes, spelled, timeout)
            _tell(path, adopted)
            return 0
    finally:
        patiently(volumes.close, path)
    say(f"{one_line(path)} is a published version already")
    return 0


def _look(volumes: Volumes, path: str) -> bool:
    """Whether it is published already. Errors: ``Problem``, ``VolumeNotFound``, ``PathInvalid``."""
    from volumelease.paths.mounts import read_mounts
    from volumelease.paths.resolve import CONTROL

    _, where = volumes.find(path)
    real = os.path.realpath(path)
    if os.path.islink(path):
        if os.path.isdir(path) and f"/{CONTROL}/" in real and where.display:
            return not _half_done(os.path.dirname(real), os.path.basename(real))
        raise Problem(f"{path} is a symlink", advice=f"Adopt what it leads to: {real}")
    if not where.display:
        raise Problem(f"{path} is the volume itself", advice="Adopt directories in it, one by one")
    for mount in read_mounts():
        if mount.mount_point == real or mount.mount_point.startswith(real + "/"):
            raise Problem(
                f"{mount.mount_point} is a mount point",
                advice="Adopt a directory of the volume that has no mounts in it",
            )
    if os.path.lexists(f"{path}/{CONTROL}"):
        raise Problem(f"{path} holds a volume's {CONTROL}", advice="Adopt directories in it")
    return False


def _half_done(versions: str, unique: str) -> bool:
    """The link is public and the mark still there: only that is left to be done."""
    return os.path.lexists(f"{versions}/{unique}.adopted")


def _adopt(volumes: Volumes, path: str, timeout: float | None) -> Adopted:
    from volumelease import volume_lease
    from volumelease.authorities.volume.adopting import Adopting
    from volumelease.model import Claim, Lost

    wanted = volume_lease(path, timeout=timeout, reason="adopt", volumes=volumes)
    with wanted as lease:
        hosted: Any = lease._hosted
        (target,) = lease._terms.asked
        assert isinstance(target, Claim)
        session = hosted.session
        if session.identity.authority != "volume":
            raise Problem(
                f"the leases of {path} are kept by a Redis, and only a log can seal an adoption",
                advice="Move the directory away and publish it: lease.publish(source, path)",
            )
        adopting = Adopting(session.publishing, lambda: f"{session.name}-{os.urandom(8).hex()}")
        answer: Adopted | Lost = hosted.run(adopting.adopt(lease.token, target))
        if isinstance(answer, Lost):
            raise _lost(lease, path, answer.reason)
        return answer


def _lost(lease: Lease, path: str, reason: str) -> Exception:
    from volumelease import LeaseLost

    return LeaseLost(
        f"the lease on {path} was lost before it was adopted: {reason}",
        advice=f"Run it again; it goes on: volumelease adopt {path}",
        path=path,
        token=lease.token,
        reason=reason,
    )


def _tell(path: str, adopted: Adopted) -> None:
    what = f"{one_line(path)} is a published version now"
    if adopted.contents is not None:
        files = plural(adopted.contents.files, "file")
        say(f"{what}: {files}, {adopted.contents.bytes} bytes, nothing was copied")
    elif adopted.begun_before:
        say(f"{what}: an adoption that was interrupted has been finished")
    else:
        say(what)
