"""Publishing on a real volume of two hosts: what is visible is what the log decided."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bed.calls import Call
from tests.bed.moosefs import MooseFsBed

from .fleet import Fleet, Worker, fleet, make_volume
from .publishing_jobs import read_tree

pytestmark = pytest.mark.bed

TTL: Final = 2.0
KINDS: Final = ("directory", "file")


def start(workers: Fleet, job: str, **facts: Any) -> Worker:
    return workers.start(job, module="tests.volume.publishing_jobs", **facts)


def public(mount: Path, kind: str) -> str:
    place = mount / "m"
    return read_tree(place) if kind == "directory" else place.read_text()


def begin(mount: Path, kind: str) -> None:
    """A first version, so that something is always there."""
    with fleet() as workers:
        first = start(workers, "stage", mount=mount, content="first", where="nowhere", kind=kind)
        first.wait_for("published")
        assert first.finish() == 0


# ---- the three experiments: why a publish goes through the log


def test_a_write_in_place_of_a_cut_off_holder_lands_on_its_successors(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    """The limit that no lease can lift, and the reason for ``stage``."""
    (shared_mounts[0] / "f").write_bytes(b"0" * 65536)
    late = "file.write(b'A' * 65536); file.flush(); print('written', flush=True); os.fsync(file)"
    opened = "file = open('f', 'r+b')"
    with Call(late, directory=shared_mounts[1], setup=opened) as holder:
        bed.hosts[1].cut()
        holder.go()
        time.sleep(1)  # its write returned; its fsync hangs
        with open(shared_mounts[0] / "f", "r+b") as successor:
            successor.write(b"B" * 65536)
        bed.hosts[1].heal()
        assert "ok" in str(holder.outcome(60))
    time.sleep(1.1)
    assert (shared_mounts[0] / "f").read_bytes()[:1] == b"A"


@pytest.mark.parametrize("kind", KINDS)
def test_a_publish_of_a_cut_off_holder_is_refused_after_the_heal(
    bed: MooseFsBed, shared_mounts: list[Path], kind: str
) -> None:
    make_volume(shared_mounts[0], ttl=TTL)
    begin(shared_mounts[0], kind)
    with fleet() as workers:
        old = start(
            workers, "stage", mount=shared_mounts[1], content="old", where="publish", kind=kind
        )
        old.wait_for("staged")
        bed.hosts[1].cut()
        old.tell_to_go_on()  # its publish hangs in the mount
        new = start(
            workers, "stage", mount=shared_mounts[0], content="new", where="nowhere", kind=kind
        )
        new.wait_for("published", TTL + 15)
        bed.hosts[1].heal()
        assert old.wait_for("error", 60)["error"] == "LeaseLost"
        time.sleep(1.1)
        assert [public(mount, kind) for mount in shared_mounts] == ["new", "new"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_late_rename_of_a_cut_off_holder_is_harmless(
    bed: MooseFsBed, shared_mounts: list[Path], kind: str
) -> None:
    make_volume(shared_mounts[0], ttl=TTL)
    begin(shared_mounts[0], kind)
    with fleet() as workers:
        old = start(
            workers, "stage", mount=shared_mounts[1], content="old", where="rename", kind=kind
        )
        old.wait_for("hesitates")
        bed.hosts[1].cut()
        old.tell_to_go_on()  # decided; its rename hangs in the mount
        redone = start(workers, "stage", mount=shared_mounts[0], content="new", where="publish")
        redone.wait_for("staged", TTL + 15)
        assert public(shared_mounts[0], kind) == "old"  # whoever comes next makes it visible
        redone.tell_to_go_on()
        redone.wait_for("published")
        bed.hosts[1].heal()
        assert "LeaseLost" in str(old.wait_for("at", 60)) or old.wait_for("error", 60)
        time.sleep(1.1)
        assert [public(mount, "directory") for mount in shared_mounts] == ["new", "new"]


# ---- accidents at every call


CALLS: Final = {"directory": 20, "file": 15}

CASES: Final = [
    (kind, number, moment, what)
    for kind in KINDS
    for number in range(1, CALLS[kind] + 1)
    for moment in ("before", "after")
    for what in ("stop", "kill", "lose", "resend")
    if not (what == "resend" and moment == "before")
]


@contextmanager
def reading(mounts: list[Path], kind: str) -> Iterator[list[str]]:
    """Somebody reads all the time, on both hosts; what went wrong."""
    over, wrong = threading.Event(), []

    def look(mount: Path) -> None:
        while not over.wait(0.002):
            try:
                seen = public(mount, kind)
            except (OSError, ValueError) as error:
                wrong.append(f"{mount}: {error!r}")
            else:
                if seen not in ("first", "victim", "heir"):
                    wrong.append(f"{mount}: {seen!r}")

    threads = [threading.Thread(target=look, args=(mount,)) for mount in mounts]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()


def suffer(case: tuple[str, int, str, str], mounts: list[Path]) -> None:
    kind, number, moment, what = case
    make_volume(mounts[0], ttl=TTL)
    begin(mounts[0], kind)
    with fleet() as workers, reading(mounts, kind) as wrong:
        victim = start(
            workers,
            "publish_suffering",
            mount=mounts[1],
            kind=kind,
            number=number,
            moment=moment,
            what=what,
        )
        victim.wait_for("ready")
        if what == "stop":
            until = time.monotonic() + 3
            while not victim.stopped() and victim.process.poll() is None:
                if time.monotonic() > until:
                    break
                time.sleep(0.02)
        if what == "kill":
            assert _killed(victim) or number == CALLS[kind]
        heir = start(workers, "stage", mount=mounts[0], content="heir", where="nowhere", kind=kind)
        heir.wait_for("published", 3 * TTL + 15)
        assert heir.finish() == 0
        if victim.process.poll() is None:
            victim.signal(signal.SIGCONT)
            victim.wait_for("finished", 20)
            assert victim.finish() == 0, "".join(victim.errors)
            assert victim.wait_for("digest")["garbage"] == 0
        time.sleep(1.1)
        assert [public(mount, kind) for mount in mounts] == ["heir", "heir"]
    assert not wrong, wrong[:5]


def _killed(victim: Worker) -> bool:
    try:
        victim.process.wait(3)
    except Exception:  # noqa: BLE001 - it has fewer calls than that
        return False
    return True


def _short(case: tuple[str, int, str, str]) -> str:
    return "-".join(str(part) for part in case)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("case", [c for i, c in enumerate(CASES) if i % 17 == 0], ids=_short)
def test_an_accident_in_a_publish_shows_readers_one_whole_version(
    case: tuple[str, int, str, str], shared_mounts: list[Path]
) -> None:
    suffer(case, shared_mounts)


@pytest.mark.torture
@pytest.mark.timeout(90)
@pytest.mark.parametrize("case", CASES, ids=_short)
def test_every_accident_in_a_publish_shows_readers_one_whole_version(
    case: tuple[str, int, str, str], shared_mounts: list[Path]
) -> None:
    suffer(case, shared_mounts)


# ---- readers


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_never_finds_it_missing_or_mixed(shared_mounts: list[Path], kind: str) -> None:
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        writer = start(workers, "republish", mount=shared_mounts[0], count=500, kind=kind)
        writer.wait_for("started")
        readers = [
            start(workers, "read", mount=mount, count=5000, kind=kind) for mount in shared_mounts
        ]
        seen = [reader.wait_for("different", 100)["different"] for reader in readers]
        writer.wait_for("done", 100)
    print(f"{kind}: 10,000 reads saw {seen} versions")
    assert min(seen) > 10


# ---- populate


def _fetchers(workers: Fleet, mounts: list[Path], count: int, **facts: Any) -> list[Worker]:
    return [start(workers, "fetch", mount=mounts[number % 2], **facts) for number in range(count)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("files", "size"),
    [(64, 1 << 20), pytest.param(32, 64 << 20, marks=pytest.mark.torture)],
    ids=["64 MB", "2 GB"],
)
def test_sixteen_processes_on_two_hosts_build_once(
    shared_mounts: list[Path], files: int, size: int
) -> None:
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        fetchers = _fetchers(workers, shared_mounts, 16, files=files, size=size)
        got = [fetcher.wait_for("got", 170) for fetcher in fetchers]
        said = [line for fetcher in fetchers for line in fetcher.said]
    again = max(line["again"] for line in got)
    print(f"all had it after {max(line['seconds'] for line in got):.1f} s, again {again:.4f} s")
    assert sum("builds" in line for line in said) == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("resume", [False, True])
def test_the_third_builder_comes_to_an_end_when_two_were_killed(
    shared_mounts: list[Path], resume: bool
) -> None:
    make_volume(shared_mounts[0], ttl=3)
    facts = {"files": 8, "size": 1 << 20, "resume": resume}
    with fleet() as workers:
        doomed = [
            start(workers, "fetch", mount=mount, hang=True, **facts) for mount in shared_mounts
        ]
        killed = []
        for _ in doomed:
            builder = _first_to_say("half", [w for w in doomed if w not in killed])
            builder.signal(signal.SIGKILL)
            killed.append(builder)
        third = start(workers, "fetch", mount=shared_mounts[1], **facts)
        third.wait_for("got", 60)
        (line,) = [line for line in third.said if "builds" in line]
    assert line["resumed"] is resume


def _first_to_say(fact: str, workers: list[Worker], seconds: float = 30.0) -> Worker:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for worker in workers:
            if worker.has_said(fact):
                return worker
        time.sleep(0.02)
    raise AssertionError(f"nobody said {fact}: {[(w.said, w.errors) for w in workers]}")
