"""A signal handler can raise between any two lines while an entry is applied to the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.ground import LogForgotten
from volumelease.authorities.volume.layout import FIRST_SEGMENT, Layout
from volumelease.authorities.volume.listening import Nobody
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.errors import LogDamaged
from volumelease.leases.asking import volume_lease
from volumelease.leases.lease import Lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

APPLY = Replica.apply.__code__


@contextmanager
def interrupted_after(lines: int) -> Iterator[None]:
    """In this thread, ``KeyboardInterrupt`` once so many lines of applying were begun."""
    left = lines

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        caller: FrameType | None = frame
        while caller is not None and caller.f_code is not APPLY:
            caller = caller.f_back
        if caller is None:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    volumes = Volumes(Surroundings.of_this_process())
    volumes.found(locate(str(tmp_path), explicit=str(tmp_path)), ready=True, ttl=15.0)
    yield volumes
    volumes.close()


def session_of(lease: Lease) -> Any:
    hosted: Any = lease._hosted
    return hosted.session


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.torture)])
def test_an_interrupt_at_any_line_of_applying_loses_no_other_lease(
    volumes: Volumes, tmp_path: Path, step: int
) -> None:
    interrupts = 0
    with volume_lease(tmp_path / "kept", volumes=volumes) as kept:
        session = session_of(kept)
        for lines in range(1, 1_000, step):
            before = interrupts
            with suppress(KeyboardInterrupt), interrupted_after(lines):
                interrupts += 1
                with volume_lease(tmp_path / f"{lines}", volumes=volumes):
                    pass
                interrupts -= 1
            kept.check()
            with volume_lease(tmp_path / "another", timeout=5, volumes=volumes) as another:
                assert session_of(another) is session
            if interrupts == before:
                break
        assert interrupts * step > 100  # acquiring and letting go apply an entry each


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_an_interrupt_tore_is_whole_and_given_back_when_it_is_heard_of(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        replica = session_of(lease).replica
        real = replica._apply

        def torn(*facts: Any) -> None:
            monkeypatch.undo()
            if when == "after":
                real(*facts)
            raise KeyboardInterrupt

        monkeypatch.setattr(replica, "_apply", torn)
        with pytest.raises(KeyboardInterrupt):
            volume_lease(tmp_path / "b", volumes=volumes).__enter__()
        assert replica.there()
        lease.check()
        assert [holding.claims[0].path for holding in replica.table.holdings.values()] == ["a"]


# ---- a volume that no longer holds what was read


def torn_replica(tmp_path: Path) -> tuple[Replica, Path]:
    """Of a log with three entries, the last of which was applied by half."""
    identity, _ = Monitor(Files()).run(
        founding.found(str(tmp_path), founding.Founding("ab", 15.0, 0.0, ready=True))
    )
    layout = Layout.of(str(tmp_path), identity)
    segment = Path(layout.segment(FIRST_SEGMENT))
    replica = Replica(layout, SystemClock(), Nobody())
    for place in range(3):
        (segment / str(place)).symlink_to("what another history led to")
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        real = replica._apply

        def torn(index: int, *facts: Any) -> None:
            if index == 2:
                raise KeyboardInterrupt
            real(index, *facts)

        patch.setattr(replica, "_apply", torn)
        Monitor(Files()).run(replica.catch_up())
    return replica, segment


def test_a_torn_table_is_read_anew(tmp_path: Path) -> None:
    replica, _ = torn_replica(tmp_path)
    Monitor(Files()).run(replica.arrive())
    assert replica.next_index == 3


def test_a_torn_table_whose_entries_a_crashed_master_forgot_is_a_lost_one(tmp_path: Path) -> None:
    replica, segment = torn_replica(tmp_path)
    (segment / "2").unlink()
    with pytest.raises(LogForgotten):
        Monitor(Files()).run(replica.arrive())


def test_a_torn_table_that_can_not_be_read_anew_is_never_replaced_by_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, segment = torn_replica(tmp_path)
    replica.trail.start(FIRST_SEGMENT)  # as if all was found in place long ago
    (segment / "2").unlink()
    with pytest.raises(LogDamaged, match="entries that were read are gone"):
        Monitor(Files()).run(replica.arrive())
    (segment / "2").symlink_to("what another history led to")
    Monitor(Files()).run(replica.arrive())
    assert replica.next_index == 3
