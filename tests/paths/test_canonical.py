"""One name for one file, however it is reached."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volumelease.errors import PathInvalid, VolumeNotFound, VolumeUnsuitable
from volumelease.paths.canonical import canonical
from volumelease.paths.locate import VolumeRoot, locate
from volumelease.paths.resolve import follow, glance, resolve

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    (root / ".volumelease/abc/versions/u1/sub").mkdir(parents=True)
    (root / ".volumelease/abc/log/0").mkdir(parents=True)
    (root / ".volumelease/identity").symlink_to('{"format":1}')
    (root / ".volumelease/abc/log/0/0").symlink_to('{"a":"../x"}')
    (root / ".volumelease/abc/versions/u1.public").symlink_to("models/llama")
    (root / "a/b").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "models/llama").symlink_to("../.volumelease/abc/versions/u1")
    (root / "file").write_text("x")
    for name, target in (
        ("link", "a/b"),
        ("a/up", ".."),
        ("a/b/over", "../../a"),
        ("dangling", "a/later/on"),
        ("loop", "loop"),
        ("alias", "models/llama"),
        ("out", str(tmp_path)),
        ("abs", str(root / "a")),
    ):
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def volume(root: Path) -> VolumeRoot:
    return locate(root, explicit=None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", ""),
        ("/", ""),
        ("/a", "a"),
        ("//a///b/.", "a/b"),
        ("/ab", "ab"),
        ("/link", "a/b"),
        ("/link/../x", "a/x"),
        ("/a/up/file", "file"),
        ("/dangling", "a/later/on"),
        ("/dangling/more", "a/later/on/more"),
        ("/no/such/../thing", "no/thing"),
        ("/no/", "no"),
        ("/abs/b", "a/b"),
        ("/models/llama", "models/llama"),
        ("/models/llama/sub/x", "models/llama/sub/x"),
        ("/alias/sub", "models/llama/sub"),
        ("/.volumelease/../a", "a"),
        ("/.volumelease/abc/versions/u1/sub", "models/llama/sub"),
        ("/.volumelease/abc/versions/u1", "models/llama"),
    ],
)
def test_names(root: Path, volume: VolumeRoot, path: str, name: str) -> None:
    assert canonical(f"{root}{path}", volume).display == name


@pytest.mark.parametrize(
    "path",
    [
        "/loop",
        "/file/x",
        "/file/",
        "/file/..",
        "/file/.",
        "/" + "n" * 256,
        "/no/" + "n" * 256,
        "/.volumelease",
        "/.volumelease/identity",
        "/.volumelease/abc",
        "/.volumelease/abc/log/0/0",
        "/.volumelease/abc/log/0/0/x",
        "/.volumelease/abc/versions",
        "/.volumelease/abc/versions/u1.public",
        "/.volumelease/abc/versions/nope",
        "/models/llama/..",
        "/a/.volumelease/x",
        "/x\0y",
        "/" + "a/" * 3000,
    ],
)
def test_what_leads_nowhere_or_into_our_own_directory_is_refused(
    root: Path, volume: VolumeRoot, path: str
) -> None:
    with pytest.raises(PathInvalid):
        canonical(f"{root}{path}", volume)


@pytest.mark.parametrize("path", ["", b"", 7, None, "\ud800", True])
def test_what_is_no_path_is_refused_with_what_to_do(volume: VolumeRoot, path: object) -> None:
    with pytest.raises(PathInvalid) as caught:
        canonical(path, volume)  # type: ignore[arg-type] # bad input
    assert caught.value.advice


def test_a_link_out_of_the_volume_is_refused_and_named(
    root: Path, volume: VolumeRoot, tmp_path: Path
) -> None:
    with pytest.raises(VolumeNotFound, match=str(tmp_path)):
        canonical(root / "out/x", volume)


def test_a_version_that_was_collected_keeps_its_place(root: Path, volume: VolumeRoot) -> None:
    shutil.rmtree(root / ".volumelease/abc/versions/u1")
    (root / ".volumelease/abc/versions/u1.public").unlink()
    assert canonical(root / "models/llama", volume).display == "models/llama"


def test_a_name_that_looks_deleted_is_a_name(root: Path, volume: VolumeRoot) -> None:
    (root / "x (deleted)").mkdir()
    assert canonical(root / "x (deleted)", volume).display == "x (deleted)"


def test_a_working_directory_that_is_gone_is_refused(
    root: Path, volume: VolumeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "gone").mkdir()
    monkeypatch.chdir(root / "gone")
    (root / "gone").rmdir()
    with pytest.raises(PathInvalid):
        canonical("x", volume)
    with pytest.raises(PathInvalid):
        canonical(".", volume)


def test_bytes_are_kept_and_two_spellings_of_an_accent_have_one_key(
    root: Path, volume: VolumeRoot
) -> None:
    assert os.fsencode(canonical(os.fsencode(root) + b"/caf\xe9", volume).display) == b"caf\xe9"
    one, two = canonical(root / "cafe\u0301", volume), canonical(root / "caf\u00e9", volume)
    assert one.key == two.key
    assert one.display != two.display


def test_what_is_on_no_volume_says_so(root: Path, tmp_path: Path) -> None:
    with pytest.raises(VolumeNotFound):
        locate(tmp_path / "x", explicit=None)
    with pytest.raises(VolumeNotFound, match="no mount"):
        locate(tmp_path / "p/x", explicit=None, candidates=(str(tmp_path / "p"),))
    (tmp_path / "q").mkdir()
    (tmp_path / "q/.volumelease").touch()
    with pytest.raises(VolumeUnsuitable, match="volumelease"):
        locate(tmp_path / "q/x", explicit=None)
    assert locate(root / ".volumelease/abc/log", explicit=None).real_root == str(root)
    (root / ".volumelease/abc/versions/u1/.volumelease").mkdir()
    assert locate(root / "models/llama/x", explicit=None).real_root == str(root)


MOUNTS = """
import json, os, subprocess, sys
from volumelease.errors import VolumeNotFound
from volumelease.paths.canonical import canonical
from volumelease.paths.locate import locate
from volumelease.paths.mounts import mount_of

