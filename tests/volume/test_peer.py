"""``volumelease doctor --peer``: two hosts prove a mount to each other, or that it won't do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bed.moosefs import MooseFsBed, is_volume
from tests.bed.network import SERVER, program
from tests.bed.sshfs import SshfsMounts, missing_sshfs
from tests.cli.shell import Running, error_of, run


def together(mounts: list[Path], seconds: float = 60.0) -> list[tuple[int, dict[str, Any]]]:
    """What each of two hosts came to: exit code and document."""
    words = ("doctor", "--peer", "--json")
    with Running(*words, mounts[0]) as one, Running(*words, mounts[1]) as other:
        ends = [host.finish(seconds) for host in (one, other)]
    return [(code, json.loads(said)) for code, said, _ in ends]


@pytest.mark.bed
def test_two_hosts_prove_moosefs_before_it_is_a_volume(shared_mounts: list[Path]) -> None:
    for code, found in together(shared_mounts):
        assert (code, found["peer"]["verdict"]) == (0, "proved"), found
        assert found["schema"] == 1
        names = {check["name"] for check in found["checks"]}
        assert {"peer entries", "peer heartbeats", "peer clocks", "verdict"} <= names
    left = [path.name for path in shared_mounts[0].rglob("*")]
    assert sorted(left) == [".volumelease-peer", "verdict.json"], "they clean up behind them"
    assert run("init", shared_mounts[0]).returncode == 0


@pytest.mark.bed
@pytest.mark.timeout(240)
def test_a_mount_that_nobody_measured_is_accepted_where_two_hosts_proved_it(
    bed: MooseFsBed, tmp_path: Path
) -> None:
    """MooseFS, mounted once more by each host under a name that nobody knows."""
    mounts = [tmp_path / host.name for host in bed.hosts]
    served = []
    try:
        for host, mount in zip(bed.hosts, mounts, strict=True):
            mount.mkdir()
            argv = [program("mfsmount"), str(mount), "-H", SERVER, "-f", "-o", "subtype=mystery"]
            served.append(subprocess.Popen(host.command(argv), stdout=subprocess.DEVNULL))
            _until_mounted(mount)
        fresh = [mount / "proved-by-two" for mount in mounts]
        fresh[0].mkdir()
        assert "doctor --peer" in error_of(run("init", fresh[0]))[1]
        for code, found in together(fresh, 180):  # as many trials as on any unknown mount
            assert (code, found["fstype"]) == (0, "fuse.mystery"), found
        assert run("init", fresh[1]).returncode == 0
    finally:
        for mount in mounts:
            subprocess.run(["umount", str(mount)], check=False)
        for one in served:
            one.terminate()
            one.wait(15)


def _until_mounted(mount: Path) -> None:
    from tests.cli.shell import eventually

    eventually(lambda: is_volume(mount), 15)


@pytest.mark.skipif(missing_sshfs() is not None, reason=f"no sshfs here: {missing_sshfs()}")
@pytest.mark.torture
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param("", id="by name"),
        pytest.param("subtype=mystery", id="by the verdict"),
    ],
)
def test_sshfs_is_disproved_and_refused(tmp_path: Path, options: str) -> None:
    """By its name, and where its name says nothing, by what two hosts found out."""
    with SshfsMounts(tmp_path, options) as sshfs:
        for code, found in together(sshfs.mounts, 200):
            assert (code, found["peer"]["verdict"]) == (1, "disproved"), found
            broken = " ".join(found["peer"]["broken"])
            assert "heartbeats: a heartbeat of the other host is seen only after" in broken
        result = run("init", sshfs.mounts[0])
        assert result.returncode == 1
        what, _ = error_of(result)
        assert "late" in what if not options else "heartbeat" in what
        if options:
            result = run("init", "--force", sshfs.mounts[1])
            assert result.returncode == 1, "what is known to be broken is nobody's to vouch for"
        env = {"VOLUMELEASE_VOLUME": str(sshfs.mounts[0])}
        result = run("hold", sshfs.mounts[0] / "a", "--", "true", env=env)
        assert result.returncode == 1
        assert "can't carry leases" in error_of(result)[0]
