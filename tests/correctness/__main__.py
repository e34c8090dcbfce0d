"""``python -m tests.correctness``: make the made parts of docs/correctness.md anew."""

from __future__ import annotations

from .page import PAGE, made

PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
