"""Trap: stat answered by the kernel in 3 us."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from volumelease.bench import names
from volumelease.bench.job import Job
from volumelease.bench.metadata import measure
from volumelease.bench.page import GO, Page


@pytest.fixture
def job() -> Any:
    page = Page()
    page.order = GO
    yield Job(0, page.slot(0))
    page.close()


def test_a_name_is_asked_for_once_and_was_never_there(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = os.stat

    def stat(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        asked.append(path)
        return real(path, *arguments, **more)

    order = {"directory": str(tmp_path), "limit": 50, "seed": "a"}
    names.run(job, {**order, "operation": "create"})
    monkeypatch.setattr(os, "stat", stat)
    answer = names.run(job, {**order, "operation": "stat-unseen"})
    assert answer["operations"] == len(asked) == len(set(asked)) == 50
    assert not [path for path in asked if os.path.lexists(path)]


def test_each_operation_does_what_it_is_called(tmp_path: Path, job: Job) -> None:
    order = {"directory": str(tmp_path), "limit": 3, "seed": "a"}

    def left(operation: str) -> list[str]:
        names.run(job, {**order, "operation": operation})
        return sorted(path.name for path in tmp_path.iterdir())

    assert left("create") == ["a-0", "a-1", "a-2"]
    assert left("stat-known") == ["a-0", "a-1", "a-2"]
    assert left("rename") == ["a-0.new", "a-1.new", "a-2.new"]
    assert left("unlink") == []
    assert left("symlink") == ["a-0.link", "a-1.link", "a-2.link"]
    assert len(os.readlink(tmp_path / "a-0.link")) == 200


def test_a_known_name_is_told_apart_from_a_new_one(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        found = {result["variant"]: result for result in measure(context, 2)}
        assert os.listdir(context.scratch.path) == ["owner.json"]
    assert list(found) == list(names.OPERATIONS)
    for result in found.values():
        assert result["median_mb_per_s"] is None
        assert result["verdict"] == ""
        assert result["median_ops_per_s"] > 0
        assert result["latency_us"]["count"] == sum(r["operations"] for r in result["repeats"])
