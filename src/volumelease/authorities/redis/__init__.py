"""Redis: how to reach one, and what it says when it can't serve."""
