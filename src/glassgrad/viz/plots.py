"""Pictures of learning: loss curves, fitted lines and decision boundaries, drawn by matplotlib.

Every function returns the path it wrote to, or, if it was given no path, the matplotlib Figure. The figures share one
style, made for a column of 720 pixels, and are built without pyplot: no global state is read or changed, nothing stays
in memory, any thread may draw. matplotlib is imported when the first picture is drawn.
"""

from __future__ import annotations

import functools
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import GlassgradError, OperandError
from ..modes import no_grad

__all__ = ["PlotError", "decision_boundary", "line_fit", "loss_curve"]

INK, MUTED, GRID = "#1f2933", "#66727f", "#e4e8ec"
BLUE, ORANGE, GREEN = "#2166c4", "#e0701a", "#2e7d4f"
SHADES = [
    "#eda262", "#f1b27c", "#f5c297", "#f8d2b2", "#fbe1cc", "#fdf0e5",
    "#ecf3fb", "#d8e6f7", "#c3d9f3", "#aecbee", "#98bdea", "#82afe5",
]  # fmt: skip
"""Shades from one class to the other, without white: every point is on one side."""
SIZE, DPI = (7.2, 4.4), 160  # inches: 720 px wide at 100 dpi, and sharp on a screen with small pixels at 160

STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": "#b8c1ca",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "glassgrad",  # the same picture is the same file
}

PathLike = str | os.PathLike[str]


class PlotError(GlassgradError, ValueError):
    """There is nothing to plot, or matplotlib is not installed."""


def loss_curve(
    losses: Any,
    path: PathLike | None = None,
    *,
    title: str = "Loss while training",
    log: bool | None = None,
    accuracy: Any = None,
    tolerance: float | None = None,
    epochs: Any = None,
) -> Any:
    """The loss of each epoch, counted from 0, as a line with the first, lowest and last value named.

    Arguments:
        losses: a list of numbers, or a `History`.
        path: file to write, .png, .svg or .pdf; its directory is made.
        log: whether the loss axis is logarithmic; by default if all losses are positive and span a factor of 30.
        accuracy: the share of right answers in each epoch, between 0 and 1, to draw below the loss.
        tolerance: a loss to mark with a dashed line, named instead of the lowest one.
        epochs: the number of each loss's epoch, ascending, where some were left out.

    Returns the path, or without one the Figure. Raises `PlotError` if there are no finite losses.

        >>> from glassgrad.viz.plots import loss_curve
        >>> figure = loss_curve([1.0, 0.5, 0.25])
    """
    curve = _Curve("loss_curve", losses, log, tolerance, epochs)
    shares = None if accuracy is None else _numbers("loss_curve", "accuracy", accuracy)
    if shares is not None and len(shares) != len(curve.losses):
        raise PlotError(f"loss_curve: {len(curve.losses)} losses and {len(shares)} accuracies")

    def draw(figure: Any) -> None:
        if shares is None:
            curve.draw(_axes(figure, title, "epoch", ""))
            return
        upper, lower = figure.add_gridspec(2, 1, height_ratios=[2.6, 1])
        above = _axes(figure, title, "", "", upper)
        curve.draw(above)
        above.tick_params(labelbottom=False)
        axes = _axes(figure, "", "epoch", "accuracy", lower)
        axes.plot(curve.epochs, shares, color=GREEN, linewidth=2, solid_capstyle="round", clip_on=False)
        _name_last(axes, curve.epochs[-1], shares[-1], f"{100 * shares[-1]:.4g}%", GREEN)
        low = max([t for t in (0.0, 0.5, 0.8, 0.9) if t <= min(shares)], default=0.0)
        axes.set_ylim(low, 1.0)
        axes.set_yticks([low, (low + 1) / 2, 1.0], [f"{100 * t:.3g}%" for t in (low, (low + 1) / 2, 1.0)])
        axes.set_xlim(*above.get_xlim())
        _whole_epochs(axes)
        figure.align_ylabels()

    return _picture(draw, path, SIZE if shares is None else (SIZE[0], SIZE[1] + 1.1))


