"""Run protocols and flows: here is where a thread really waits. No decisions."""
