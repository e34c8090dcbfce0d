"""``python -m volumelease``."""

from __future__ import annotations

import sys

from volumelease.cli import main

if __name__ == "__main__":
    sys.exit(main())
