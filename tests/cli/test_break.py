"""``volumelease break``: take a lease away from whoever holds it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from volumelease.core import records
from volumelease.errors import LeaseLost
from volumelease.leases.asking import volume_lease
from volumelease.model import Claim

from .conftest import picture_of
from .logs import a_process, home
from .shell import Running, error_of, eventually, run


def test_the_command_of_the_holder_is_ended_and_told_who_broke_it(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60") as hold:
        (holder,) = eventually(lambda: picture_of(volume).holders())
        result = run("break", volume, "--token", str(holder.token), "--reason", "stuck deploy")
        code, _, said = hold.finish()
    assert result.returncode == 0
    assert code == 76
    assert "is being broken by process " in said
    assert "stuck deploy" in said
    assert picture_of(volume).table.holdings == {}
    assert run("verify", volume).returncode == 0


def test_a_lease_whose_holder_never_lets_go_ends_after_the_ttl_and_a_second(volume: Path) -> None:
    with a_process() as volumes:
        lease = volume_lease(volume / "a", volumes=volumes).__enter__()
        words = ("break", volume / "a", "--token", str(lease.token), "--reason", "stuck")
        with Running(*words, "--json") as breaking:
            eventually(lambda: lease.lost)
            shown = run("status", volume).stdout
            code, said, _ = breaking.finish()
        with pytest.raises(LeaseLost, match=r"broken by .*: stuck"):
            lease.check()
    assert " being broken" in shown
    document: dict[str, Any] = json.loads(said)
    assert (code, document["schema"], document["ended"]) == (0, 1, "broken")
    assert document["waited_seconds"] >= 3.0
    assert document["token"] == str(lease.token)
    audit = json.loads(Path(document["audit"]).read_text())
    assert (audit["reason"], audit["force"], audit["token"]) == ("stuck", False, document["token"])
    assert audit["by"]["host"] == audit["holder"]["host"] == os.uname().nodename
    assert {"at", "time", "paths"} <= set(audit)


def test_a_holder_that_lets_go_ends_it_at_once(volume: Path) -> None:
    with a_process() as volumes:
        lease = volume_lease(volume / "a", volumes=volumes).__enter__()
        words = ("break", volume / "a", "--token", str(lease.token), "--reason", "stuck")
        with Running(*words, "--json") as breaking:
            eventually(lambda: lease.lost)
            lease.release()
            _, said, _ = breaking.finish()
    document = json.loads(said)
    assert document["ended"] == "let go by its holder"
    assert document["waited_seconds"] < 2.9


def test_by_force_it_ends_at_once_and_is_named_dangerous(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        (holder,) = eventually(lambda: picture_of(volume).holders())
        words = ("break", volume, "--token", str(holder.token), "--reason", "x", "--force")
        result = run(*words)
        assert result.returncode == 0
        assert "DANGEROUS" in result.stderr
        assert "by force" in result.stdout
        assert picture_of(volume).holders() == []
    assert run("verify", volume).returncode == 0
    (audit,) = (home(volume) / "audit").iterdir()
    assert json.loads(audit.read_text())["force"] is True
    assert "DANGEROUS" in run("break", "--help").stdout


def test_a_breaker_that_is_killed_leaves_nothing_broken_for_ever(volume: Path) -> None:
    with a_process() as volumes:
        lease = volume_lease(volume / "a", volumes=volumes).__enter__()
        words = ("break", volume / "a", "--token", str(lease.token), "--reason", "stuck")
        with Running(*words) as breaking:
            eventually(lambda: picture_of(volume).table.breaking)
            os.killpg(breaking.pid, signal.SIGKILL)
            breaking.process.wait(10)
        with a_process() as others, volume_lease(volume, timeout=8, volumes=others) as heir:
            assert heir.token > lease.token
            assert lease.lost


def test_an_interrupted_break_goes_on_without_its_command(volume: Path) -> None:
    with a_process() as volumes:
        lease = volume_lease(volume / "a", volumes=volumes).__enter__()
        words = ("break", volume / "a", "--token", str(lease.token), "--reason", "stuck")
        with Running(*words) as breaking:
            eventually(lambda: lease.lost)
            breaking.signal(signal.SIGINT)
            code, _, _ = breaking.finish()
        assert code == 130
        eventually(lambda: not picture_of(volume).table.holdings, 8)


@pytest.mark.parametrize(
    ("path", "token", "says"),
    [
        ("a", 99, "token 99 holds nothing on"),
        ("b", 1, "is a lease on a, which is not on"),
        ("b", 99, "nobody holds a lease there"),
    ],
)
def test_what_can_not_be_broken_names_what_is_held(
    volume: Path, path: str, token: int, says: str
) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        (holder,) = eventually(lambda: picture_of(volume).holders())
        number = holder.token if token == 1 else token
        result = run("break", volume / path, "--token", str(number), "--reason", "x")
        assert result.returncode == 1
        what, advice = error_of(result)
        assert says in what
        assert advice
        if path == "a":
            assert f"held there: token {holder.token}, exclusive on a" in what
        assert len(picture_of(volume).holders()) == 1
    assert list((home(volume) / "audit").iterdir()) == []


def test_a_waiter_has_nothing_to_break(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "true"):
            ((waiter, _),) = eventually(lambda: picture_of(volume).waiters())
            result = run("break", volume, "--token", str(waiter.token), "--reason", "x")
    assert result.returncode == 1
    assert "waits for a" in error_of(result)[0]


@pytest.mark.parametrize(
    "words",
    [["--token", "1"], ["--reason", "x"], ["--token", "x", "--reason", "x"]],
    ids=["no reason", "no token", "no number"],
)
def test_wrong_usage_is_two_lines_and_2(volume: Path, words: list[str]) -> None:
    result = run("break", volume, *words)
    assert result.returncode == 2
    error_of(result)
    assert run("break", volume, "--token", "1", "--reason", " ").returncode == 2


def test_nothing_can_be_published_under_a_lease_that_is_being_broken(volume: Path) -> None:
    with a_process() as volumes:
        lease = volume_lease(volume / "a", volumes=volumes).__enter__()
        words = ("break", volume / "a", "--token", str(lease.token), "--reason", "stuck")
        with Running(*words):
            eventually(lambda: picture_of(volume).table.breaking)
            hosted: Any = lease._hosted
            body = records.Publish(lease.token, "stage/x", Claim("a", "a"))
            assert hosted.run(hosted.session.committer.commit(lambda: body)).void
