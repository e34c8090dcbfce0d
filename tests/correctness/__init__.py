"""The parts of docs/correctness.md that are made: what was found, and figures of long runs."""
