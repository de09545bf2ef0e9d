"""Losses: how far predictions are from their targets, as one Value to call `backward()` on.

Every loss takes its predictions first and its targets second, as lists, tuples or NumPy arrays, and a `reduction`:
'mean' (the default) and 'sum' give one Value, 'none' gives the list with one Value for each prediction. If all
predictions and targets are plain numbers, so is the loss; the annotations leave that out.

What this module guarantees:

- Values and derivatives hold to the tails: where the textbook formula subtracts two nearly equal numbers (a logit of
  40 that is right leaves a loss of 4e-18, not 0), another form of it is used, named beside it.
- A target that cannot be meant (lengths that differ, a hinge label of 0, a class index out of range) is an error.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, Literal, SupportsIndex, overload

from . import functions
from .engine import Value
from .errors import GlassgradError, OperandError, is_number, number, shown

Row = Value | float | Iterable[Any]
"""Predictions or targets: a list, a tuple, a NumPy array, or one scalar for a list of one."""

__all__ = ["LossError", "binary_cross_entropy_with_logits", "cross_entropy", "hinge", "mse"]


class LossError(GlassgradError, ValueError):
    """Predictions and targets do not go together."""


@overload
def mse(predictions: Row, targets: Row, reduction: Literal["mean", "sum"] = "mean") -> Value: ...
@overload
def mse(predictions: Row, targets: Row, reduction: Literal["none"]) -> list[Value]: ...
def mse(predictions: Row, targets: Row, reduction: str = "mean") -> Any:
    """The squared error, (prediction - target)², averaged over the predictions.

    Targets are numbers or Values.

        >>> from glassgrad import Value
        >>> from glassgrad.losses import mse
        >>> mse([Value(1.0), Value(4.0)], [1.0, 2.0]).data
        2.0
    """
    pairs = _paired("mse", predictions, targets)
    terms = [functions.square(p - _scalar("mse", "target", i, t)) for i, (p, t) in enumerate(pairs)]
    return _reduce("mse", terms, reduction)


@overload
def hinge(scores: Row, labels: Row, reduction: Literal["mean", "sum"] = "mean") -> Value: ...
@overload
def hinge(scores: Row, labels: Row, reduction: Literal["none"]) -> list[Value]: ...
def hinge(scores: Row, labels: Row, reduction: str = "mean") -> Any:
    """The hinge or max-margin loss max(0, 1 - label·score) for labels -1 and +1; at the margin its derivative is 0.

        >>> from glassgrad import Value
        >>> from glassgrad.losses import hinge
        >>> hinge([Value(0.5), Value(-3.0)], [1, -1], reduction="sum").data
        0.5
    """  # fmt: skip
    terms = []
    for i, (score, label) in enumerate(_paired("hinge", scores, labels)):
        y = _number("hinge", i, label)
        if y not in (-1.0, 1.0):
            hint = "; for labels 0 and 1 write [2 * y - 1 for y in labels]" if y == 0.0 else ""
            raise LossError(f"hinge: label {i} is {shown(label)}, and a label is -1 or +1{hint}")
        terms.append(functions.relu(1.0 - score if y > 0.0 else 1.0 + score))
    return _reduce("hinge", terms, reduction)


@overload
def binary_cross_entropy_with_logits(
    logits: Row, targets: Row, reduction: Literal["mean", "sum"] = "mean"
) -> Value: ...
@overload
def binary_cross_entropy_with_logits(logits: Row, targets: Row, reduction: Literal["none"]) -> list[Value]: ...
def binary_cross_entropy_with_logits(logits: Row, targets: Row, reduction: str = "mean") -> Any:
    """The cross entropy between targets in [0, 1] and the probabilities sigmoid(logit).

    Computed as t·softplus(-z) + (1 - t)·softplus(z), which has no cancellation for targets 0 and 1; the usual
    softplus(z) - t·z is 0, with derivative 0, from z = 37 on.

        >>> from glassgrad import Value
        >>> from glassgrad.losses import binary_cross_entropy_with_logits
        >>> f"{binary_cross_entropy_with_logits([Value(40.0)], [1]).data:.4g}"
        '4.248e-18'
    """
    name = "binary_cross_entropy_with_logits"
    terms = []
    for i, (z, target) in enumerate(_paired(name, logits, targets)):
        t = _number(name, i, target)
        if not 0.0 <= t <= 1.0:
            hint = "; for labels -1 and +1 write [(y + 1) / 2 for y in labels]" if t == -1.0 else ""
            raise LossError(f"{name}: target {i} is {shown(target)}, and a target lies between 0 and 1{hint}")
        if t == 1.0:
            terms.append(functions.softplus(-z))
        elif t == 0.0:
            terms.append(functions.softplus(z))
        else:
            terms.append(t * functions.softplus(-z) + (1.0 - t) * functions.softplus(z))
    return _reduce(name, terms, reduction)


@overload
def cross_entropy(logits: Row, targets: Iterable[Any], reduction: Literal["mean", "sum"] = "mean") -> Value: ...
@overload
def cross_entropy(logits: Row, targets: Iterable[Any], reduction: Literal["none"]) -> list[Value]: ...
@overload
def cross_entropy(logits: Row, targets: SupportsIndex, reduction: Literal["mean", "sum", "none"] = "mean") -> Value: ...
def cross_entropy(logits: Row, targets: SupportsIndex | Iterable[Any], reduction: str = "mean") -> Any:
    """The cross entropy -log(softmax(logits)[target]) of a class index against one logit for each class.

    Either one row of logits and one index, or a list of rows and as many indices.

    Computed as softplus(logsumexp(the other logits) - the target's logit), which is right to the last digits even where
    the target's logit is far ahead; logsumexp(logits) - logits[target] is 0 there.

        >>> from glassgrad import Value
        >>> from glassgrad.losses import cross_entropy
        >>> row = [Value(1.0), Value(2.0), Value(3.0)]
        >>> f"{cross_entropy(row, 2).data:.6f}"
        '0.407606'
        >>> cross_entropy([row, row], [2, 0], reduction="sum").data > 2
        True
    """
    if _is_index(targets):
        term = _cross_entropy_of_row(0, logits, targets)
        _reduce("cross_entropy", [term], reduction)  # for the check of `reduction`
        return term
    rows = _zipped("cross_entropy", logits, targets)
    terms = [_cross_entropy_of_row(i, row, target) for i, (row, target) in enumerate(rows)]
    return _reduce("cross_entropy", terms, reduction)


def _cross_entropy_of_row(i: int, logits: Any, target: Any) -> Any:
    zs = _listed("cross_entropy", f"row {i}", logits)
    row = [_scalar("cross_entropy", f"row {i}, logit", j, z) for j, z in enumerate(zs)]
    if not row:
        raise LossError(f"cross_entropy: row {i} has no logits")
    if not _is_index(target):
        raise OperandError(f"cross_entropy: target {i} is {shown(target)}, and a target is a class index, such as 2")
    index = operator.index(target)
    if not 0 <= index < len(row):
        raise LossError(
            f"cross_entropy: target {i} is {shown(target)}, and {len(row)} logits have classes 0 to {len(row) - 1}"
        )
    others = [z for j, z in enumerate(row) if j != index]
    if not others:
        return row[0] - row[0]  # the only class is certain, whatever its logit
    best_other = others[0] if len(others) == 1 else functions.logsumexp(others)
    return functions.softplus(best_other - row[index])


# ---- what the losses share -----------------------------------------------------------------------------------------


def _listed(name: str, what: str, items: Any) -> list[Any]:
    """The items as a list; a lone Value or number is a list of one."""
    if hasattr(items, "tolist"):
        items = items.tolist()  # NumPy arrays become lists of Python numbers or of Values
    if isinstance(items, Value) or is_number(items):
        return [items]
    if isinstance(items, (str, bytes, dict)) or not isinstance(items, Iterable):
        raise OperandError(f"{name}: {what} must be a list of Values or numbers, got {shown(items)}")
    return list(items)


def _zipped(name: str, predictions: Any, targets: Any) -> list[tuple[Any, Any]]:
    """The predictions, each with its target."""
    ps, ts = _listed(name, "predictions", predictions), _listed(name, "targets", targets)
    if len(ps) != len(ts):
        raise LossError(f"{name}: {len(ps)} predictions but {len(ts)} targets")
    if not ps:
        raise LossError(f"{name}: there are no predictions, and the loss of nothing is undefined")
    return list(zip(ps, ts, strict=True))


def _paired(name: str, predictions: Any, targets: Any) -> list[tuple[Any, Any]]:
    """The predictions, which are scalars, each with its target."""
    pairs = _zipped(name, predictions, targets)
    rows = [item for pair in pairs for item in pair if isinstance(item, (list, tuple))]
    if rows:
        raise OperandError(f"{name}: predictions and targets are scalars, got a row of {len(rows[0])}; flatten first")
    return [(_scalar(name, "prediction", i, p), t) for i, (p, t) in enumerate(pairs)]


def _scalar(name: str, what: str, i: int, item: Any) -> Any:
    """A Value as it is, a number as a float."""
    return item if isinstance(item, Value) else number(item, f"{name}: {what} {i}")


def _number(name: str, i: int, target: Any) -> float:
    """A target that must be a plain finite number, as a float."""
    if not is_number(target):
        raise OperandError(f"{name}: target {i} must be a plain number, got {shown(target)}")
    x = number(target, f"{name}: target {i}")
    if not math.isfinite(x):
        raise LossError(f"{name}: target {i} is {x}")
    return x


def _is_index(target: Any) -> bool:
    """Whether the target is an integer: Python's, NumPy's, or a NumPy array of no dimensions."""
    return not isinstance(target, bool) and hasattr(target, "__index__") and getattr(target, "ndim", 0) == 0


def _reduce(name: str, terms: list[Any], reduction: str) -> Any:
    if reduction == "mean":
        return functions.mean(terms) if len(terms) > 1 else terms[0]
    if reduction == "sum":
        return functions.sum(terms) if len(terms) > 1 else terms[0]
    if reduction == "none":
        return terms
    raise LossError(f"{name}: reduction is 'mean', 'sum' or 'none', not {shown(reduction)}")
