"""The benchmark harness: what a mount really gives, and what leases cost on it.

It measures; it shows nothing (``volumelease.cli`` does) and judges by intervals, never by points.
"""
