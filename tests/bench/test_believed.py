"""What stands first in every form of a document: never what came out of a cache, if there is
anything else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.bench.documents import document, result
from volumelease.bench.believed import best, loads
from volumelease.bench.comparing import rank
from volumelease.bench.document import Document, Flag, Result
from volumelease.bench.report_html import report
from volumelease.bench.textfile import headline, markdown
from volumelease.cli.bench_views import show

READ = "sequential-read"
CACHED = result(READ, 7038.0, "cache suspected", "cache-suspected", jobs=8, direct=False)
WRONG = result(READ, 8000.0, "inconclusive", "wrong-data", jobs=8)
VOLUME = result(READ, 312.0, "typical")


def loaded(variant: str, seconds: float, *flags: Flag) -> Result:
    return result(
        "model-load", 1.0, "", *flags, variant=variant,
        cold_start_seconds={"7B": seconds, "70B": seconds * 10},
    )  # fmt: skip


def cards(made: Document) -> str:
    page = report(made)
    words = page[page.index('class="cards"') : page.index("What stands out")]
    return re.sub(r"<[^>]*>", " ", words).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("order", [1, -1])
def test_all_forms_take_the_verdict_from_what_the_volume_gave(
    capsys: pytest.CaptureFixture[str], order: int
) -> None:
    made = document(results=[CACHED, VOLUME, WRONG][::order])
    assert best(made["results"], READ) is VOLUME
    assert headline(made).startswith("typical (303")
    assert "typical" in markdown(made).splitlines()[0]
    show(made)
    assert "typical" in capsys.readouterr().out.splitlines()[0]
    assert "typical  312 MB/s" in re.sub(" +", "  ", cards(made)).replace("312  MB", "312 MB")
    assert "7.04" not in cards(made)


def test_the_fastest_way_counts_in_all_forms() -> None:
    many = result(READ, 150.0, "below documented", jobs=8)
    made = document(results=[many, VOLUME])
    assert headline(made).startswith("typical")
    assert "typical" in cards(made)


@pytest.mark.parametrize("only", [CACHED, WRONG])
def test_where_there_is_nothing_else_it_says_what_it_is(only: Result) -> None:
    made = document(results=[only, result(READ, 300.0)])
    assert headline(made).startswith(only["verdict"])
    assert only["verdict"] in cards(made)
    assert headline(document(results=[result(READ, 300.0)])) == "no verdict"


def cold_loads(capsys: pytest.CaptureFixture[str], results: list[Result]) -> tuple[str, str, Any]:
    made = document(results=results)
    show(made)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cold load")]
    return "\n".join(said), cards(made), made


@pytest.mark.parametrize("flag", ["cache-suspected", "wrong-data"])
def test_a_load_that_was_not_cold_is_no_cold_load(
    capsys: pytest.CaptureFixture[str], flag: Flag
) -> None:
    warm, cold = loaded("mmap", 2.0, flag), loaded("threads", 50.0)
    said, card, made = cold_loads(capsys, [warm, cold])
    assert loads([warm, cold]) == [cold]
    assert "by threads" in said
    assert "by mmap" not in said
    assert "mmap" not in card
    assert "8 min 20 s" in card
    assert rank([("a", made)]) == [("a", 50.0, "threads")]
    said, card, made = cold_loads(capsys, [warm])
    assert f"by mmap: 7B 2.0 s, 70B 20.0 s (16 bit, {flag})" in said
    assert flag in card
    assert rank([("a", made)]) == [("a", float("inf"), "not measured")]
