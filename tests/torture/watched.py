"""``python -m tests.torture.watched FACTS COMMAND...``: the command line of the product, with
sessions that tell what they learn. FACTS: ``{"notes", "folder", "authority"}`` as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from volumelease.cli import main

from .crew import sleep_otherwise, tell_where_it_stands
from .notes import Notes
from .watching import install

if __name__ == "__main__":
    tell_where_it_stands()
    sleep_otherwise()
    facts = json.loads(sys.argv[1])
    install(Notes(Path(facts["notes"])), Path(facts["folder"]), facts["authority"])
    sys.argv = ["volumelease", *sys.argv[2:]]
    sys.exit(main())
