"""Fuzzing of everything that is read from elsewhere; see ``__main__`` for the long runs."""
