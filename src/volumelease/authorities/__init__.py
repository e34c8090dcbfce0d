"""Who grants: the volume's own log, or memory for tests. Each answers the same questions."""
