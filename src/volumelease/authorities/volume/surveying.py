"""What lies in ``stage`` and ``versions``, and why it is still there."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from volumelease.effects import ListDirectory, ReadLink, Rename, Steps
from volumelease.wire.drafts import DraftOwner, decode_owner
from volumelease.wire.moments import decode_moment

from .collecting import DEAD, RESUMABLE_SECONDS, VERSION_RETENTION_SECONDS, Collector, name_of
from .drafts import ADOPTED, DRAFT, GONE, INSIDE, MOVING, PUBLIC, REPLACED
from .keeping import MOVED_IN
from .resuming import OWNER, TAKEN

State: TypeAlias = Literal[
    "public", "written", "resumable", "kept", "read", "adopted", "orphan", "due"
]
"""``public``: its link leads to it. ``written``: by a live session, or decided and not visible
yet. ``resumable``: of a dead writer, kept for the next one. ``kept``: written elsewhere and moved
in by one that is gone; it may be the only copy, and lies in ``audit`` in the end. ``read``:
replaced or dead, and readers have time until it may go. ``adopted``: of an adoption that was
interrupted. ``orphan``: no mark and no link that we know of. ``due``: to be cleared away."""

CLEARED: Final[frozenset[State]] = frozenset({"due", "read"})


class Item(NamedTuple):
    """One draft or version. ``place``: its public name, "" where nobody knows. ``path``: where
    its bytes lie."""

    kind: Literal["draft", "version"]
    unique: str
    state: State
    place: str
    path: str


class Surveyor(Collector):
    """Judges as the collector does, and changes nothing but what ``doom`` is asked to."""

    def survey(self) -> Steps[list[Item]]:
        """Everything, in no order. Errors: those of reading the log."""
        stage = yield from self._listed("stage")
        versions = yield from self._listed("versions")
        # After the listings: whoever has something there opened its session before.
        yield from self._replica.catch_up()
        found: list[Item] = []
        for unique in sorted({name_of(name) for name in stage}):
            path = _data(self._layout.folder("stage"), unique, stage)
            if path:
                owner = yield from self._owner(unique)
                place = owner.target.path if owner and owner.target else ""
                state = yield from self._draft_state(unique, stage, owner)
                found.append(Item("draft", unique, state, place, path))
        audit = yield from self._listed("audit")  # last: what is kept may just have come there
        for name in sorted(audit):
            if name.endswith(MOVED_IN):
                unique = name.removesuffix(MOVED_IN)
                found.append(Item("draft", unique, "kept", "", self._layout.audit(name)))
        for unique in sorted({name_of(name) for name in versions}):
            path = _data(self._layout.folder("versions"), unique, versions)
            if path and not (yield from self._empty_adoption(unique, path, versions)):
                place = yield from self._read(self._layout.version(unique) + PUBLIC)
                state = yield from self._version_state(unique, versions)
                found.append(Item("version", unique, state, place, path))
        return found

    def doom(self, item: Item) -> Steps[bool]:
        """Have an orphan cleared away; not one that was published meanwhile. Errors: none."""
        names = yield from self._listed("versions")
        state = yield from self._version_state(item.unique, names)
        if state != "orphan":
            return False
        try:
            yield Rename(item.path, item.path + GONE)
        except OSError:
            return False
        return True

    def _draft_state(self, unique: str, names: set[str], owner: DraftOwner | None) -> Steps[State]:
        if not self._nobodys(unique):
            return "written"
        if unique not in names or owner is None:
            return "due"
        if owner.moved_in and (yield from self._holds_something(unique)):
            return "kept"
        if not owner.resumable:
            return "due"
        old = yield from self._noticed("stage", f"{unique}{DEAD}", names, RESUMABLE_SECONDS)
        return "due" if old else "resumable"

    def _version_state(self, unique: str, names: set[str]) -> Steps[State]:
        if unique + GONE in names:
            return "due"
        if (unique + DRAFT in names and not self._nobodys(unique)) or not self._unnamed(unique):
            return "written"
        if (yield from self._leads_to_it(unique)):
            return "public"
        replaced = f"{unique}{REPLACED}"
        if unique + DRAFT in names:
            owner = yield from self._owner(unique)
            if owner is not None and owner.moved_in:
                return "kept"
        if unique + DRAFT in names or any(name.startswith(replaced) for name in names):
            keep = VERSION_RETENTION_SECONDS
            old = yield from self._noticed("versions", replaced, names, keep)
            return "due" if old else "read"
        return "adopted" if unique + ADOPTED in names else "orphan"

    def _holds_something(self, unique: str) -> Steps[bool]:
        try:
            inside: list[str] = yield ListDirectory(self._layout.stage(unique))
        except OSError:
            return False
        return bool(inside)

    def _leads_to_it(self, unique: str) -> Steps[bool]:
        """As ``_public``, but a version whose name nobody remembers is an orphan, not public."""
        place = yield from self._read(self._layout.version(unique) + PUBLIC)
        return bool(place) and (yield from self._public(unique))

    def _empty_adoption(self, unique: str, path: str, names: set[str]) -> Steps[bool]:
        """The guard of an adoption that took nothing in: it is kept, for it costs nothing, and a
        late rename may still be on its way."""
        if unique + ADOPTED not in names:
            return False
        try:
            inside: list[str] = yield ListDirectory(path)
        except OSError:
            return unique not in names
        return not inside

    def _noticed(self, folder: str, mark: str, names: set[str], seconds: float) -> Steps[bool]:
        """Whether it was noticed in this boot, so long ago."""
        name = mark + self._boot_id
        if name not in names:
            return False
        text = yield from self._read(f"{self._layout.folder(folder)}/{name}")
        since = decode_moment(text)
        return since is not None and self._clock.boottime() - since >= seconds

    def _owner(self, unique: str) -> Steps[DraftOwner | None]:
        text = yield from self._read(self._layout.stage(unique) + OWNER)
        return decode_owner(text)

    def _read(self, path: str) -> Steps[str]:
        try:
            text: str = yield ReadLink(path)
        except OSError:
            return ""
        return text


def _data(folder: str, unique: str, names: set[str]) -> str:
    for name in (unique, unique + GONE, unique + TAKEN, unique + TAKEN + GONE):
        if name in names:
            return f"{folder}/{name}"
    if {unique + MOVING, unique + ADOPTED} <= names:
        return f"{folder}/{unique}{MOVING}/{INSIDE}"
    return ""
