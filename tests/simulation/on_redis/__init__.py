"""The same fleet where a Redis is the authority: the product's scripts run in a simulated server.

``python -m tests.simulation --authority redis --seed N --runs 1`` replays a seed.
"""
