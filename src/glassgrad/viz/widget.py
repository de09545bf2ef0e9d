"""The widget: the page in a notebook, in step with the Values it was made of, both ways.

Guarantees: what is edited in the picture is what the next cell reads, values and gradients; what a cell assigns is what
the picture shows; an edit that Python has to refuse changes no Value, and the reason stands under the picture.

Pipeline: Values → Graph → page ⇄ **widget** ⇄ Values. `web/widget.js` is its half in the notebook. The two share the
traits of an anywidget: `_page`, the HTML at first; `_graph`, the same graph on numbers that Python has changed since;
`_edits`, what was edited in the picture since, by id.
"""

from __future__ import annotations

import contextlib
import sys
from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from .. import modes, recompute
from ..engine import Value
from ..errors import GlassgradError, NonFiniteError, Number, OperandError, shown
from ..graph import Graph, in_order
from .page import Page
from .snapshot import DrawingError, snapshot
from .text import title

__all__ = ["widget"]

MAX_NODES: Final = (
    20_000  # 1.5 MB and half a second for a change that Python makes; an edit in the picture takes 0.01 s
)


def widget(root: Value | Iterable[Value], *, height: int = 560, max_nodes: int = MAX_NODES) -> Any:
    """Return the page of everything below `root` as a widget for notebooks; needs `pip install 'glassgrad[notebook]'`.

    Whatever changes a leaf, everything below the roots is computed anew (`Value.recompute`), its gradients are set to
    zero and those of the first root computed: `a.data`, `L.data`, `a.grad` are the picture's numbers.

    - An edit in the picture arrives in Python at once, or when the running cell is done.
    - `w.set(a, 5.0)` edits from Python; `a.data = 5.0` and `w.refresh()` is the same for many.
    - After each cell the picture shows what that cell changed. Where it changed leaves and left their gradients alone,
      those are computed anew too; where it changed both, as training does, they are shown as they are.
    - `w.edits` has what was edited in the picture, number by Value, and `w.error` why Python did not take the last edit
      over, or ''; `w.observe(f, names="edits")` calls f after each edit.
    - `w.close()` ends all this. A widget whose output is gone but that was not closed still follows.

    Arguments:
        root: a Value, or several; what changes together.
        height: of the frame, in pixels.
        max_nodes: refuse larger graphs with a DrawingError.

    Raises:
        DrawingError: anywidget is not installed, or the graph is too large.
        OperandError: `root` is no Value and no Values; of a `Graph`, a snapshot, there is `show`.
    """
    if isinstance(root, Graph):
        raise OperandError("widget() is kept in step with Values, and a Graph is a snapshot of them: write show(graph)")
    held = list(root) if isinstance(root, Iterable) else root
    graph = snapshot(held, max_nodes, "widget")
    try:
        made = _widget_class()
    except ImportError as error:
        raise DrawingError(
            f"the widget needs anywidget: pip install 'glassgrad[notebook]'; show(root) needs nothing ({error})"
        ) from error
    return made([held] if isinstance(held, Value) else held, Page(graph, height=height))


class _Numbers:
    """The Values below some roots, by their ids, and what is done to their numbers."""

    def __init__(self, roots: list[Value]) -> None:
        self.roots = roots
        self.nodes = in_order(roots)
        self.leaves = [i for i, node in enumerate(self.nodes) if node._rule == "leaf"]
        self.places = {node: i for i, node in enumerate(self.nodes)}
        self.allows_nonfinite = modes.current().allow_nonfinite > 0  # of where the widget was made: edits come later

    def data(self) -> bytes:
        """The leaves' numbers, to be compared bit by bit: nan is equal to itself."""
        return array("d", [self.nodes[i].data for i in self.leaves]).tobytes()

    def grads(self) -> bytes:
        """The gradients of all nodes, and which were computed."""
        known = bytes([node._has_grad for node in self.nodes])
        return array("d", [node.grad for node in self.nodes]).tobytes() + known

    def leaf_grads(self) -> bytes:
        return array("d", [self.nodes[i].grad for i in self.leaves]).tobytes()

    def take(self, numbers: dict[int, Any]) -> NonFiniteError | None:
        """Give leaves these numbers and compute everything anew. If that fails, they have the old ones again.

        Returns why the new values, which are there, have no gradients, if so.
        """
        leaves = set(self.leaves)
        odd = [i for i in numbers if i not in leaves]
        if odd:
            raise OperandError(f"node {odd[0]} of this widget is not a leaf: only leaves can be edited")
        before = {i: self.nodes[i].data for i in numbers}
        try:
            for i, x in numbers.items():
                self.nodes[i].data = x
            self.recompute()
        except BaseException:
            for i, old in before.items():
                self.nodes[i].data = old
            raise
        return self.differentiate()

    def recompute(self) -> None:
        with self.mode():
            recompute.recompute(self.roots)

    def differentiate(self) -> NonFiniteError | None:
        """The gradients of the first root and no others, or why there are none."""
        for node in self.nodes:
            node.grad = 0.0
        if self.roots[0].requires_grad:
            try:
                with self.mode():
                    self.roots[0].backward()
            except NonFiniteError as error:
                return error
        return None

    @contextlib.contextmanager
    def mode(self) -> Iterator[None]:
        with modes.AllowNonfinite() if self.allows_nonfinite else contextlib.nullcontext():
            yield


