"""The volume as its own authority: leases sealed in a log of symlinks."""
