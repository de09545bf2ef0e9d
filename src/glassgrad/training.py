"""The training loop: zero gradients, backward, update, repeat until the loss reaches a tolerance or epochs run out.

What this module guarantees:

- Whatever ends the loop, the parameters are those after the last complete update, and the history says why it ended.
- Ctrl-C returns what was learned so far; a loss, gradient or parameter that is not finite raises `TrainingError`,
  which carries the history.
- Progress is shown on a terminal only; elsewhere nothing is printed.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, SupportsIndex

from .engine import Value
from .errors import GlassgradError, NonFiniteError, OperandError, number, shown
from .lr_scheduler import LambdaLR, LRScheduler, to_count
from .nn import Module
from .optim import SGD, Optimizer, clip_grad_norm_

__all__ = ["History", "TrainingError", "fit"]


@dataclass
class History:
    """What happened in each epoch of a call of `fit`, as lists of equal length.

    Attributes:
        losses: the loss before the epoch's update.
        times: seconds since the start, at the epoch's end.
        lrs: the learning rate of the epoch's update.
        stopped: why it ended: 'tolerance', 'epochs', 'callback', 'interrupted' or 'error'; 'running' until then.
    """

    losses: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    stopped: str = "running"

    def __len__(self) -> int:
        """The number of epochs."""
        return len(self.losses)

    def __repr__(self) -> str:
        """One line: epochs, first and last loss, time, and why it ended."""
        if not self.losses:
            return f"History(no epochs, stopped={self.stopped!r})"
        return (
            f"History({len(self)} epochs, loss {self.losses[0]:.4g} to {self.losses[-1]:.4g}, "
            f"{self.times[-1]:.2f} s, stopped={self.stopped!r})"
        )

    def to_dict(self) -> dict[str, Any]:
        """The history as lists and text, ready for JSON."""
        return asdict(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The loss over the epochs as a picture: the file's path, or without `path` a matplotlib Figure.

        Needs matplotlib: `pip install 'glassgrad[plot]'`.
        """
        from .viz.plots import loss_curve

        return loss_curve(self.losses, path)


class Watch(Protocol):
    """What looks on while `fit` trains: anything with this method. This module knows no viewer."""

    def step(self, loss: Value, /) -> object:
        """Take note of a loss whose backward pass is done, and of the parameters before their update."""


class TrainingError(NonFiniteError):
    """Training met a number that is not finite. `history` has the epochs before."""

    def __init__(self, message: str, history: History | None = None) -> None:
        super().__init__(message)
        self.history = history if history is not None else History()