def line_fit(
    x: Any,
    y: Any,
    w: float,
    b: float,
    path: PathLike | None = None,
    *,
    true: tuple[float, float] | None = None,
    title: str = "Line fitted by gradient descent",
    losses: Any = None,
    tolerance: float | None = None,
) -> Any:
    """Data, the line y = w·x + b fitted to them, and if `true` = (w, b) is given the line they came from.

    Arguments:
        x, y: numbers, equally many; w, b: numbers or Values.
        path: file to write, .png, .svg or .pdf; its directory is made.
        losses: a list of numbers or a `History`, to draw beside the line; `tolerance` is marked in it.

    Returns the path, or without one the Figure.

        >>> from glassgrad.viz.plots import line_fit
        >>> figure = line_fit([0, 1, 2], [1.1, 2.9, 5.0], w=2.0, b=1.0, true=(2, 1))
    """
    xs, ys = _numbers("line_fit", "x", x), _numbers("line_fit", "y", y)
    if len(xs) != len(ys) or not xs:
        raise PlotError(f"line_fit: {len(xs)} x and {len(ys)} y; there must be equally many, at least one")
    slope, height = _number(w), _number(b)
    curve = None if losses is None else _Curve("line_fit", losses, None, tolerance)

    def draw(figure: Any) -> None:
        left, right = figure.add_gridspec(1, 2, width_ratios=[1.25, 1]) if curve else (None, None)
        axes = _axes(figure, title, "x", "y", left)
        span = (max(xs) - min(xs)) or 1.0
        ends = [min(xs) - 0.04 * span, max(xs) + 0.04 * span]
        axes.scatter(xs, ys, s=30, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.8, label="data", zorder=3)
        fitted = f"fitted: y = {_line(slope, height)}"
        axes.plot(ends, [slope * t + height for t in ends], color=ORANGE, linewidth=2.2, label=fitted, zorder=4)
        if true is not None:
            heights = [true[0] * t + true[1] for t in ends]
            axes.plot(ends, heights, "--", color=GREEN, linewidth=2.2, label=f"true: y = {_line(*true)}", zorder=5)
        axes.set_xlim(*ends)
        error = sum((slope * t + height - u) ** 2 for t, u in zip(xs, ys, strict=True)) / len(xs)
        _subtitle(axes, f"{len(xs):,} points · mean squared error {error:.4g}")
        _legend(axes)
        if curve:
            curve.draw(_axes(figure, "Loss while training", "epoch", "", right))

    return _picture(draw, path, (10.8, SIZE[1]) if curve else SIZE)


