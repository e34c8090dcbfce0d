"""What a client had is given back, whatever goes wrong and whichever volume hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volumelease import AuthorityUnreachable, LeaseTimeout, volume_lease
from volumelease.client.connecting import Line
from volumelease.daemon import burial
from volumelease.daemon.clients import Held, User
from volumelease.daemon.desk import NOT_YOURS, Desk
from volumelease.leases.volumes import Volumes
from volumelease.model import Answer, Cancel, Discard, Lost, Publish
from volumelease.paths.locate import locate
from volumelease.wire.questions import decode_draft

from .inside import Inside, surroundings


def several(folder: Path, names: str) -> tuple[Inside, list[Path]]:
    """A daemon of several volumes."""
    roots = [folder / name for name in names]
    for root in roots:
        root.mkdir()
        Volumes(surroundings(root)).found(locate(root, explicit=str(root)), ready=True)
    around = surroundings(roots[0])
    settings = around.settings._replace(volume=None)
    return Inside(folder / "daemon.sock", around._replace(settings=settings)), roots


def leave(inside: Inside, roots: list[Path]) -> None:
    """A client that takes a lease on each volume, and leaves."""
    with Line(str(inside.socket), events=False) as line:
        for root in roots:
            assert line.ask("acquire", {"paths": [str(root / "a")]})["is"] == "granted"


def free(root: Path, seconds: float = 5.0, ttl: float = 15.0) -> bool:
    volumes = Volumes(surroundings(root, ttl))
    try:
        with volume_lease(root / "a", timeout=seconds, volumes=volumes):
            return True
    except LeaseTimeout:
        return False
    finally:
        volumes.close()


def test_a_burial_that_fails_is_told_of_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = burial.give_back
    failed: list[User] = []

    def give_back(user: User, desk: Desk) -> None:
        if not failed:
            failed.append(user)
            raise OSError("too many open files")
        real(user, desk)

    monkeypatch.setattr(burial, "give_back", give_back)
    inside, roots = several(tmp_path, "x")
    leave(inside, roots)
    assert free(roots[0])
    assert any("too many open files" in line for line in inside.said)
    inside.end()


def test_a_volume_that_hangs_holds_up_no_burial_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = burial.give_back
    answers = threading.Event()

    def give_back(user: User, desk: Desk) -> None:
        if desk.root.root.endswith("x"):
            answers.wait(20)
        real(user, desk)

    monkeypatch.setattr(burial, "give_back", give_back)
    inside, roots = several(tmp_path, "xy")
    leave(inside, roots)
    assert free(roots[1])
    assert not free(roots[0], 0.0)
    answers.set()
    assert free(roots[0])
    inside.end()


def test_a_draft_of_a_client_that_goes_is_published_or_discarded_and_never_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes just when its publish begins."""
    inside, (root,) = several(tmp_path, "x")
    with Line(str(inside.socket), events=False) as line:
        token = line.ask("acquire", {"paths": [str(root / "a")]})["token"]
        draft = line.ask("prepare", {"token": token, "target": [["a"]]})["draft"]
        (user,) = inside.daemon.server.users.values()
        (desk,) = inside.daemon.server.reception.all_desks()
        Path(draft["path"]).write_text("x")
        asked: list[type] = []
        real = desk.hosted.ask

        def ask(question: Any) -> Answer:
            asked.append(type(question))
            return real(question)

        monkeypatch.setattr(desk.hosted, "ask", ask)
        lock: Any = DiesNow(lambda: burial.give_back(user, desk))
        user.lock = lock
        assert desk.ask(user, Publish(decode_draft(draft))) == Lost(NOT_YOURS)
    assert asked == [Cancel, Discard]
    inside.end()


class DiesNow:
    """A lock that is taken by the burial first."""

    def __init__(self, bury: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self._bury: Callable[[], None] | None = bury

    def __enter__(self) -> None:
        bury, self._bury = self._bury, None
        if bury is not None:
            bury()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def test_a_grant_that_could_not_be_looked_at_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Desk.settled_after_wait
    failed: list[int] = []

    def settled(desk: Desk, user: User, held: Held, token: int) -> Answer:
        if not failed:
            failed.append(token)
            raise AuthorityUnreachable("no answer", root=None, seconds=1.0)
        return real(desk, user, held, token)

    inside, (root,) = several(tmp_path, "x")
    volumes = Volumes(surroundings(root))
    with Line(str(inside.socket), events=True) as line:
        with volume_lease(root / "a", volumes=volumes):
            token = line.ask("acquire", {"paths": [str(root / "a")]})["token"]
            monkeypatch.setattr(Desk, "settled_after_wait", settled)
        news = line.listen()
        assert news is not None
        assert (news.event, news.about["token"]) == ("granted", token)
        assert failed
    volumes.close()
    inside.end()
