"""``python -m tests.errors``: write docs/errors.md anew."""

from __future__ import annotations

from .page import all_provoked, page
from .provocations import place_of_page

place_of_page().parent.mkdir(exist_ok=True)
place_of_page().write_text(page(all_provoked()), encoding="utf-8")
