"""What a run leaves: the document, and what is made of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import error_of, run
from volumelease.bench.textfile import figure, headline, markdown, prometheus

FIELDS = [
    "scenario",
    "jobs",
    "block_bytes",
    "direct",
    "median_mb_per_s",
    "ci95_mb_per_s",
    "steady",
    "burst_ratio",
    "verdict",
    "flags",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One short run of everything that fits, and its files."""
    top = tmp_path_factory.mktemp("bench")
    (top / "volume").mkdir()
    scenarios = ("sequential-write", "sequential-read", "random", "metadata", "checkpoint")
    words = [word for name in scenarios for word in ("--scenario", name)]
    forms = {name: top / f"out.{name}" for name in ("json", "prometheus", "markdown", "html")}
    files = [word for name, path in forms.items() for word in (f"--{name}", str(path))]
    result = run(
        "bench", top / "volume", "--local", "--quick", "--budget", "192M", "--jobs", "2",
        *words, *files, seconds=110,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert list((top / "volume").iterdir()) == []
    return {
        "document": json.loads(forms["json"].read_text()),
        "prometheus": forms["prometheus"].read_text(),
        "markdown": forms["markdown"].read_text(),
        "html": forms["html"].read_text(),
        "said": result.stdout,
    }


def test_a_document_has_what_is_needed_to_repeat_it(made: dict[str, Any]) -> None:
    document = made["document"]
    assert document["schema"] == 1
    assert document["partial"] is False
    assert {"fstype", "source", "options", "mount_point"} <= set(document["mount"])
    assert {"kernel", "cpu", "cores", "version", "command"} <= set(document["environment"])
    assert document["seed"]
    assert document["options"]["jobs"] == 2
    ceilings = document["environment"]["generator"]
    assert [ceiling["jobs"] for ceiling in ceilings] == [1, 2]
    assert min(ceiling["write_mb_per_s"] for ceiling in ceilings) > 0


def test_every_result_has_the_fields_that_were_promised(made: dict[str, Any]) -> None:
    results = made["document"]["results"]
    assert {result["scenario"] for result in results} == {
        "sequential-write", "sequential-read", "random-read", "metadata", "checkpoint",
    }  # fmt: skip
    for result in results:
        assert list(result)[: len(FIELDS)] == FIELDS
        assert "failed" not in result
        assert result["repeats"]
        if result["median_mb_per_s"] is not None:
            low, high = result["ci95_mb_per_s"]
            assert 0 < low <= result["median_mb_per_s"] <= high


def test_samples_are_kept_raw(made: dict[str, Any]) -> None:
    (first, *_) = [r for r in made["document"]["results"] if r["scenario"] == "sequential-write"]
    repeat = first["repeats"][0]
    assert repeat["samples_mb_per_s"]
    assert repeat["bytes"] == repeat["operations"] * first["block_bytes"]
    assert first["latency_us"]["count"] == sum(r["operations"] for r in first["repeats"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: make packages")
def test_the_textfile_is_good(made: dict[str, Any]) -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=made["prometheus"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (
        'volume_bench_throughput_bytes_per_second{scenario="sequential-read"'
        in (made["prometheus"])
    )


def test_the_page_of_markdown_has_every_result(made: dict[str, Any]) -> None:
    rows = [line for line in made["markdown"].splitlines() if line.startswith("| ")]
    assert len(rows) == len(made["document"]["results"]) + 1
    assert "MB/s" in made["markdown"]


def test_the_report_is_one_page(made: dict[str, Any]) -> None:
    assert made["html"].startswith("<!doctype html>")
    assert "sequential-read" in made["html"]


def test_the_table_says_the_verdict_first(made: dict[str, Any]) -> None:
    first, *rest = made["said"].splitlines()
    assert headline(made["document"]) in first
    assert any(line.startswith("random-read") for line in rest)


def test_a_run_compared_with_itself_has_no_regression(made: dict[str, Any], tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    for path in (one, other):
        path.write_text(json.dumps(made["document"]))
    result = run("bench", "compare", one, other)
    assert result.returncode == 0, result.stdout
    assert "regression" not in result.stdout


def test_a_run_that_is_slower_by_half_is_a_regression(made: dict[str, Any], tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    document = made["document"]
    result = next(r for r in document["results"] if r["scenario"] == "sequential-read")
    result = {**result, "flags": [], "repeats": [dict(r) for r in result["repeats"]] * 2}
    one.write_text(json.dumps({**document, "results": [result]}))
    for repeat in result["repeats"]:
        repeat["mb_per_s"] /= 50
    other.write_text(json.dumps({**document, "results": [result]}))
    found = run("bench", "compare", one, other, "--json")
    assert found.returncode == 1
    (comparison,) = json.loads(found.stdout)["comparisons"]
    assert comparison["results"][0]["change"] == "regression"


def test_what_fails_now_or_is_missing_is_told(made: dict[str, Any], tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    document = made["document"]
    first, *_, last = document["results"]
    one.write_text(json.dumps({**document, "results": [first, last]}))
    failure = {**first, "failed": "EIO: it broke", "median_mb_per_s": None}
    del failure["repeats"]
    other.write_text(json.dumps({**document, "results": [failure]}))
    found = run("bench", "compare", one, other)
    assert found.returncode == 1, found.stdout
    assert "regression: EIO: it broke" in found.stdout
    assert f"only in {one}: {last['scenario']}" in found.stdout
    (comparison,) = json.loads(run("bench", "compare", one, other, "--json").stdout)["comparisons"]
    assert [result["change"] for result in comparison["results"]] == ["regression"]
    assert (len(comparison["only_old"]), comparison["only_new"]) == (1, [])


def test_a_partial_or_failed_result_has_no_figures_in_the_textfile(made: dict[str, Any]) -> None:
    document = {**made["document"], "partial": True, "reason": "interrupted"}
    document["results"] = [{**document["results"][0], "failed": "EIO"}]
    text = prometheus(document)  # type: ignore[arg-type]  # a document by its fields
    assert "volume_bench_partial 1" in text
    assert "throughput" not in text
    assert "**Partial**: interrupted" in markdown(document)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,230"), (305.2, "305"), (12.34, "12.3"), (1.234, "1.23"), (0.0, "0")],
)
def test_figures_have_three_figures(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "no document"), ('{"schema": 1}', "no document"),
     ('{"schema": 2, "results": [], "mount": {"source": ""}}', "schema 2")],
)  # fmt: skip
def test_what_is_no_document_is_told(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    what, _ = error_of(run("bench", "compare", path, path))
    assert said in what


def test_usage_is_told(tmp_path: Path) -> None:
    for arguments, said in (
        (["--scenario", "nothing"], "no scenario 'nothing'"),
        (["--budget", "much"], "is no size"),
        (["--jobs", "1"], "1 is not in the range"),
        (["--json", str(tmp_path / "no" / "file")], "there is no directory"),
    ):
        result = run("bench", tmp_path, "--local", *arguments)
        assert result.returncode == 2
        assert said in error_of(result)[0]
