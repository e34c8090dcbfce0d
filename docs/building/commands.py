"""The page of commands is what the program says of itself, so it can't be out of date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click

from volumelease.cli.program import program

PLACE: Final = "<!-- every command -->"
WIDTH: Final = 88


def on_page_markdown(markdown: str, **_: Any) -> str:
    return markdown.replace(PLACE, "\n".join(texts(program, None, "volumelease")))


def texts(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    """Its help as ``--help`` prints it, then that of its own commands."""
    context = click.Context(command, parent, name, terminal_width=WIDTH, max_content_width=WIDTH)
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from texts(found, context, child)
