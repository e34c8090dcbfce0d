"""``volumelease verify``: a replay of the log that reports every breach of its rules."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Holding, Table
from volumelease.leases.asking import volume_lease
from volumelease.model import Claim
from volumelease.wire.entries import encode_entry
from volumelease.wire.marks import MARK_LETTERS
from volumelease.wire.snapshots import encode_snapshot

from .conftest import picture_of
from .logs import a_process, entry, everything, forge, home, lease_often, replace_link, segment
from .shell import Running, error_of, eventually, run


def findings(volume: Path) -> list[tuple[str, int | None, str]]:
    result = run("verify", "--json", volume)
    found: dict[str, Any] = json.loads(result.stdout)
    assert (found["schema"], result.stderr) == (1, "")
    assert found["clean"] is (not found["findings"])
    assert result.returncode == (1 if found["findings"] else 0)
    return [(one["kind"], one["entry"], one["detail"]) for one in found["findings"]]


def litter(volume: Path, index: int, target: str) -> None:
    os.symlink(target, entry(volume, index - index % 256).with_name(str(index % 256)))


def test_a_log_of_several_segments_is_clean_and_told_from_its_first_entry(volume: Path) -> None:
    lease_often(volume, 450)
    before = everything(volume)
    result = run("verify", volume)
    assert (result.returncode, result.stderr) == (0, "")
    assert "replayed: entries 0 to " in result.stdout
    assert "450 request" in result.stdout
    assert "clean: nothing breaks the rules" in result.stdout
    assert everything(volume) == before, "it never writes"


def test_a_log_in_use_is_clean(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume, "--", "true"):
            eventually(lambda: picture_of(volume).waiters())
            assert "2 sessions, 1 lease, 1 waiting" in run("verify", volume).stdout


def test_an_empty_log_is_clean(volume: Path) -> None:
    assert findings(volume) == []
    assert "nothing was committed yet" in run("verify", volume).stdout


def test_garbage_is_named_with_its_index_and_what_it_is(volume: Path) -> None:
    lease_often(volume, 3)
    index = picture_of(volume).next_index
    litter(volume, index, "no\x1b[2Jrecord")
    entry(volume, index).with_name(str(index % 256 + 1)).touch()
    assert [(kind, at) for kind, at, _ in findings(volume)] == [
        ("garbage", index),
        ("garbage", index + 1),
    ]
    said = run("verify", volume).stdout
    assert f"garbage at entry {index}: 'no" in said
    assert "no symlink" in said
    assert "\x1b" not in said


def test_records_of_a_stranger_and_of_what_is_over_are_named(volume: Path) -> None:
    with a_process() as volumes, volume_lease(volume / "a", volumes=volumes) as lease:
        token, (session,) = lease.token, picture_of(volume).table.sessions
        index = picture_of(volume).next_index
        forged = Entry("stranger", 1, 0.0, records.Release(token))
        forge(volume, index, encode_entry(forged))
        own = Entry(session, 10_000, 0.0, records.Release(index))
        forge(volume, index + 1, encode_entry(own))
        found = findings(volume)
    assert [(kind, at) for kind, at, _ in found] == [("void", index), ("void", index + 1)]
    assert "release of session stranger: unknown session" in found[0][2]
    assert "does not hold that lease" in found[1][2]


def test_refusals_that_the_rules_expect_are_counted_and_are_no_findings(volume: Path) -> None:
    with a_process() as volumes, volume_lease(volume / "a", volumes=volumes) as lease:
        hosted: Any = lease._hosted
        body = records.Publish(lease.token, "stage/x", Claim("b", "b"))
        hosted.run(hosted.session.committer.commit(lambda: body))
    document = json.loads(run("verify", "--json", volume).stdout)
    assert document["findings"] == []
    assert document["refused"] == {"the target is outside the lease": 1}


def test_a_gap_is_named(volume: Path) -> None:
    lease_often(volume, 3)
    index = picture_of(volume).next_index
    litter(volume, index + 2, "anything")
    assert [(kind, at) for kind, at, _ in findings(volume)] == [("gap", index)]


def test_a_hole_in_an_old_segment_is_named_and_the_rest_is_told(volume: Path) -> None:
    lease_often(volume, 450)
    end = picture_of(volume).next_index
    entry(volume, 7).unlink()
    (finding,) = findings(volume)
    assert finding[:2] == ("gap", 7)
    document = json.loads(run("verify", "--json", volume).stdout)
    assert document["entries"]["next"] == end


@pytest.mark.parametrize("wrong", ["gone", "other"])
def test_a_record_file_that_is_not_what_its_name_says_is_named(volume: Path, wrong: str) -> None:
    long = [volume / (letter * 200) for letter in "abcdef"]
    with a_process() as volumes, volume_lease(*long, volumes=volumes):
        pass
    (path,) = (home(volume) / "records").iterdir()
    path.unlink()
    if wrong == "other":
        path.write_text("something else")
    (finding,) = findings(volume)
    assert finding[0] == "record"
    assert "can't be read" in finding[2]


def test_a_snapshot_that_disagrees_with_the_log_before_it_is_named(volume: Path) -> None:
    lease_often(volume, 300)
    folder = segment(volume, 1)
    for number, target in enumerate(encode_snapshot(Table(grace=False), 1)):
        if (folder / f"s{number}").is_symlink():
            (folder / f"s{number}").unlink()
        os.symlink(target, folder / f"s{number}")
    kinds = [(kind, at) for kind, at, _ in findings(volume)]
    assert ("snapshot", 256) in kinds
    after = {kind for kind, _ in kinds} - {"snapshot"}
    assert after <= {"forgotten", "gap", "void"}, "what follows from it shows too"


def test_a_snapshot_that_can_not_be_read_is_named(volume: Path) -> None:
    lease_often(volume, 300)
    replace_link(segment(volume, 1) / "s1", "cut short")
    assert ("snapshot", 256) in [(kind, at) for kind, at, _ in findings(volume)]


def test_leases_of_a_session_that_the_table_does_not_know_are_named(volume: Path) -> None:
    table = Table(grace=False)
    table.restore(Holding(3, "nobody", "o", (Claim("a", "a"),), True, None, "", 0.0, granted=True))
    folder = segment(volume, 0)
    for link in folder.iterdir():
        link.unlink()
    for number, target in enumerate(encode_snapshot(table, 0)):
        os.symlink(target, folder / f"s{number}")
    found = findings(volume)
    assert any("session nobody, which the table does not know" in detail for _, _, detail in found)
    assert any("not given out yet" in detail for _, _, detail in found)


def test_a_publish_that_nobody_applied_is_named_when_its_session_is_over(volume: Path) -> None:
    wanted = partial(volume_lease, on_lost="ignore")
    with a_process() as volumes, wanted(volume / "a", volumes=volumes) as lease:
        hosted: Any = lease._hosted
        commit = hosted.session.committer.commit
        body = records.Publish(lease.token, "stage/x", Claim("a/b", "a/b"))
        done = hosted.run(commit(lambda: body))
        assert findings(volume) == []
        assert "1 publish to be applied" in run("verify", volume).stdout
        hosted.run(commit(records.Close))  # as if it had died: it applies nothing
    (finding,) = findings(volume)
    assert finding[:2] == ("publish", done.at)


def test_an_elected_segment_that_nobody_moved_in_place_is_read_where_it_lies(volume: Path) -> None:
    lease_often(volume, 300)
    number = picture_of(volume).segment
    folder = segment(volume, number)
    closing = max(int(p.name) for p in segment(volume, number - 1).iterdir() if p.name.isdigit())
    draft = json.loads(os.readlink(segment(volume, number - 1) / str(closing))[MARK_LETTERS:])["d"]
    for path in folder.iterdir():
        if path.name.isdigit():
            path.unlink()
    folder.rename(home(volume) / "drafts" / draft)
    before = everything(volume)
    assert findings(volume) == []
    assert everything(volume) == before


def test_a_directory_that_is_no_volume_is_an_error(tmp_path: Path) -> None:
    result = run("verify", tmp_path)
    assert result.returncode == 1
    error_of(result)
    assert "init" in error_of(result)[1]


def test_a_log_that_is_gone_is_an_error(volume: Path) -> None:
    for path in (home(volume) / "log").iterdir():
        path.rename(home(volume) / "stage" / path.name)
    assert f"the log of the volume {volume} is gone" in error_of(run("verify", volume))[0]