def decision_boundary(
    model: Callable[[list[float]], Any],
    X: Any,
    y: Any,
    path: PathLike | None = None,
    *,
    probability: bool = False,
    names: tuple[str, str] = ("class −1", "class +1"),
    title: str = "Decision boundary",
    resolution: int = 120,
) -> Any:
    """What a classifier of two numbers says all over the plane, with the data on top and the accuracy below the title.

    Arguments:
        model: takes [x0, x1] and gives a score, as a Value or a number; a positive score means the second class.
        X, y: rows of two numbers, and their labels: -1 or 0 for the first class, 1 for the second.
        path: file to write, .png, .svg or .pdf; its directory is made.
        probability: the score is a logit: show sigmoid(score) rather than the score.
        names: the classes' names.
        resolution: the model is called on a grid of this many points each way, recording no graph.

    Returns the path, or without one the Figure.

        >>> from glassgrad.viz.plots import decision_boundary
        >>> figure = decision_boundary(lambda x: x[0] - x[1], [[0, 1], [1, 0]], [-1, 1], resolution=10)
    """
    rows, labels = _points(X, y)
    _matplotlib()
    import numpy as np

    xs, ys = np.array(rows).T
    aspect = min(max(float(np.ptp(xs) / (np.ptp(ys) or 1.0)), 0.5), 3.0)
    (left, right), (bottom, top) = _padded(xs), _padded(ys)
    columns, lines = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    with no_grad():
        scores = np.array([[_number(model([float(u), float(v)])) for u in columns] for v in lines])
        said = [_number(model(row)) > 0 for row in rows]
    right_ones = sum(s == (label > 0) for s, label in zip(said, labels, strict=True))

    def draw(figure: Any) -> None:
        axes = _axes(figure, title, "x₀", "x₁")
        axes.grid(False)
        if probability:
            shown, levels = 1 / (1 + np.exp(-np.clip(scores, -700, 700))), np.linspace(0, 1, 13)
            label = f"probability of {names[1]}"
        else:  # beyond the margin of 3 the shade stays the same, so that the boundary keeps its contrast
            limit = max(min(3.0, float(np.abs(scores).max())), 1e-12)
            shown, levels = np.clip(scores, -limit, limit), np.linspace(-limit, limit, 13)
            label = "score (shades end at ±3)" if limit == 3.0 else "score"
        filled = axes.contourf(columns, lines, shown, levels=levels, colors=SHADES)
        if scores.min() < 0 < scores.max():
            axes.contour(columns, lines, scores, levels=[0], colors=[INK], linewidths=1.8)
            axes.plot([], [], color=INK, linewidth=1.8, label="boundary")
        marks = ((names[0], ORANGE, "s", False), (names[1], BLUE, "o", True))
        for name, colour, marker, second in marks:  # two shapes: never colour alone
            chosen = [i for i, label in enumerate(labels) if (label > 0) is second]
            axes.scatter(
                xs[chosen], ys[chosen], s=34, c=colour, marker=marker, edgecolor="white", linewidth=0.9, label=name,
                zorder=3,
            )  # fmt: skip
        wrong = [i for i, (s, label) in enumerate(zip(said, labels, strict=True)) if s != (label > 0)]
        if wrong:
            axes.scatter(
                xs[wrong], ys[wrong], s=110, facecolors="none", edgecolors=INK, linewidth=1.2, label="wrong", zorder=4
            )
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        bar = figure.colorbar(filled, ax=axes, pad=0.02, aspect=30, ticks=levels[[0, 6, 12]])
        bar.set_label(label, fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=9)
        _subtitle(axes, f"{right_ones:,} of {len(rows):,} points right · accuracy {100 * right_ones / len(rows):.4g}%")
        _legend(axes, below=True)

    return _picture(draw, path, (7.2, min(max(7.2 / aspect * 0.78 + 1.4, 4.4), 7.2)))


# ---- what the pictures share ---------------------------------------------------------------------------------------


def _matplotlib() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise PlotError("plots need matplotlib: pip install 'glassgrad[plot]'") from None
    return mpl


def _picture(draw: Callable[[Any], None], path: PathLike | None, size: tuple[float, float] = SIZE) -> Any:
    """Let `draw` fill a new figure in our style; save it, or hand it out."""
    mpl = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        # A notebook shows matplotlib's own figures only once pyplot is imported.
        figure._repr_png_ = functools.partial(_shown, figure)
        draw(figure)
        if path is None:
            return figure
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=DPI, metadata={"Date": None} if target.suffix == ".svg" else None)
    return target


def png(figure: Any) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _shown(figure: Any) -> tuple[bytes, dict[str, int]]:
    """A figure for a notebook: a PNG, and the size to show it at."""
    width, height = figure.get_size_inches()
    return png(figure), {"width": round(100 * width), "height": round(100 * height)}


