"""What a notebook shows for a Value: its picture when small, its text otherwise.

Guarantees: showing never takes long: a graph of a million nodes costs no more than one just too large to draw.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import Value
from ..graph import Graph, count_below

__all__ = ["mimebundle"]

LIMIT = 60  # Values; what is larger is looked at with draw_dot(), on purpose
WIDTH = 900  # pixels that a notebook's column shows: five operations one after the other are wider


def mimebundle(
    value: Value, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> dict[str, str]:
    """Return `{'text/plain': …}`, with `'image/svg+xml'` for a graph of at most 60 Values.

    The picture reads from left to right, or from top to bottom where it would be too wide for a notebook's column.
    IPython calls it through `Value._repr_mimebundle_`; `include` and `exclude` are the types it asks for.

    Example:
        >>> from glassgrad import Value
        >>> sorted(mimebundle(Value(2) * 3))
        ['image/svg+xml', 'text/plain']
    """
    bundle = {"text/plain": repr(value)}
    # A lone number is read faster as text.
    if value._prev and count_below([value], LIMIT) <= LIMIT:
        from .cards import arrange
        from .svg import draw

        graph = Graph.of(value)
        wide = arrange(graph).plan.width
        down = wide > WIDTH and arrange(graph, rankdir="TB").plan.width < wide
        bundle["image/svg+xml"] = draw(graph, rankdir="TB" if down else "LR")
    kept = set(bundle if include is None else include) - set(exclude or ())
    return {kind: data for kind, data in bundle.items() if kind in kept}
