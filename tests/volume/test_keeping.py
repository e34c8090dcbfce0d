"""What was moved in to be published is somewhere, whatever fails while it is cleared away."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.volume.test_collecting import Ground
from volumelease.authorities.volume.drafts import Drafts
from volumelease.authorities.volume.keeping import kept_at
from volumelease.core.records import SessionFacts
from volumelease.drivers.threads import Monitor
from volumelease.effects import (
    Effect,
    ListDirectory,
    LookAt,
    MakeDirectory,
    ReadLink,
    RemoveDirectory,
    Rename,
)
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Prepare
from volumelease.wire.drafts import DraftOwner, encode_owner

WORK = "a night's work"
FACTS = SessionFacts(ProcessFacts("elsewhere", "boot", 7, 1, 5))
UNIQUE = "dead-1"
ROUND_SECONDS = 40.0
When = Callable[[Effect], bool]


class Troubled:
    """Calls that fail, and something that happens before one of them."""

    def __init__(self, ground: Ground) -> None:
        self._perform = ground.slow.perform
        self.failing: When = lambda effect: False
        self.errno = errno.EIO
        self.before: When = lambda effect: False
        self.happens: Callable[[], Any] = lambda: None

    def perform(self, effect: Effect) -> Any:
        if self.before(effect):
            self.before = lambda effect: False
            self.happens()
        if self.failing(effect):
            raise OSError(self.errno, "on purpose")
        return self._perform(effect)


class Scene:
    """A writer that died after it had moved its work in."""

    def __init__(self, root: Path) -> None:
        self.ground = Ground(root)
        self.root = root
        self.calls = Troubled(self.ground)
        self.stage = self.ground.stage / UNIQUE
        self.version = self.ground.versions / UNIQUE
        self.kept = Path(kept_at(self.ground.layout.base, UNIQUE))
        owner = DraftOwner("dead", FACTS, Claim("final", "final"), False, 0.0, moved_in=True)
        self.owner = self.ground.stage / f"{UNIQUE}.owner"
        self.owner.symlink_to(encode_owner(owner))
        self.stage.mkdir()
        self.source = root / "source"
        self.source.mkdir()
        (self.source / "w").write_text(WORK)

    def moved(self) -> Scene:
        self.source.rename(self.stage / "final")
        return self

    def sealed(self) -> Scene:
        Path(f"{self.version}.public").symlink_to("final")
        Path(f"{self.version}.draft").symlink_to("dead")
        self.source.rename(self.version)
        return self

    def collect(self, rounds: int = 1) -> None:
        """With its work somewhere after each round."""
        for _ in range(rounds):
            Monitor(self.calls).run(self.ground.collector.collect(5.0))
            assert self.copies() == [WORK]
            self.ground.clock.now += ROUND_SECONDS

    def copies(self) -> list[str]:
        return [path.read_text() for path in self.root.rglob("w")]

    def assert_kept(self) -> None:
        """In the end, and nothing else."""
        self.calls.failing = lambda effect: False
        self.collect(rounds=5)
        assert (self.kept / "w").read_text() == WORK
        assert list(self.ground.stage.iterdir()) == []
        assert not self.version.exists()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def keeps(effect: Effect) -> bool:
    return isinstance(effect, Rename) and "/audit/" in effect.target


def looks_into_it(effect: Effect) -> bool:
    return isinstance(effect, ListDirectory) and effect.path.endswith(UNIQUE)


def looks_at_it(effect: Effect) -> bool:
    return isinstance(effect, LookAt)


def removes_it(effect: Effect) -> bool:
    """What follows the listing, of this collector or of an earlier one."""
    return isinstance(effect, RemoveDirectory) or (
        isinstance(effect, Rename) and effect.source.endswith(UNIQUE)
    )


def lists(folder: str) -> When:
    return lambda effect: isinstance(effect, ListDirectory) and effect.path.endswith(f"/{folder}")


def reads(mark: str) -> When:
    return lambda effect: isinstance(effect, ReadLink) and effect.name.endswith(UNIQUE + mark)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOENT, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("failing", [keeps, looks_into_it, looks_at_it])
def test_a_call_that_failed_is_not_taken_for_nothing_there(
    scene: Scene, failing: When, number: int
) -> None:
    scene.moved()
    scene.calls.failing, scene.calls.errno = failing, number
    scene.collect(rounds=3)
    scene.assert_kept()


def test_it_stays_where_it_is_while_there_is_nowhere_to_keep_it(scene: Scene) -> None:
    scene.moved()
    scene.kept.parent.rmdir()
    scene.collect(rounds=3)
    assert scene.owner.is_symlink()
    scene.kept.parent.mkdir()
    scene.assert_kept()


@pytest.mark.parametrize("before", [looks_into_it, removes_it])
def test_what_lands_while_it_is_cleared_away_is_kept(scene: Scene, before: When) -> None:
    scene.calls.before, scene.calls.happens = before, scene.moved
    scene.collect()
    scene.assert_kept()


def test_what_lands_later_finds_nowhere_to_land(scene: Scene) -> None:
    scene.collect()
    with pytest.raises(FileNotFoundError):
        scene.moved()
    assert scene.copies() == [WORK]


def test_what_an_earlier_collector_renamed_away_is_kept(scene: Scene) -> None:
    scene.moved()
    scene.stage.rename(f"{scene.stage}.gone")
    scene.assert_kept()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize(
    "failing",
    [
        keeps,
        looks_into_it,
        looks_at_it,
        pytest.param(lists("stage"), id="lists_drafts"),
        pytest.param(lists("versions"), id="lists_versions"),
        pytest.param(reads(".owner"), id="reads_owner"),
        pytest.param(reads(".draft"), id="reads_draft"),
        pytest.param(reads(".public"), id="reads_public"),
    ],
)
def test_a_version_is_not_cleared_away_before_it_is_kept(
    scene: Scene, failing: When, number: int
) -> None:
    scene.sealed()
    scene.calls.failing, scene.calls.errno = failing, number
    scene.collect(rounds=5)
    scene.assert_kept()


def test_a_version_made_after_the_listing_is_kept(scene: Scene) -> None:
    scene.calls.before, scene.calls.happens = looks_into_it, scene.sealed
    scene.assert_kept()


@pytest.mark.parametrize("folder", [True, False])
def test_what_is_kept_already_is_not_replaced(scene: Scene, folder: bool) -> None:
    """A source that was made anew and moved in by a call that landed twice."""
    (scene.moved().stage / "final").rename(scene.kept)
    again = scene.stage / "final"
    if folder:
        again.mkdir()
    else:
        os.rename(scene.kept / "w", scene.root / "was")
        scene.kept.rmdir()
        os.rename(scene.root / "was", scene.kept)
    (again / "again" if folder else again).write_text("anew")
    Monitor(scene.calls).run(scene.ground.collector.collect(5.0))
    kept = {path.read_text() for path in scene.kept.parent.rglob("*") if path.is_file()}
    assert kept == {WORK, "anew"}
    assert list(scene.ground.stage.iterdir()) == []


def test_what_is_public_stays_and_its_owner_goes(scene: Scene) -> None:
    scene.sealed()
    (scene.root / "final").symlink_to(os.path.relpath(scene.version, scene.root))
    scene.collect(rounds=5)
    assert (scene.root / "final" / "w").read_text() == WORK
    assert list(scene.ground.stage.iterdir()) == []


def test_nothing_is_moved_in_without_its_owner(scene: Scene) -> None:
    """Its directory is made late, by a session that is over and doesn't know it yet."""
    scene.owner.unlink()
    scene.stage.rmdir()
    ground, target = scene.ground, Claim("final", "final")
    drafts = Drafts("dead", FACTS, ground, ground.clock, lambda: "1")
    scene.calls.before = lambda effect: isinstance(effect, MakeDirectory)
    scene.calls.happens = scene.collect
    question = Prepare(7, target, source=str(scene.source))
    Monitor(scene.calls).run(drafts.prepare(question))
    assert not scene.source.exists()
    scene.assert_kept()
