"""Two hosts find each other in a directory that both see, and talk through it.

All they say is symlinks: created exclusively, whole or not there. What is said is seen late on
some file systems, which is one of the things to find out, so everything here waits for long.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from volumelease.errors import LeaseError
from volumelease.host import this_process
from volumelease.paths.mounts import Mount
from volumelease.paths.proof import PEERS
from volumelease.wire.fields import Malformed, decode_object, take

MEET_SECONDS: Final = 90.0
"""For so long one waits for the other: they are started by hand, within a minute, and some file
systems show a new name only after 20 s."""

HEAR_SECONDS: Final = 45.0
"""Twice what the slowest file system measured so far (sshfs) takes to show a change."""

_NUMBER: Final = "pid_namespace"
"""The one fact of a party that is no text."""

_STALE: Final = 600.0
_OURS: Final = frozenset({"accept", "hello", "pair", "talk"})
_LOOK_SECONDS: Final = 0.0005
_LOOKS_AT_NAME: Final = 30
"""One look in so many is at whether the other gave up."""

_LONGEST_LOOK_SECONDS: Final = 0.02


class Silence(LeaseError):
    """The other host did not come, or said nothing any more."""


class GivenUp(LeaseError):
    """The other host could not go on with what both were doing."""


@dataclass(frozen=True, slots=True)
class Party:
    """One of the two, in its own words. ``monotonic`` and ``wall`` when it said so."""

    id: str
    host: str
    boot_id: str
    pid_namespace: int
    device: str
    fstype: str

    def same_mount(self, other: Party) -> bool:
        """Whether both look through one mount of one machine: then they prove nothing about two
        hosts."""
        here, there = (self.boot_id, self.device), (other.boot_id, other.device)
        return bool(self.boot_id) and here == there


def decode_party(text: str) -> Party | None:
    """None for a text that is none."""
    try:
        said = decode_object(text)
        words = {name: take(said, name, str) for name in Party.__slots__ if name != _NUMBER}
        return Party(**words, pid_namespace=take(said, _NUMBER, int))
    except Malformed:
        return None


def _facts(text: str) -> dict[str, Any]:
    """What the other said. Errors: ``Silence``."""
    try:
        return decode_object(text)
    except Malformed as error:
        raise Silence(
            f"the other host said what nobody understands ({error}): {text[:80]!r}",
            advice="Run the same version of volumelease on both: volumelease --version",
        ) from None


def this_party(mount: Mount) -> Party:
    facts = this_process()
    return Party(
        os.urandom(8).hex(),
        facts.hostname,
        facts.boot_id,
        facts.pid_namespace,
        mount.device,
        mount.fstype,
    )


class Talk:
    """A conversation with the other host. Of the two, one ``leads``."""

    def __init__(self, folder: str, me: str, other: str) -> None:
        self.folder = folder
        self.leads = me < other
        self._me = me
        self._other = other
        self._given_up = 0

    def tell(self, name: str, **facts: Any) -> None:
        """Say something, once under each name. An error is no proof that it wasn't said."""
        text = json.dumps(facts)
        path = f"{self.folder}/{name}.{self._me}"
        try:
            os.symlink(text, path)
        except OSError:
            if os.readlink(path) != text:
                raise

    def hear(self, name: str, seconds: float = HEAR_SECONDS) -> dict[str, Any]:
        """What the other said under that name. Errors: ``Silence``."""
        path = f"{self.folder}/{name}.{self._other}"
        looks = itertools.count()

        def look() -> str | None:
            if next(looks) % _LOOKS_AT_NAME == _LOOKS_AT_NAME - 1:
                self._raise_if_given_up()
            return read_link(path)

        text = poll(look, seconds)
        if text is None:
            raise Silence(
                f"the other host said nothing for {seconds:g} s (it was to say {name!r})",
                advice="See whether it was stopped, and start both again",
            )
        return _facts(text)

    def give_up(self, what: str) -> None:
        """Whatever the other waits for now, it will not come."""
        self.tell(f"given-up-{self._given_up}", what=what[:200])

    def begin(self) -> None:
        """Something new begins, with which nobody gave up yet."""
        self._given_up += 1

    def _raise_if_given_up(self) -> None:
        text = read_link(f"{self.folder}/given-up-{self._given_up}.{self._other}")
        if text is not None:
            raise GivenUp(str(_facts(text).get("what", "it does not say why"))[:200])

    def both(self, name: str, **facts: Any) -> dict[str, Any]:
        """Say something and hear the same from the other."""
        self.tell(name, **facts)
        return self.hear(name)

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def poll(look: Callable[[], Any], seconds: float) -> Any:
    """The first answer of ``look`` that is something, or None after ``seconds``."""
    until = time.monotonic() + seconds
    pause = _LOOK_SECONDS
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > until:
            return None
        time.sleep(pause)
        pause = min(pause * 1.05, _LONGEST_LOOK_SECONDS)


