"""Which socket a process uses, and whose daemon it trusts."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime

import pytest

from volumelease import DaemonUnavailable
from volumelease.cli.daemon import listening_place
from volumelease.client import connecting
from volumelease.client.connecting import Line
from volumelease.client.finding import own_socket, socket_of
from volumelease.daemon.doorway import Doorway
from volumelease.daemon.server import Server
from volumelease.errors import LeaseError
from volumelease.settings import Settings

from .inside import Daemons

USUAL = Settings().socket


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own runtime directory."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = Path(own_socket())
    path.parent.mkdir()
    return path


@pytest.mark.skipif(os.path.exists(USUAL), reason="a daemon runs on this machine")
def test_the_users_own_socket_is_used_where_the_usual_one_is_not_there(own: Path) -> None:
    assert socket_of(USUAL) is None
    own.touch()
    assert socket_of(USUAL) == str(own)


def test_who_names_a_socket_gets_no_other(own: Path, tmp_path: Path) -> None:
    own.touch()
    named = tmp_path / "named.sock"
    assert socket_of(str(named)) is None
    named.touch()
    assert socket_of(str(named)) == str(named)
    assert listening_place(str(tmp_path / "other" / "named.sock")).endswith("other/named.sock")


def test_a_daemon_of_a_stranger_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        class Stranger:
            size = 12

            def unpack(self, raw: bytes) -> tuple[int, int, int]:
                del raw
                return 1, 4711, 4711

        monkeypatch.setattr(connecting, "_CREDENTIALS", Stranger())
        with pytest.raises(DaemonUnavailable, match="user 4711"):
            Line(str(tmp_path / "s"), events=False)


def test_a_daemon_that_sees_another_volume_at_the_root_is_refused(tmp_path: Path) -> None:
    with (
        Daemons(tmp_path) as daemons,
        pytest.raises(DaemonUnavailable, match=f"sees the volume {daemons.volume}"),
    ):
        daemons.one_more("another")


def test_a_daemon_with_another_boottime_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def about(server: Server) -> dict[str, object]:
        return {"daemon": server.instance, "boottime": clock_gettime(CLOCK_BOOTTIME) - 100}

    monkeypatch.setattr(Server, "about", about)
    with Daemons(tmp_path) as daemons, pytest.raises(DaemonUnavailable, match="time namespace"):
        daemons.one_more()


def test_a_usual_place_that_others_may_write_is_refused(own: Path) -> None:
    for place in (own.parent, own.parent.parent):
        place.chmod(0o777)
        with pytest.raises(LeaseError, match=r"mode 0777"):
            Doorway(str(own))
        place.chmod(0o700)
    Doorway(str(own)).close()
