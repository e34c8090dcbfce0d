"""A whole run, of scenarios that measure nothing: what becomes of the document."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease.bench import fio, running
from volumelease.bench.document import Document, Result
from volumelease.bench.measuring import failed
from volumelease.bench.options import MEBIBYTE, Options
from volumelease.bench.problems import BenchProblem
from volumelease.bench.scenario import Context, Measured
from volumelease.bench.scratch import Scratch

Scene = Callable[[Context], Iterator[Result]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Document]:
    """Run these functions as scenarios, named by their order: "0", "1", ..."""
    monkeypatch.setattr(running, "calibrate", lambda *_: [])

    def play(*scenes: Scene, **options: Any) -> Document:
        monkeypatch.setattr(running, "scenario_named", lambda name: Measured(scenes[int(name)]))
        names = tuple(map(str, range(len(scenes))))
        chosen = Options(scenarios=names, local=True, budget_bytes=256 * MEBIBYTE, **options)
        document = running.run(str(tmp_path), chosen)
        assert os.listdir(tmp_path) == []
        return document

    return play


def good(context: Context) -> Iterator[Result]:
    result = failed("good", 1, 0, False, "")
    del result["failed"]
    yield result


def raising(error: BaseException) -> Scene:
    def scene(context: Context) -> Iterator[Result]:
        yield from ()
        raise error

    return scene


def said(document: Document) -> list[str]:
    return [result.get("failed", "good") for result in document["results"]]


@pytest.mark.parametrize("how", ["silent", "died"])
def test_what_a_job_did_not_answer_is_missing_and_the_document_says_so(
    play: Callable[..., Document], how: str
) -> None:
    document = play(good, raising(BenchProblem(f"a job is {how}", job=how)), good)
    assert document["partial"]
    assert f"a job is {how}" in document["reason"]
    first, second, third = said(document)
    assert f"a job is {how}" in second
    assert first == third == "good"


def test_a_scenario_that_can_not_be_is_no_part_that_is_missing(
    play: Callable[..., Document],
) -> None:
    document = play(good, raising(BenchProblem("too slow for it")))
    assert not document["partial"]
    assert "too slow" in said(document)[1]


def in_a_job(kind: str) -> Scene:
    def scene(context: Context) -> Iterator[Result]:
        yield from ()
        context.engine.run("tests.bench.tasks:troubled", [{"kind": kind}])

    return scene


def test_what_goes_wrong_in_one_scenario_loses_no_other(
    play: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    document = play(good, in_a_job("LeaseTimeout"), good)
    assert [text.split(":")[0] for text in said(document)] == ["good", "a job failed", "good"]
    assert not document["partial"]
    document = play(good, in_a_job("MemoryError"), raising(KeyError("a fault")), good)
    assert said(document)[0] == said(document)[3] == "good"
    assert "MemoryError" in said(document)[1]
    assert "a fault" in said(document)[2]
    assert all("Traceback" in result["notes"][0] for result in document["results"][1:3])
    assert document["partial"]


def test_a_volume_that_is_full_for_leases_ends_the_run_and_is_explained(
    play: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    document = play(good, in_a_job("VolumeFull"), good)
    assert document["partial"]
    assert "is full: no space left" in document["reason"]
    assert said(document) == ["good"]


def test_what_no_time_is_left_for_is_not_begun_and_the_document_says_so(
    play: Callable[..., Document],
) -> None:
    document = play(good, good, good, total_seconds=1e-6)
    assert said(document) == ["good", *["no time was left for it"] * 2]
    assert [result["flags"] for result in document["results"][1:]] == [["short"]] * 2
    assert any("no time was left for 1, 2" in note for note in document["notes"])
    assert not document["partial"]
    assert said(play(good, good, total_seconds=100.0)) == ["good", "good"]


def dead(*_: object) -> Any:
    raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


@pytest.fixture
def stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The directory of a run can't be removed."""
    kept: list[Scratch] = []

    def remove(scratch: Scratch) -> None:
        kept.append(scratch)
        dead()

    with monkeypatch.context() as patched:
        patched.setattr(Scratch, "remove", remove)
        yield
    for scratch in kept:
        scratch.remove()


def test_a_volume_that_dies_in_the_middle_costs_no_result_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: None
) -> None:
    """Nothing there can be removed either."""
    scenes = {"0": good, "1": raising(BenchProblem("it is dead", number=errno.ENOTCONN))}
    monkeypatch.setattr(running, "calibrate", lambda *_: [])
    monkeypatch.setattr(running, "scenario_named", lambda name: Measured(scenes[name]))
    chosen = Options(scenarios=("0", "1"), local=True, budget_bytes=256 * MEBIBYTE)
    document = running.run(str(tmp_path), chosen)
    assert said(document) == ["good"]
    assert document["partial"]
    assert document["reason"].startswith("it is dead.")
    assert "can't be removed" in document["left"]
    assert f"volumelease bench clean {tmp_path}" in document["left"]
    assert document["left"] in document["notes"]


def test_what_a_whole_run_leaves_there_costs_nothing_but_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: None
) -> None:
    monkeypatch.setattr(running, "calibrate", lambda *_: [])
    monkeypatch.setattr(running, "scenario_named", lambda _: Measured(good))
    chosen = Options(scenarios=("0",), local=True, budget_bytes=256 * MEBIBYTE)
    document = running.run(str(tmp_path), chosen)
    assert said(document) == ["good"]
    assert document["partial"]
    assert document["reason"] == document["left"]


def test_an_error_in_the_check_against_fio_costs_no_result(
    play: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fio, "version", lambda: "fio-3.33")
    monkeypatch.setattr(running, "cross_check", dead)
    document = play(good, cross_check=True)
    assert said(document) == ["good"]
    assert document["partial"]
    assert os.strerror(errno.ENOTCONN) in document["reason"]


def test_a_fault_outside_of_a_scenario_costs_no_result(
    play: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(context: Context) -> Any:
        raise ValueError("no values")

    monkeypatch.setattr(fio, "version", lambda: "fio-3.33")
    monkeypatch.setattr(running, "cross_check", fault)
    document = play(good, cross_check=True)
    assert said(document) == ["good"]
    assert document["reason"] == "a fault: ValueError: no values"
    assert any("Traceback" in note for note in document["notes"])


def test_what_failed_saw_no_rate_that_others_could_go_by(play: Callable[..., Document]) -> None:
    seen: list[dict[str, float]] = []

    def direct_fails(context: Context) -> Iterator[Result]:
        yield failed("write", 1, 1 << 20, True, "no direct I/O")
        for rate in (300.0, 200.0):
            result = failed("write", 1, 1 << 20, False, "")
            del result["failed"]
            yield {**result, "median_mb_per_s": rate}

    def next_one(context: Context) -> Iterator[Result]:
        seen.append(dict(context.rates))
        yield from good(context)

    play(direct_fails, next_one)
    assert seen == [{"0": 300.0}]
