"""Deterministic suites: seeded contexts with known answers, asked of the whole service over the scripted stand-in.

The generators are used by `benchmarks.inference` too. What is expected is computed beside the service: answers by the
generator, the bill (`bill.py`) from what was said.
"""