class _Curve:
    """A loss over the epochs, checked and ready to be drawn on any axes."""

    def __init__(self, who: str, losses: Any, log: bool | None, tolerance: float | None, epochs: Any = None) -> None:
        self.losses = _numbers(who, "losses", getattr(losses, "losses", losses))
        self.epochs: Sequence[float] = range(len(self.losses)) if epochs is None else _numbers(who, "epochs", epochs)
        if len(self.epochs) != len(self.losses):
            raise PlotError(f"{who}: {len(self.losses)} losses and {len(self.epochs)} epochs")
        finite = [x for x in self.losses if math.isfinite(x)]
        if not finite:
            raise PlotError(f"{who}: there are no finite losses to plot")
        self.low, self.high = min(finite), max(finite)
        self.log = self.low > 0 and self.high / self.low >= 30 if log is None else log
        if self.log and self.low <= 0:
            raise PlotError(f"{who}: a loss of {self.low} has no place on a logarithmic axis; leave log out")
        self.tolerance = tolerance

    def draw(self, axes: Any) -> None:
        numbers = self.losses
        axes.set_ylabel("loss, logarithmic" if self.log else "loss")
        axes.plot(self.epochs, numbers, color=BLUE, linewidth=2, solid_capstyle="round")
        last = max(i for i, x in enumerate(numbers) if math.isfinite(x))
        lowest = min(range(len(numbers)), key=lambda i: numbers[i] if math.isfinite(numbers[i]) else math.inf)
        _name_last(axes, self.epochs[last], numbers[last], f"{numbers[last]:.4g}", BLUE)
        count = int(self.epochs[-1]) + 1
        epochs = "1 epoch" if count == 1 else f"{count:,} epochs"
        third = f"lowest {self.low:.4g} in epoch {self.epochs[lowest]:,.0f}"
        if self.tolerance is not None:  # named above, because anywhere on the axes the curve may pass
            axes.axhline(self.tolerance, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
            third = f"tolerance {self.tolerance:.4g}, dashed"
        _subtitle(axes, f"{epochs} · first {numbers[0]:.4g} · {third}")
        axes.margins(y=0.08)
        axes.set_xlim(0, max(1, self.epochs[-1]))
        if self.log:
            _logarithmic(axes, self.high / self.low)
        elif 0 <= self.low < 0.3 * self.high:
            axes.set_ylim(bottom=0)
        _whole_epochs(axes)


def _name_last(axes: Any, x: float, y: float, text: str, colour: str) -> None:
    """A dot at the last point of a curve, with its number beside it."""
    axes.plot([x], [y], "o", color=colour, markersize=6, clip_on=False, zorder=4)
    axes.annotate(
        text, (x, y), (9, 0), textcoords="offset points", va="center", color=colour, fontweight="bold",
        annotation_clip=False,
    )  # fmt: skip


def _axes(figure: Any, title: str, x: str, y: str, spot: Any = None) -> Any:
    """Axes in our style, on the whole figure or on one spot of a grid."""
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    axes = figure.add_subplot() if spot is None else figure.add_subplot(spot)
    if title:
        axes.set_title(title, loc="left", fontsize=14, fontweight="bold", pad=26, color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0, pad=6)
    return axes


def _subtitle(axes: Any, text: str) -> None:
    axes.annotate(text, (0, 1), (0, 9), xycoords="axes fraction", textcoords="offset points", color=MUTED, va="bottom")


def _legend(axes: Any, *, below: bool = False) -> None:
    if below:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, frameon=False, handletextpad=0.4)
    else:
        axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", facecolor="white")


def _whole_epochs(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _position: f"{x:,.0f}"))


def _logarithmic(axes: Any, span: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if span < 1e3 else (1.0,), numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _position: f"{x:g}"))


def _line(w: float, b: float) -> str:
    return f"{w:.4g}·x {'−' if b < 0 else '+'} {abs(b):.4g}"


def _number(x: Any) -> float:
    return float(getattr(x, "data", x)) if not hasattr(x, "tolist") else float(x.tolist())


def _numbers(who: str, what: str, items: Any) -> list[float]:
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise OperandError(f"{who}: {what} must be a list of numbers, got {type(items).__name__}")
    return [_number(x) for x in items]


def _points(X: Any, y: Any) -> tuple[list[list[float]], list[float]]:
    rows = [_numbers("decision_boundary", "each row of X", row) for row in X]
    labels = _numbers("decision_boundary", "y", y)
    if not rows or len(rows) != len(labels):
        raise PlotError(f"decision_boundary: {len(rows)} rows and {len(labels)} labels; there must be equally many")
    if any(len(row) != 2 for row in rows):
        raise PlotError("decision_boundary: each row of X must have two numbers, the two axes of the picture")
    return rows, labels


def _padded(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = float(min(numbers)), float(max(numbers))
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room
