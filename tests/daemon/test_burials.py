"""What a client had is given back, whatever goes wrong and whichever volume hangs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from volumelease import AuthorityUnreachable, LeaseTimeout, volume_lease
from volumelease.client.connecting import Line
from volumelease.daemon.clients import Held, User
from volumelease.daemon.desk import Desk
from volumelease.leases.volumes import Volumes
from volumelease.model import Answer
from volumelease.paths.locate import locate

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


def free(root: Path, seconds: float = 5.0) -> bool:
    volumes = Volumes(surroundings(root))
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
    real = Desk.bury
    failed: list[User] = []

    def bury(desk: Desk, user: User) -> None:
        if not failed:
            failed.append(user)
            raise OSError("too many open files")
        real(desk, user)

    monkeypatch.setattr(Desk, "bury", bury)
    inside, roots = several(tmp_path, "x")
    leave(inside, roots)
    assert free(roots[0])
    assert any("too many open files" in line for line in inside.said)
    inside.end()


def test_a_volume_that_hangs_holds_up_no_burial_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Desk.bury
    answers = threading.Event()

    def bury(desk: Desk, user: User) -> None:
        if desk.root.root.endswith("x"):
            answers.wait(20)
        real(desk, user)

    monkeypatch.setattr(Desk, "bury", bury)
    inside, roots = several(tmp_path, "xy")
    leave(inside, roots)
    assert free(roots[1])
    assert not free(roots[0], 0.0)
    answers.set()
    assert free(roots[0])
    inside.end()


def test_a_grant_that_could_not_be_looked_at_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Desk._settled_after_wait
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
            monkeypatch.setattr(Desk, "_settled_after_wait", settled)
        news = line.listen()
        assert news is not None
        assert (news.event, news.about["token"]) == ("granted", token)
        assert failed
    volumes.close()
    inside.end()
