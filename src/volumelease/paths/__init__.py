"""Where a path lies: which mount, which volume, under which canonical name."""
