"""watch: records a training, so that the page can show how weights and gradients got where they are.

Guarantees: memory stays within a budget, however long the training: when it is full, every second recorded step is
dropped and from then on half as many are kept; the first and the latest are always there. A step is recorded whole or
not at all, whatever interrupts it, from any thread. Nothing of the training is changed or kept alive but the watched
parameters. docs/watch.md shows the use.
"""

from __future__ import annotations

import json
import math
import os
import struct
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..engine import Scalar, Value
from ..errors import GlassgradError, OperandError, number, shown
from ..graph import Graph, count_below, in_order
from .snapshot import DrawingError

if TYPE_CHECKING:
    from .page import Page

__all__ = ["Recording", "watch"]

BUDGET: Final = 32_000_000  # bytes: 5,681 steps of 337 parameters
SNAPSHOT_LIMIT: Final = 20_000  # Values; what a page can still lay out
PAGE_STEPS: Final = 200  # a slider of 700 pixels has no room for more
PAGE_BYTES: Final = 2_000_000  # about, for the numbers in a page
_ROW_BYTES: Final = 240  # of a recorded step besides its numbers, measured
_NUMBER_BYTES: Final = 13  # of a number of six digits in JSON, at most: -1.23457e-05 and a comma


class _Row(NamedTuple):
    """A recorded step."""

    step: int
    loss: float
    numbers: array[float]  # all values, then all gradients, -0.0 where nobody computed one: it takes no room