def fit(
    step: Callable[..., Value],
    parameters: Module | Iterable[Value],
    *,
    lr: float | None = None,
    optimizer: Optimizer | Callable[..., Optimizer] | None = None,
    epochs: SupportsIndex = 1000,
    tolerance: float | None = None,
    scheduler: LRScheduler | Callable[[int], float] | None = None,
    clip: float | None = None,
    progress: bool | str = "auto",
    callback: Callable[[int, float], object] | None = None,
    watch: Watch | None = None,
) -> History:
    """Change the parameters until `step()` returns a loss of at most `tolerance`, or for `epochs` epochs.

    Arguments:
        step: computes the loss from the parameters and returns it as a Value; `step(epoch)`, counted from 0, if it
            has one parameter without a default.
        parameters: a Module, or the Values to change.
        lr: learning rate of the optimizer made here, 0.01 unless given.
        optimizer: an optimizer for these parameters, or its class, such as `optim.Adam`; SGD unless given.
        epochs: how often at most to update.
        tolerance: stop, before the update, once the loss is this small.
        scheduler: sets the learning rate of each epoch: one of optim's schedules, or a function from epoch to a
            factor on the first learning rate.
        clip: if the gradients' common norm exceeds this, scale them down to it.
        progress: True or False, or 'auto': a progress bar if standard error is a terminal.
        callback: called as `callback(epoch, loss)` after each update; returning True ends the loop.
        watch: a recording, such as `glassgrad.watch(model)` returns: its `step(loss)` is called in each epoch after
            the backward pass and before clipping and the update.

    Returns the `History`. Ctrl-C ends the loop as well, with `history.stopped` 'interrupted'.

    Raises `TrainingError` (a `NonFiniteError`) if a loss, gradient or new parameter is nan or infinite; the parameters
    are then those that led to it. Raises `GlassgradError` if the first loss depends on none of the parameters. (Behind
    relus that are all 0 it still does: the derivatives are 0.)

        >>> from glassgrad import Value
        >>> from glassgrad.training import fit
        >>> x = Value(0.0)
        >>> history = fit(lambda: (x - 3) ** 2, [x], lr=0.1, tolerance=1e-6)
        >>> history.stopped, round(x.data, 2)
        ('tolerance', 3.0)
    """
    epochs = to_count("fit", "epochs", epochs)
    _check(tolerance, progress, watch)
    values = list(parameters.parameters() if isinstance(parameters, Module) else _iterable(parameters))
    rule = _optimizer(parameters if isinstance(parameters, Module) else values, optimizer, lr)
    schedule = _schedule(scheduler, rule)
    passes_epoch = _takes_epoch(step)
    cleared = list({id(p): p for p in (*values, *rule.params)}.values())
    history = History()
    start = time.perf_counter()
    epoch = 0
    try:
        with _bar(progress, epochs) as show:
            for epoch in range(epochs):
                loss = _loss(step(epoch) if passes_epoch else step(), epoch)
                history.losses.append(loss.data)
                history.lrs.append(rule.lr)
                history.times.append(time.perf_counter() - start)
                show(epoch, loss.data)
                if tolerance is not None and loss.data <= tolerance:
                    history.stopped = "tolerance"
                    return history
                for p in cleared:
                    p.grad = 0
                loss.backward()
                if epoch == 0:
                    _check_reached(rule.params)
                if watch is not None:
                    watch.step(loss)
                last_loss = loss.data
                del loss  # free the graph before the next one is built
                if clip is not None:
                    clip_grad_norm_(rule.params, clip)
                rule.step()
                if schedule is not None:
                    schedule.step()
                history.times[-1] = time.perf_counter() - start
                if callback is not None and callback(epoch, last_loss) is True:
                    history.stopped = "callback"
                    return history
        history.stopped = "epochs"
    except KeyboardInterrupt:
        history.stopped = "interrupted"
        for p in cleared:
            p.grad = 0  # a sweep that was cut short leaves sums of a part
        whole = min(len(history.losses), len(history.times), len(history.lrs))
        del history.losses[whole:], history.times[whole:], history.lrs[whole:]
    except NonFiniteError as error:
        history.stopped = "error"
        raise TrainingError(f"fit: epoch {epoch}: {error}", history) from error
    except Exception as error:
        history.stopped = "error"
        error.add_note(f"in fit, epoch {epoch}")
        raise
    return history


# ---- arguments -----------------------------------------------------------------------------------------------------


def _check(tolerance: float | None, progress: bool | str, watch: object) -> None:
    if tolerance is not None and not math.isfinite(number(tolerance, "fit: tolerance")):
        raise OperandError(f"fit: tolerance must be a finite number, got {tolerance!r}")
    if progress not in (True, False, "auto"):
        raise OperandError(f"fit: progress must be True, False or 'auto', got {shown(progress)}")
    # Optimizers and schedules have a step() as well, which would be taken for this one.
    if watch is not None and (isinstance(watch, Optimizer | LRScheduler) or not callable(getattr(watch, "step", None))):
        raise OperandError(f"fit: watch is a recording, as in watch=glassgrad.watch(model), not {shown(watch)}")


def _iterable(parameters: Iterable[Value]) -> Iterable[Value]:
    if isinstance(parameters, Iterable) and not isinstance(parameters, (str, bytes, dict)):
        return parameters
    hint = "; write [p]" if isinstance(parameters, Value) else ""
    raise OperandError(f"fit: parameters must be a Module or a list of Values, not {type(parameters).__name__}{hint}")


