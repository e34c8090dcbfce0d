"""Drafts: where a publish is written, and how it is made ready for the one step.

A draft has a name of its own, never its lease's: what a dead writer still sends can only reach
what it wrote itself. Beside it lies whose it is (``<unique>.owner``).

A file is published by renaming the draft itself. A directory moves to ``versions/<unique>`` first,
and what is renamed is a symlink to it, made once: whoever does the rename again can't make
another. Beside a version lie its public name (``.public``), as long as it was never public
``.draft``, and while a directory is turned into one ``.adopted`` (``adopting``): what has neither
a mark nor an owner any more is nobody's and is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from volumelease.clock import Clock
from volumelease.core.records import SessionFacts
from volumelease.core.table import Pending
from volumelease.effects import (
    Contents,
    HardLink,
    ListDirectory,
    MakeDirectory,
    Measure,
    ReadLink,
    RemoveDirectory,
    RemoveTree,
    Rename,
    Steps,
    Symlink,
    SyncTree,
    Unlink,
)
from volumelease.errors import LeaseError, PathInvalid, PublishFailed
from volumelease.model import Claim, Client, Draft, Prepare, Prepared
from volumelease.wire.drafts import DraftOwner, decode_owner, encode_owner

from .insisting import FULL, is_there, kind_of, make, move, refusal
from .layout import CONTROL, Layout
from .links import refuse_links
from .resuming import DISCARD_SECONDS, OWNER, take_over

LINK: Final = ".link"
GONE: Final = ".gone"
PUBLIC: Final = ".public"
DRAFT: Final = ".draft"
REPLACED: Final = ".replaced."
ADOPTED: Final = ".adopted"
MOVING: Final = ".moving"
INSIDE: Final = "d"
"""The way of a directory that is adopted: what is moved lies at ``<unique>.moving/d``."""
WAS: Final = ".was"
"""A second name of what is, or was, public: its inode must live as long as somebody may be on the
way through it. A reader on another host asks the server for the name first and for the inode then;
in between, a rename would have ended that inode, and the reader found nothing."""
OLD: Final = "-old"
"""Of a file that a draft of that name replaced."""

_LONGEST_NAME_BYTES: Final = 900


class Used(Protocol):
    @property
    def client(self) -> Client | None: ...


class Roll(Protocol):
    """Who is there, by the table of whatever authority."""

    @property
    def holdings(self) -> Mapping[int, Used]: ...

    @property
    def sessions(self) -> Collection[str]: ...

    @property
    def pending(self) -> Mapping[int, Pending]: ...


class Fleet(Protocol):
    """What clearing away and resuming must know: a table that was read after the drafts were."""

    @property
    def layout(self) -> Layout: ...

    @property
    def table(self) -> Roll: ...

    def catch_up(self) -> Steps[None]: ...


class Sealed(NamedTuple):
    """A draft that is ready: renaming ``source`` (below the control directory) publishes it.
    ``at``: where its bytes lie."""

    source: str
    at: str
    contents: Contents


def unique_of(source: str) -> str:
    """The draft's own name, from where its publish comes from."""
    return source.split("/")[1].removesuffix(LINK)


def session_of(unique: str) -> str:
    return unique.partition("-")[0]


