"""``volumelease adopt``: a real directory becomes a published version; nothing of it is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.leases.test_volume_lease import found
from volumelease.authorities.volume.adopting import Adopted, Adopting
from volumelease.effects import Effect, Rename
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.model import Lost

from .shell import environment, error_of, run

STEPS: Final = 15
"""Calls of an adoption that change something; the test of the last one sees to it."""

DYING: Final = """
import os, sys
from volumelease.authorities.volume.adopting import Adopting
from volumelease.cli.program import run
from volumelease.effects import MakeDirectory, RemoveDirectory, Rename, Symlink, Unlink

number, moment, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
changing = (MakeDirectory, RemoveDirectory, Rename, Symlink, Unlink)
real = Adopting.adopt

def dying(self, token, target):
    steps, count, answer, trouble = real(self, token, target), 0, None, None
    while True:
        try:
            effect = steps.send(answer) if trouble is None else steps.throw(trouble)
        except StopIteration as end:
            return end.value
        count += isinstance(effect, changing)
        here = count == number and isinstance(effect, changing)
        if here and moment == "before":
            os._exit(9)
        answer = trouble = None
        try:
            answer = yield effect
        except OSError as error:
            trouble = error
        if here:
            os._exit(9)

Adopting.adopt = dying
sys.exit(run(["adopt", path]))
"""


def make_tree(place: Path) -> None:
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "w").write_text("x" * 1000)
    (place / "link").symlink_to("deep/w")


def is_whole(place: Path) -> bool:
    return (place / "link").read_text() == "x" * 1000


def clear_away(volume: Path) -> None:
    """What the sessions of the volume would clear away, they clear away now."""
    volumes = Volumes(Surroundings.of_this_process()._replace(report=print))
    root, _ = volumes.find(volume / "x")
    hosted = volumes.session(root)
    for _ in range(2):
        hosted.run(hosted.session.publishing.collector.collect(60.0))
    volumes.close()


def test_a_directory_becomes_a_version_and_whole_directories_can_be_published_there(
    volume: Path,
) -> None:
    make_tree(volume / "a" / "m")
    inode = (volume / "a" / "m" / "deep" / "w").stat().st_ino
    result = run("adopt", volume / "a" / "m")
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 file, 1000 bytes, nothing was copied" in result.stdout
    assert (volume / "a" / "m").is_symlink()
    assert is_whole(volume / "a" / "m")
    assert (volume / "a" / "m" / "deep" / "w").stat().st_ino == inode
    again = run("adopt", volume / "a" / "m")
    assert (again.returncode, "already" in again.stdout) == (0, True)
    script = 'mkdir "$VOLUMELEASE_DRAFT" && echo new > "$VOLUMELEASE_DRAFT/w"'
    built = run("populate", volume / "a" / "m", "--", "sh", "-c", script, "sh", "{}")
    assert (built.returncode, is_whole(volume / "a" / "m")) == (0, True), "it is published already"
    volumes = Volumes(Surroundings.of_this_process())
    with volume_lease(volume / "a" / "m", volumes=volumes) as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "w").write_text("new")
    volumes.close()
    assert os.listdir(volume / "a" / "m") == ["w"]
    clear_away(volume)


def _file(place: Path) -> None:
    place.write_text("x")


def _link(place: Path) -> None:
    make_tree(place.with_name("other"))
    place.symlink_to("other")


def _outward(place: Path) -> None:
    make_tree(place)
    (place / "deep" / "out").symlink_to("../../other")


def _control(place: Path) -> None:
    make_tree(place)
    (place / ".volumelease").mkdir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_file, "is a file"),
        (_link, "is a symlink"),
        (_outward, "leads out of"),
        (_control, "holds a volume's .volumelease"),
        (Path.mkdir, "is empty"),
        (lambda place: None, "does not exist"),
    ],
    ids=["file", "link", "outward", "control", "empty", "missing"],
)
def test_what_can_not_be_adopted_is_refused_and_left_alone(
    volume: Path, make: Callable[[Path], None], says: str
) -> None:
    make(volume / "m")
    before = sorted(os.listdir(volume))
    result = run("adopt", volume / "m")
    assert result.returncode == 1
    assert says in error_of(result)[0]
    assert sorted(os.listdir(volume)) == before


def test_a_directory_that_holds_a_published_one_is_refused(volume: Path) -> None:
    make_tree(volume / "m" / "inner")
    assert run("adopt", volume / "m" / "inner").returncode == 0
    result = run("adopt", volume / "m")
    assert "one by one" in error_of(result)[1]
    assert is_whole(volume / "m" / "inner")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_point_is_refused(volume: Path) -> None:
    make_tree(volume / "m")
    subprocess.run(["mount", "-t", "tmpfs", "none", volume / "m" / "deep"], check=True)
    try:
        result = run("adopt", volume / "m")
        assert "is a mount point" in error_of(result)[0]
    finally:
        subprocess.run(["umount", volume / "m" / "deep"], check=True)
    assert is_whole(volume / "m")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_an_adoption_that_died_anywhere_is_finished_by_the_next_one(
    volume: Path, number: int, moment: str
) -> None:
    make_tree(volume / "m")
    words = [sys.executable, "-c", DYING, str(number), moment, str(volume / "m")]
    died = subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert died.returncode == 9, died.stdout + died.stderr
    clear_away(volume)
    result = run("adopt", volume / "m")
    assert result.returncode == 0, result.stderr
    assert (volume / "m").is_symlink()
    assert is_whole(volume / "m")
    clear_away(volume)
    assert is_whole(volume / "m")


def test_an_adoption_has_no_more_steps_than_are_tested(volume: Path) -> None:
    make_tree(volume / "m")
    words = [sys.executable, "-c", DYING, str(STEPS + 1), "before", str(volume / "m")]
    assert subprocess.run(words, env=environment(), timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("number", [5, 6])
def test_what_an_interrupted_adoption_took_is_listed_and_no_uninstall_loses_it(
    volume: Path, number: int
) -> None:
    make_tree(volume / "m")
    words = [sys.executable, "-c", DYING, str(number), "after", str(volume / "m")]
    died = subprocess.run(words, env=environment(), timeout=60, check=False)
    assert (died.returncode, (volume / "m").exists()) == (9, False)
    listed = run("gc", volume, "--dry-run")
    assert "of an adoption that was interrupted" in listed.stdout
    refused = run("uninstall", volume, "--yes")
    assert refused.returncode != 0, refused.stdout
    assert "would be lost" in refused.stderr
    assert run("adopt", volume / "m").returncode == 0
    assert is_whole(volume / "m")


class Late:
    """Performs the rename of the directory only when it is let; as a host that was cut off."""

    def __init__(self, inner: Any, place: str) -> None:
        self.inner = inner
        self.place = place
        self.reached, self.let = threading.Event(), threading.Event()
        self.outcome = ""

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Rename) and effect.source == self.place:
            self.reached.set()
            self.let.wait(60)
            try:
                return self.inner.perform(effect)
            except OSError as error:
                self.outcome = type(error).__name__
                raise
        return self.inner.perform(effect)


def adopt(volumes: Volumes, place: Path) -> Adopted | Lost:
    with volume_lease(place, volumes=volumes, on_lost="ignore") as lease:
        hosted: Any = lease._hosted
        session = hosted.session
        adopting = Adopting(session.publishing, lambda: f"{session.name}-{os.urandom(8).hex()}")
        answer: Adopted | Lost = hosted.run(adopting.adopt(lease.token, lease._terms.asked[0]))
        return answer


def test_the_late_rename_of_a_session_that_was_cut_off_takes_nothing_away(tmp_path: Path) -> None:
    make_tree(tmp_path / "m")
    late = Late(Surroundings.of_this_process().performer, str(tmp_path / "m"))
    old = found(tmp_path, ttl=2.0, performer=late)
    got: list[Adopted | Lost] = []
    thread = threading.Thread(target=lambda: got.append(adopt(old, tmp_path / "m")))
    thread.start()
    late.reached.wait(10)
    (session,) = old._sessions.values()
    session.session.pulse.lose("its host was cut off")
    new = found(tmp_path, ttl=2.0)
    adopted = adopt(new, tmp_path / "m")
    assert isinstance(adopted, Adopted)
    late.let.set()
    thread.join(30)
    assert isinstance(got[0], Lost) or got[0].contents is None, "it found the other one's"
    assert late.outcome == "IsADirectoryError"
    assert is_whole(tmp_path / "m")
    new.close()
