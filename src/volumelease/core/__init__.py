"""Decisions: pure and deterministic, without I/O, clocks or threads."""
