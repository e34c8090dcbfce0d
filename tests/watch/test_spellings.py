"""Files whose names a volume spells in another form than leases compare."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.leases.test_volume_lease import found
from volumelease.authorities.volume.layout import Layout
from volumelease.host import this_process
from volumelease.paths.locate import locate
from volumelease.tallies import Tally, keys_of
from volumelease.testing import ManualClock
from volumelease.watch.detector import Detector
from volumelease.watch.events import Event
from volumelease.watch.violations import Violation

COMPOSED: Final = "caf\u00e9"
DECOMPOSED: Final = "cafe\u0301"


class Watching:
    """A detector that is driven by hand: its events are made up, its files are real."""

    def __init__(self, root: Path) -> None:
        volumes = found(root)
        identity = volumes.identity(locate(root, explicit=str(root)))
        volumes.close()
        self.root = root
        self.told: list[Violation] = []
        self.clock = ManualClock()
        self.clock.advance(100.0)
        layout, tally = Layout.of(str(root), identity), Tally(keys_of(("p",)))
        self._detector = Detector(
            layout, ("p",), self.clock, this_process(), tally, self.told.append, (5.0, 5.0)
        )
        self._detector._ended.set()  # no pauses between its steps

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self._detector._once()
            assert not self._detector.trouble

    def hears(self, name: str) -> None:
        at = self.clock.monotonic()
        self._detector._on_event(Event(f"{self.root}/p/{name}", "changed", False, at))


def watching(root: Path, *names: str) -> Watching:
    (root / "p").mkdir()
    for name in names:
        (root / "p" / name).write_text("x")
    watching = Watching(root)
    watching.passes(5)
    return watching


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED])
def test_a_file_that_was_opened_for_writing_and_left_alone_is_no_violation(
    tmp_path: Path, name: str
) -> None:
    here = watching(tmp_path, name)
    here.hears(name)
    here.passes(8)
    assert here.told == []


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("local", [True, False])
def test_a_write_is_told_with_what_it_left(tmp_path: Path, name: str, local: bool) -> None:
    here = watching(tmp_path, name)
    (tmp_path / "p" / name).write_text("more")
    if local:
        here.hears(name)
    here.passes(15)
    (one,) = here.told
    assert one.path == f"p/{COMPOSED}"
    assert one.after.split(":")[1] == "4"


def test_of_two_files_of_one_name_neither_is_taken_for_the_other(tmp_path: Path) -> None:
    here = watching(tmp_path, COMPOSED, DECOMPOSED)
    (tmp_path / "p" / DECOMPOSED).write_text("more")
    for name in (DECOMPOSED, COMPOSED):
        here.hears(name)
    here.passes(8)
    assert len(here.told) == 1
