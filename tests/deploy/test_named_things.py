"""Whatever the files of deploy/ name of the program is there: command lines, settings, metrics,
their labels, and ports. A file that names something else would be found out at somebody's place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import click
import pytest
import yaml

from volumelease import settings
from volumelease.authorities.redis.troubles import PERMISSIONS
from volumelease.cli.exporter import DEFAULT
from volumelease.cli.program import program
from volumelease.settings import Settings
from volumelease.tallies import BY_NAME, PREFIX

from .files import (
    DEPLOY,
    alerts,
    command_lines,
    compose,
    containers,
    dashboard,
    dockerfile,
    environments,
    manifests,
    panels,
    queries,
    texts,
)

DAEMON: Final = int(Settings().http.rpartition(":")[2])
EXPORTER: Final = int(DEFAULT.rpartition(":")[2])
FROM_OTHERS: Final = {
    "RUNPOD_POD_ID",
    "RUNPOD_ENDPOINT_ID",
    "RUNPOD_DC_ID",
    "RUNPOD_VOLUME_ID",
    "PATH",
}


# ---- command lines


def parsed(words: list[str]) -> None:
    """Errors: ``click.UsageError`` where the program would refuse it."""
    context = program.make_context("volumelease", list(words), resilient_parsing=False)
    rest = [*context._protected_args, *context.args]
    if not rest:
        raise click.UsageError("no command")
    name, command, more = program.resolve_command(context, rest)
    assert command is not None
    command.make_context(name, more, parent=context)


@pytest.mark.parametrize(
    ("where", "words"), list(command_lines()), ids=lambda part: " ".join(part)[:60]
)
def test_a_command_line_is_one_that_the_program_takes(where: str, words: list[str]) -> None:
    assert words[0] == "volumelease", where
    try:
        parsed(words[1:])
    except click.exceptions.Exit:
        pass  # --version
    except click.UsageError as error:
        raise AssertionError(f"{where}: {' '.join(words)}: {error.format_message()}") from None


def test_command_lines_of_all_kinds_are_looked_at() -> None:
    found = {(where.split("/")[0], words[1]) for where, words in command_lines()}
    for kind in ("docker", "compose", "kubernetes", "systemd", "runpod"):
        assert any(where == kind for where, _ in found), kind
    assert {word for _, word in found} >= {"worker", "exporter", "daemon", "init"}


@pytest.mark.parametrize("wrong", ["exporter --port 1", "demon", "init", "worker --"])
def test_a_command_line_that_the_program_refuses_is_found(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(wrong.split())


def test_what_an_alert_advises_is_there() -> None:
    advised = 0
    for name, rule in alerts().items():
        for word, options in re.findall(
            r"volumelease ([a-z]+)((?: --[a-z]+)*)", rule["annotations"]["todo"]
        ):
            command = program.get_command(click.Context(program), word)
            assert command is not None, f"{name}: {word}"
            known = {option for one in command.params for option in one.opts}
            assert set(options.split()) <= known, f"{name}: {options}"
            advised += 1
    assert advised > 5


# ---- settings


def test_every_name_of_a_setting_is_one() -> None:
    names = {name.upper() for name in settings._CHECKS} | settings._PASSED_TO_CHILDREN
    known = {settings.PREFIX + name for name in names}
    found = 0
    for name, text in texts().items():
        for said in re.findall(r"\bVOLUMELEASE_[A-Z_]+\b", text):
            found += 1
            assert said in known, f"{name}: {said}"
    assert found > 15


def test_every_environment_is_one_that_the_program_takes() -> None:
    found = 0
    for where, given in environments():
        ours = {key: value for key, value in given.items() if key.startswith("VOLUMELEASE_")}
        settings.load(ours, init_environ="/dev/null")
        found += len(ours)
        others = {key for key in given if key.startswith("RUNPOD_")}
        assert others <= FROM_OTHERS, where
    assert found >= 10


def test_settings_in_the_notes_have_values_that_the_program_takes() -> None:
    found = 0
    for text in texts().values():
        for name, value in re.findall(r"\b(VOLUMELEASE_[A-Z_]+)=([\w./:,@+-]+)", text):
            settings.load({name: value}, init_environ="/dev/null")
            found += 1
    assert found > 3


def test_a_redis_user_may_do_what_leases_need() -> None:
    assert PERMISSIONS in texts()["redis/redis.conf"]


# ---- metrics


def metrics_in(text: str) -> Iterator[tuple[str, str]]:
    """Each that is named, with its selector."""
    yield from re.findall(rf"\b({PREFIX}[a-z_]+)(?:\{{([^}}]*)\}})?", text)


def base_of(name: str) -> str:
    """Without the prefix, and what Prometheus adds to a histogram."""
    short = name.removeprefix(PREFIX)
    for suffix in ("_bucket", "_count", "_sum"):
        plain = short.removesuffix(suffix)
        if plain in BY_NAME and BY_NAME[plain].kind == "histogram":
            return plain
    return short


def test_every_metric_and_label_is_one_that_is_told() -> None:
    found = set()
    for file, text in texts().items():
        for name, selector in metrics_in(text):
            base = base_of(name)
            found.add(base)
            assert base in {*BY_NAME, "build_info"}, f"{file}: {name}"
            if base == "build_info":
                continue
            metric = BY_NAME[base]
            allowed: dict[str, tuple[str, ...] | None] = {
                "job": None,
                "instance": None,
                **({"scope": None} if metric.scope else {}),
                **({"volume": None} if metric.volume else {}),
                **dict(metric.labels),
            }
            for label, value in re.findall(r'(\w+)\s*[!=~]+\s*\\?"([^"\\]*)', selector):
                assert label in allowed, f"{file}: {name} has no label {label}"
                values = allowed[label]
                assert values is None or set(value.split("|")) <= set(values), f"{file}: {value}"
    assert len(found) > 25


def test_a_histogram_is_asked_for_what_it_has() -> None:
    for query in [*queries(), *(rule["expr"] for rule in alerts().values())]:
        for name, _ in metrics_in(query):
            metric = BY_NAME.get(name.removeprefix(PREFIX))
            assert metric is None or metric.kind != "histogram", query


def test_the_dashboard_shows_every_metric() -> None:
    shown = {base_of(name) for query in queries() for name, _ in metrics_in(query)}
    assert {*BY_NAME, "build_info"} - shown == set()


def test_what_a_query_groups_by_is_a_label_of_its_metric() -> None:
    expressions = [*queries(), *(rule["expr"] for rule in alerts().values())]
    for query in expressions:
        labels: set[str] = {"job", "instance", "le", "version"}
        for name, _ in metrics_in(query):
            metric = BY_NAME.get(base_of(name))
            if metric is not None:
                labels |= {label for label, _ in metric.labels}
                labels |= {"scope"} if metric.scope else set()
                labels |= {"volume"} if metric.volume else set()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
            assert {part.strip() for part in group.split(",")} <= labels, query


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    identifiers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    assert all(panel["targets"] for panel in panels())


# ---- ports and jobs


def scraped() -> dict[str, list[str]]:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    return {
        one["job_name"]: [target for part in one["static_configs"] for target in part["targets"]]
        for one in config["scrape_configs"]
    }


def test_prometheus_scrapes_what_the_compose_file_starts() -> None:
    jobs, services = scraped(), compose()["services"]
    assert jobs["volumelease-exporter"] == [f"exporter:{EXPORTER}"]
    workers = sorted(name for name in services if name.startswith("worker-"))
    assert jobs["volumelease-daemon"] == [f"{name}:{DAEMON}" for name in workers]
    assert len(workers) == 2
    for name in workers:
        at = services[name]["environment"]["VOLUMELEASE_HTTP"]
        assert at == f":{DAEMON}", "Prometheus is another container"
    assert services["exporter"]["ports"] == [f"127.0.0.1:{EXPORTER}:{EXPORTER}"]
    assert set(services["prometheus"]["networks"]) & set(services["worker-a"]["networks"])


def test_every_job_that_a_query_names_is_scraped() -> None:
    said = set()
    for name, text in texts().items():
        if name.startswith(("prometheus/", "grafana/")):
            said |= set(re.findall(r'job=\\?"([^"\\]+)', text))
    assert said == set(scraped())


def ports_of(one: dict[str, Any]) -> list[int]:
    return [port.get("containerPort", port.get("port")) for port in one.get("ports", [])]


def test_ports_are_those_of_the_program() -> None:
    by_target = {one.stage: int(one.rest) for one in dockerfile() if one.word == "EXPOSE"}
    assert by_target == {"exporter": EXPORTER, "worker": DAEMON}
    (health,) = [one.rest for one in dockerfile() if one.word == "HEALTHCHECK"]
    assert f"127.0.0.1:{EXPORTER}/healthz" in health
    for container in containers():
        expected = {"exporter": [EXPORTER], "volumelease": [DAEMON]}
        assert ports_of(container) == expected.get(container["name"], [])
    (service,) = [one for one in manifests() if one["kind"] == "Service"]
    assert ports_of(service["spec"]) == [EXPORTER]
    (worker,) = [one for one in manifests() if one["metadata"]["name"] == "worker"]
    notes = worker["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(DAEMON)


def test_ports_in_prose_are_those_of_the_program() -> None:
    others = {"6379", "9090", "3000"}
    found = set()
    for name, text in texts().items():
        if not name.startswith(("grafana/dashboards", "examples")):
            found |= set(
                re.findall(
                    r"(?<![\w.]):(\d{4,5})\b|(?:127\.0\.0\.1|exporter|redis):(\d{4,5})", text
                )
            )
    flat = {port for pair in found for port in pair if port}
    assert flat <= {str(DAEMON), str(EXPORTER), *others}
