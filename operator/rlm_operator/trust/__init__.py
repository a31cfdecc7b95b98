"""Who may call whom: the keys of a pool's callers, and the certificates of both planes."""
