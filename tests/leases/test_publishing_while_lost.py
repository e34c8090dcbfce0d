"""A lease that is lost while its draft is brought onto the volume, which can take long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import eventually
from tests.leases.test_volume_lease import found, hosted
from volumelease import LeaseLost
from volumelease.effects import Effect, Rename, SyncTree
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes

TTL = 2.0


class Interrupting:
    """Does something right after the first effect of that kind."""

    def __init__(self, after: Callable[[Effect], bool], work: Callable[[], Any]) -> None:
        self._performer = Surroundings.of_this_process().performer
        self._after = after
        self._work: Callable[[], Any] | None = work

    def perform(self, effect: Effect) -> Any:
        answer = self._performer.perform(effect)
        if self._work is not None and self._after(effect):
            work, self._work = self._work, None
            work()
        return answer


def synced(effect: Effect) -> bool:
    return isinstance(effect, SyncTree)


def sealed(effect: Effect) -> bool:
    return isinstance(effect, Rename) and "/versions/" in effect.target


def losing(root: Path, after: Callable[[Effect], bool], then: Callable[[], Any]) -> Volumes:
    def lose() -> None:
        hosted(volumes).session.pulse.lose("it is a test")
        then()

    volumes = found(root, ttl=TTL, performer=Interrupting(after, lose))
    return volumes


def test_the_next_holders_empty_directory_is_not_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "m"
    volumes = losing(tmp_path, synced, place.mkdir)
    with (
        pytest.raises(LeaseLost),
        volume_lease(place, volumes=volumes) as lease,
        lease.stage() as draft,
    ):
        draft.write_text("x")
    assert place.is_dir()


@pytest.mark.parametrize("after", [synced, sealed])
def test_what_was_moved_in_is_kept_when_it_can_not_be_moved_back(
    tmp_path: Path, after: Callable[[Effect], bool]
) -> None:
    source = tmp_path / "result"
    source.mkdir()
    (source / "w").write_text("a night's work")
    volumes = losing(tmp_path, after, lambda: None)
    with pytest.raises(LeaseLost) as lost, volume_lease(tmp_path, volumes=volumes) as lease:
        lease.publish(source, tmp_path / "final")
    assert not source.exists()
    (kept,) = [word.rstrip(".") for word in str(lost.value).split() if word.endswith("-source.")]

    others = found(tmp_path, ttl=TTL)
    with volume_lease(tmp_path / "b", volumes=others):

        def cleared() -> bool:
            one = hosted(others)
            one.run(one.session.publishing.collector.collect(1.0))
            return Path(kept).exists()

        assert eventually(cleared, seconds=10 * TTL)
        eventually(lambda: cleared() and not any((Path(kept).parents[1] / "stage").iterdir()))
    assert (Path(kept) / "w").read_text() == "a night's work"
    assert not (tmp_path / "final").exists()
    others.close()
