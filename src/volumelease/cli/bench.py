"""``volumelease bench``: what a mount really gives, and what leases cost on it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .parameters import PathText
from .speech import say


class _Bench(click.Group):
    """A group whose first word may be a directory: then it is ``run``, which is never said."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Bench, short_help="Measure what a mount gives, and what leases cost on it.")
def command() -> None:
    """Measure a mount."""


@command.command("run", hidden=True)
@click.argument("directory", metavar="DIR", type=PathText())
@click.option("--quick", "pace", flag_value="quick", help="At most a minute.")
@click.option("--full", "pace", flag_value="full", help="As sure as it gets.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Only these.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Keep the document.")
@click.option("--local", is_flag=True, help="Measure this machine's disk, which is no volume.")
def run_command(
    directory: str, pace: str | None, scenarios: tuple[str, ...], json_file: str | None, local: bool
) -> int:
    """Measure the mount of DIR."""
    from dataclasses import replace

    from volumelease.bench import options as paces
    from volumelease.bench.running import run

    made = {"quick": paces.quick, "full": paces.full}.get(pace or "", paces.Options)()
    document = run(directory, replace(made, scenarios=scenarios, local=local))
    if json_file is not None:
        Path(json_file).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for result in document["results"]:
        rate = result["median_mb_per_s"]
        say(f"{result['scenario']} {result['jobs']} {rate} {result['verdict']} {result['flags']}")
    return 1 if document["partial"] else 0
