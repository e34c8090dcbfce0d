"""What two hosts found out about a mount decides where nobody measured its file system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from volumelease.paths.mounts import Mount
from volumelease.paths.proof import (
    Proof,
    decode_proof,
    encode_proof,
    judge_with_proof,
    verdict_path,
)


def mounted(folder: Path, fstype: str = "nfs4") -> Mount:
    return Mount(str(folder), "/", fstype, "server:/x", ("rw",), ("rw",), "0:99")


def leave(folder: Path, text: str) -> None:
    path = Path(verdict_path(str(folder)))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


PROVED = Proof("nfs4", ("one", "other"), 5.0, ())
BROKEN = Proof("nfs4", ("one", "other"), 5.0, ("heartbeats: seen after 20 s",))


@pytest.mark.parametrize("proof", [PROVED, BROKEN])
def test_a_verdict_comes_back_as_it_was_left(proof: Proof) -> None:
    assert decode_proof(encode_proof(proof)) == proof


def test_without_a_verdict_the_unknown_stays_unknown(tmp_path: Path) -> None:
    assert judge_with_proof(str(tmp_path), mounted(tmp_path)).suitable == "unknown"


def test_a_proof_is_believed_and_a_disproof_refused_by_what_is_broken(tmp_path: Path) -> None:
    leave(tmp_path, encode_proof(PROVED))
    verdict = judge_with_proof(str(tmp_path), mounted(tmp_path))
    assert (verdict.suitable, verdict.shared) == ("proven", True)
    assert "one and other" in verdict.reason
    leave(tmp_path, encode_proof(BROKEN))
    verdict = judge_with_proof(str(tmp_path), mounted(tmp_path))
    assert verdict.suitable == "refused"
    assert "seen after 20 s" in verdict.reason


def test_the_verdict_of_a_directory_above_on_the_same_mount_counts(tmp_path: Path) -> None:
    leave(tmp_path, encode_proof(PROVED))
    below = tmp_path / "deep/down"
    assert judge_with_proof(str(below), mounted(tmp_path)).suitable == "proven"
    assert judge_with_proof(str(below), mounted(tmp_path / "deep")).suitable == "unknown"


def test_the_verdict_on_another_file_system_says_nothing(tmp_path: Path) -> None:
    leave(tmp_path, encode_proof(PROVED))
    assert judge_with_proof(str(tmp_path), mounted(tmp_path, "gpfs")).suitable == "unknown"


def test_what_is_known_by_name_is_not_changed_by_a_verdict(tmp_path: Path) -> None:
    leave(tmp_path, encode_proof(PROVED._replace(fstype="fuse.sshfs")))
    assert judge_with_proof(str(tmp_path), mounted(tmp_path, "fuse.sshfs")).suitable == "refused"
    leave(tmp_path, encode_proof(BROKEN._replace(fstype="ext4")))
    assert judge_with_proof(str(tmp_path), mounted(tmp_path, "ext4")).suitable == "proven"


WHOLE = json.loads(encode_proof(PROVED))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '"proved"', "\udc80"),
        json.dumps({**WHOLE, "schema": 2}),
        json.dumps({**WHOLE, "verdict": "disproved"}),
        json.dumps({**WHOLE, "broken": ["x"]}),
        json.dumps({**WHOLE, "broken": 7}),
        json.dumps({**WHOLE, "at": "yesterday"}),
        encode_proof(PROVED)[:-20],
    ],
)
def test_what_is_no_whole_verdict_is_none(tmp_path: Path, text: str) -> None:
    assert decode_proof(text) is None
    if text != "\udc80":
        leave(tmp_path, text)
        assert judge_with_proof(str(tmp_path), mounted(tmp_path)).suitable == "unknown"
