"""Full, read-only, forbidden, hanging: a clear error each, and a release still comes through."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bed.container import in_container
from tests.bed.moosefs import MooseFsBed

from .fleet import ROOT, fleet, make_volume

pytestmark = pytest.mark.bed


def python(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


ACQUIRE = """
    import os, sys, time
    from volumelease import *
    if len(sys.argv) > 2:
        import volumelease.leases.volumes, volumelease.leases.flows, encodings.ascii
        os.setuid(int(sys.argv[2]))
    started = time.monotonic()
    try:
        with volume_lease(sys.argv[1], timeout=3):
            print("granted")
    except LeaseError as error:
        print(type(error).__name__, error.what, "|", error.advice)
    assert time.monotonic() - started < 20
"""


def test_a_volume_full_of_inodes_refuses_new_leases_and_lets_go_of_old_ones(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=3)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        holder.wait_for("granted")
        time.sleep(2)  # one beat with its chores
        used = sum(len(files) + len(folders) for _, folders, files in os.walk(shared_mounts[0]))
        bed.set_quota(shared_mounts[0], inodes=used)
        try:
            refused = python(ACQUIRE, shared_mounts[0] / "b")
            assert "VolumeFull" in refused.stdout, refused.stdout + refused.stderr
            assert "Free space" in refused.stdout
            assert holder.finish() == 0
            assert not holder.wait_for("lost_at_end")["lost_at_end"]
        finally:
            bed.clear_quota(shared_mounts[0])
        assert python(ACQUIRE, shared_mounts[0] / "a").stdout == "granted\n"


def test_a_killed_holder_makes_way_even_on_a_volume_full_of_inodes(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=3)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[0], path="a")
        holder.wait_for("granted")
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        heir.wait_for("started")
        time.sleep(2)
        used = sum(len(files) + len(folders) for _, folders, files in os.walk(shared_mounts[0]))
        bed.set_quota(shared_mounts[0], inodes=used)
        try:
            holder.signal(signal.SIGKILL)
            heir.wait_for("granted", 15)
        finally:
            bed.clear_quota(shared_mounts[0])
        assert heir.finish() == 0


def test_a_volume_full_of_bytes_still_grants_and_releases(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=3)
    bed.set_quota(shared_mounts[0], bytes=1 << 20)
    try:
        assert python(ACQUIRE, shared_mounts[0] / "a").stdout == "granted\n"
        long = (
            shared_mounts[0] / ("n" * 240) / ("m" * 240) / ("o" * 240) / ("p" * 240) / ("q" * 240)
        )
        refused = python(ACQUIRE, long)
        assert "VolumeFull" in refused.stdout, refused.stdout + refused.stderr
    finally:
        bed.clear_quota(shared_mounts[0])
    assert python(ACQUIRE, long).stdout == "granted\n"


def test_a_user_who_may_not_write_gets_a_clear_error(shared_mounts: list[Path]) -> None:
    make_volume(shared_mounts[0], ttl=3)
    refused = python(ACQUIRE, shared_mounts[0] / "a", 65534)
    assert "VolumeUnsuitable" in refused.stdout, refused.stdout + refused.stderr
    assert "user who may write" in refused.stdout


def test_a_read_only_mount_is_refused(shared_mounts: list[Path], tmp_path: Path) -> None:
    make_volume(shared_mounts[0], ttl=3)
    source, target = str(shared_mounts[0]), str(tmp_path)
    code = f"""
        import subprocess
        subprocess.run(["mount", "--bind", {source!r}, {target!r}], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", {target!r}], check=True)
    """
    run = textwrap.dedent(code) + textwrap.dedent(ACQUIRE)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", run, str(tmp_path / "a")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert "VolumeUnsuitable" in done.stdout, done.stdout + done.stderr


def test_a_container_of_another_pid_namespace_never_declares_a_living_session_dead(
    shared_mounts: list[Path],
) -> None:
    """Its pids mean nothing here: pid 2 of the container is nobody, or somebody else, outside."""
    make_volume(shared_mounts[0], ttl=5)
    with fleet() as workers:
        inside = workers.start("take", mount=shared_mounts[0], path="a", prefix=in_container([]))
        inside.wait_for("granted")
        outside = workers.start("take", mount=shared_mounts[0], path="a")
        outside.wait_for("started")
        outside.silent(12)
        assert inside.finish() == 0
        outside.wait_for("granted", 5)
        other = workers.start("take", mount=shared_mounts[0], path="a", prefix=in_container([]))
        other.wait_for("started")
        other.silent(12)
        assert outside.finish() == 0
        other.wait_for("granted", 5)
        assert other.finish() == 0


def test_a_volume_that_hangs_costs_a_caller_with_a_timeout_only_its_timeout(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=15)
    code = """
        import json, sys, time
        from volumelease import *
        with volume_lease(sys.argv[1]): pass
        print(json.dumps("ready"), flush=True)
        sys.stdin.readline()
        started = time.monotonic()
        try:
            with volume_lease(sys.argv[1], timeout=1): print(json.dumps("granted"))
        except LeaseError as error:
            print(json.dumps([type(error).__name__, time.monotonic() - started]), flush=True)
        sys.stdin.readline()
        with volume_lease(sys.argv[1], timeout=60): print(json.dumps("recovered"), flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(shared_mounts[0] / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "ready"
        bed.pause_master()
        process.stdin.write("\n")
        process.stdin.flush()
        kind, seconds = json.loads(process.stdout.readline())
        bed.resume_master()
        assert kind in ("AuthorityUnreachable", "LeaseTimeout")
        assert seconds < 10
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == "recovered"
        process.stdin.close()
        process.wait(30)
