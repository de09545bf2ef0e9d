"""Learning-rate schedules with torch.optim.lr_scheduler's names, defaults and rates.

What this module guarantees:

- A schedule is a function from the number of updates so far to a factor on the first learning rate, in closed form:
  nothing accumulates rounding, and any step can be asked for.
- A step whose rate the optimizer refuses changes neither the rate nor the schedule.

It stands below `optim`, which shares its error and its checks of arguments and has its names as well: of an optimizer
a schedule needs nothing but `lr`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Protocol, SupportsIndex

from .errors import GlassgradError, OperandError, shown

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "OptimError", "StepLR",
]  # fmt: skip


class OptimError(GlassgradError, ValueError):
    """An optimizer or schedule was described wrongly, or a stored state does not fit it."""


# ---- checks of arguments, for optimizers as well -------------------------------------------------------------------


def to_number(owner: str, name: str, number: Any, below: float = math.inf) -> float:
    """A finite number of at least 0 and below `below`, as a float."""
    if not isinstance(number, Real) or isinstance(number, bool):
        raise OperandError(f"{owner}: {name} must be a number, got {shown(number)}")
    try:
        x = float(number)
    except OverflowError:  # an int that no float holds
        x = math.inf
    if not 0.0 <= x < below:
        limit = "finite" if math.isinf(below) else f"below {below:g}"
        raise OptimError(f"{owner}: {name} must be at least 0 and {limit}, got {shown(number)}")
    return x


def to_count(owner: str, name: str, count: Any, least: int = 1) -> int:
    """An integer from `least` to 2**53, the last that floats count to; Python's or NumPy's, bool is none."""
    try:
        number = -1 if isinstance(count, bool) else operator.index(count)
    except TypeError:
        number = -1
    if not least <= number <= 2**53:
        raise OptimError(f"{owner}: {name} must be an integer from {least} to 2**53, got {shown(count)}")
    return number


# ---- schedules -----------------------------------------------------------------------------------------------------


class HasRate(Protocol):
    """What a schedule needs of an optimizer; setting the rate refuses what is none."""

    lr: float


class LRScheduler:
    """Sets `optimizer.lr` to its first value times `factor(epoch)`: at once for epoch 0, then at every `step()`.

    Call `scheduler.step()` after `optimizer.step()`, as in torch.
    """

    def __init__(self, optimizer: HasRate) -> None:
        rate = getattr(optimizer, "lr", None)
        if not isinstance(rate, Real):  # a property, where the optimizer's class was given
            raise OperandError(f"{type(self).__name__} takes an optimizer first, got {shown(optimizer)}")
        self.optimizer = optimizer
        self.base_lr = to_number(type(self).__name__, "the optimizer's lr", rate)
        self.last_epoch = 0
        self._apply(0)

    def factor(self, epoch: int) -> float:
        """The factor on the first learning rate after `epoch` steps."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(self, epoch)")

    def step(self) -> None:
        """Go on to the next learning rate."""
        self._apply(self.last_epoch + 1)

    def _apply(self, epoch: int) -> None:
        try:
            factor = self.factor(epoch)
            if not isinstance(factor, Real):
                hint = "; is a return missing?" if factor is None else ""
                raise OperandError(f"{type(self).__name__}: the factor must be a number, got {shown(factor)}{hint}")
            rate = self.base_lr * factor
        except OverflowError as error:  # of a power, or of an int that no float holds
            raise OptimError(f"{type(self).__name__}: the rate after {epoch} steps is beyond every float") from error
        self.optimizer.lr = rate  # raises if it is negative or nan
        self.last_epoch = epoch

    def get_last_lr(self) -> list[float]:
        """The learning rate as it is now, in a list of one, as torch returns it."""
        return [self.optimizer.lr]

    def state_dict(self) -> dict[str, float]:
        """What is needed to go on later."""
        return {"base_lr": self.base_lr, "last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Go on from a state that `state_dict()` returned; raises `OptimError` if it is not one."""
        if not isinstance(state_dict, Mapping) or set(state_dict) != {"base_lr", "last_epoch"}:
            raise OptimError(f"{type(self).__name__}.load_state_dict: expected the keys ['base_lr', 'last_epoch']")
        base_lr = to_number(type(self).__name__, "base_lr", state_dict["base_lr"])
        epoch = to_count(type(self).__name__, "last_epoch", state_dict["last_epoch"], least=0)
        self.base_lr, previous = base_lr, self.base_lr
        try:
            self._apply(epoch)
        except BaseException:
            self.base_lr = previous
            raise


class LambdaLR(LRScheduler):
    """The factor is a function of the number of steps taken.

        >>> from glassgrad import Value
        >>> from glassgrad.optim import SGD, LambdaLR
        >>> optimizer = SGD([Value(0.0)], lr=1.0)
        >>> scheduler = LambdaLR(optimizer, lambda k: 1.0 - 0.9 * k / 100)
        >>> scheduler.step()
        >>> optimizer.lr
        0.991
    """  # fmt: skip

    def __init__(self, optimizer: HasRate, lr_lambda: Callable[[int], float]) -> None:
        if not callable(lr_lambda):
            raise OperandError(f"LambdaLR takes a function from step to factor, got {shown(lr_lambda)}")
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """What the function says."""
        return self.lr_lambda(epoch)


class ConstantLR(LRScheduler):
    """`factor` for the first `total_iters` steps, the full rate from then on."""

    def __init__(self, optimizer: HasRate, factor: float = 1 / 3, total_iters: SupportsIndex = 5) -> None:
        self.first_factor = to_number("ConstantLR", "factor", factor)
        self.total_iters = to_count("ConstantLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """The first factor, then 1."""
        return self.first_factor if epoch < self.total_iters else 1.0


class StepLR(LRScheduler):
    """Times `gamma` after every `step_size` steps."""

    def __init__(self, optimizer: HasRate, step_size: SupportsIndex, gamma: float = 0.1) -> None:
        self.step_size = to_count("StepLR", "step_size", step_size)
        self.gamma = to_number("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """gamma^(epoch // step_size)."""
        return self.gamma ** (epoch // self.step_size)


class ExponentialLR(LRScheduler):
    """Times `gamma` after every step."""

    def __init__(self, optimizer: HasRate, gamma: float) -> None:
        self.gamma = to_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """gamma^epoch."""
        return self.gamma**epoch


class LinearLR(LRScheduler):
    """A linear warm-up: from `start_factor` to `end_factor` in `total_iters` steps, then constant."""

    def __init__(
        self, optimizer: HasRate, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: SupportsIndex = 5
    ) -> None:
        self.start_factor = to_number("LinearLR", "start_factor", start_factor)
        self.end_factor = to_number("LinearLR", "end_factor", end_factor)
        self.total_iters = to_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """On the line between the two factors."""
        part = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class CosineAnnealingLR(LRScheduler):
    """Along half a cosine from the first rate down to `eta_min` in `T_max` steps (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: HasRate, T_max: SupportsIndex, eta_min: float = 0.0) -> None:
        self.T_max = to_count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = to_number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        """(1 + cos(pi·epoch / T_max)) / 2 between eta_min and the first rate."""
        if not self.base_lr:
            return 1.0
        low = self.eta_min / self.base_lr
        return low + (1.0 - low) * (1.0 + math.cos(math.pi * epoch / self.T_max)) / 2
