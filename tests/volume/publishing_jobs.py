"""What worker processes of the publishing tests do:
``python -m tests.volume.publishing_jobs JOB JSON``; as ``jobs``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from volumelease import LeaseError, populate
from volumelease.effects import Effect, Rename
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings

from .jobs import Accident, position, say, volumes

FILES: Final = ("one", "two", "three")


def write_tree(draft: Path, content: str) -> None:
    draft.mkdir(exist_ok=True)
    for name in FILES:
        (draft / name).write_text(content)


def read_tree(place: Path) -> str:
    """What is public at ``place``, through one open directory; whole or an error."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = set()
        for name in FILES:
            file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            try:
                found.add(os.read(file, 1000).decode())
            finally:
                os.close(file)
    finally:
        os.close(descriptor)
    (content,) = found
    return content


class Hesitation:
    """Stands still before the rename that makes a publish visible."""

    def __init__(self, inner: Any, place: str) -> None:
        self.inner = inner
        self.place = place

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Rename) and effect.target == self.place:
            say(hesitates=True)
            sys.stdin.readline()
        return self.inner.perform(effect)


def stage(mount: str, content: str, where: str, kind: str = "directory") -> None:
    """Publish at ``m``, and stop ``where``: before the publish, before its rename, or nowhere."""
    place = f"{mount}/m"
    performer = Surroundings.of_this_process().performer
    mine = volumes(performer=Hesitation(performer, place) if where == "rename" else performer)
    try:
        with volume_lease(place, volumes=mine) as lease:
            say(token=lease.token, granted=True)
            with lease.stage() as draft:
                if kind == "directory":
                    write_tree(draft, content)
                else:
                    draft.write_text(content)
                say(staged=True)
                if where == "publish":
                    sys.stdin.readline()
        say(published=True)
    except LeaseError as error:
        say(error=type(error).__name__, text=str(error))
    sys.stdin.readline()


def publish_suffering(mount: str, kind: str, number: int, moment: str, what: str) -> None:
    """Stage, publish and release with an accident at the ``number``-th call of it."""
    surroundings = Surroundings.of_this_process()
    accident = Accident(surroundings.performer, "MainThread", number, moment, what)
    mine = volumes(performer=accident)
    place = f"{mount}/m"
    try:
        with volume_lease(place, volumes=mine) as lease:
            say(ready=True)
            accident.armed = True
            with lease.stage() as draft:
                if kind == "directory":
                    write_tree(draft, "victim")
                else:
                    draft.write_text("victim")
            say(published=True)
    except LeaseError as error:
        say(error=type(error).__name__, text=str(error))
    accident.armed = False
    say(finished=True, seen=accident.seen)
    sys.stdin.readline()
    say(**position(mine))
    mine.close()


def republish(mount: str, count: int, kind: str) -> None:
    """Publish ``count`` times at ``m``."""
    place = f"{mount}/m"
    with volume_lease(place) as lease:
        for number in range(count):
            with lease.stage() as draft:
                if kind == "directory":
                    write_tree(draft, f"{number}")
                else:
                    draft.write_text(f"{number} " * 1000)
            if number == 0:
                say(started=True)
    say(done=count)


def read(mount: str, count: int, kind: str) -> None:
    """Open the public path ``count`` times; what is found is whole."""
    place = Path(mount) / "m"
    seen = set()
    for _ in range(count):
        if kind == "directory":
            seen.add(read_tree(place))
        else:
            words = set(place.read_text().split())
            assert len(words) == 1, words
            seen |= words
    say(different=len(seen))


def fetch(mount: str, files: int, size: int, hang: bool = False, resume: bool = False) -> None:
    """``populate`` a tree of ``files`` times ``size`` bytes; say who built."""
    place = f"{mount}/models/big"

    def build(draft: Path) -> None:
        say(builds=os.getpid(), resumed=draft.exists())
        draft.mkdir(exist_ok=True)
        block = os.urandom(1 << 20)
        for number in range(files):
            path = draft / f"part-{number}"
            if hang and number == files // 2:
                say(half=True)
                time.sleep(3600)
            if path.exists() and path.stat().st_size == size:
                continue
            with open(path, "wb") as file:
                for _ in range(size >> 20):
                    file.write(block)

    started = time.monotonic()
    result = populate(place, build, resume=resume)
    seconds = time.monotonic() - started
    sizes = [path.stat().st_size for path in sorted(result.iterdir())]
    assert sizes == [size] * files, sizes
    again = time.monotonic()
    populate(place, build)
    say(got=True, seconds=seconds, again=time.monotonic() - again)


JOBS: Final[dict[str, Callable[..., None]]] = {
    "stage": stage,
    "publish_suffering": publish_suffering,
    "republish": republish,
    "read": read,
    "fetch": fetch,
}

if __name__ == "__main__":
    JOBS[sys.argv[1]](**json.loads(sys.argv[2]))
