"""Encodings of what is stored on the volume: values or nothing, never an exception."""
