"""What a dead builder wrote outlives a successor that could not take it over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.leases.test_publishing_while_lost import TTL
from tests.leases.test_staging import leftovers
from tests.leases.test_volume_lease import found, hosted
from volumelease import AuthorityUnreachable, VolumeFull, populate
from volumelease.effects import CopyTree, Effect, ProveDeath, RemoveTree, Rename
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes

When = Callable[[Effect], bool]


class Failing:
    """A call that fails once: before it does anything, half-way, or after it was done."""

    def __init__(self, fails: When, error: BaseException, done: bool = False) -> None:
        self._performer = Surroundings.of_this_process().performer
        self._fails = fails
        self._error: BaseException | None = error
        self._done = done
        self.dead = False
        self.meanwhile: Callable[[], Any] = lambda: None

    def perform(self, effect: Effect) -> Any:
        if self.dead and isinstance(effect, ProveDeath):
            return True
        if self._error is None or not self._fails(effect):
            return self._performer.perform(effect)
        if isinstance(effect, CopyTree) and not self._done:
            os.mkdir(effect.target)
            (Path(effect.target) / "half").write_text("x")
        elif self._done:
            self._performer.perform(effect)
        self.meanwhile()
        error, self._error = self._error, None
        raise error


def copies(effect: Effect) -> bool:
    return isinstance(effect, CopyTree)


def takes(effect: Effect) -> bool:
    return isinstance(effect, Rename) and effect.target.endswith(".taken")


def moves_on(effect: Effect) -> bool:
    return isinstance(effect, Rename) and effect.source.endswith(".taken")


def removes(effect: Effect) -> bool:
    return isinstance(effect, RemoveTree) and effect.path.endswith(".taken")


def die_in_the_middle(root: Path) -> None:
    volumes = found(root, ttl=TTL)

    def build(draft: Path) -> None:
        draft.mkdir()
        (draft / "w").write_text("forty gigabytes")
        hosted(volumes).session.pulse.lose("its process died")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        populate(root / "m", build, resume=True, volumes=volumes)


def resume(root: Path, volumes: Volumes) -> list[str]:
    """Returns what was there already."""
    seen: list[str] = []

    def go_on(draft: Path) -> None:
        draft.mkdir(exist_ok=True)
        seen.extend(path.name for path in draft.iterdir())
        (draft / "v").write_text("y")

    populate(root / "m", go_on, resume=True, volumes=volumes)
    return seen


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), VolumeFull),
        (OSError(errno.EDQUOT, "full"), VolumeFull),
        (OSError(errno.EIO, "broken"), AuthorityUnreachable),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_copy_that_failed_can_be_tried_again(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    die_in_the_middle(tmp_path)
    second = found(tmp_path, performer=Failing(copies, error))
    with pytest.raises(raised):
        resume(tmp_path, second)
    assert resume(tmp_path, second) == ["w"]
    assert (tmp_path / "m" / "w").read_text() == "forty gigabytes"
    second.close()
    assert not [name for name in leftovers(tmp_path) if not name.endswith(".owner")]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("fails", [takes, moves_on, removes])
def test_it_can_be_interrupted_anywhere(tmp_path: Path, fails: When, done: bool) -> None:
    die_in_the_middle(tmp_path)
    failing = Failing(fails, KeyboardInterrupt(), done)
    failing.dead = fails is moves_on
    second = found(tmp_path, performer=failing)
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path, second)
    assert resume(tmp_path, second) == ["w"]
    second.close()


def test_whoever_clears_up_during_the_copy_takes_nothing_away(tmp_path: Path) -> None:
    die_in_the_middle(tmp_path)
    failing = Failing(copies, OSError(errno.ENOSPC, "full"))
    second, third = found(tmp_path, performer=failing), found(tmp_path)

    def clear() -> None:
        with volume_lease(tmp_path / "elsewhere", volumes=third):
            one = hosted(third)
            one.run(one.session.publishing.collector.collect(5.0))

    failing.meanwhile = clear
    with pytest.raises(VolumeFull):
        resume(tmp_path, second)
    clear()
    assert resume(tmp_path, second) == ["w"]
    second.close()
    third.close()
