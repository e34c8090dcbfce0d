"""The bed does what it says: everything the other tests rely on, on a real volume."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bed import BedError, MooseFsBed, is_volume, missing
from tests.bed.calls import Call
from tests.bed.container import Container, in_container
from tests.bed.undertaker import NAMESPACES, mounts

pytestmark = pytest.mark.bed

REPOSITORY = Path(__file__).parents[2]


def soon(happened: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def write(path: Path) -> str:
    """Write one byte as a careful program does; the name of the first errno, or ``ok``."""
    try:
        with path.open("wb", buffering=0) as file:
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def left_of(name: str) -> list[str]:
    """Whatever on this machine still bears the name of a bed."""
    left = [f"namespace {path.name}" for path in NAMESPACES.glob(f"{name}*")]
    left += [f"mount {mount.point}" for mount in mounts() if name in mount.point]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (process / "cmdline").read_bytes():
                left.append(f"process {process.name}")
        except OSError:
            continue
    return left


@pytest.fixture
def here() -> None:
    """For tests that make a bed of their own."""
    if reason := missing():
        pytest.skip(f"no test bed here: {reason}")


@pytest.fixture
def program(here: None) -> Iterator[subprocess.Popen[str]]:
    """``python -m tests.bed`` with two hosts."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bed", "--hosts", "2"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        process.kill()


def mount_points(program: subprocess.Popen[str]) -> list[Path]:
    assert program.stdout is not None
    return [Path(program.stdout.readline().strip()) for _ in range(2)]


def test_every_host_mounts_the_volume_and_a_plain_directory_is_not_taken_for_one(
    bed: MooseFsBed, tmp_path: Path
) -> None:
    assert all(is_volume(host.mount) for host in bed.hosts)
    assert not is_volume(tmp_path)
    assert not is_volume(bed.directory)


def test_a_symlink_is_exclusive_and_seen_on_the_other_host(shared_mounts: list[Path]) -> None:
    first, second = shared_mounts
    (first / "0").symlink_to("record of the first")
    with pytest.raises(FileExistsError):
        (second / "0").symlink_to("record of the second")
    assert str((second / "0").readlink()) == "record of the first"


def test_a_command_runs_with_the_network_of_its_host(bed: MooseFsBed) -> None:
    for host in bed.hosts:
        show = host.command(["ip", "-4", "addr", "show", "dev", "eth0"])
        shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        assert host.address in shown


