"""A whole run: what is refused, calibration, scenarios, and the document of what came out.

An interruption or an error keeps what is measured by then: the document is marked partial, and
nothing is left on the volume.
"""

from __future__ import annotations

import errno
import secrets
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

from . import fio
from .calibration import calibrate
from .checking import cross_check, differences
from .document import SCHEMA, Document, MountFacts, Result
from .engine import Engine
from .interrupting import held_back, let_through
from .judging import judge
from .measuring import NO_TIME, failed
from .options import Options
from .problems import BenchProblem, Interrupted, explain
from .scenario import Context, Progress, Silent, names, scenario_named
from .scratch import Scratch
from .surroundings import environment, local_disk, mount_facts

CALIBRATION_SECONDS: Final = {"quick": 0.3, "normal": 0.6, "full": 1.0}
FREE_SHARE: Final = 0.8
"""Of the free space, at most: other users of the volume go on."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def run(
    directory: str,
    options: Options,
    *,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    seed: str | None = None,
) -> Document:
    """Measure, and leave nothing behind.

    Returns the document, partial after an interruption (``KeyboardInterrupt``, ``Interrupted``)
    or an error in the middle; ``interrupt`` while it removes its directory leaves the document
    whole. What can't be removed makes it partial too, and stands in ``left``. Errors:
    ``BenchProblem`` and ``VolumeNotFound`` before anything was measured.
    """
    began = time.monotonic()
    facts = mount_facts(directory, local=options.local)
    options = within_free_space(options, facts["free_bytes"], directory)
    document = _begun(facts, options, command, seed or secrets.token_hex(8))
    with held_back(to_the_end=True):
        scratch = Scratch.make(facts["directory"], options.budget_bytes)
        try:
            until = began + (options.total_seconds or float("inf"))
            with Engine(until) as engine, let_through():
                seed = document.get("seed", "")
                context = Context(scratch, options, progress or Silent(), engine, facts, seed)
                try:
                    _measure(context, document, began)
                finally:
                    document["results"] += context.unfinished
        except (KeyboardInterrupt, Interrupted):
            document["partial"], document["reason"] = True, "interrupted"
        except BenchProblem as problem:
            document["partial"], document["reason"] = True, str(problem)
        except OSError as error:
            document["partial"], document["reason"] = True, _meaning(error, facts["directory"])
        except Exception as error:  # noqa: BLE001 - a fault must not lose what is measured
            document["partial"], document["reason"] = True, f"a fault: {_said(error)}"
            document["notes"].append(traceback.format_exc())
        finally:
            _remove(scratch, document)
        document["notes"] += [*judge(document["results"]), *differences(document)]
        document["environment"]["seconds"] = time.monotonic() - began
        return document


def _begun(facts: MountFacts, options: Options, command: Sequence[str], seed: str) -> Document:
    here = environment(options, list(command))
    if options.engine == "fio" or options.cross_check:
        version = fio.version()
        here["engine_version"] = version if options.engine == "fio" else here["engine_version"]
    return {
        "schema": SCHEMA,
        "mount": facts,
        "environment": here,
        "partial": False,
        "results": [],
        "options": asdict(options),
        "seed": seed,
        "notes": [first] if (first := local_disk(facts)) else [],
    }


def within_free_space(options: Options, free_bytes: int, directory: str) -> Options:
    """The options with a budget that leaves a fifth of the free space to others.

    Errors: ``BenchProblem`` when too little is left to measure anything.
    """
    budget = min(options.budget_bytes, int(free_bytes * FREE_SHARE))
    if budget < options.least_bytes:
        least = options.least_bytes
        if options.budget_bytes < least:
            raise BenchProblem(
                f"a budget of {options.budget_bytes / 1e6:,.0f} MB is too little: "
                f"{options.jobs} jobs need {least / 1e6:,.0f}",
                advice="Give it more (--budget 1G), or fewer jobs (--jobs 2)",
                path=directory,
            )
        raise BenchProblem(
            f"the volume of {directory} is full: {free_bytes / 1e6:,.0f} MB are free, and a "
            f"benchmark needs {least / FREE_SHARE / 1e6:,.0f}",
            advice="Free some space; it is given back when the run ends",
            path=directory,
        )
    return replace(options, budget_bytes=budget)


def _measure(context: Context, document: Document, began: float) -> None:
    context.progress.step("calibrating on memory")
    options = context.options
    document["environment"]["generator"] = calibrate(
        context.engine, options.jobs, CALIBRATION_SECONDS[options.pace]
    )
    chosen = options.scenarios or names(options.pace)
    weights = [scenario_named(name).weight for name in chosen]
    for number, name in enumerate(chosen):
        if options.total_seconds is not None:
            left = began + options.total_seconds - time.monotonic()
            if left <= 0 and number:
                _leave_out(document, chosen[number:])
                break
            share = left * weights[number] / sum(weights[number:])
            context.until_monotonic = time.monotonic() + max(0.0, share)
        for result in _results(context, document, name):
            document["results"].append(result)
            if rate := result["median_mb_per_s"]:  # one that failed saw none
                context.rates.setdefault(name, rate)
            context.progress.result(result)

    if options.cross_check:
        document["cross_check"] = []
        for check in cross_check(context):
            document["cross_check"].append(check)


def _leave_out(document: Document, chosen: Sequence[str]) -> None:
    """Say of these scenarios that there was no time for them."""
    for name in chosen:
        result = failed(name, 1, 0, False, NO_TIME)
        result["flags"] = ["short"]
        document["results"].append(result)
    document["notes"] += [
        f"no time was left for {', '.join(chosen)}: the volume, or this machine, is slow"
    ]


def _results(context: Context, document: Document, name: str) -> Iterator[Result]:
    """Those of one scenario. One that fails is a result that says so, and what failed by a job
    that died or did not answer is missing: the document is partial. A full volume ends the run:
    nothing after it would be worth anything."""
    try:
        yield from scenario_named(name).run(context)
    except OSError as error:
        if error.errno in _FULL:
            explain(error, context.mount["directory"])
        yield failed(name, 1, 0, False, f"{errno.errorcode.get(error.errno or 0, '')}: {error}")
    except BenchProblem as problem:
        if context.options.scenarios == (name,) or "number" in problem.facts:
            raise
        if "job" in problem.facts:
            document["partial"], document["reason"] = True, str(problem)
        result = failed(name, 1, 0, False, str(problem))
        if "trace" in problem.facts:
            result["notes"] = [problem.facts["trace"]]
        yield result
    except Exception as error:  # noqa: BLE001 - a fault of this one must not lose the others
        document["partial"], document["reason"] = True, f"{name} has a fault: {_said(error)}"
        result = failed(name, 1, 0, False, _said(error))
        result["notes"] = [traceback.format_exc()]
        yield result


def _said(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _meaning(error: OSError, directory: str) -> str:
    try:
        explain(error, directory)
    except BenchProblem as problem:
        return str(problem)


def _remove(scratch: Scratch, document: Document) -> None:
    """What can't be removed is told, and loses nothing of what was measured: on a volume that
    died in the middle that is all there will ever be."""
    try:
        scratch.remove()
    except OSError as error:
        clean = f"volumelease bench clean {scratch.path.rpartition('/')[0] or '/'}"
        left = f"{scratch.path} can't be removed: {error.strerror or error}; later: {clean}"
        document["partial"], document["left"] = True, left
        document.setdefault("reason", left)
        document["notes"].append(left)
