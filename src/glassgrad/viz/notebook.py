"""What a notebook shows for a Value: the page that can be asked, the picture, and its text, whichever it can show.

Guarantees: showing never takes long: a graph of a million nodes costs no more than one just too large for a page.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..engine import Value
from ..graph import Graph, count_below

__all__ = ["mimebundle"]

PICTURE = 60  # Values; what is larger is looked at with draw_dot(), on purpose
PAGE = 2000  # Values; a page of more makes a notebook heavy, and is asked for with show()
WIDTH = 900  # pixels that a notebook's column shows: five operations one after the other are wider


def mimebundle(
    value: Value, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> dict[str, str]:
    """Return `{'text/plain': …}`, with the page as `'text/html'` and, of a small graph, `'image/svg+xml'`.

    The page is that of `show()`, in a frame of its own, up to 2,000 Values. The picture is that of `draw_dot`, up to
    60, from left to right, or from top to bottom where it would be too wide for a notebook's column. IPython calls this
    through `Value._repr_mimebundle_`; `include` and `exclude` are the types it asks for.

    Example:
        >>> from glassgrad import Value
        >>> sorted(mimebundle(Value(2) * 3))
        ['image/svg+xml', 'text/html', 'text/plain']
    """
    kinds = {"text/plain", "image/svg+xml", "text/html"}
    kept = (kinds if include is None else kinds & set(include)) - set(exclude or ())
    bundle = {"text/plain": repr(value)} if "text/plain" in kept else {}
    size = count_below([value], PAGE)
    # A lone number is read faster as text.
    if not value._prev or size > PAGE:
        return bundle
    graph = Graph.of(value)
    if "image/svg+xml" in kept and size <= PICTURE:
        from .cards import arrange
        from .svg import draw

        wide = arrange(graph).plan.width
        down = wide > WIDTH and arrange(graph, rankdir="TB").plan.width < wide
        bundle["image/svg+xml"] = draw(graph, rankdir="TB" if down else "LR")
    if "text/html" in kept:
        from .page import Page

        bundle["text/html"] = Page(graph)._repr_html_()
    return bundle
