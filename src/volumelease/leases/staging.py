"""Drafts in the hands of their writer: a ``with`` block, a file, or something made elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from volumelease.authorities.volume.keeping import kept_at
from volumelease.core.conflicts import covers
from volumelease.errors import (
    LeaseError,
    LeaseLost,
    LeaseViolation,
    PathInvalid,
    PublishFailed,
)
from volumelease.model import Claim, Discard, Draft, Prepare, Prepared, Publish
from volumelease.paths.canonical import canonical
from volumelease.paths.resolve import CONTROL, resolve, text_of

if TYPE_CHECKING:
    from types import TracebackType

    from .lease import Lease
    from .order import AnyPath


class Stage:
    """One draft, from its place to its publication; see ``Lease.stage``."""

    def __init__(self, lease: Lease, path: AnyPath | None, *, resume: bool = False) -> None:
        self._lease = lease
        self._path = path
        self._resume = resume
        self.draft: Draft | None = None
        """While it is being written."""
        self.resumed = False
        """Whether the draft holds what a dead writer left."""

    def __enter__(self) -> Path:
        target = _target(self._lease, self._path)
        prepared = self._lease._ask(Prepare(self._lease.token, target, self._resume))
        assert isinstance(prepared, Prepared)
        self.draft, self.resumed = prepared.draft, prepared.resumed
        self._lease._root._drafts.add(prepared.draft.path)
        return Path(prepared.draft.path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        draft, self.draft = self.draft, None
        if draft is None:
            return
        self._lease._root._drafts.discard(draft.path)
        if error is not None:
            discard(self._lease, draft)
            return
        publish_or_discard(self._lease, draft)

    async def __aenter__(self) -> Path:
        """The same on an event loop, which waits for no volume here."""
        from .tasks import aside

        place: Path = await aside(self._lease._terms.crew, self.__enter__, undo=self._discard)
        return place

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Limit: cancelled while the draft is being published, it may or may not be visible."""
        from .tasks import aside

        await aside(self._lease._terms.crew, lambda: self.__exit__(kind, error, trace))

    def _discard(self) -> None:
        draft, self.draft = self.draft, None
        if draft is not None:
            self._lease._root._drafts.discard(draft.path)
            discard(self._lease, draft)


def publish_or_discard(lease: Lease, draft: Draft, back_to: str = "") -> None:
    tally = lease._hosted.tally
    try:
        if not lease.over:  # downgraded meanwhile
            _must_be_exclusive(lease, f"{lease._terms.root.root.rstrip('/')}/{draft.target.path}")
        lease._ask(Publish(draft))
        tally.count("publishes_total", tally.scope((draft.target,)))
    except BaseException as error:
        if isinstance(error, LeaseLost | PublishFailed):
            tally.count("publish_refused_total", tally.scope((draft.target,)))
        discard(lease, draft, back_to)
        raise


def discard(lease: Lease, draft: Draft, back_to: str = "") -> None:
    """Remove a draft, or move it back. That of a lost session is left to those who live: they
    sweep it away, or resume it, and the volume may not answer us."""
    if not lease._hosted.over:
        with suppress(LeaseError, OSError):
            lease._hosted.ask(Discard(draft, back_to))


def _target(lease: Lease, path: AnyPath | None) -> Claim:
    """What is to be published. Errors: ``LeaseViolation``, ``PathInvalid``."""
    ground = lease._terms
    if path is not None:
        where = canonical(path, ground.root)
        target = Claim(where.display, where.key)
    elif len(ground.asked) == 1:
        target = ground.asked[0]
    else:
        raise PathInvalid(
            f"the lease is on {len(ground.asked)} paths: {lease._shown()}",
            advice="Name the one to publish: lease.stage(path)",
            path=lease._shown(),
        )
    shown = f"{ground.root.root.rstrip('/')}/{target.path}"
    _must_be_exclusive(lease, shown)
    if not any(covers(claim.key, target.key) for claim in ground.claims):
        raise LeaseViolation(
            f"{shown} is not covered by {lease!r}",
            advice=f"Take a lease on it: volume_lease({shown!r})",
            path=shown,
            holder=None,
        )
    return target


