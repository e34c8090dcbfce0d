"""The files that a benchmark leaves where its user wants them."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .speech import Problem, complain, note, say

if TYPE_CHECKING:
    from volumelease.bench.document import Document


def _json(document: Document) -> str:
    return json.dumps(document, indent=1) + "\n"


def _prometheus(document: Document) -> str:
    from volumelease.bench.textfile import prometheus

    return prometheus(document)


def _markdown(document: Document) -> str:
    from volumelease.bench.textfile import markdown

    return markdown(document)


def _html(document: Document) -> str:
    from volumelease.bench.report_html import report

    return report(document)


FORMS: Final[dict[str, Callable[[Document], str]]] = {
    "json_file": _json,
    "html_file": _html,
    "prometheus_file": _prometheus,
    "markdown_file": _markdown,
}


def outputs(chosen: dict[str, Any]) -> dict[str, str]:
    """Which files are wanted, by their form."""
    return {form: chosen[form] for form in FORMS if chosen[form] is not None}


def check(wanted: dict[str, str]) -> None:
    """Find out before a long run that a file can't be written after it. Errors: ``Problem``."""
    for path in wanted.values():
        if path != "-" and (why := _why_not(path)):
            raise Problem(
                f"{path} can't be written: {why}",
                advice="Name a file in a directory that this user may write",
                exit_code=2,
            )


def _why_not(path: str) -> str:
    if os.path.isdir(path):
        return "it is a directory"
    if _is_special(path):
        return "" if os.access(path, os.W_OK) else "no permission"
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        return f"there is no directory {folder}"
    return "" if os.access(folder, os.W_OK) else "no permission"


def write(wanted: dict[str, str], document: Document) -> bool:
    """Write all of them, each as a whole or not at all; stdout is the last, since nobody may read
    it any more. What can't be written is complained of, and keeps no other from being written.
    Whether all were."""
    failed = [
        why
        for form, path in wanted.items()
        if path != "-" and (why := _failure(form, path, document))
    ]
    if failed:
        with contextlib.suppress(OSError):
            complain("; ".join(failed), "Free some space there, and measure again")
    for form, path in wanted.items():
        if path == "-":
            say(FORMS[form](document).rstrip("\n"))
    return not failed


def _failure(form: str, path: str, document: Document) -> str:
    """Why that one can't be written; "" when it was."""
    try:
        _deliver(path, FORMS[form](document))
    except OSError as error:
        return f"{path} can't be written: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 - a fault in one form must not lose the others
        return f"{path} can't be made: {type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        note(f"wrote {path}")
    return ""


def _is_special(path: str) -> bool:
    """Whether something is there that is no file, and must not become one: a device, a pipe."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _deliver(path: str, text: str) -> None:
    """Into a device or a pipe as it is; a file is replaced as a whole, where a link to it leads."""
    if not _is_special(path):
        _replace(os.path.realpath(path), text)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def _replace(path: str, text: str) -> None:
    """Whoever collects textfiles must not see half of one."""
    folder = os.path.dirname(path)
    descriptor, draft = tempfile.mkstemp(prefix=".volumelease-bench-", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
