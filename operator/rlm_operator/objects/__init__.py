"""Builders of the children: pure functions from typed values to plain Kubernetes objects, one file per kind."""
