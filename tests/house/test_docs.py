"""Documentation runs: what a page shows is code that compiles and commands that exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import click
import pytest

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^ *```", re.MULTILINE | re.DOTALL
)
LINK: Final = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
SHELLS: Final = {"bash", "console", "sh", "shell"}
ASSIGNMENT: Final = re.compile(r"[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page; ``place`` is ``page:line`` of its first line."""

    place: str
    language: str
    code: str


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            place=f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start('code')) + 1}",
            language=match["language"].lower(),
            code=textwrap.dedent(match["code"]),
        )
        for match in FENCE.finditer(text)
    ]


def blocks() -> list[Block]:
    if not (ROOT / "README.md").exists():
        pytest.skip("README.md is not written yet")
    return [block for page in pages() for block in blocks_of(page)]


def command_lines(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The command lines of a shell block as (place, words): prompts, settings in front and
    comments left out. A console block also shows output, so there only prompts count."""
    for line in block.code.replace("\\\n", " ").splitlines():
        command = line.strip()
        if block.language == "console" and not command.startswith("$ "):
            continue
        try:
            words = shlex.split(command.removeprefix("$ "), comments=True)
        except ValueError:
            continue  # a line of a longer quotation, no command of ours
        while words and ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words:
            yield block.place, words


def shell_commands(program: str) -> list[tuple[str, list[str]]]:
    return [
        (place, words[1:])
        for block in blocks()
        if block.language in SHELLS
        for place, words in command_lines(block)
        if words[0] == program
    ]


def test_python_blocks_compile() -> None:
    for block in blocks():
        if block.language in {"python", "py"}:
            compile(block.code, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_command_lines_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    program = command_line()
    silence(program, monkeypatch)
    for place, arguments in shell_commands("volumelease"):
        try:
            program.main(arguments, "volumelease", standalone_mode=False)
        except click.BadParameter as error:
            # That an example's path isn't on this machine says nothing about the page.
            if error.param is None or not isinstance(error.param.type, click.Path):
                pytest.fail(f"{place}: volumelease {shlex.join(arguments)}: {error.message}")
        except click.UsageError as error:
            pytest.fail(f"{place}: volumelease {shlex.join(arguments)}: {error.message}")


def command_line() -> click.Group:
    """The one click program of ``volumelease.cli`` that is no other one's subcommand."""
    folder = ROOT / "src/volumelease/cli"
    if not (folder / "__init__.py").exists():
        pytest.skip("volumelease.cli is not written yet")
    names = ["volumelease.cli", *(f"volumelease.cli.{p.stem}" for p in folder.glob("[!_]*.py"))]
    groups = {
        id(value): value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, click.Group)
    }
    beneath = {
        id(group.get_command(context, name))
        for group in groups.values()
        for context in [click.Context(group)]
        for name in group.list_commands(context)
    }
    (program,) = [group for key, group in groups.items() if key not in beneath]
    return program


def silence(command: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a click program its grammar and take away what it does."""
    assert isinstance(command, click.Command)
    monkeypatch.setattr(command, "callback", None)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            silence(command.get_command(context, name), monkeypatch)


def test_verbs_of_make_exist() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for place, arguments in shell_commands("make"):
        named = {word for word in arguments if not ASSIGNMENT.match(word)}
        assert named <= verbs, f"{place}: make has no {sorted(named - verbs)}"


def test_links_lead_somewhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
        if not (page.parent / unquote(target)).exists()
    ]
    assert not dead
