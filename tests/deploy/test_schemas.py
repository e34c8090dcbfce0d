"""What other programs read in deploy/ is what they accept."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from .files import (
    DEPLOY,
    MANIFESTS,
    ROOT,
    UNITS,
    compose,
    containers,
    dockerfile,
    manifests,
)

EXTRA: Final = "pip install volumelease[deploy-tests]"
BIN: Final = Path(sys.executable).parent


def accepted(*words: str | Path) -> None:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def needs(program: str, how: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None and not (BIN / program).exists(),
        reason=f"no {program}: {how}",
    )


@needs("check-jsonschema", EXTRA)
def test_the_compose_file_is_what_its_specification_says() -> None:
    path = DEPLOY / "compose" / "compose.yaml"
    accepted(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def test_what_the_compose_file_mounts_and_builds_is_there() -> None:
    folder = DEPLOY / "compose"
    services = compose()["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (folder / source).exists(), source
            else:
                assert source in compose()["volumes"]
        assert set(service.get("networks", [])) <= set(compose()["networks"])
        assert set(service.get("depends_on", {})) <= set(services)
        if "build" in service:
            build = service["build"]
            assert (folder / build["context"] / build["dockerfile"]).exists()
            assert build["target"] in {one.stage for one in dockerfile()}


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason=EXTRA)
@pytest.mark.parametrize("version", ["1.29", "1.31", "1.34"])
def test_the_manifests_are_what_kubernetes_accepts(version: str) -> None:
    import kubernetes_validate

    assert len(manifests()) >= 6
    for one in manifests():
        assert kubernetes_validate.validate(one, version, strict=True)


def test_the_pods_refer_to_what_is_there() -> None:
    named = {(one["kind"], one["metadata"]["name"]) for one in manifests()}
    for one in manifests():
        spec = one.get("spec", {}).get("template", {}).get("spec")
        if spec is None:
            continue
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in named
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in named
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in (part for key, part in container.items() if key.endswith("Probe")):
                assert probe["httpGet"]["port"] in ports


def test_pods_and_images_are_not_root() -> None:
    for one in manifests():
        spec = one.get("spec", {}).get("template", {}).get("spec")
        if spec is not None:
            assert spec["securityContext"]["runAsNonRoot"]
    for container in containers():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert [one.rest for one in dockerfile() if one.word == "USER"] == ["10001:10001"]


def test_pods_get_no_links_to_services() -> None:
    """The exporter's would be VOLUMELEASE_EXPORTER_..., which older versions take for settings."""
    specs = [
        one["spec"]["template"]["spec"] for one in manifests() if "template" in one.get("spec", {})
    ]
    assert len(specs) == 3
    assert not any(spec.get("enableServiceLinks", True) for spec in specs)


def test_a_sidecar_shares_what_its_daemon_needs() -> None:
    (worker,) = (one for one in manifests() if one["metadata"]["name"] == "worker")
    spec = worker["spec"]["template"]["spec"]
    assert spec["shareProcessNamespace"], "a client is known by its pid"
    (daemon,), (handler,) = spec["initContainers"], spec["containers"]
    assert daemon["restartPolicy"] == "Always"
    socket = daemon["args"][daemon["args"].index("--socket") + 1]
    told = {one["name"]: one.get("value") for one in handler["env"]}
    assert told["VOLUMELEASE_SOCKET"] == socket
    for container in (daemon, handler):
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert os.path.dirname(socket) in mounts


@needs("hadolint", EXTRA)
def test_the_dockerfile_is_a_good_one() -> None:
    accepted(BIN / "hadolint", DEPLOY / "docker" / "Dockerfile")


def test_images_have_versions() -> None:
    images = [service.get("image", "") for service in compose()["services"].values()]
    images += [container["image"] for container in containers()]
    images += [one.rest.split()[0] for one in dockerfile() if one.word == "FROM"]
    for name in images:
        own = name in ("volumelease-exporter", "volumelease-worker", "build", "base")
        assert own or re.search(r":v?(\d|\$\{PYTHON\}$)", name), name
    (argument,) = [one.rest for one in dockerfile() if one.word == "ARG"]
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", argument)


def pins(name: str) -> dict[str, Version]:
    lines = (DEPLOY / "docker" / name).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(one.specifier).startswith("==") for one in found)
    return {one.name.lower().replace("_", "-"): Version(str(one.specifier)[2:]) for one in found}


def test_the_pins_of_the_image_are_all_that_the_package_needs() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"]
    wanted = [*wanted, *extras["metrics"], *extras["redis"], *extras["watch"]]
    found = pins("requirements.txt")
    for one in map(Requirement, wanted):
        assert found[one.name.lower().replace("_", "-")] in one.specifier
    for one in map(Requirement, project["build-system"]["requires"]):
        assert pins("build-requirements.txt")[one.name] in one.specifier


def test_the_build_gets_all_that_it_copies() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    for one in dockerfile():
        if one.word == "COPY" and not one.rest.startswith("--from"):
            for source in one.rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(source == name or source.startswith(name + "/") for name in let_in)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_the_steps_of_the_image_build_a_program_that_runs(tmp_path: Path) -> None:
    """Without an engine: the commands of the stage ``build``, in a directory of their own."""
    work, prefix = tmp_path / "build", tmp_path / "opt"
    work.mkdir()
    for one in dockerfile():
        if one.stage != "build":
            continue
        if one.word == "COPY":
            *sources, target = one.rest.split()
            for source in sources:
                path = ROOT / source
                if path.is_dir():
                    shutil.copytree(path, work / target, dirs_exist_ok=True)
                else:
                    shutil.copy(path, work / target)
        if one.word == "RUN":
            command = one.rest.replace("/opt/", f"{prefix}/").replace(
                "python ", f"{sys.executable} "
            )
            accepted_there = subprocess.run(
                ["sh", "-euc", command], cwd=work, capture_output=True, text=True, check=False
            )
            assert accepted_there.returncode == 0, accepted_there.stderr
    program = prefix / "volumelease" / "bin" / "volumelease"
    accepted(program, "--version")
    checked = (
        "import volumelease.cli.fleet_views, volumelease.serving.server, redis, watchdog, hiredis"
    )
    accepted(prefix / "volumelease" / "bin" / "python", "-I", "-c", checked)
    accepted(prefix / "volumelease" / "bin" / "pip", "check")


@needs("systemd-analyze", "apt-get install --no-install-recommends systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_the_units(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    assert "=/opt/volumelease/bin/volumelease " in text
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/volumelease/bin/volumelease", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if unit.stem in line]
    assert (done.returncode, ours) == (0, [])


@needs("shellcheck", "apt-get install shellcheck")
def test_shellcheck_finds_nothing_wrong_with_the_scripts() -> None:
    scripts = [*DEPLOY.rglob("*.sh"), ROOT / "tests" / "bed" / "install-packages"]
    assert len(scripts) >= 3
    accepted("shellcheck", *scripts)


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    import yaml

    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "volumelease.yaml").read_text())[
        "providers"
    ]
    grafana = compose()["services"]["grafana"]
    mounted = dict(volume.split(":")[1::-1] for volume in grafana["volumes"])
    folder = DEPLOY / "compose" / mounted[provider["options"]["path"]]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert json.loads((folder / os.path.basename(home)).read_text())["uid"] == "volumelease"


def test_every_manifest_is_read() -> None:
    assert {path.stem for path in MANIFESTS} == {"exporter", "volume", "worker"}
