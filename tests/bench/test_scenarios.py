"""Every scenario, on little: that it measures what its name says, and leaves nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from tests.cli.shell import Terminal
from volumelease.bench import bundles
from volumelease.bench.job import Job
from volumelease.bench.options import MEBIBYTE
from volumelease.bench.page import Page
from volumelease.bench.scenario import all_names, names, scenario_named
from volumelease.bench.sequential import SWEEP


def run_on(directory: Path, name: str, **changes: object) -> dict[tuple[object, ...], object]:
    """The results of a scenario, by what tells them apart."""
    with context_on(directory, **changes) as context:
        results = list(scenario_named(name).run(context))
        left = set(os.listdir(context.scratch.path))
    assert not {name for name in left if not name.startswith("data-")} - {"owner.json"}
    assert not [result["failed"] for result in results if "failed" in result]
    return {
        (r["scenario"], r.get("variant", ""), r["jobs"], r["block_bytes"], r["direct"]): r
        for r in results
    }


@pytest.mark.parametrize("name", ["sequential-write", "sequential-read"])
def test_one_job_and_n_direct_and_buffered(tmp_path: Path, name: str) -> None:
    found = run_on(tmp_path, name, pace="normal", repeats=1)
    ways = {(jobs, direct) for _, _, jobs, _, direct in found}
    assert ways == {(1, True), (1, False), (2, True), (2, False)}


def test_random_work_is_of_4_kib(tmp_path: Path) -> None:
    found = run_on(tmp_path, "random", pace="normal", repeats=1)
    assert {(scenario, direct) for scenario, _, _, _, direct in found} == {
        ("random-read", True),
        ("random-read", False),
        ("random-write", True),
        ("random-write", False),
    }
    assert {block for _, _, _, block, _ in found} == {4096}


def test_blocks_of_4_kib_to_4_mib(tmp_path: Path) -> None:
    found = run_on(tmp_path, "block-sweep", repeats=1, repeat_seconds=0.1)
    assert {block for _, _, _, block, _ in found} == set(SWEEP)
    assert (SWEEP[0], SWEEP[-1]) == (4096, 4 * MEBIBYTE)
    assert len(found) == 4 * len(SWEEP)


def test_the_same_bytes_as_files_and_as_one_tar(tmp_path: Path) -> None:
    found = run_on(tmp_path, "small-files")
    by_name = {variant: result for (_, variant, *_), result in found.items()}
    assert list(by_name) == ["files-write", "files-read", "tar-write", "tar-read"]
    repeats = [result["repeats"] for result in by_name.values()]  # type: ignore[index]
    assert len({(r["bytes"], r["operations"]) for repeat in repeats for r in repeat}) <= 2


def test_files_are_small() -> None:
    sizes = bundles.sizes(64 * MEBIBYTE, "seed")
    assert max(sizes) < 256 * 1024
    assert sum(sizes) == 64 * MEBIBYTE
    assert len(sizes) > 500


@pytest.mark.parametrize("order", [["write_files", "read_files"], ["write_tar", "read_tar"]])
def test_what_small_files_hold_is_made_up_before_the_clock_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    steps: list[str] = []

    def noted(step: str, real: Any) -> Any:
        def call(*given: Any) -> Any:
            steps.append(step)
            return real(*given)

        return call

    for name in ("Contents", "sizes"):
        monkeypatch.setattr(bundles, name, noted("prepared", getattr(bundles, name)))
    page = Page()
    job = Job(0, page.slot(0))
    monkeypatch.setattr(Job, "begin", noted("begun", lambda _: time.monotonic_ns()))
    parameters = {"directory": str(tmp_path), "bytes": MEBIBYTE, "seed": "5eed"}
    for task in order:
        steps.clear()
        answer = getattr(bundles, task)(job, parameters)
        assert answer["bytes"] == MEBIBYTE
        assert steps.count("begun") == 1
        assert steps[-1] == "begun"
    page.close()


def test_a_checkpoint_counts_when_readers_see_it(tmp_path: Path) -> None:
    ((_, result),) = run_on(tmp_path, "checkpoint").items()
    assert result["checkpoint_bytes"] >= 16 * MEBIBYTE  # type: ignore[index]
    for repeat in result["repeats"]:  # type: ignore[index]
        whole = repeat["bytes"] / repeat["last_done_seconds"] / 1e6
        assert repeat["mb_per_s"] == pytest.approx(whole)
        assert repeat["fsync_seconds"] > 0


def test_a_quick_run_leaves_out_what_takes_long() -> None:
    assert set(names("quick")) < set(names("full")) == set(all_names())


def test_every_scenario_can_be_found_and_has_a_weight() -> None:
    assert min(scenario_named(name).weight for name in all_names()) > 0
    with pytest.raises(KeyError):
        scenario_named("nothing")


def test_a_scenario_keeps_to_its_time(tmp_path: Path) -> None:
    with context_on(tmp_path, repeats=50, repeat_seconds=30.0) as context:
        context.until_monotonic = time.monotonic() + 4
        results = list(scenario_named("random").run(context))
    assert max(len(result["repeats"]) for result in results) < 10


def test_a_person_sees_how_it_goes_on_and_a_table(tmp_path: Path) -> None:
    arguments = ("--local", "--quick", "--budget", "192M", "--jobs", "2")
    with Terminal("bench", tmp_path, *arguments, "--scenario", "random") as terminal:
        terminal.wait_for("calibrating on memory", 60)
        terminal.wait_for("random-read, 1 job", 60)
        terminal.wait_for("MB/s", 60)
        assert terminal.finish(90) == 0
    said = terminal.said.decode()
    assert "an operation" in said
    assert "4 KiB, direct" in said
    assert os.listdir(tmp_path) == []
