"""Other ways to run Python cells, each behind the same small interface (`peer.py`), for `benchmarks.sandbox`.

These modules run in the virtual environment of `make bench`, which has the peers and none of the project's
dependencies: they import the standard library, their peer and nothing else.
"""
