"""Where results go: a device, a pipe or a link stays what it is."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.bench.documents import document
from volumelease.bench import running
from volumelease.bench.document import Document
from volumelease.cli import bench_files, bench_views
from volumelease.cli.bench import command
from volumelease.cli.speech import Problem

DOCUMENT: Any = {"schema": 1}
WRITTEN = '{\n "schema": 1\n}\n'


def deliver(path: Path) -> None:
    wanted = {"json_file": str(path)}
    bench_files.check(wanted)
    bench_files.write(wanted, DOCUMENT)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "now.json"
    path.write_text("old")
    before = path.stat().st_ino
    deliver(path)
    assert path.read_text() == WRITTEN
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["now.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.write_text("")
    except OSError as error:
        pytest.skip(f"no devices here: {error}")
    deliver(node)
    assert stat.S_ISCHR(node.lstat().st_mode)


def test_a_pipe_gets_all_of_it_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    deliver(pipe)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    reader.join(10)
    assert heard == [WRITTEN]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "months").mkdir()
    target = tmp_path / "months" / "november.json"
    if there:
        target.write_text("old")
    link = tmp_path / "latest.json"
    link.symlink_to("months/november.json")
    deliver(link)
    assert os.readlink(link) == "months/november.json"
    assert target.read_text() == WRITTEN
    assert os.listdir(tmp_path / "months") == ["november.json"]


def test_what_can_not_be_written_is_told_before(tmp_path: Path) -> None:
    link = tmp_path / "latest.json"
    link.symlink_to("gone/november.json")
    for path, said in ((tmp_path, "is a directory"), (link, "no directory")):
        with pytest.raises(Problem, match=said):
            bench_files.check({"json_file": str(path)})


def measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, **changes: Any
) -> Any:
    """The command, on a run whose document is there already. Its exit code."""
    monkeypatch.setattr(running, "run", lambda *_, **__: document(**changes))
    with command.make_context("bench", [str(tmp_path), *arguments]) as context:
        return command.invoke(context)


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "hung up")])
def test_what_nobody_reads_any_more_costs_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
) -> None:
    def gone(text: str = "") -> None:
        raise error

    for module in (bench_views, bench_files):
        monkeypatch.setattr(module, "say", gone)
    names = {form: str(tmp_path / form) for form in ("html", "markdown")}
    files = [word for form, path in names.items() for word in (f"--{form}", path)]
    kept = str(tmp_path / "json")
    for path in (kept, "-"):
        with pytest.raises(type(error)):
            measured(tmp_path, monkeypatch, "--json", path, *files, partial=True, reason="it died")
        assert "error: it died" in capsys.readouterr().err
        for name in names.values():
            assert Path(name).read_text()
            os.unlink(name)
    assert json.loads(Path(kept).read_text())["schema"] == 1


def test_a_file_that_can_not_be_written_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unmade(document: Document) -> str:
        raise ValueError("a fault")

    real = bench_files._deliver

    def full(path: str, text: str) -> None:
        if path.endswith("json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, text)

    monkeypatch.setattr(bench_files, "_deliver", full)
    monkeypatch.setitem(bench_files.FORMS, "html_file", unmade)
    files = [word for form in ("json", "html", "markdown") for word in (f"--{form}", form)]
    monkeypatch.chdir(tmp_path)
    assert measured(tmp_path, monkeypatch, *files) == 1
    assert os.listdir(tmp_path) == ["markdown"]
    out, err = capsys.readouterr()
    assert "json can't be written: No space left" in err
    assert "html can't be made: ValueError: a fault" in err
    assert "cold load by threads" in out, "it is shown all the same"


def test_what_is_left_on_the_volume_is_told_beside_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"partial": True, "reason": "it died", "left": "/x can't be removed"}
    assert measured(tmp_path, monkeypatch, **changes) == 1
    err = capsys.readouterr().err
    assert "error: it died" in err
    assert "/x can't be removed" in err


def test_a_terminal_that_was_hung_up_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "hung up")

    monkeypatch.setattr(bench_views, "note", gone)
    shown = bench_views.Shown()
    shown.result(document()["results"][0])
    shown._live, shown._task = shown._make(), None
    shown._task = shown._live.add_task("", rate="")
    for name in ("start", "refresh", "stop"):
        monkeypatch.setattr(shown._live, name, gone)
    with shown as progress:
        progress.step("reading")
        progress.rate(300.0)
