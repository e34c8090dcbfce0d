"""``volumelease bench``: what a mount really gives, and what leases cost on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from .parameters import PathText
from .speech import Problem, complain, note, plural, say

if TYPE_CHECKING:
    from volumelease.bench.comparing import Comparison
    from volumelease.bench.document import Document
    from volumelease.bench.options import Options

    from .bench_signals import Asked

_MEASURE: Final = "DIR"
HINT: Final = "See volumelease bench --help"
_F = TypeVar("_F", bound=Callable[..., Any])


class _Bench(click.Group):
    """A group whose first word may be a directory: then it is the command that measures, whose
    own name nobody types."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and args[0] in self.commands and args[0] != _MEASURE
        return super().parse_args(ctx, args if named else [_MEASURE, *args])


class _Measure(click.Command):
    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        above = ctx.parent.command_path if ctx.parent is not None else ""
        formatter.write_usage(above, " ".join(self.collect_usage_pieces(ctx)))


@click.group(cls=_Bench, short_help="Measure what a mount gives, and what leases cost on it.")
def command() -> None:
    """Measure a mount."""


def _outputs(function: _F) -> _F:
    for name, what in (
        ("prometheus", "The same as a textfile for Prometheus."),
        ("markdown", "The same as a page of Markdown."),
        ("html", "The same as a page with plots, in one file."),
        ("json", "Keep the document, in a stable form; - is stdout."),
    ):
        function = click.option(
            f"--{name}", f"{name}_file", metavar="FILE", type=PathText(), help=what
        )(function)
    return function


@command.command(
    _MEASURE,
    cls=_Measure,
    hidden=True,
    epilog="volumelease bench compare A.json B.json says what changed; volumelease bench clean DIR "
    "removes what a killed run left.",
)
@click.argument("directory", metavar="DIR", type=PathText())
@click.option(
    "--quick", "pace", flag_value="quick", help="At most a minute, but for --cross-check."
)
@click.option("--full", "pace", flag_value="full", help="As sure as it gets; half an hour.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Only this; repeat.")
@_outputs
@click.option("--engine", type=click.Choice(["builtin", "fio"]), default="builtin")
@click.option("--cross-check", is_flag=True, help="Compare with fio, in turn: half a minute more.")
@click.option("--budget", metavar="SIZE", help="Space it may take: 256M, 8G. Default: 4G.")
@click.option("--jobs", type=click.IntRange(2, 32), help="The N of N jobs at once. Default: 8.")
@click.option("--local", is_flag=True, help="Measure a disk of this machine, which is no volume.")
def run_command(directory: str, **chosen: Any) -> int:
    """Measure what the mount of DIR really gives: sequential and random reads and writes, names,
    the cold load of a model, small files, checkpoints, and what leases cost.

    It makes a directory of its own in DIR, removes it at the end, and touches nothing else there.
    DIR has to be on a mount: a disk that lies beneath a missing one looks like a very good volume.

    Judged is the 95 % interval of each rate, against what the platform documents for network
    volumes (200 to 400 MB/s typical); "inconclusive" where it reaches over an edge or nothing
    became steady. What came out of a cache is called so.

    Limit: caches of servers and devices can't be emptied from here. Exit code 1 when the run is
    partial.
    """
    from . import bench_files
    from .bench_signals import ending_in_order
    from .bench_views import Shown, show

    options = _options(chosen)
    outputs = bench_files.outputs(chosen)
    bench_files.check(outputs)
    quiet = chosen["json_file"] == "-"
    with Shown(quiet=quiet) as progress, ending_in_order() as asked:
        from volumelease.bench.running import run

        document = run(directory, options, progress=progress, command=sys.argv)
    try:
        whole = bench_files.write(outputs, document)
        if not quiet:
            show(document)
    finally:  # nobody may read stdout any more
        _tell_the_end(document, asked)
    if asked.number and whole:
        return 128 + asked.number
    return int(document["partial"] or not whole)


def _tell_the_end(document: Document, asked: Asked) -> None:
    reason = document.get("reason", "the run is partial")
    if document["partial"]:
        complain(reason, HINT)
        if (left := document.get("left", reason)) != reason:
            note(left)
    elif asked.number:
        note("asked to end when everything was measured: the document is whole")


