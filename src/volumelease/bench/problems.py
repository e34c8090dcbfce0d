"""What keeps a benchmark from measuring, in the words of who started it."""

from __future__ import annotations

import errno
from typing import Any, NoReturn

from volumelease.errors import LeaseError


class BenchProblem(LeaseError):
    """A benchmark can't begin or go on; nothing of it is left on the volume.

    Facts: ``path`` where one is concerned.
    """

    advice = "See volumelease bench --help"


class Interrupted(BaseException):
    """Somebody asked the run to end. Not an ``Exception``, so that nothing keeps it back."""


def explain(error: OSError, path: str, wanted_bytes: int = 0) -> NoReturn:
    """Raise what this error of a benchmark means to people, as ``BenchProblem``."""
    facts: dict[str, Any] = {"path": path, "number": error.errno}
    need = f" for {wanted_bytes / 1e6:,.0f} MB" if wanted_bytes else ""
    if error.errno == errno.ENOSPC:
        raise BenchProblem(
            f"the volume of {path} is full: no space left{need}",
            advice="Free some space, or give it less: volumelease bench --budget 256M",
            **facts,
        ) from error
    if error.errno == errno.EDQUOT:
        raise BenchProblem(
            f"the quota of the volume of {path} is used up: it allows nothing more{need}",
            advice="Raise the quota, or give it less: volumelease bench --budget 256M",
            **facts,
        ) from error
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        raise BenchProblem(
            f"{path} can't be written: {error.strerror}",
            advice="Name a directory of the volume that this user may write",
            **facts,
        ) from error
    raise BenchProblem(
        f"{path}: {error.strerror or error}",
        advice="See whether the volume answers: volumelease doctor DIR",
        **facts,
    ) from error
