"""Python's collector of circular garbage, for a service that lives long.

Called by the inference service once it is put together. By itself the collector looks at every object that there is
each time that a quarter more were made: 0.1 s in which nobody is served, mostly over modules that never go away.
"""

from __future__ import annotations

import gc


def spare_what_stays() -> None:
    """From now on only what is made later is looked at."""
    gc.collect()
    gc.freeze()