class Recording:
    """What `watch` returns: values and gradients of parameters, and the loss, by step.

    Hand it to `fit(step, model, watch=recording)`, or call `recording.step(loss)` between `loss.backward()` and the
    update. Steps are counted from 0. `len()` is the number of steps that are kept.

    Attributes:
        names: the parameters' names, in the order of `values()` and `grads()`.
    """

    def __init__(self, parameters: Mapping[str, Value], budget: int = BUDGET) -> None:
        self.names: list[str] = list(parameters)
        self._seen: tuple[Graph | None, list[int | None]] = None, [None] * len(self.names)
        self._parameters = list(parameters.values())
        self._packed = struct.Struct(f"{2 * len(self.names)}d")
        self._room = _room(len(self.names), budget)
        self._rows: list[_Row] = []
        self._stride = 1  # steps that are multiples of it are kept, and the latest
        self._too_large = False
        self._lock = threading.RLock()  # a signal handler that records as well must not wait for itself

    def step(self, loss: Scalar) -> None:
        """Record the parameters' values and gradients as they are, and the loss, a Value or a number; nan is fine."""
        data = loss.data if isinstance(loss, Value) else number(loss, "Recording.step")
        with self._lock:
            if not self._rows and self.graph is None and isinstance(loss, Value):
                self._take(loss)
            rows = self._rows
            row = self._read(rows[-1].step + 1 if rows else 0, data)
            # Each way to add it is one store, so that Ctrl-C finds the step recorded or not.
            if rows and rows[-1].step % self._stride:
                rows[-1] = row  # the one before was kept as the latest only
            else:
                rows.append(row)
            if len(rows) > self._room:
                self._rows = [old for old in rows if old.step % (2 * self._stride) == 0 or old is row]
                self._stride *= 2

    def _read(self, step: int, loss: float) -> _Row:
        # 1 to 2 % of a training step of 337 parameters. Lists and struct take half as long as map() and array() alone.
        grads = [p.grad for p in self._parameters]
        for i in _zeros(grads):
            grads[i] = 0.0 if self._parameters[i]._has_grad else -0.0
        numbers = array("d", self._packed.pack(*[p.data for p in self._parameters], *grads))
        return _Row(step, loss, numbers[:])  # a copy: it has no room left to grow, of which an array keeps a sixteenth

    def snapshot(self, root: Value) -> None:
        """Let the page show the graph of this Value instead of the first loss's: `recording.snapshot(model(x))`.

        A loss over many points is large; the network at one of them is what one can look at.
        """
        if not isinstance(root, Value):
            raise OperandError(f"Recording.snapshot() takes a Value, such as model(x), not {shown(root)}")
        with self._lock:
            self._take(root)
            if self._too_large:
                raise DrawingError(
                    f"this Value's graph has more than {SNAPSHOT_LIMIT:,} Values, too many for a page: "
                    "take one nearer to the leaves, such as the output for one sample"
                )

    def _take(self, root: Value) -> None:
        self._too_large = count_below([root], SNAPSHOT_LIMIT) > SNAPSHOT_LIMIT
        if self._too_large:
            return
        graph = Graph.of(root)
        places = {id(node): i for i, node in enumerate(in_order((root,)))}
        ids = [places.get(id(p)) for p in self._parameters]
        labels = list(graph.labels)
        for i, name in zip(ids, self.names, strict=True):
            if i is not None and not labels[i]:
                labels[i] = name
        self._seen = replace(graph, labels=labels), ids

    # -- what was recorded

    @property
    def graph(self) -> Graph | None:
        """The `Graph` of the first loss if it has at most 20,000 Values, or of what `snapshot` was given; else None."""
        return self._seen[0]

    @property
    def ids(self) -> list[int | None]:
        """The parameters' ids in `graph`, None for those that are not in it."""
        return list(self._seen[1])

    def __len__(self) -> int:
        """The number of steps that are kept."""
        return len(self._rows)

    def __bool__(self) -> bool:
        """True, also before the first step."""
        return True

    @property
    def steps(self) -> list[int]:
        """The numbers of the steps that are kept, ascending."""
        return [row.step for row in list(self._rows)]

    @property
    def losses(self) -> list[float]:
        """The loss of each step that is kept, before its update."""
        return [row.loss for row in list(self._rows)]

    def values(self, step: int = -1) -> list[float]:
        """Return the parameters' values before the update of one of `steps`; -1 is the latest, -2 the one before.

        Raises:
            GlassgradError: that step was not kept, or nothing was recorded yet.
        """
        return self._row(step).numbers[: len(self.names)].tolist()

    def grads(self, step: int = -1) -> list[float | None]:
        """Return the parameters' gradients at a step out of `steps`, as `values` does; None where none was computed."""
        return [_computed(grad) for grad in self._row(step).numbers[len(self.names) :]]

    def _row(self, step: int) -> _Row:
        rows = list(self._rows)
        if not rows:
            raise GlassgradError("nothing is recorded yet: call recording.step(loss), or fit(…, watch=recording)")
        if isinstance(step, bool) or not hasattr(step, "__index__"):
            raise OperandError(f"a step is a whole number, not {shown(step)}")
        wanted = step.__index__()
        place = len(rows) + wanted if wanted < 0 else bisect_left(rows, wanted, key=lambda row: row.step)
        if not 0 <= place < len(rows) or (wanted >= 0 and rows[place].step != wanted):
            near = [rows[i].step for i in (place - 1, place) if 0 <= i < len(rows)]
            there = " and ".join(map(str, near)) or f"{rows[0].step} to {rows[-1].step}"
            raise GlassgradError(f"step {wanted} is not kept; the nearest are {there}, and recording.steps has all")
        return rows[place]

    def __repr__(self) -> str:
        rows = list(self._rows)
        count = len(self.names)
        what = f"{count:,} parameter{'s' if count != 1 else ''}"
        if not rows:
            return f"Recording({what}, no steps yet)"
        total = rows[-1].step + 1
        steps = f"{total:,} steps" if total > 1 else "1 step"
        if len(rows) < total:
            steps += f", {len(rows):,} kept"
        graph = "no graph" if self.graph is None else f"graph of {len(self.graph):,} Values"
        return f"Recording({what}, {steps}, loss {rows[0].loss:.4g} to {rows[-1].loss:.4g}, {graph})"

    # -- showing it

    def payload(self) -> dict[str, Any]:
        """Return what the page needs, ready for JSON; docs/watch.md describes each field.

        At most 200 steps, evenly spread, and about 2 MB; numbers are rounded to six significant digits, nan and the
        infinities are text. Only parameters in `graph` are there: others have no place in the picture.

        Raises:
            DrawingError: there is no graph.
            GlassgradError: nothing was recorded yet.
        """
        self._needs_graph()
        drawn = [(k, i) for k, i in enumerate(self.ids) if i is not None]
        rows = _spread(list(self._rows), PAGE_BYTES // (2 * _NUMBER_BYTES * max(len(drawn), 1)))
        n = len(self.names)
        return {
            "steps": [row.step for row in rows],
            "losses": [_short(row.loss) for row in rows],
            "ids": [i for _, i in drawn],
            "names": [self.names[k] for k, _ in drawn],
            "values": [[_short(row.numbers[k]) for k, _ in drawn] for row in rows],
            "grads": [[_short(_computed(row.numbers[n + k])) for k, _ in drawn] for row in rows],
        }

    def to_json(self) -> str:
        """Return `payload()` as JSON text, which may stand inside an HTML `<script>`."""
        return json.dumps(self.payload(), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The loss by step as a picture: the file's path, or without `path` a matplotlib Figure.

        Needs matplotlib: `pip install 'glassgrad[plot]'`.
        """
        from .plots import loss_curve

        rows = list(self._rows)
        return loss_curve([row.loss for row in rows], path, epochs=[row.step for row in rows])

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The HTML of the page with the graph and a slider over the steps, or the path that it was written to."""
        from .page import to_html

        return to_html(self._needs_graph(), path, training=self.payload())

    def show(self) -> Page:
        """The page with the graph and a slider over the steps; outside of a notebook it also opens in the browser."""
        from .page import show

        return show(self._needs_graph(), training=self.payload())

    def _needs_graph(self) -> Graph:
        self._row(-1)
        if self.graph is not None:
            return self.graph
        why = f"the first loss has more than {SNAPSHOT_LIMIT:,} Values" if self._too_large else "no loss was a Value"
        raise DrawingError(
            f"there is no graph to show, because {why}. Show the network at one sample: "
            "recording.snapshot(model(x)); recording.plot() draws the loss without it"
        )


def watch(model_or_values: Any, *, budget: int = BUDGET) -> Recording:
    """Return a `Recording` of the parameters of a model, or of some Values, still without a step.

    Arguments:
        model_or_values: an `nn.Module`, a list or dict of leaf Values, or one of them.
        budget: bytes that the recorded steps may take.

    Raises:
        OperandError: there is something in it that is no leaf Value.
        GlassgradError: there is nothing to watch, or the budget is too small for three steps.

    Example:
        >>> from glassgrad import Value
        >>> from glassgrad.training import fit
        >>> w = Value(0.0, "w")
        >>> recording = watch(w)
        >>> history = fit(lambda: (w - 3) ** 2, [w], lr=0.1, epochs=3, watch=recording)
        >>> recording.steps, recording.grads(0)
        ([0, 1, 2], [-6.0])
    """
    if isinstance(budget, bool) or not hasattr(budget, "__index__"):
        raise OperandError(f"watch: budget is a number of bytes, not {shown(budget)}")
    return Recording(_parameters(model_or_values), budget.__index__())


def _parameters(source: Any) -> dict[str, Value]:
    """The Values to watch by their names, each once."""
    if isinstance(source, Value):
        pairs: list[tuple[Any, Any]] = [(source.label or "value", source)]
    elif hasattr(source, "named_parameters"):
        pairs = list(source.named_parameters())
    elif isinstance(source, Mapping):
        pairs = list(source.items())
    elif isinstance(source, Iterable) and not isinstance(source, str | bytes | Graph):
        pairs = [(getattr(value, "label", "") or i, value) for i, value in enumerate(source)]
    else:
        raise OperandError(f"watch() takes a model, a list or dict of Values, or a Value, not {shown(source)}")
    found: dict[str, Value] = {}
    seen: set[int] = set()
    for key, value in pairs:
        if not isinstance(value, Value):
            raise OperandError(
                f"watch() takes leaf Values, and {key!r:.60} is {shown(value)}: watch one model or one flat list"
            )
        if value._prev:
            raise OperandError(
                f"watch() takes leaf Values, and {key!r:.60} is the result of {value._op or 'an operation'}: each step "
                "makes a new one, so its number never changes; watch what it is computed from"
            )
        if id(value) not in seen:
            seen.add(id(value))
            found[_unique(str(key), found)] = value
    if not found:
        raise GlassgradError(f"there is nothing to watch: {type(source).__name__} has no parameters")
    return found


def _unique(name: str, taken: Mapping[str, object]) -> str:
    """A name, with a number behind it where others have it already."""
    if name not in taken:
        return name
    k = 2
    while f"{name}#{k}" in taken:
        k += 1
    return f"{name}#{k}"


def _room(count: int, budget: int) -> int:
    """How many steps the budget has room for."""
    each = 16 * count + _ROW_BYTES
    if budget < 3 * each:
        raise GlassgradError(
            f"watch: a budget of {budget:,} bytes is too small: a step of {count:,} parameters takes {each:,}, and "
            f"there must be room for three; pass budget={100 * each} for a hundred, or watch fewer Values"
        )
    return budget // each


def _computed(grad: float) -> float | None:
    """A recorded gradient, None where nobody computed one."""
    return None if grad == 0.0 and math.copysign(1.0, grad) < 0 else grad


def _zeros(numbers: list[float]) -> Iterator[int]:
    """Where zeros are: only a gradient of 0 can be one that nobody computed. `index` is ten times as fast as a loop."""
    place = -1
    for _ in range(numbers.count(0.0)):
        place = numbers.index(0.0, place + 1)
        yield place


def _spread(rows: list[_Row], room: int) -> list[_Row]:
    """At most so many of the rows as a page has room for, the first and the last among them, evenly spread."""
    count = max(2, min(PAGE_STEPS, room))
    if len(rows) <= count:
        return rows
    return [rows[round(i * (len(rows) - 1) / (count - 1))] for i in range(count)]


def _short(x: float | None) -> float | int | str | None:
    """A number of at most six significant digits, as JSON can hold it."""
    if x is None:
        return None
    if not math.isfinite(x):
        return "nan" if x != x else "inf" if x > 0 else "-inf"
    rounded = float(f"{x:.6g}")
    # 3 is shorter than 3.0; minus zero has to stay a float.
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 and repr(rounded) != "-0.0" else rounded