top = sys.argv[1]

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

def refused(ask):
    try:
        ask()
    except VolumeNotFound:
        return True
    return False

for name in ("v", "w", "s", "c"):
    os.mkdir(f"{top}/{name}")
mount("-t", "tmpfs", "odd name#1", f"{top}/v")
for name in (".volumelease", "a", "scratch", "again"):
    os.mkdir(f"{top}/v/{name}")
mount("--bind", f"{top}/v", f"{top}/w")
mount("--bind", f"{top}/v/a", f"{top}/s")
mount("-t", "tmpfs", "x", f"{top}/v/scratch")
mount("--bind", f"{top}/v/a", f"{top}/v/again")
volume = locate(f"{top}/v/a", explicit=None)
paths = ("w/a/x", "s/x", "s", "v/a/x", "v/again/x", "w")
out = {path: canonical(f"{top}/{path}", volume).display for path in paths}
out["scratch"] = refused(lambda: canonical(f"{top}/v/scratch/x", volume))
out["scratch locate"] = refused(lambda: locate(f"{top}/v/scratch/x", explicit=None))
out["source"] = volume.mount.source
os.makedirs(f"{top}/h/in")
mount("-t", "tmpfs", "below", f"{top}/h/in")
mount("-t", "tmpfs", "above", f"{top}/h")
os.mkdir(f"{top}/h/in")
out["shadowed"] = mount_of(f"{top}/h/in").source
mount("-t", "tmpfs", "c", f"{top}/c")
found = locate(f"{top}/c/x", explicit=None, candidates=(f"{top}/c",))
out["candidate"] = found.root == f"{top}/c"
print(json.dumps(out))
"""


def test_bind_nested_and_hidden_mounts_are_told_apart(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", MOUNTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "w/a/x": "a/x",
        "s/x": "a/x",
        "s": "a",
        "v/a/x": "a/x",
        "v/again/x": "a/x",
        "w": "",
        "scratch": True,
        "scratch locate": True,
        "source": "odd name#1",
        "shadowed": "above",
        "candidate": True,
    }


PARTS = st.sampled_from(["a", "b", ".", "..", "", "link", "up", "over", "abs", "file", "new"])


@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(PARTS, max_size=9))
def test_any_spelling_means_what_realpath_says(root: Path, parts: list[str]) -> None:
    path = "/".join([str(root), *parts])
    try:
        walked = follow(path).real
    except PathInvalid:
        assert "file" in parts
        return
    assert walked == resolve(path)
    if os.path.lexists(path):
        assert walked == os.path.realpath(path, strict=True)
        found = glance(path)
        assert found is not None
        assert found[0] == walked