def make_directory(path: str) -> None:
    """Unless it is there. Some file systems have no error of its own for that."""
    try:
        os.mkdir(path)
    except OSError:
        if not os.path.isdir(path):
            raise


def read_link(path: str) -> str | None:
    """What the symlink says, None while it is not there, or can't be read yet."""
    try:
        return os.readlink(path) or None
    except OSError:
        return None


# ---- finding each other


class Meeting:
    """``with Meeting(directory, party) as (talk, other)``: the other host and how to talk to it.

    Whoever has the smaller name proposes to all it sees, and takes the first that accepts. Limit:
    of three hosts that come at once, one may be left over and say so.
    """

    def __init__(self, directory: str, party: Party, seconds: float = MEET_SECONDS) -> None:
        self._folder = f"{directory.rstrip('/')}/{PEERS}"
        self._party = party
        self._seconds = seconds
        self._made: list[str] = []
        self._seen: set[str] = set()
        self._talk: Talk | None = None

    def __enter__(self) -> tuple[Talk, Party]:
        make_directory(self._folder)
        try:
            facts = {name: getattr(self._party, name) for name in Party.__slots__}
            self._make(f"hello-{self._party.id}", json.dumps(facts))
            self._sweep()
            found = poll(self._look_round, self._seconds)
            if found is None:
                raise Silence(
                    f"no other host came within {self._seconds:g} s",
                    advice=f"Run the same command on another host that mounts it, at the same "
                    f"time; they meet in {self._folder}",
                )
            self._talk, other = found
            found[0].both("met")  # before either can be done and remove what the other looks for
            return found[0], other
        except BaseException:
            self._clean_up()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._talk is not None:
                self._say_goodbye(self._talk)
        finally:
            self._clean_up()

    def _say_goodbye(self, talk: Talk) -> None:
        """The one who leads removes what was said, once the other has read it all."""
        if not talk.leads:
            talk.tell("goodbye")
            return
        with suppress(Silence, GivenUp):
            talk.hear("goodbye")

    def _look_round(self) -> tuple[Talk, Party] | None:
        """Only who is new is found by listing: a directory can be listed for 20 s as it was, while
        a name that is asked for is answered by the server."""
        me = self._party.id
        names = os.listdir(self._folder)
        self._seen |= {name[6:] for name in names if name.startswith("hello-")} - {me}
        for other in sorted(self._seen):
            pair = f"{min(me, other)}-{max(me, other)}"
            mine, theirs = ("pair", "accept") if me < other else ("accept", "pair")
            if me < other and f"pair-{pair}" not in self._made:
                self._make(f"pair-{pair}", "?")
            if read_link(f"{self._folder}/{theirs}-{pair}") is None:
                continue
            party = self._hello(other)
            if party is not None:
                if mine == "accept":
                    self._make(f"accept-{pair}", "yes")
                return self._talk_with(other), party
        return None

    def _talk_with(self, other: str) -> Talk:
        first, second = sorted((self._party.id, other))
        folder = f"{self._folder}/talk-{first}-{second}"
        make_directory(folder)
        return Talk(folder, self._party.id, other)

    def _hello(self, other: str) -> Party | None:
        text = read_link(f"{self._folder}/hello-{other}")
        if text is None:
            return None
        return decode_party(text)

    def _sweep(self) -> None:
        """Remove what those left who were killed; its age by the server's clock alone."""
        now = os.lstat(f"{self._folder}/hello-{self._party.id}").st_mtime
        for name in os.listdir(self._folder):
            path = f"{self._folder}/{name}"
            with suppress(OSError):
                if name.partition("-")[0] in _OURS and now - os.lstat(path).st_mtime > _STALE:
                    shutil.rmtree(path) if name.startswith("talk-") else os.unlink(path)

    def _make(self, name: str, text: str) -> None:
        self._made.append(name)
        os.symlink(text, f"{self._folder}/{name}")

    def _clean_up(self) -> None:
        for name in self._made:
            with suppress(OSError):
                os.unlink(f"{self._folder}/{name}")
        if self._talk is not None and self._talk.leads:
            shutil.rmtree(self._talk.folder, ignore_errors=True)
        with suppress(OSError):
            os.rmdir(self._folder)  # only if no verdict was written
