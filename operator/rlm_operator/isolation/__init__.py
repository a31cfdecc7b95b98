"""Whether the cluster's network really enforces a pool's policy: when to try it, and what came out.

`planning.py` and `verdict.py` decide and are pure, `runs.py` reads the cluster; `objects/isolation_probe.py` builds the
Jobs. Design record 0026.
"""
