"""The daemon: hosts the sessions of all processes of a container, so that their leases outlive a
handler that is busy, and end with one that died."""
