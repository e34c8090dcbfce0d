"""Detection: writes that no lease covers, seen after the fact, on every host.

Limit: it sees and attributes, it does not stop. A write that leaves size and times as they were, or
that comes within a second or two of a lease on the same path, can go unseen.
"""