@cache
def _widget_class() -> Any:
    """The class of widgets. It is made when it is needed first, since anywidget is not there for everyone."""
    import anywidget
    import traitlets

    from . import bundle

    class Widget(anywidget.AnyWidget):
        """See `glassgrad.widget`."""

        _esm = bundle.source("widget.js")
        _page = traitlets.Unicode().tag(sync=True)
        _title = traitlets.Unicode().tag(sync=True)
        _height = traitlets.Int().tag(sync=True)
        _graph = traitlets.Unicode().tag(sync=True)
        _edits = traitlets.Dict().tag(sync=True)
        error = traitlets.Unicode().tag(sync=True)
        edits = traitlets.Dict()

        def __init__(self, roots: list[Value], page: Page) -> None:
            self._numbers = _Numbers(roots)
            self._start = page.graph.values  # what a leaf that is reset in the picture goes back to
            self._taken: set[int] = set()  # the edited leaves
            self._pushing = False
            self._note()
            super().__init__(_page=str(page), _title=title(page.graph), _height=page.height)
            self.observe(self._on_edits, names="_edits")  # before anybody else observes `edits`
            self._shell = _shell()
            if self._shell is not None:
                self._shell.events.register("post_run_cell", self._after_cell)

        def __repr__(self) -> str:
            return f"widget({self._title}, {len(self._numbers.nodes)} values)"

        def set(self, value: Value, x: Number) -> None:
            """Give a leaf another number, here and in the picture.

            Raises:
                NonFiniteError: with it a result is undefined or infinite, and nothing has changed; or a gradient is,
                    and the values are there without gradients.
                OperandError: it is no leaf of the picture.
            """
            place = self._numbers.places.get(value) if isinstance(value, Value) else None
            if place is None:
                raise OperandError(f"set() takes a leaf of this widget's graph, not {shown(value)}")
            self._show(self._numbers.take({place: x}))

        def refresh(self) -> None:
            """Compute everything anew from the leaves, gradients too, and show it: for what was assigned to `data`.

            Raises:
                NonFiniteError: as for `set`.
            """
            self._show(self._numbers.take({}))

        def _show(self, failed: NonFiniteError | None) -> None:
            self._push()
            if failed is not None:
                raise failed

        def close(self) -> None:
            """Take the picture away and follow nothing any more."""
            shell, self._shell = getattr(self, "_shell", None), None
            if shell is not None:
                shell.events.unregister("post_run_cell", self._after_cell)
            super().close()

        def _on_edits(self, change: Any) -> None:
            """What was edited in the picture."""
            if self._pushing:
                return
            try:
                wanted = {int(i): float(x) for i, x in change["new"].items()}
                reset = {i: self._start[i] for i in self._taken if i not in wanted}
                failed = self._numbers.take({**reset, **wanted})
            except Exception as error:  # noqa: BLE001 - nobody else would see it: there is no cell to show it under
                self.error = f"Python keeps the numbers it had. {_words(error)}"
                self._note()
                return
            self._taken = set(wanted)
            self._note()
            self.edits = {self._numbers.nodes[i]: x for i, x in wanted.items()}
            if not wanted:  # all taken back: the picture may know no gradients, where Python has computed them
                self._push()
            self.error = _without_gradients(failed)

        def _after_cell(self, *_result: object) -> None:
            """Show what a cell has changed."""
            numbers = self._numbers
            data, leaf_grads, grads = self._seen
            moved = numbers.data() != data
            if not moved and numbers.grads() == grads:
                return
            try:
                failed = None
                if moved:
                    untouched = numbers.leaf_grads() == leaf_grads
                    numbers.recompute()
                    failed = numbers.differentiate() if untouched else None
                self._push()
                self.error = _without_gradients(failed)
            except Exception as error:  # noqa: BLE001 - as above: it would be the traceback of no cell
                self.error = f"The picture keeps the numbers it had. {_words(error)}"
                self._note()  # said once, not after each cell

        def _push(self) -> None:
            """Show the numbers as they are; what was edited in the picture is part of them."""
            graph = Graph.of(*self._numbers.roots)
            self._start = graph.values
            self._taken = set()
            self._note()
            self._pushing = True
            try:
                with self.hold_sync():
                    self._graph, self._edits, self.edits, self.error = graph.to_json(), {}, {}, ""
            finally:
                self._pushing = False

        def _note(self) -> None:
            """Remember what the picture shows."""
            numbers = self._numbers
            self._seen = numbers.data(), numbers.leaf_grads(), numbers.grads()

        def _repr_mimebundle_(self, **kwargs: Any) -> Any:
            """The widget, and for where there is no kernel the page as it is now."""
            found = super()._repr_mimebundle_(**kwargs)
            data, metadata = found if isinstance(found, tuple) else (found or {}, {})
            page = Page(Graph.of(*self._numbers.roots), height=self._height)
            return {**data, "text/plain": repr(self), "text/html": page._repr_html_()}, metadata

    return Widget


def _shell() -> Any:
    """IPython's shell, None outside of it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _without_gradients(failed: NonFiniteError | None) -> str:
    return "" if failed is None else f"Python has these values, and no gradients. {failed}"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, GlassgradError) else f"{type(error).__name__}: {error}"