def _options(chosen: dict[str, Any]) -> Options:
    from dataclasses import replace

    from volumelease.bench.options import Options, full, parse_size, quick
    from volumelease.bench.scenario import all_names

    options = {"quick": quick, "full": full}.get(chosen["pace"] or "", Options)()
    for name in chosen["scenarios"]:
        if name not in all_names():
            raise click.UsageError(f"no scenario {name!r}; there are: {', '.join(all_names())}")
    changes: dict[str, Any] = {
        "scenarios": tuple(dict.fromkeys(chosen["scenarios"])),
        "engine": chosen["engine"],
        "cross_check": chosen["cross_check"],
        "local": chosen["local"],
    }
    if chosen["jobs"] is not None:
        changes["jobs"] = chosen["jobs"]
    if chosen["budget"] is not None:
        size = parse_size(chosen["budget"])
        if size is None:
            raise click.UsageError(f"--budget {chosen['budget']} is no size: 256M, 8G")
        changes["budget_bytes"] = size
    return replace(options, **changes)


# ---- compare


class _Compared(NamedTuple):
    """The first document with one of the others."""

    name: str
    comparisons: list[Comparison]
    only: tuple[list[str], list[str]]
    left_out: list[tuple[str, str]]


@command.command("compare")
@click.argument("files", nargs=-1, required=True, metavar="A.json B.json ...", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def compare_command(files: tuple[str, ...], as_json: bool) -> int:
    """Say what changed from A to each of the others, with an interval of each ratio.

    With several volumes, also which one starts a worker first, by the seconds until a 7B model is
    loaded cold.

    Exit code 1 on a regression: a ratio whose whole interval is below 0.95, or what stands still
    or fails now. All intervals of a comparison hold together at 95 %. What can't be compared is
    named.

    Limits: two repeats, as a quick run has them, are often too few to tell. Runs at different
    times may differ by more than their repeats know: when it matters, run them in turn, A B A B.
    """
    from volumelease.bench.comparing import (
        compare,
        not_compared,
        only_in_one,
        rank,
        same_volume,
    )

    if len(files) < 2:
        raise click.UsageError("compare takes at least two documents: A.json B.json")
    documents = [_read(name) for name in files]
    old = documents[0]
    found = [
        _Compared(name, compare(old, new), only_in_one(old, new), not_compared(old, new))
        for name, new in zip(files[1:], documents[1:], strict=True)
    ]
    ranking = [] if same_volume(documents) else rank(list(zip(files, documents, strict=True)))
    if as_json:
        say(json.dumps(_as_document(files[0], found, ranking)))
    else:
        from .bench_views import show_comparison, show_ranking

        for one in found:
            show_comparison(files[0], *one)
        show_ranking(ranking)
    worse = sum(one.change == "regression" for each in found for one in each.comparisons)
    return 1 if worse else 0


def _read(name: str) -> Document:
    try:
        with open(name, encoding="utf-8") as file:
            found = json.load(file)
        schema = found["schema"]
        found["results"], found["mount"]["source"]
    except OSError as error:
        raise Problem(f"{name} can't be read: {error.strerror}", advice=HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Problem(
            f"{name} is no document of a benchmark",
            advice="Make one: volumelease bench DIR --json FILE",
        ) from error
    if schema != 1:
        raise Problem(
            f"{name} has schema {schema}, and this version reads schema 1",
            advice="Compare it with the version of volumelease that wrote it",
        )
    document: Document = found
    return document


def _as_document(
    first: str,
    found: list[_Compared],
    ranking: list[tuple[str, float, str]],
) -> dict[str, Any]:
    return {
        "schema": 1,
        "old": first,
        "comparisons": [
            {
                "new": each.name,
                "results": [one.as_document() for one in each.comparisons],
                "only_old": each.only[0],
                "only_new": each.only[1],
                "not_compared": [{"result": name, "why": why} for name, why in each.left_out],
            }
            for each in found
        ],
        "ranking": [
            {"file": name, "cold_start_7b_seconds": seconds, "way": way}
            for name, seconds, way in ranking
            if seconds != float("inf")
        ],
    }


# ---- clean


@command.command("clean")
@click.argument("directory", metavar="DIR", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def clean_command(directory: str, as_json: bool) -> int:
    """Remove what killed benchmarks left in DIR: directories that a benchmark of this user made
    and that nobody uses any more. Nothing else is touched.

    Of this host: as soon as the process is gone. Of another one: ten minutes after its last sign
    of life. Exit code 1 when one had to stay.
    """
    from volumelease.bench.scratch import clean

    try:
        found = clean(directory)
    except OSError as error:
        raise Problem(
            f"{directory} can't be looked at: {error.strerror}", advice=HINT, exit_code=2
        ) from error
    if as_json:
        say(json.dumps({"schema": 1, "directories": [one._asdict() for one in found]}))
    else:
        for one in found:
            say(f"removed {one.path}" if one.removed else f"kept {one.path}: {one.reason}")
        if not found:
            note(f"nothing of a benchmark is in {directory}")
        elif removed := sum(one.removed for one in found):
            note(f"{plural(removed, 'directory', 'directories')} removed")
    return 0 if all(one.removed for one in found) else 1
