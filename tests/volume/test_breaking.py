"""Breaking a live holder's lease on a real volume: it loses it before anybody else gets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.cli.shell import command_line, environment

from .fleet import fleet, make_volume
from .test_takeover import _waiting

pytestmark = pytest.mark.bed

TTL = 3.0


def volumelease(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(*words),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _order(mount: Path, token: int, reason: str) -> list[str]:
    return ["break", str(mount / "a"), "--token", str(token), "--reason", reason]


def verified(mount: Path) -> dict[str, Any]:
    result = volumelease("verify", mount, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert (result.returncode, found["findings"]) == (0, []), result
    return found


@pytest.mark.parametrize("polite", [True, False], ids=["lets go", "never lets go"])
def test_a_broken_holder_loses_the_lease_before_the_next_one_gets_it(
    shared_mounts: list[Path], polite: bool
) -> None:
    make_volume(shared_mounts[0], ttl=TTL)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a/b")
        token = holder.wait_for("granted")["token"]
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        _waiting(heir, shared_mounts[0])
        words = _order(shared_mounts[0], token, "stuck")
        breaking = subprocess.Popen(
            [*command_line(*words), "--json"],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        lost = holder.wait_for("lost", TTL)
        assert lost["why"].startswith("the lease is being broken by ")
        assert lost["why"].endswith(": stuck")
        if polite:
            holder.tell_to_go_on()
        granted = heir.wait_for("granted", TTL + 5)
        said, _ = breaking.communicate(timeout=30)
        document = json.loads(said)
    assert lost["at"] < granted["at"], "the successor started before the holder stopped"
    assert document["ended"] == ("let go by its holder" if polite else "broken")
    assert polite or document["waited_seconds"] >= TTL + 1
    audited = json.loads(
        (shared_mounts[1] / Path(document["audit"]).relative_to(shared_mounts[0])).read_text()
    )
    assert (audited["reason"], audited["token"], audited["force"]) == ("stuck", str(token), False)
    assert verified(shared_mounts[1])["records"]["breaking"] == 1


def test_a_killed_breaker_leaves_no_lease_that_is_broken_for_ever(
    shared_mounts: list[Path],
) -> None:
    """Not even where nobody waits: the holder's own session ends it."""
    make_volume(shared_mounts[0], ttl=2.0)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        token = holder.wait_for("granted")["token"]
        words = _order(shared_mounts[0], token, "stuck")
        breaking = subprocess.Popen(
            command_line(*words),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        lost = holder.wait_for("lost", 10)
        os.killpg(breaking.pid, signal.SIGKILL)
        breaking.wait(10)
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        assert lost["at"] < heir.wait_for("granted", 10)["at"]
    verified(shared_mounts[0])


def test_a_forced_break_grants_at_once_and_the_holder_finds_out_at_its_next_beat(
    shared_mounts: list[Path],
) -> None:
    make_volume(shared_mounts[0], ttl=6.0)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        token = holder.wait_for("granted")["token"]
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        _waiting(heir, shared_mounts[0])
        words = _order(shared_mounts[0], token, "gone")
        result = volumelease(*words, "--force", "--json")
        assert "DANGEROUS" in result.stderr
        heir.wait_for("granted", 1)
        assert "broken by" in holder.wait_for("lost", 3)["why"]
    assert json.loads(result.stdout)["force"] is True
    verified(shared_mounts[0])


def test_on_a_volume_that_takes_no_write_a_lease_is_broken_and_audited_all_the_same(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=2.0)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        token = holder.wait_for("granted")["token"]
        bed.set_quota(shared_mounts[0], bytes=1 << 20)
        try:
            result = volumelease(*_order(shared_mounts[0], token, "full"), "--json")
        finally:
            bed.clear_quota(shared_mounts[0])
        holder.wait_for("lost", 5)
    audit = Path(json.loads(result.stdout)["audit"])
    assert json.loads(os.readlink(audit))["reason"] == "full"
    verified(shared_mounts[0])
