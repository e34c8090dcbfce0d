"""A fleet of workers, a volume that misbehaves and the clocks of all of them, in one process.

The product's protocols run unchanged: this is a third driver for them. A seed decides everything,
so every failure can be replayed: ``python -m tests.simulation --seed N --runs 1``.
"""
