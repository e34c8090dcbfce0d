"""Torture: a fleet on a real volume under a seeded plan of faults, judged by the simulator's
checkers. ``python -m tests.torture --seed 1 --minutes 10``; see ``__main__``."""
