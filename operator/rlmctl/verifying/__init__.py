"""Judges a running installation from outside: what is asked of the API server, and how the verdict is shown."""
