"""``volumelease completion``: what a shell needs to complete commands, options and paths."""

from __future__ import annotations

from typing import Final

import click

from .speech import say

VARIABLE: Final = "_VOLUMELEASE_COMPLETE"
"""How the shell's script asks this program for completions."""


@click.command(short_help="Print what makes a shell complete commands and paths.")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that makes a shell complete commands, options and paths.

    \b
    bash: volumelease completion bash >> ~/.bashrc
    zsh:  volumelease completion zsh >> ~/.zshrc
    fish: volumelease completion fish > ~/.config/fish/completions/volumelease.fish

    Then start a new shell.
    """
    from click.shell_completion import get_completion_class

    from .program import program

    kind = get_completion_class(shell)
    assert kind is not None
    complete = kind(program, {}, "volumelease", VARIABLE)
    say(complete.source_template % complete.source_vars())
    return 0


def answer(question: str) -> int:
    """Print the completions that a shell asks for. Returns the exit code."""
    from click.shell_completion import shell_complete

    from .program import program

    return shell_complete(program, {}, "volumelease", VARIABLE, question)
