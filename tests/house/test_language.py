"""The repository speaks of the product alone, and works wherever it's checked out."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LEFT_ALONE: Final = {"LICENSE", str(Path(__file__).relative_to(ROOT))}
NOT_SOURCE: Final = {"__pycache__", "build", "dist"}

ONE_MACHINES_PATH: Final = re.compile(
    r"""(?<![\w.~-])  # not the tail of a longer path
    /(?: work/ | home/ | Users/ | tmp/bash_jobs | tmp/venv | root/[\w.-]+ )
    """,
    re.VERBOSE,
)
MERGE_CONFLICT: Final = re.compile(r"^(?:<{7} |>{7} |\|{7} )", re.MULTILINE)


def test_no_file_names_a_path_of_one_machine() -> None:
    assert not places(ONE_MACHINES_PATH), "write paths that exist for every reader"


def test_no_file_holds_half_a_merge() -> None:
    assert not places(MERGE_CONFLICT)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /work/notes.txt", True),
        ("cd /tmp/bash_jobs.0/3", True),
        ("'/home/jo/x'", True),
        ("/workspace/models", False),
        ("src/work/x", False),
        ("a volume at /runpod-volume", False),
    ],
)
def test_a_path_of_one_machine_is_recognised(text: str, found: bool) -> None:
    assert bool(ONE_MACHINES_PATH.search(text)) is found


def places(pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern stands in the repository's text files, as ``file:line: match``."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts()
        for match in pattern.finditer(text)
    ]


def texts() -> Iterator[tuple[str, str]]:
    for name in repository_files():
        path = ROOT / name
        if name in LEFT_ALONE or path.is_symlink() or not path.is_file():
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or other data


def repository_files() -> list[str]:
    """What git tracks or would add; in an unpacked archive, everything that looks like source."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [name for name in listed.stdout.split("\0") if name]
    except (FileNotFoundError, subprocess.CalledProcessError):
        return list(walk())


def walk() -> Iterator[str]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in NOT_SOURCE and (name == ".ci" or not name.startswith("."))
        ]
        for name in files:
            yield str((Path(folder) / name).relative_to(ROOT))