class Drafts:
    """The drafts of one session."""

    def __init__(
        self,
        name: str,
        facts: SessionFacts,
        replica: Fleet,
        clock: Clock,
        unique: Callable[[], str],
    ) -> None:
        self._name = name
        self._facts = facts
        self._replica = replica
        self._layout: Layout = replica.layout
        self._root = replica.layout.root
        self._clock = clock
        self._unique = unique

    # ---- a place to write

    def prepare(self, question: Prepare) -> Steps[Prepared]:
        """Errors: ``PathInvalid``, ``VolumeFull``, ``VolumeUnsuitable``,
        ``AuthorityUnreachable``."""
        target = question.target
        yield from self.refuse_shape(target)
        unique = self._name_for(question)
        stage = self._layout.stage(unique)
        holding = self._replica.table.holdings.get(question.token)
        since = round(self._clock.wall(), 3)
        owner = DraftOwner(
            self._name,
            self._facts,
            target,
            question.resume,
            since,
            holding.client if holding is not None else None,
            moved_in=bool(question.source),
        )
        mark = Symlink(encode_owner(owner), stage + OWNER)
        yield from make(self._root, mark)
        resumed = question.resume and (yield from self._take_over(target, stage))
        if not resumed:
            yield from make(self._root, MakeDirectory(stage))
        if question.source:
            # While no directory was there, that of a session that is over was cleared away as the
            # mark of nothing; and what is moved in without it is taken for a copy.
            yield from make(self._root, mark)
        path = f"{stage}/{target.path.rpartition('/')[2]}"
        if question.source and not (yield from move(self._root, question.source, path)):
            raise PathInvalid(
                f"{question.source} does not exist, so it can't be published",
                advice="Name the file or directory that you wrote",
                path=question.source,
            )
        return Prepared(Draft(question.token, target, unique, path), resumed)

    def _name_for(self, question: Prepare) -> str:
        """Of this draft alone: a call of an earlier one under the same lease may be on its way."""
        del question
        return f"{self._name}-{self._unique()}"

    def refuse_shape(self, target: Claim) -> Steps[None]:
        """Refuse what no rename can do in one step, before anything is decided or written."""
        if not target.path:
            raise PathInvalid(
                f"{self._root} itself can't be published, only what is in it",
                advice="Name a path below the volume's root",
                path=self._root,
            )
        if len(target.path.encode(errors="surrogateescape")) > _LONGEST_NAME_BYTES:
            raise PathInvalid(
                f"{target.path[:80]}... is longer than {_LONGEST_NAME_BYTES} bytes",
                advice="Publish it at a shorter path",
                path=target.path,
            )
        yield from self._refuse_below(target)
        place = self._layout.public(target.path)
        if (yield from kind_of(self._root, place)) != "directory":
            return
        try:
            yield RemoveDirectory(place)  # an empty one was only made ahead
        except OSError:
            raise PathInvalid(
                f"{place} is a real directory, and no rename can replace one in one step",
                advice=f"Make it a published version first: volumelease adopt {place}",
                path=place,
            ) from None

    def _refuse_below(self, target: Claim) -> Steps[None]:
        names = target.path.split("/")
        for depth in range(1, len(names)):
            upper = self._layout.public("/".join(names[:depth]))
            kind = yield from kind_of(self._root, upper)
            if kind == "link":
                raise PathInvalid(
                    f"{self._layout.public(target.path)} lies in {upper}, which was published as "
                    "a whole; a version never changes",
                    advice=f"Copy {upper}, change the copy, and publish it at {upper}",
                    path=upper,
                )
            if kind not in ("directory", ""):
                raise PathInvalid(
                    f"{upper} is a {kind}, so nothing can be published below it",
                    advice="Publish it somewhere else, or move that away",
                    path=upper,
                )

    def _take_over(self, target: Claim, stage: str) -> Steps[bool]:
        """Move in what a dead writer left for this target. Errors: as ``take_over``."""
        found = yield from self._left_behind(target)
        for left, owner in found:
            if (yield from take_over(self._root, left, owner, stage)):
                with suppress(OSError):
                    yield Unlink(left + OWNER)
                return True
        return False

    def _left_behind(self, target: Claim) -> Steps[list[tuple[str, DraftOwner]]]:
        """Resumable drafts of that target whose session is over, the newest first."""
        owners = yield from self._owners(target)
        # After the listing: whoever has a draft there opened its session before.
        yield from self._replica.catch_up()
        sessions = self._replica.table.sessions
        over = [one for one in owners if one[1].resumable and one[1].session not in sessions]
        return sorted(over, key=lambda one: one[1].since, reverse=True)

    def _owners(self, target: Claim) -> Steps[list[tuple[str, DraftOwner]]]:
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("stage"))
        except OSError:
            return []
        owners: list[tuple[str, DraftOwner]] = []
        for name in sorted(name for name in names if name.endswith(OWNER)):
            try:
                text: str = yield ReadLink(self._layout.stage(name))
            except OSError:
                continue
            owner = decode_owner(text)
            if owner is not None and owner.target == target:
                owners.append((self._layout.stage(name.removesuffix(OWNER)), owner))
        return owners

    # ---- ready to be published

    def seal(self, draft: Draft, contents: Contents) -> Steps[Sealed]:
        """Make the public form of a draft that ``sync`` brought onto the volume.

        Errors: ``PublishFailed``, ``PathInvalid``, ``VolumeFull``, ``VolumeUnsuitable``,
        ``AuthorityUnreachable``. Until it returns, the draft is where its writer left it, or at
        ``versions``: ``discard`` finds it.
        """
        yield from self.refuse_shape(draft.target)
        yield from self._make_parents(draft.target)
        kind = yield from kind_of(self._root, draft.path)
        name = draft.path.rpartition("/")[2]
        if kind != "directory":
            return Sealed(f"stage/{draft.unique}/{name}", draft.path, contents)
        version = self._layout.version(draft.unique)
        link = self._layout.stage(draft.unique) + LINK
        up = "../" * draft.target.path.count("/")
        leads = f"{up}{CONTROL}/{self._layout.identity_id}/versions/{draft.unique}"
        yield from make(self._root, Symlink(draft.target.path, version + PUBLIC))
        yield from make(self._root, Symlink(self._name, version + DRAFT))
        if not (yield from move(self._root, draft.path, version)):
            raise PublishFailed(
                f"the draft {draft.path} is gone",
                advice="Write it again, in a new lease.stage(); nothing but that may move it",
                path=draft.path,
                kept=None,
            )
        yield from make(self._root, Symlink(leads, link))
        with suppress(OSError):  # a courtesy to readers, see WAS
            yield HardLink(link, version + WAS)
        return Sealed(f"stage/{draft.unique}{LINK}", version, contents)

    def sync(self, draft: Draft) -> Steps[Contents]:
        """Bring the draft onto the volume, which can take long. Errors: as ``seal``."""
        kind = yield from kind_of(self._root, draft.path)
        if kind not in ("file", "directory"):
            what = "nothing was written to" if not kind else f"there is a {kind} at"
            raise PublishFailed(
                f"{what} the draft {draft.path}",
                advice="Make it a file or a directory before the block ends",
                path=self._layout.public(draft.target.path),
                kept=None,
            )
        try:
            contents: Contents = yield SyncTree(draft.path)
        except OSError as error:
            if error.errno in FULL:
                raise refusal(
                    self._root, "bring the draft onto the volume (fsync says it)", error
                ) from error
            raise refusal(self._root, f"bring {draft.path} onto the volume", error) from error
        refuse_links(contents, self._layout.public(draft.target.path))
        return contents

    def _make_parents(self, target: Claim) -> Steps[None]:
        names = target.path.split("/")[:-1]
        missing: list[str] = []
        while names:
            upper = self._layout.public("/".join(names))
            if (yield from kind_of(self._root, upper)):
                break
            missing.append(upper)
            names.pop()
        for upper in reversed(missing):
            yield from make(self._root, MakeDirectory(upper))

    # ---- looking at those of others

    def under_way(self, target: Claim) -> Steps[Contents | None]:
        """How much the live writer of that target has written so far. Errors: ``OSError``,
        those of reading the log."""
        for name, owner in (yield from self._owners(target)):
            if owner.session in self._replica.table.sessions:
                contents: Contents = yield Measure(name)
                return contents
        return None

    # ---- over

    def discard(self, draft: Draft, back_to: str = "") -> Steps[None]:
        """Remove a draft that was not published, or move it ``back_to`` where it came from. What
        is left is swept away once this session is over. Errors: none."""
        places = (draft.path, self._layout.version(draft.unique))
        if back_to:
            if not (yield from self._give_back(places, back_to)):
                return
        else:
            for place in (*places, self._layout.stage(draft.unique)):
                gone = self._layout.stage(draft.unique) + GONE
                try:
                    yield Rename(place, gone)
                except OSError:
                    continue
                with suppress(OSError):
                    yield RemoveTree(gone, DISCARD_SECONDS)
        yield from self.tidy(draft.unique)
        version = self._layout.version(draft.unique)
        link = self._layout.stage(draft.unique) + LINK
        for mark in (link, version + WAS, version + PUBLIC, version + DRAFT):
            with suppress(OSError):
                yield Unlink(mark)

    def _give_back(self, places: tuple[str, ...], path: str) -> Steps[bool]:
        with suppress(LeaseError):
            if not (yield from is_there(self._root, path)):
                for place in places:
                    if (yield from move(self._root, place, path)):
                        return True
        return False

    def tidy(self, unique: str) -> Steps[None]:
        """Remove what a finished draft leaves behind."""
        stage = self._layout.stage(unique)
        for effect in (Unlink(stage + OWNER), RemoveDirectory(stage)):
            with suppress(OSError):
                yield effect
