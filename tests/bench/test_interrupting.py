"""Signals at the worst moments: while the directory of a run is made, or removed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from volumelease.bench import fio, interrupting, running
from volumelease.bench.document import Document, Result
from volumelease.bench.interrupting import held_back, interrupt, let_through
from volumelease.bench.measuring import failed
from volumelease.bench.options import MEBIBYTE, Options
from volumelease.bench.problems import Interrupted
from volumelease.bench.scenario import Context, Measured
from volumelease.bench.scratch import PREFIX, Scratch
from volumelease.cli import bench_signals
from volumelease.cli.bench_signals import Asked, ending_in_order


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    yield
    assert not interrupting._Moment.held
    assert not interrupting._Moment.asked


def sent(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def during(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, when: Callable[[str], bool]
) -> None:
    """A signal comes just when that call has done its work, on a path for which ``when`` holds."""
    real = getattr(module, name)

    def call(path: Any, *arguments: Any, **more: Any) -> Any:
        found = real(path, *arguments, **more)
        if when(str(path)):
            sent()
        return found

    monkeypatch.setattr(module, name, call)


def one_result(context: Context) -> Iterator[Result]:
    for name in ("a", "b", "c"):
        context.scratch.file(name, 1)
    result = failed("one", 1, 0, False, "")
    del result["failed"]
    yield result


def run_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Document, Asked]:
    monkeypatch.setattr(running, "calibrate", lambda *_: [])
    monkeypatch.setattr(running, "scenario_named", lambda _: Measured(one_result))
    options = Options(scenarios=("one",), local=True, budget_bytes=256 * MEBIBYTE)
    with ending_in_order() as asked:
        document = running.run(str(directory), options)
    return document, asked


def test_a_signal_while_the_directory_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, os, "mkdir", lambda path: PREFIX in path)
    document, asked = run_once(tmp_path, monkeypatch)
    assert os.listdir(tmp_path) == []
    assert (document["partial"], document["reason"]) == (True, "interrupted")
    assert document["results"] == []
    assert asked.number == signal.SIGINT


def test_a_signal_while_it_is_removed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, os, "unlink", lambda path: path == "b")
    document, asked = run_once(tmp_path, monkeypatch)
    assert os.listdir(tmp_path) == []
    assert not document["partial"]
    assert [result["scenario"] for result in document["results"]] == ["one"]
    assert asked.number == signal.SIGINT


def test_a_signal_after_the_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(results: object) -> list[str]:
        sent()
        return []

    monkeypatch.setattr(running, "judge", judge)
    document, asked = run_once(tmp_path, monkeypatch)
    assert not document["partial"]
    assert asked.number == signal.SIGINT


def test_whatever_ends_the_making_of_the_directory_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the handler of the command, as a program has it that calls a run."""
    during(monkeypatch, os, "mkdir", lambda path: PREFIX in path)
    with pytest.raises(KeyboardInterrupt):
        Scratch.make(str(tmp_path), MEBIBYTE)
    assert os.listdir(tmp_path) == []


def test_what_is_held_back_comes_where_it_may() -> None:
    done = []
    with pytest.raises(Interrupted), held_back():
        interrupt()
        done.append("held back")
        with let_through():
            done.append("let through")
    assert done == ["held back"]
    with pytest.raises(Interrupted), held_back(to_the_end=True), let_through():
        with held_back():
            interrupt()
        done.append("after it")
    assert done == ["held back"]


@pytest.mark.parametrize("error", [Interrupted, OSError])
def test_the_logs_of_fio_are_removed_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    class Ended:
        def run(self, task: str, parameters: list[dict[str, Any]]) -> None:
            Path(parameters[0]["logs"], "job0_bw.1.log").write_text("1,2,3,4")
            raise error

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine: Any = Ended()
    with pytest.raises(error):
        fio.run(engine, [], 1.0)
    assert os.listdir(tmp_path) == []


def test_a_signal_while_they_are_removed_leaves_none_and_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        def run(self, task: str, parameters: list[dict[str, Any]]) -> Any:
            for name in "abc":
                Path(parameters[0]["logs"], name).write_text("")
            return self

        answers: Any = ({"samples": []},)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    during(monkeypatch, os, "unlink", lambda path: path == "b")
    engine: Any = Done()
    with pytest.raises(Interrupted), ending_in_order(), let_through():
        fio.run(engine, [], 1.0)
    assert os.listdir(tmp_path) == []


def test_a_signal_that_is_handed_on_too_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the whole group, and by the parent: two of those must not be the third that kills."""
    now = 100.0
    ended: list[int] = []
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(bench_signals, "time", clock, raising=False)
    monkeypatch.setattr(os, "_exit", ended.append)
    with ending_in_order() as asked:
        with pytest.raises(Interrupted), let_through():
            sent(signal.SIGTERM)
        sent(signal.SIGTERM)
        now += 1.5
        for _ in range(2):
            sent(signal.SIGTERM)
        assert (asked.number, ended) == (signal.SIGTERM, [])
        now += 1.5
        sent(signal.SIGTERM)
        assert ended == [128 + signal.SIGTERM]
