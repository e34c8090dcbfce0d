"""What lies in deploy/, as its tests read it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
MANIFESTS: Final = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))


def texts() -> dict[str, str]:
    """All files of deploy/ by their path in it."""
    found = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(DEPLOY)): path.read_text()
        for path in found
        if "__pycache__" not in path.parts
    }


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return found


def manifests() -> list[dict[str, Any]]:
    return [
        one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text()) if one is not None
    ]


def containers() -> list[dict[str, Any]]:
    """Of all pods of the manifests."""
    specs = [
        one["spec"]["template"]["spec"] for one in manifests() if "template" in one.get("spec", {})
    ]
    return [c for spec in specs for c in [*spec.get("initContainers", []), *spec["containers"]]]


def alerts() -> dict[str, dict[str, Any]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "volumelease.rules.yml").read_text())
    return {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    path = DEPLOY / "grafana" / "dashboards" / "volumelease.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Of the dashboard, as Prometheus is asked them."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    for name, value in (("$__rate_interval", "1m"), ("$__range", "10m"), ("$scope", ".*")):
        found = [query.replace(name, value) for query in found]
    return found


class Instruction(NamedTuple):
    """One of a Dockerfile, with the name of its stage."""

    stage: str
    word: str
    rest: str


def dockerfile() -> list[Instruction]:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found, stage = [], ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split()[-1]
        found.append(Instruction(stage, word, rest.strip()))
    return found


def image(target: str) -> tuple[list[str], list[str]]:
    """The entry point and the command of one target."""
    words = {one.word: one.rest for one in dockerfile() if one.stage == target}
    return json.loads(words["ENTRYPOINT"]), json.loads(words["CMD"])


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and every command line of the program in deploy/, from its name on."""
    for target in ("exporter", "worker"):
        entry, command = image(target)
        yield f"docker/{target}", [*entry, *command]
    for name, service in compose()["services"].items():
        if "build" in service:
            entry, command = image(service["build"]["target"])
            yield f"compose/{name}", [*entry, *service.get("command", command)]
    for container in containers():
        if "volumelease" in container["image"]:
            entry, command = image("exporter")
            yield f"kubernetes/{container['name']}", [*entry, *container.get("args", command)]
    for path in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", path.read_text(), re.M):
            yield f"systemd/{path.name}", ["volumelease", *shlex.split(line)[1:]]
    for name, text in texts().items():
        for line in said_in(name, text):
            yield name, shlex.split(line)


def said_in(name: str, text: str) -> list[str]:
    """Command lines in prose: in backquotes, in blocks of Markdown, and in start.sh."""
    lines = re.findall(r"`(volumelease [^`{\n]+)`", text)
    if name.endswith(".md"):
        lines += re.findall(r"^(?:[A-Z_]+=\S+ )*(volumelease .+?)(?:\s+#.*)?$", text, re.M)
    if name.endswith("start.sh"):
        lines += [
            line.replace("$@", "handler")
            for line in re.findall(r"^exec .* -m (volumelease .*)$", text, re.M)
        ]
    return lines


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Where it stands, and the environment that the program gets there."""
    for name, service in compose()["services"].items():
        yield f"compose/{name}", service.get("environment", {})
    for container in containers():
        given = {one["name"]: one.get("value", "x") for one in container.get("env", [])}
        yield f"kubernetes/{container['name']}", given
    for one in dockerfile():
        if one.word == "ENV":
            yield f"docker/{one.stage}", dict(part.split("=", 1) for part in one.rest.split())
