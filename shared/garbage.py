"""Keeping the garbage collector out of the way of those who wait for an answer."""

import gc

# Collections of the youngest objects are cheap; with these, one in 50 of them looks further, not one in ten.
YOUNG_MAX, MIDDLE_MAX, OLD_MAX = 10_000, 50, 20


def spare_startup_objects() -> None:
    """Never look again at what lives now and will live to the end: modules, routes, tables.

    A full collection that walks over all of them stops the process for 50 to 100 ms, again and again while it is busy.
    Call it once, when everything has been set up.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, MIDDLE_MAX, OLD_MAX)
