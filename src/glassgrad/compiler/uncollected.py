"""Uncollected: while a program is made, the garbage collector rests.

Pipeline: around all of trace → differentiate → lift → program.

A compiler makes many small objects and no cycles, and the collector visits them again and again: half of the time for
a recurrence. The function that is traced is no different: whatever it computes from a stand-in may be part of a cycle,
as far as the engine knows, and visiting that took a third of the time for a million operations. Should the function
leave cycles behind, they are collected after its one call.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["uncollected"]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """A block in which the garbage collector rests.

    Not to be made a decorator: that has a frame which is nobody's line in an error of the user's function.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