def test_a_cut_host_hangs_while_the_other_goes_on_and_goes_on_itself_when_healed(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    first, second = shared_mounts
    with Call("os.symlink('late', '0')", directory=first) as call:
        bed.hosts[0].cut()
        assert call.go().outcome(3.0) is None
        (second / "1").symlink_to("meanwhile")
        assert not os.path.lexists(second / "0")
        bed.hosts[0].heal()
        assert call.outcome(30.0) == "ok"
    assert str((second / "0").readlink()) == "late"


def test_with_replies_lost_a_call_is_carried_out_and_its_caller_does_not_hear_of_it(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    first, second = shared_mounts
    (first / "beat").touch()
    setup = "beat = os.open('beat', os.O_RDWR)"
    with Call("os.utime(beat, (5, 5))", directory=first, setup=setup) as call:
        bed.hosts[0].lose_replies()
        call.go()
        assert soon(lambda: (second / "beat").stat().st_mtime == 5)
        assert call.outcome(1.0) is None
        bed.hosts[0].restore_replies()
        assert call.outcome(30.0) == "ok"


def test_with_long_replies_lost_a_symlink_is_made_and_its_maker_hears_that_it_exists(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    first, second = shared_mounts
    with Call("os.symlink('mine', '0')", directory=first) as call:
        bed.hosts[0].lose_long_replies()
        call.go()
        assert soon(lambda: os.path.lexists(second / "0"))
        assert str((second / "0").readlink()) == "mine"
        assert call.outcome(1.0) is None
        call.outcome(14.0)  # the mount gives up after 10 s and repeats the call
        bed.hosts[0].heal()
        assert call.outcome(30.0) == "EEXIST"


def test_an_inode_quota_refuses_symlinks_and_lets_one_in_for_one_unlinked(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    first, second = shared_mounts
    bed.set_quota(first, inodes=2)
    (first / "0").symlink_to("spare")
    (first / "1").symlink_to("spare")
    for mount in shared_mounts:
        with pytest.raises(OSError, match="quota") as caught:
            (mount / "2").symlink_to("one too many")
        assert caught.value.errno == errno.EDQUOT
    (second / "0").unlink()
    (second / "2").symlink_to("fits again")
    bed.clear_quota(first)
    (first / "3").symlink_to("no limit")


def test_a_size_quota_fails_the_fsync_and_still_takes_symlinks(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    first, second = shared_mounts
    assert write(first / "before") == "ok"
    bed.set_quota(second, bytes=1)
    assert write(first / "before") == "EDQUOT"
    assert write(second / "new") == "EDQUOT"
    (first / "0").symlink_to("record")
    bed.clear_quota(second)
    assert write(first / "new") == "ok"


@pytest.mark.parametrize("end", ["stop_master", "kill_master", "pause_master"])
def test_without_a_master_calls_wait_and_are_carried_out_when_it_is_back(
    bed: MooseFsBed, shared_mounts: list[Path], end: str
) -> None:
    first, second = shared_mounts
    (first / "before").symlink_to("kept")
    with Call("os.symlink('late', '0')", directory=first) as call:
        getattr(bed, end)()
        assert call.go().outcome(2.0) is None
        bed.heal()
        assert call.outcome(30.0) == "ok"
    assert sorted(os.listdir(second)) == ["0", "before"]


def test_a_container_is_a_pid_namespace_of_its_own_on_the_host(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    host = bed.hosts[1]
    script = 'echo $$; cat /proc/self/comm; ls "$1"; ip -4 addr show dev eth0'
    (shared_mounts[0] / "seen").touch()
    argv = in_container(["sh", "-c", script, "sh", str(shared_mounts[1])], host=host)
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[:3] == ["1", "cat", "seen"]
    assert host.address in "".join(shown)


def test_killing_a_container_ends_every_process_in_it(here: None) -> None:
    with Container(["sh", "-c", "sleep 1000 & echo started; wait"]) as container:
        assert container.process.stdout is not None
        assert container.process.stdout.readline() == "started\n"
        inside = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
        assert len(inside) == 1
        container.kill()
        assert not Path(f"/proc/{inside[0]}").exists()


def test_a_bed_taken_down_with_its_hosts_in_trouble_leaves_nothing(
    here: None, tmp_path: Path
) -> None:
    aborted = ("ENOTCONN", "ECONNABORTED")
    bed = MooseFsBed(hosts=3, directory=tmp_path)
    with contextlib.ExitStack() as after_the_bed:
        with bed:
            cut, silent = (
                after_the_bed.enter_context(Call("os.mkdir('never')", directory=host.mount))
                for host in bed.hosts[:2]
            )
            sleeper = subprocess.Popen(bed.hosts[2].command(["sleep", "1000"]))
            bed.hosts[0].cut()
            bed.hosts[1].lose_replies()
            bed.pause_master()
            assert cut.go().outcome(0.5) is None
            assert silent.go().outcome(0.5) is None
        assert cut.outcome(5.0) in aborted
        assert silent.outcome(5.0) in aborted
    assert sleeper.wait(5.0) == -signal.SIGKILL
    assert left_of(bed.name) == []
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_half_way_leaves_nothing(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "mfsmount"
    broken.write_text("#!/bin/sh\necho no such luck; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    bed = MooseFsBed(directory=tmp_path / "below")
    with pytest.raises(BedError, match="mfsmount of host1: exit status 1\nno such luck"):
        bed.start()
    assert left_of(bed.name) == []
    assert list((tmp_path / "below").iterdir()) == []


def test_two_beds_at_once_are_two_volumes(bed: MooseFsBed, here: None) -> None:
    with MooseFsBed(hosts=1) as other:
        (other.hosts[0].mount / "here").touch()
        assert not (bed.hosts[0].mount / "here").exists()
    assert is_volume(bed.hosts[0].mount)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "end of stdin"])
def test_the_program_keeps_the_volume_until_it_is_told_to_stop(
    program: subprocess.Popen[str], end: str
) -> None:
    points = mount_points(program)
    assert all(is_volume(point) for point in points)
    if end.startswith("SIG"):
        program.send_signal(signal.Signals[end])
    else:
        assert program.stdin is not None
        program.stdin.close()
    assert program.wait(30.0) == 0
    assert left_of(points[0].parent.name) == []


def test_a_bed_whose_process_was_killed_is_cleared_away(program: subprocess.Popen[str]) -> None:
    points = mount_points(program)
    program.kill()
    assert soon(lambda: left_of(points[0].parent.name) == [], seconds=15.0)
    assert soon(lambda: not points[0].parent.exists())