def _must_be_exclusive(lease: Lease, shown: str) -> None:
    if lease.mode != "exclusive":
        raise LeaseViolation(
            f"publishing {shown} needs an exclusive lease, and {lease!r} is shared",
            advice=f"Take it exclusively: volume_lease({shown!r})",
            path=shown,
            holder=None,
        )


def publish(lease: Lease, source: AnyPath, path: AnyPath | None) -> None:
    """See ``Lease.publish``."""
    target = _target(lease, path)
    origin, where = _origin(lease, source, target)
    with _leased(lease, origin, where, target):
        prepared = lease._ask(Prepare(lease.token, target, source=origin))
        assert isinstance(prepared, Prepared)
        try:
            publish_or_discard(lease, prepared.draft, back_to=origin)
        except LeaseLost as error:
            if not lease._hosted.over:
                raise
            raise _kept(prepared.draft, origin, error) from None


def _kept(draft: Draft, origin: str, error: LeaseLost) -> LeaseLost:
    """With where to look for what was not moved back: its place may be another holder's by now."""
    base = os.path.dirname(os.path.dirname(os.path.dirname(draft.path)))
    advice = (
        f"{origin} was moved away to be published; if it does not become visible, the others keep "
        f"it as {kept_at(base, draft.unique)}. {error.advice}"
    )
    return LeaseLost(error.what, advice=advice, **error.facts)


def _leased(lease: Lease, origin: str, where: str, target: Claim) -> AbstractContextManager[Any]:
    """Nobody else may be writing what is moved away, nor what is below it."""
    if any(covers(claim.key, where) for claim in lease._terms.claims):
        return nullcontext()
    from .asking import volume_lease

    return volume_lease(
        origin,
        timeout=0,
        reason=f"to publish it at {target.path}",
        volumes=lease._terms.volumes,
    )


def _origin(lease: Lease, source: AnyPath, target: Claim) -> tuple[str, str]:
    """The real path of what is to be published, and its key. Errors: ``PathInvalid``,
    ``VolumeNotFound``."""
    text = os.path.abspath(text_of(source))
    where = canonical(text, lease._terms.root)

    def refused(what: str, advice: str) -> PathInvalid:
        return PathInvalid(f"{text} {what}", advice=advice, path=text)

    if os.path.islink(text):
        raise refused("is a symlink", "Publish what it leads to")
    real = resolve(text)
    if f"/{CONTROL}/" in real:
        raise refused("is published already; a version never changes", "Publish a copy of it")
    if not where.display or covers(where.key, target.key):
        raise refused("contains the place that it is to be published at", "Move it out first")
    return real, where.key


# ---- one file


class OpenDraft:
    """A file open for writing that is published when it is closed; see ``Lease.open``.

    Everything else goes to the file itself (``write``, ``seek``, ``fileno`` ...).
    """

    def __init__(self, lease: Lease, draft: Draft, file: IO[Any]) -> None:
        self._lease = lease
        self._draft: Draft | None = draft
        self._file = file
        self._pid = os.getpid()

    def close(self) -> None:
        """Publish it. A second call does nothing. Errors: as ``Lease.stage``."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        try:
            self._shut()
        except BaseException:
            discard(self._lease, draft)
            raise
        publish_or_discard(self._lease, draft)

    def discard(self) -> None:
        """Close it without publishing it."""
        draft, self._draft = self._draft, None
        if draft is not None:
            with suppress(OSError):
                self._shut()
            discard(self._lease, draft)

    def _shut(self) -> None:
        """Close the file. What its buffer holds in a forked child, the parent writes too."""
        if os.getpid() != self._pid:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)
        self._file.close()

    def __enter__(self) -> OpenDraft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        self.discard()  # whoever forgot to close it did not say that it is complete

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def open_draft(lease: Lease, path: AnyPath, mode: str, options: dict[str, Any]) -> OpenDraft:
    """See ``Lease.open``."""
    if mode not in ("wb", "w"):
        raise ValueError(f"mode={mode!r}: 'wb' or 'w', for a file is published whole")
    stage = Stage(lease, path)
    place = stage.__enter__()
    draft = stage.draft
    assert draft is not None
    lease._root._drafts.discard(draft.path)  # this process writes it, and no other
    try:
        file: IO[Any] = open(place, mode.replace("w", "x"), **options)  # noqa: SIM115
    except BaseException:
        discard(lease, draft)
        raise
    return OpenDraft(lease, draft, file)
