"""A whole run: what is refused, calibration, scenarios, and the document of what came out.

An interruption or an error keeps what is measured by then: the document is marked partial, and
nothing is left on the volume.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict

from .document import SCHEMA, Document
from .engine import Engine
from .options import Options
from .problems import BenchProblem
from .scenario import Context, Progress, Silent, names, scenario_named
from .scratch import Scratch
from .surroundings import environment, mount_facts


class Interrupted(BaseException):
    """Somebody asked the run to end: SIGTERM. Not an ``Exception``, so that nothing keeps it."""


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
    or an error in the middle. Errors: ``BenchProblem`` and ``VolumeNotFound`` before anything was
    measured.
    """
    shown = progress or Silent()
    began = time.monotonic()
    facts = mount_facts(directory, local=options.local)
    seed = seed or secrets.token_hex(8)
    document: Document = {
        "schema": SCHEMA,
        "mount": facts,
        "environment": environment(options, list(command)),
        "partial": False,
        "results": [],
        "options": asdict(options),
        "seed": seed,
        "notes": [],
    }
    scratch = Scratch.make(directory, options.budget_bytes)
    try:
        with Engine() as engine:
            context = Context(scratch, options, shown, engine, facts, seed)
            _measure(context, document)
    except (KeyboardInterrupt, Interrupted):
        document["partial"], document["reason"] = True, "interrupted"
    except BenchProblem as problem:
        document["partial"], document["reason"] = True, str(problem)
    finally:
        scratch.remove()
    document["environment"]["seconds"] = time.monotonic() - began
    return document


def _measure(context: Context, document: Document) -> None:
    for name in context.options.scenarios or names():
        for result in scenario_named(name).run(context):
            document["results"].append(result)
            context.progress.result(result)
