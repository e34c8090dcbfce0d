"""docs/errors.md, made from the errors themselves."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from volumelease import errors
from volumelease.cli.program import _exit_code
from volumelease.errors import LeaseError

from .elsewhere import ELSEWHERE, INSIDE, RARE
from .families import made
from .provocations import PROVOCATIONS, Provoke
from .stage import Said, Stage

TOP: Final = """\
# Errors

Made from the program itself by `make errors`; do not edit. Every error below is provoked in
`tests/errors`, and its text is what was said then, without what is different each time.

On the command line an error is two lines, `error: ...` and `try: ...`, and an exit code: 1 a
problem, 2 wrong usage, 75 a timeout, 76 a lost lease, 78 a missing requirement. In Python the same
words are an exception; its facts are attributes (`error.path`), and `error.advice` is what to try.

"""


class Provoked(NamedTuple):
    how: str
    said: Said
    families: set[tuple[str, str]]


def provoke(how: str, action: Provoke, folder: Path) -> Provoked:
    """Errors: ``AssertionError`` if nothing happens."""
    stage = Stage(folder)
    try:
        with made() as families:
            try:
                said = action(stage)
            except LeaseError as error:
                said = stage.said(error)
        assert said is not None, f"{how}: no error"
        return Provoked(how, said, families)
    finally:
        stage.close()


def all_provoked() -> list[Provoked]:
    found = []
    with tempfile.TemporaryDirectory(prefix="volumelease-errors-") as base:
        for number, (how, action) in enumerate(PROVOCATIONS.items()):
            folder = Path(base) / str(number)
            folder.mkdir()
            found.append(provoke(how, action, folder))
    return found


def kinds() -> list[type[LeaseError]]:
    """The errors that a user knows by name."""
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    return [one for one in found if issubclass(one, LeaseError)]


def _cell(text: str) -> str:
    """As a cell shows it: no bar ends it, and no bracket is taken for a link."""
    plain = " ".join(text.split())
    for sign, shown in (("|", "\\|"), ("<", "&lt;"), ("[", "\\["), ("]", "\\]"), ("*", "\\*")):
        plain = plain.replace(sign, shown)
    return plain or "-"


def _kind_row(kind: type[LeaseError]) -> str:
    base = next(one.__name__ for one in kind.__mro__[1:] if one.__module__ == "builtins")
    said = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    code = ""
    with contextlib.suppress(TypeError):
        code = str(_exit_code(kind("x")))
    return f"| `{kind.__name__}` | `{base}` | {code} | {_cell(said)} | {_cell(kind.advice)} |"


def page(provoked: list[Provoked]) -> str:
    lines = [
        TOP,
        "## The exceptions\n",
        "| exception | is also a | exit code | means | try, unless the text says better |",
        "|---|---|---|---|---|",
        *map(_kind_row, kinds()),
        "\n## What is said, and when\n",
        "| when | error | try | exception or exit code |",
        "|---|---|---|---|",
    ]
    for how, said, _ in provoked:
        ends = f"`{said.kind}`" if said.code is None else f"exit {said.code}"
        lines.append(f"| {how} | {_cell(said.what)} | {_cell(said.advice)} | {ends} |")
    lines += [
        "\n## Provoked by tests of their own\n",
        "What takes a broken mount, a lost session, a daemon or a real Redis to see.\n",
        "| where it is made | exception | shown by |",
        "|---|---|---|",
    ]
    for (module, name), test in sorted(ELSEWHERE.items()):
        lines.append(f"| `{module}` | `{name}` | `{test}` |")
    lines += [
        "\n## Rare\n",
        "What no test provokes as a whole.\n",
        "| where it is made | exception | what it takes |",
        "|---|---|---|",
    ]
    for (module, name), why in sorted(RARE.items()):
        lines.append(f"| `{module}` | `{name}` | {_cell(why)} |")
    lines += [
        "\n## What no user meets\n",
        "| where it is made | exception | what becomes of it |",
        "|---|---|---|",
    ]
    for (module, name), why in sorted(INSIDE.items()):
        lines.append(f"| `{module}` | `{name}` | {_cell(why)} |")
    return "\n".join(lines) + "\n"
