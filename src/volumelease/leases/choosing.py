"""Which authority a volume has, and how a session of it is hosted.

Decided once, when the volume is made, and written into its identity; later the identity decides
and a process only agrees. Nothing changes over by itself: that is where two writers come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.founding import Founding
from volumelease.authorities.volume.layout import Layout
from volumelease.core.records import SessionFacts
from volumelease.drivers.threads import Monitor
from volumelease.errors import SettingsMismatch, VolumeUnsuitable
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import Verdict
from volumelease.paths.proof import judge_with_proof
from volumelease.settings import Settings
from volumelease.tallies import Tally
from volumelease.wire.identity import Identity

from .hosting import HostedSession, Hosting
from .ringing import Bells

if TYPE_CHECKING:
    from volumelease.watch.handoff import Handoff

    from .volumes import Surroundings

Authority = Literal["volume", "redis"]


def existing(root: VolumeRoot, surroundings: Surroundings) -> Identity | None:
    """The identity of that volume, agreed with the settings; None for one that has none yet.

    Errors: ``VolumeUnsuitable`` for a mount that can't carry the log that is there,
    ``SettingsMismatch``, those of reading it.
    """
    identity = Monitor(surroundings.performer).run(founding.read_identity(root.real_root))
    if identity is None:
        return None
    verdict = judge_with_proof(root.real_root, root.mount)
    if identity.authority == "volume" and verdict.suitable == "refused":
        raise _refused(root.root, root.mount.fstype, verdict)
    agree(root.root, identity, surroundings.settings)
    return identity


def choose(root: VolumeRoot, settings: Settings) -> Authority:
    """The authority of a volume that is about to be made. ``auto``: its log, where the mount is
    proven to carry it, else a Redis that is configured.

    Errors: ``VolumeUnsuitable``, which says what to do; ``SettingsMismatch``.
    """
    if settings.authority == "redis" and not is_read_only(root):
        require_url(root.root, settings)
        return "redis"
    if settings.authority == "auto" and settings.redis_url is not None and not is_read_only(root):
        proven = judge_with_proof(root.real_root, root.mount).suitable == "proven"
        return "volume" if proven else "redis"
    require_log(root)
    return "volume"


def require_log(root: VolumeRoot) -> None:
    """Errors: ``VolumeUnsuitable`` for a mount that is not proven to carry the log."""
    verdict = judge_with_proof(root.real_root, root.mount)
    if is_read_only(root):
        raise _refused(root.root, root.mount.fstype, verdict)
    if verdict.suitable == "proven":
        return
    if verdict.suitable == "refused":
        raise _refused(root.root, root.mount.fstype, verdict)
    raise VolumeUnsuitable(
        f"{root.root} is {root.mount.fstype}, which is not proven to order symlinks "
        f"between hosts: {verdict.reason}",
        advice=f"Prove it from two hosts (volumelease doctor --peer {root.root}), or if you know "
        f"that it does: volumelease init {root.root} --force; or take its leases from a Redis: "
        "set VOLUMELEASE_REDIS_URL",
        root=root.root,
        fstype=root.mount.fstype,
    )


def is_read_only(root: VolumeRoot) -> bool:
    return "ro" in root.mount.options or "ro" in root.mount.super_options


def _refused(root: str, fstype: str, verdict: Verdict) -> VolumeUnsuitable:
    return VolumeUnsuitable(
        f"{root} can't carry leases: {verdict.reason}",
        advice="Use a MooseFS, CephFS or local volume, or take its leases from a Redis: set "
        "VOLUMELEASE_REDIS_URL",
        root=root,
        fstype=fstype,
    )


def agree(root: str, identity: Identity, settings: Settings) -> None:
    """Errors: ``SettingsMismatch`` where this process and the identity disagree."""
    if settings.ttl is not None and settings.ttl != identity.ttl:
        raise SettingsMismatch(
            f"VOLUMELEASE_TTL is {settings.ttl:g} s here, but {root} was made with "
            f"{identity.ttl:g} s",
            advice=f"Unset VOLUMELEASE_TTL, or set it to {identity.ttl:g}: all workers of a "
            "volume share one ttl",
            setting="VOLUMELEASE_TTL",
            ours=settings.ttl,
            theirs=identity.ttl,
        )
    if settings.authority not in ("auto", identity.authority):
        raise SettingsMismatch(
            f"VOLUMELEASE_AUTHORITY is {settings.authority!r} here, but {root} takes "
            f"its leases from {identity.authority!r}",
            advice=f"Unset VOLUMELEASE_AUTHORITY or set it to {identity.authority}; they "
            "move with volumelease migrate",
            setting="VOLUMELEASE_AUTHORITY",
            ours=settings.authority,
            theirs=identity.authority,
        )
    if identity.authority == "redis":
        require_url(root, settings)


def require_url(root: str, settings: Settings) -> None:
    """Errors: ``SettingsMismatch`` where no Redis is configured."""
    if settings.redis_url is None:
        raise SettingsMismatch(
            f"{root} takes its leases from a Redis, and VOLUMELEASE_REDIS_URL is not set here",
            advice="Set VOLUMELEASE_REDIS_URL as the other workers have it",
            setting="VOLUMELEASE_REDIS_URL",
            ours=None,
            theirs="redis",
        )


def require_url_to_move(root: str, authority: str, settings: Settings) -> None:
    """Errors: ``SettingsMismatch`` where the Redis that the leases move to, or from, is not
    configured."""
    if settings.redis_url is None:
        way = "to" if authority == "redis" else "from"
        raise SettingsMismatch(
            f"the leases of {root} can't move {way} a Redis: VOLUMELEASE_REDIS_URL is not set here",
            advice=f"VOLUMELEASE_REDIS_URL=redis://HOST:6379 volumelease migrate {root} "
            f"--authority {authority}",
            setting="VOLUMELEASE_REDIS_URL",
            ours=None,
            theirs="redis",
        )


def found(
    root: VolumeRoot, wanted: Founding, authority: Authority, surroundings: Surroundings
) -> tuple[Identity, bool]:
    """Make it a volume with that authority, unless it is one. Returns its identity and whether it
    is ours. Errors: those of either ``founding``."""
    run = Monitor(surroundings.performer).run
    if authority == "volume":
        return run(founding.found(root.real_root, wanted))
    from volumelease.authorities.redis import founding as redis_founding

    from .redis_hosting import begin, must_carry

    require_url(root.root, surroundings.settings)
    must_carry(wanted.id, root.real_root, surroundings.settings)  # before anything depends on it
    identity, ours = run(redis_founding.found(root.real_root, wanted))
    if ours and wanted.ready and identity.authority == "redis":
        begin(identity, root.real_root, surroundings)
    return identity, ours


def handoff(settings: Settings, host: str) -> Handoff | None:
    """What compares each lease with what the one before it left, where that is asked for."""
    if settings.handoff == "off" or not settings.roots:
        return None
    from volumelease.watch.handoff import Handoff

    return Handoff(settings.roots, host)


def by_daemon(
    root: VolumeRoot, identity: Identity, surroundings: Surroundings, tally: Tally
) -> Hosting[Any] | None:
    """A session that a daemon hosts, not open yet; None where none is asked, or none is there."""
    if not surroundings.daemon:
        return None
    from volumelease.client.finding import socket_of

    path = socket_of(surroundings.settings.socket)
    if path is None:
        return None
    from .daemon_hosting import HostedByDaemon

    return HostedByDaemon(
        path,
        root.root,
        identity.id,
        surroundings.clock,
        surroundings.performer,
        surroundings.report,
        tally,
    )


def host(
    root: VolumeRoot,
    identity: Identity,
    facts: SessionFacts,
    surroundings: Surroundings,
    tally: Tally | None = None,
) -> Hosting[Any]:
    """A session on that volume, not open yet. Errors: ``VolumeUnsuitable``."""
    settings = surroundings.settings
    if identity.authority == "redis":
        from .redis_hosting import HostedRedisSession

        require_url(root.root, settings)
        return HostedRedisSession(
            identity=identity,
            root=root.real_root,
            facts=facts,
            clock=surroundings.clock,
            performer=surroundings.performer,
            report=surroundings.report,
            settings=settings,
            rung="redis" in surroundings.bells,
            tally=tally,
        )
    if identity.authority != "volume":
        raise _unknown(root.root, identity.authority)
    return host_in_log(root, identity, facts, surroundings, tally)


def host_in_log(
    root: VolumeRoot,
    identity: Identity,
    facts: SessionFacts,
    surroundings: Surroundings,
    tally: Tally | None = None,
    name: str = "",
) -> HostedSession:
    """A session of a volume that has a log; of that ``name``, if it is to be resumed."""
    layout = Layout.of(root.real_root, identity)
    boot, settings = surroundings.process.boot_id, surroundings.settings
    return HostedSession(
        identity=identity,
        layout=layout,
        facts=facts,
        clock=surroundings.clock,
        performer=surroundings.performer,
        report=surroundings.report,
        retention_seconds=surroundings.retention_seconds,
        bells=Bells(layout, boot, settings, surroundings.bells),
        tally=tally,
        name=name,
        keeps_life=surroundings.keeps_life,
    )


def _unknown(root: str, authority: str) -> VolumeUnsuitable:
    return VolumeUnsuitable(
        f"{root} takes its leases from {authority!r}, which this version can't do",
        advice="Upgrade volumelease here: pip install -U volumelease",
        root=root,
    )