def _optimizer(parameters: Any, optimizer: Any, lr: float | None) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        if lr is not None:
            raise OperandError("fit: the optimizer has a learning rate already; set optimizer.lr instead of lr=")
        return optimizer
    make = SGD if optimizer is None else optimizer
    made = make(parameters, lr=0.01 if lr is None else lr) if callable(make) else None
    if not isinstance(made, Optimizer):
        raise OperandError(f"fit: optimizer is an optimizer or its class, such as optim.Adam, not {shown(optimizer)}")
    return made


def _schedule(scheduler: Any, optimizer: Optimizer) -> LRScheduler | None:
    if callable(scheduler) and not isinstance(scheduler, (LRScheduler, type)):
        return LambdaLR(optimizer, scheduler)
    if scheduler is not None and not isinstance(scheduler, LRScheduler):
        raise OperandError(f"fit: scheduler is one of optim's or a function of the epoch, not {shown(scheduler)}")
    if scheduler is not None and scheduler.optimizer is not optimizer:
        raise OperandError("fit: the scheduler belongs to another optimizer; pass that one as optimizer=")
    return scheduler


def _takes_epoch(step: Callable[..., Value]) -> bool:
    """Whether `step` must be given an argument."""
    if not callable(step):
        raise OperandError(f"fit: step must be a function that returns the loss, not {type(step).__name__}")
    try:
        signature = inspect.signature(step)
    except ValueError:  # some functions written in C do not tell
        return False
    required = [
        p
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) > 1:
        raise OperandError(f"fit: step takes no argument or the epoch, not {', '.join(p.name for p in required)}")
    return bool(required)


def _loss(loss: Any, epoch: int) -> Value:
    """The loss, if it is one that can be differentiated."""
    if not isinstance(loss, Value):
        hint = {
            "NoneType": "; is a return missing?",
            "float": "; return the loss itself, not loss.data",
            "tuple": "; return the loss alone",
        }.get(type(loss).__name__, "")
        raise OperandError(f"fit: step must return the loss as a Value, not {type(loss).__name__}{hint}")
    if not math.isfinite(loss.data):
        raise NonFiniteError(f"the loss is {loss.data}; a smaller lr, or clip=1.0, often helps")
    if not loss.requires_grad:
        raise GlassgradError(f"fit: the loss of epoch {epoch} depends on no parameter; was no_grad() on?")
    return loss


def _check_reached(parameters: list[Value]) -> None:
    """Refuse to train parameters none of which a gradient has reached."""
    if not any(p._has_grad for p in parameters):
        raise GlassgradError(
            f"fit: the loss depends on none of the parameters ({len(parameters)}), so nothing would be learned; "
            "step() must compute with these very Values, and at least one must have requires_grad=True"
        )


# ---- progress ------------------------------------------------------------------------------------------------------


@contextmanager
def _bar(progress: bool | str, epochs: int) -> Iterator[Callable[[int, float], None]]:
    """A function to call with each epoch's number and loss; it draws at most ten times a second."""
    if not progress or (progress == "auto" and not _is_terminal()):
        yield lambda _epoch, _loss: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4g}"),
        TextColumn("{task.fields[speed]:,.0f} steps/s", style="dim"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    start = time.perf_counter()
    due = 0.0
    last = (0, math.nan)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=epochs, loss=math.nan, speed=0.0)

        def show(epoch: int, loss: float) -> None:
            nonlocal due, last
            last = (epoch + 1, loss)
            if time.perf_counter() >= due:
                draw()
                due = time.perf_counter() + 0.1

        def draw() -> None:
            done, loss = last
            bar.update(task, completed=done, loss=loss, speed=done / max(time.perf_counter() - start, 1e-9))

        try:
            yield show
        finally:
            draw()


def _is_terminal() -> bool:
    """Whether standard error is there and a terminal."""
    return bool(sys.stderr is not None and sys.stderr.isatty())
