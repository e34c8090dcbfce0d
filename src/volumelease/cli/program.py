"""The program: its commands, each imported when it is used, and what its errors look like."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from volumelease import __version__
from volumelease.errors import LeaseError, LeaseLost, LeaseTimeout

from .speech import Problem, complain

USAGE: Final = 2
TIMEOUT: Final = 75
"""EX_TEMPFAIL of sysexits.h: it may work later."""
LOST: Final = 76
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""128 + SIGPIPE, as of a program that the signal ended."""

_COMMANDS: Final = (
    "demo",
    "init",
    "migrate",
    "uninstall",
    "hold",
    "populate",
    "daemon",
    "worker",
    "adopt",
    "status",
    "history",
    "break",
    "gc",
    "exporter",
    "doctor",
    "verify",
    "bench",
    "completion",
)
_APART: Final = frozenset(_COMMANDS) - {
    "demo",
    "hold",
    "populate",
    "daemon",
    "worker",
    "completion",
}
"""Those that touch the volume; ``hold`` and ``populate`` have processes of its own for that."""


_MODULES: Final = {"break": "breaking", "gc": "clearing"}
"""Where a command is called like a word, or a module, of the language."""


class _Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = _MODULES.get(name, name)
        command: click.Command = import_module(f"volumelease.cli.{module}").command
        return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(path_type=str),
    help="Settings, where the environment has none (TOML); passed on to what is started.",
)
@click.version_option(__version__, prog_name="volumelease", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context, config: str | None) -> int:
    """Leases on the paths of a shared network volume: one writer at a time.

    Limit: a lease excludes those who ask for one. What writes without asking is not stopped.
    """
    if config:
        os.environ["VOLUMELEASE_CONFIG"] = os.path.abspath(config)
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        return USAGE
    return 0


def run(arguments: Sequence[str] | None = None) -> int:
    """Run it. Errors of users, volumes and systems become two lines and an exit code; anything
    else is a bug and shows where."""
    if question := os.environ.get("_VOLUMELEASE_COMPLETE"):
        from .completion import answer

        return answer(question)
    words = sys.argv[1:] if arguments is None else list(arguments)
    if _APART.intersection(_command_of(words)):
        from .apart import run_apart

        return run_apart(lambda: _run(words))
    return _run(words)


def _command_of(words: list[str]) -> list[str]:
    """The command, behind the options that stand before it."""
    while words[:1] and words[0].startswith("--config"):
        words = words[1 if "=" in words[0] else 2 :]
    return words[:1]


def _run(words: list[str]) -> int:
    try:
        # Not program.main(): that one answers a broken pipe by itself.
        with program.make_context("volumelease", words) as context:
            code = program.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        help_for = error.ctx.command_path if error.ctx is not None else "volumelease"
        complain(error.format_message(), f"{help_for} --help")
        return USAGE
    except LeaseError as error:
        complain(error.what, error.advice)
        return _exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except OSError as error:
        complain(str(error), "volumelease doctor")
        return 1
    return code if isinstance(code, int) else 0


def _exit_code(error: LeaseError) -> int:
    match error:
        case Problem():
            return error.exit_code
        case LeaseTimeout():
            return TIMEOUT
        case LeaseLost():
            return LOST
        case _:
            return 1
