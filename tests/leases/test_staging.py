"""Staging and publishing as their users meet it, on a local directory."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.leases.test_volume_lease import found, hosted
from volumelease import (
    LeaseLost,
    LeaseTimeout,
    LeaseViolation,
    PathInvalid,
    PublishFailed,
    VolumeNotFound,
)
from volumelease.core.records import Release
from volumelease.effects import Rename, Symlink
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path)
    yield made
    made.close()


def base(root: Path) -> Path:
    (home,) = [path for path in (root / ".volumelease").iterdir() if path.is_dir()]
    return home


def leftovers(root: Path) -> list[str]:
    """What drafts left behind, besides public versions and their names."""
    stage = [path.name for path in (base(root) / "stage").iterdir()]
    marks = (".draft", ".gone")
    versions = [path.name for path in (base(root) / "versions").iterdir()]
    return stage + [name for name in versions if name.endswith(marks)]


def test_a_directory_becomes_visible_as_a_whole(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "models" / "llama"
    with volume_lease(place, volumes=volumes) as lease:
        with lease.stage() as draft:
            assert draft.name == "llama"
            assert not draft.exists()
            (draft / "deep").mkdir(parents=True)
            (draft / "deep" / "w.bin").write_bytes(b"weights")
            assert not place.exists()
        assert (place / "deep" / "w.bin").read_bytes() == b"weights"
    assert os.readlink(place).startswith("../.volumelease/")
    assert leftovers(tmp_path) == []


def test_a_file_becomes_visible_as_a_whole(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "conf" / "a.json"
    with volume_lease(place, volumes=volumes) as lease, lease.stage() as draft:
        draft.write_text("{}")
        assert not place.exists()
    assert place.read_text() == "{}"
    assert not place.is_symlink()
    assert leftovers(tmp_path) == []


def test_a_new_version_replaces_the_old_one_and_the_old_one_stays_for_its_readers(
    volumes: Volumes, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    with volume_lease(place, volumes=volumes) as lease:
        with lease.stage() as draft:
            draft.mkdir()
            (draft / "w").write_text("1")
        before, old = os.open(place, os.O_RDONLY), os.path.realpath(place)
        with lease.stage() as draft:
            draft.mkdir()
            (draft / "w").write_text("2")
        assert (place / "w").read_text() == "2"
        assert (Path(old) / "w").read_text() == "1"
        reader = os.open("w", os.O_RDONLY, dir_fd=before)
        assert os.read(reader, 10) == b"1"
        os.close(reader)
        os.close(before)


def test_a_file_can_replace_a_version_and_a_version_a_file(
    volumes: Volumes, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    with volume_lease(place, volumes=volumes) as lease:
        with lease.stage() as draft:
            draft.write_text("file")
        with lease.stage() as draft:
            draft.mkdir()
        assert place.is_dir()
        with lease.stage() as draft:
            draft.write_text("file again")
        assert place.read_text() == "file again"


def test_an_exception_in_the_block_leaves_nothing(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with pytest.raises(RuntimeError), lease.stage() as draft:
            draft.mkdir()
            (draft / "half").write_text("x")
            raise RuntimeError
        assert not (tmp_path / "m").exists()
        assert leftovers(tmp_path) == []


def test_a_draft_to_which_nothing_was_written_is_an_error(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with pytest.raises(PublishFailed, match="nothing was written"), lease.stage():
            pass
        assert leftovers(tmp_path) == []


def test_a_lost_lease_publishes_nothing(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "m"
    place.write_text("old")
    with (
        pytest.raises(LeaseLost),
        volume_lease(place, volumes=volumes) as lease,
        lease.stage() as draft,
    ):
        draft.write_text("new")
        hosted(volumes).session.pulse.lose("a test says so")
    assert place.read_text() == "old"


def test_a_released_lease_publishes_nothing(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        stage = lease.stage()
        draft = stage.__enter__()
        draft.write_text("late")
    with pytest.raises(LeaseLost):
        stage.__exit__(None, None, None)
    assert not (tmp_path / "m").exists()
    assert leftovers(tmp_path) == []


def test_a_real_directory_in_the_way_is_refused_before_anything_is_written(
    volumes: Volumes, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    place.mkdir()
    (place / "precious").write_text("x")
    with (
        volume_lease(place, volumes=volumes) as lease,
        pytest.raises(PathInvalid, match=f"volumelease adopt {place}"),
        lease.stage(),
    ):
        pytest.fail("the draft must not be written")
    assert (place / "precious").read_text() == "x"


def test_an_empty_directory_that_was_made_ahead_makes_way(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "m"
    place.mkdir()
    with volume_lease(place, volumes=volumes) as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "w").write_text("x")
    assert (place / "w").read_text() == "x"


def test_a_directory_that_appears_during_the_work_is_refused_and_stays(
    volumes: Volumes, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    with volume_lease(place, volumes=volumes) as lease:
        with pytest.raises(PathInvalid, match="real directory"), lease.stage() as draft:
            draft.write_text("x")
            place.mkdir()
            (place / "precious").write_text("x")
        assert (place / "precious").read_text() == "x"
        assert leftovers(tmp_path) == []


def test_nothing_is_published_below_a_published_version(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "m"
    with volume_lease(place, volumes=volumes) as lease:
        with lease.stage() as draft:
            (draft / "sub").mkdir(parents=True)
        for below in (place / "x", place / "sub" / "x", place / "sub"):
            with pytest.raises(PathInvalid, match="published as a whole"):
                lease.stage(below).__enter__()


def test_a_shared_lease_publishes_nothing(volumes: Volumes, tmp_path: Path) -> None:
    with (
        volume_lease(tmp_path / "m", shared=True, volumes=volumes) as lease,
        pytest.raises(LeaseViolation, match="exclusive"),
    ):
        lease.stage().__enter__()


def test_a_path_that_the_lease_does_not_cover_is_refused(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with pytest.raises(LeaseViolation, match="not covered"):
            lease.stage(tmp_path / "mm").__enter__()
        with pytest.raises(VolumeNotFound):
            lease.stage("/usr/share/x").__enter__()


def test_of_several_paths_the_one_to_publish_is_named(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", tmp_path / "b", volumes=volumes) as lease:
        with pytest.raises(PathInvalid, match=r"lease\.stage\(path\)"):
            lease.stage().__enter__()
        with lease.stage(tmp_path / "b") as draft:
            draft.write_text("x")
    assert (tmp_path / "b").read_text() == "x"


def test_the_volume_itself_can_not_be_published(volumes: Volumes, tmp_path: Path) -> None:
    with (
        volume_lease(tmp_path, volumes=volumes) as lease,
        pytest.raises(PathInvalid, match="itself"),
    ):
        lease.stage().__enter__()


def test_a_link_into_the_draft_by_an_absolute_path_is_refused(
    volumes: Volumes, tmp_path: Path
) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with pytest.raises(PublishFailed, match="relative"), lease.stage() as draft:
            draft.mkdir()
            (draft / "w").write_text("x")
            (draft / "link").symlink_to(draft / "w")
        with lease.stage() as draft:
            draft.mkdir()
            (draft / "w").write_text("x")
            (draft / "link").symlink_to("w")
    assert (tmp_path / "m" / "link").read_text() == "x"


def test_a_name_that_is_no_text_is_published(volumes: Volumes, tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    with volume_lease(place, volumes=volumes) as lease, lease.stage() as draft:
        draft.mkdir()
    assert os.path.isdir(place)


# ---- one file


def test_a_file_is_published_when_it_is_closed(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "a.json"
    with volume_lease(place, volumes=volumes) as lease:
        with lease.open(place, "w", encoding="utf-8") as file:
            file.write("é")
            file.flush()
            assert not place.exists()
        assert place.read_text("utf-8") == "é"
        binary = lease.open(place)
        binary.write(b"b")
        binary.close()
        binary.close()
        assert place.read_bytes() == b"b"


def test_a_file_is_not_published_after_an_exception_nor_when_it_is_forgotten(
    volumes: Volumes, tmp_path: Path
) -> None:
    place = tmp_path / "a"
    with volume_lease(place, volumes=volumes) as lease:
        with pytest.raises(RuntimeError), lease.open(place) as file:
            file.write(b"half")
            raise RuntimeError
        forgotten: Any = lease.open(place)
        forgotten.write(b"half")
        del forgotten
        gc.collect()
        assert not place.exists()
        assert leftovers(tmp_path) == []


def test_a_file_can_not_be_opened_for_reading_or_appending(
    volumes: Volumes, tmp_path: Path
) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        for mode in ("r", "a", "r+b", "x"):
            with pytest.raises(ValueError, match="'wb' or 'w'"):
                lease.open(tmp_path / "a", mode)


# ---- what was made elsewhere


def test_what_was_written_elsewhere_is_moved_in(volumes: Volumes, tmp_path: Path) -> None:
    made = tmp_path / "tmp"
    made.mkdir()
    (made / "w").write_text("x")
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        lease.publish(made)
    assert (tmp_path / "m" / "w").read_text() == "x"
    assert not made.exists()


@pytest.mark.parametrize("held", ["tmp", "tmp/part", "."])
def test_what_somebody_else_is_writing_is_not_moved_away(
    volumes: Volumes, tmp_path: Path, held: str
) -> None:
    made, others = tmp_path / "work" / "tmp", Volumes(volumes.surroundings)
    made.mkdir(parents=True)
    (made / "w").write_text("half")
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with (
            volume_lease(tmp_path / "work" / held, volumes=others),
            pytest.raises(LeaseTimeout, match="work"),
        ):
            lease.publish(made)
        assert (made / "w").read_text() == "half"
        assert not (tmp_path / "m").exists()
        lease.publish(made)
    assert (tmp_path / "m" / "w").read_text() == "half"
    others.close()


def test_what_another_block_of_the_same_thread_wrote_is_moved_in(
    volumes: Volumes, tmp_path: Path
) -> None:
    made = tmp_path / "tmp"
    made.mkdir()
    with (
        volume_lease(made, volumes=volumes) as source,
        volume_lease(tmp_path / "m", volumes=volumes) as lease,
    ):
        (made / "w").write_text("x")
        lease.publish(made)
        source.check()
    assert (tmp_path / "m" / "w").read_text() == "x"


def test_what_can_not_be_published_is_moved_back(volumes: Volumes, tmp_path: Path) -> None:
    made, place = tmp_path / "tmp", tmp_path / "m"
    made.mkdir()
    (made / "w").write_text("x")
    with pytest.raises(LeaseLost), volume_lease(place, volumes=volumes) as lease:
        session = hosted(volumes).session
        commit = session.committer.commit

        def after_release(*args: Any, **kwargs: Any) -> Any:
            """The lease ends right before the publish would be decided."""
            session.committer.commit = commit
            yield from session.requests._end(Release(lease.token), lease.token)
            return (yield from commit(*args, **kwargs))

        session.committer.commit = after_release
        lease.publish(made)
    assert (made / "w").read_text() == "x"
    assert not place.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [("missing", "does not exist"), ("link", "symlink"), ("up", "contains the place")],
)
def test_what_is_no_draft_is_refused(
    volumes: Volumes, tmp_path: Path, source: str, what: str
) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "link").symlink_to("up")
    with (
        volume_lease(tmp_path / "up" / "m", volumes=volumes) as lease,
        pytest.raises(PathInvalid, match=what),
    ):
        lease.publish(tmp_path / source)
    assert (tmp_path / "up").is_dir()


def test_a_published_version_is_not_published_a_second_time(
    volumes: Volumes, tmp_path: Path
) -> None:
    with volume_lease(tmp_path / "m", tmp_path / "n", volumes=volumes) as lease:
        with lease.stage(tmp_path / "m") as draft:
            (draft / "sub").mkdir(parents=True)
        with pytest.raises(PathInvalid, match="published already"):
            lease.publish(tmp_path / "m" / "sub", tmp_path / "n")


def test_threads_of_one_lease_publish_side_by_side(volumes: Volumes, tmp_path: Path) -> None:
    errors: list[BaseException] = []
    with volume_lease(tmp_path / "d", volumes=volumes) as lease:

        def write(number: int) -> None:
            try:
                for turn in range(5):
                    with lease.open(tmp_path / "d" / f"f{number}", "w") as file:
                        file.write(str(turn))
            except BaseException as error:  # noqa: BLE001 - judged below
                errors.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert sorted(path.read_text() for path in (tmp_path / "d").iterdir()) == ["4"] * 8
    assert leftovers(tmp_path) == []


# ---- on an event loop


def test_a_draft_is_published_without_blocking_the_loop(volumes: Volumes, tmp_path: Path) -> None:
    async def write() -> None:
        async with volume_lease(tmp_path / "m", volumes=volumes) as lease:
            async with lease.stage() as draft:
                draft.mkdir()
                (draft / "w").write_text("x")
            with pytest.raises(RuntimeError):
                async with lease.stage() as draft:
                    draft.write_text("half")
                    raise RuntimeError

    asyncio.run(write())
    assert (tmp_path / "m" / "w").read_text() == "x"
    assert leftovers(tmp_path) == []


def test_a_task_that_is_cancelled_while_its_draft_is_prepared_leaves_nothing(
    volumes: Volumes, tmp_path: Path
) -> None:
    async def write() -> None:
        async with volume_lease(tmp_path / "m", volumes=volumes) as lease:
            for _ in range(20):
                stage = lease.stage()
                task = asyncio.ensure_future(stage.__aenter__())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await asyncio.sleep(0.5)

    asyncio.run(write())
    assert leftovers(tmp_path) == []


# ---- after the decision


class _Trouble:
    """Performs effects, and interrupts the writer once, at the call after the n-th."""

    def __init__(self, inner: Any, wanted: type[Any]) -> None:
        self.inner = inner
        self.wanted = wanted
        self.armed = False

    def perform(self, effect: Any) -> Any:
        answer = self.inner.perform(effect)
        if self.armed and isinstance(effect, self.wanted):
            public = isinstance(effect, Rename) and effect.target.endswith("/m")
            record = isinstance(effect, Symlink) and '"k":"publish"' in effect.target
            if public or record:
                self.armed = False
                raise KeyboardInterrupt
        return answer


@pytest.mark.parametrize("wanted", [Symlink, Rename], ids=["decided", "renamed"])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_who_is_interrupted_after_the_decision_leaves_the_draft_to_the_log(
    tmp_path: Path, wanted: type[Any], kind: str
) -> None:
    trouble = _Trouble(Surroundings.of_this_process().performer, wanted)
    volumes = found(tmp_path, performer=trouble)
    place = tmp_path / "m"
    with (
        pytest.raises(KeyboardInterrupt),
        volume_lease(place, volumes=volumes) as lease,
        lease.stage() as draft,
    ):
        if kind == "directory":
            draft.mkdir()
            (draft / "w").write_text("whole")
        else:
            draft.write_text("whole")
        trouble.armed = True
    assert (place / "w" if kind == "directory" else place).read_text() == "whole"
    volumes.close()


def test_a_draft_that_the_place_could_not_take_is_kept(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "m"
    with volume_lease(place, volumes=volumes) as lease:
        session = hosted(volumes).session
        settle = session.publishing.settle

        def in_the_way(keys: Any) -> Any:
            """Somebody who asked for no lease makes a directory right after the decision."""
            if session.replica.table.pending and not place.exists():
                place.mkdir()
                (place / "precious").write_text("x")
            return (yield from settle(keys))

        session.publishing.settle = in_the_way
        with pytest.raises(PublishFailed) as failed, lease.stage() as draft:
            draft.write_text("whole")
        assert Path(failed.value.facts["kept"]).read_text() == "whole"
        assert (place / "precious").read_text() == "x"
