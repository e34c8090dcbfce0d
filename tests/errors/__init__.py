"""Every error that a user can meet, provoked; docs/errors.md is made from it (``make errors``)."""
