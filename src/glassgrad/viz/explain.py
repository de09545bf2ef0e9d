"""explain: why the derivative of one Value by another is what it is.

Finds the two Values in the snapshot and checks what it was given; `explanation` derives and writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine import Value
from ..errors import OperandError, shown
from ..graph import Graph, in_order
from .snapshot import DrawingError

if TYPE_CHECKING:
    from .explanation import Explanation

__all__ = ["explain"]


def explain(root: Value, wrt: Value, lang: str = "en") -> Explanation:
    """Return why the derivative of `root` by `wrt` is what it is: `print` it, or show it in a notebook.

    Arguments:
        root: the result.
        wrt: any Value below it.
        lang: `'en'` or `'zh'`.

    Raises:
        OperandError: `root` or `wrt` is no Value.
        DrawingError: there is no such language.

    Example:
        >>> from glassgrad import Value, explain
        >>> a, b = Value(2, 'a'), Value(-3, 'b')
        >>> explain(a * b, a).derivative
        -3.0
    """
    for name, value in (("root", root), ("wrt", wrt)):
        if not isinstance(value, Value):
            raise OperandError(
                f"explain() takes the result and the Value to differentiate by, and {name} is {shown(value)}: "
                "write explain(loss, w)"
            )
    from .explanation import Explanation  # more to load than `import glassgrad` may take
    from .sentences import TEXTS

    if lang not in TEXTS:
        raise DrawingError(f"lang must be 'en' or 'zh', got {lang!r:.60}")
    roots = [root]
    nodes = in_order(roots)
    if not any(node is wrt for node in nodes):
        nodes = in_order(roots := [root, wrt])
    ids = {id(node): i for i, node in enumerate(nodes)}
    return Explanation(Graph.of(*roots), ids[id(root)], ids[id(wrt)], lang)
