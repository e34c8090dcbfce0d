"""The way to a daemon: connections that never wait for ever."""
