"""The configuration of Prometheus, and alerts that fire when they should and only then."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.bed.prometheus import missing_prometheus

from .files import DEPLOY, alerts

FOLDER: Final = DEPLOY / "prometheus"
TESTS: Final = FOLDER / "volumelease.rules.test.yml"

pytestmark = pytest.mark.skipif(missing_prometheus() is not None, reason=missing_prometheus() or "")


def promtool(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_rules_and_configuration() -> None:
    code, said = promtool(
        "check", "rules", "--lint=all", "--lint-fatal", FOLDER / "volumelease.rules.yml"
    )
    assert code == 0, said
    code, said = promtool("check", "config", FOLDER / "prometheus.yml")
    assert code == 0, said
    assert "1 rule files found" in said


def test_each_alert_fires_in_its_test_and_is_silent_when_all_is_well() -> None:
    code, said = promtool("test", "rules", TESTS)
    assert code == 0, said


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(TESTS.read_text())["tests"]
    return found


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for case in cases():
        for one in case.get("alert_rule_test", []):
            (fires if one["exp_alerts"] else silent).add(one["alertname"])
    assert fires == silent == set(alerts())


def with_every_expression(tmp_path: Path, expression: str) -> str:
    """What promtool says when all alerts have that one, and no patience."""
    rules = yaml.safe_load((FOLDER / "volumelease.rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"], rule["for"] = expression, "0m"
    (tmp_path / "volumelease.rules.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    code, said = promtool("test", "rules", tmp_path / TESTS.name)
    assert code != 0
    return said


def test_alerts_that_can_not_fire_are_found_by_their_tests(tmp_path: Path) -> None:
    said = with_every_expression(tmp_path, "vector(1) > 2")
    assert set(re.findall(r"alertname: (\w+)", said)) == set(alerts())
    assert "ALERTS" not in said


def test_alerts_that_fire_always_are_found_when_all_is_well(tmp_path: Path) -> None:
    said = with_every_expression(tmp_path, "vector(1)")
    well = said[said.index("ALERTS") : said.index("a write without a lease")]
    assert set(re.findall(r'alertname="(\w+)"', well)) == set(alerts())


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "todo"}, name
