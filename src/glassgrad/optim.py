"""Optimizers: SGD, Adam and AdamW with PyTorch's names, defaults and formulas, and clipping of gradients.

What this module guarantees:

- A step is all or nothing. A gradient, parameter or state that is not finite raises `NonFiniteError`, names the
  parameter and changes nothing: the new numbers are computed beside the old ones, unless they are sure to be finite.
- The update loops are compiled (`optim.pxd` has their C types) and give the same numbers interpreted.
- Parameters of a compiled function are updated in the arrays in which they stand between its calls (`flat`).
- Parameters with `requires_grad=False` stay as they are.

The formulas are those of torch.optim's documentation. Learning-rate schedules are in `lr_scheduler`, below this module;
their names are here as well.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import _libm as libm
from . import engine, flat, lr_scheduler, modes
from .engine import Value
from .errors import NonFiniteError, OperandError, is_numpy_bool, shown
from .lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OptimError,
    StepLR,
    to_count,
    to_number,
)

__all__ = [
    "SGD", "Adam", "AdamW", "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR",
    "OptimError", "Optimizer", "StepLR", "clip_grad_norm_", "lr_scheduler",
]  # fmt: skip

LARGE = 1e20  # settings up to which a step on moderate numbers cannot overflow; see `_is_tame` and `_are_moderate`
BEYOND = 1e200  # times this the largest moderate numbers are finite

# ---- the compiled loops: arrays of doubles in, changed in place ----------------------------------------------------


def _gather(params: list[Value], data: array[float], grad: array[float], n: int) -> int:
    """Copy parameters and gradients into arrays; the index of the first gradient that is not finite, or -1."""
    for i in range(n):
        p = params[i]
        if p._away:
            flat.home(p)
        data[i] = p._data
        grad[i] = p._grad
    return _first_not_finite(grad, n)


def _first_not_finite(numbers: array[float], n: int) -> int:
    """The index of the first number that is nan or infinite, or -1."""
    for i in range(n):
        if numbers[i] - numbers[i] != 0.0:
            return i
    return -1


def _scatter(params: list[Value], data: array[float], n: int) -> None:
    """Make the numbers in the array the parameters' data."""
    for i in range(n):
        p = params[i]
        if p._away:
            flat.home(p)
        p._data = data[i]


def _clear(params: list[Value]) -> None:
    """Set every gradient to 0, not computed: what `p.grad = 0` does."""
    for i in range(len(params)):
        p = params[i]
        if p._away:
            flat.home(p)
        p._grad = 0.0
        p._flags = p._flags & ~engine.HAS_GRAD


def _frozen(params: list[Value]) -> list[int]:
    """Which parameters require no gradient."""
    found = []
    for i in range(len(params)):
        p = params[i]
        if not p._flags & engine.REQUIRES_GRAD:
            found.append(i)
    return found


def _bits_of(zero: float) -> int:
    """0 for 0.0, anything else for nan: see `flat.bits_of`. A function of another module could not be inlined."""
    found = 0
    if cython.compiled:
        memcpy(cython.address(found), cython.address(zero), 8)  # type: ignore[name-defined]  # noqa: F821 - optim.pxd
        return found
    return int(zero != 0.0)


def _are_moderate(data: array[float], grad: array[float], n: int) -> bool:
    """Whether all numbers are well below the largest float: neither 2e108 nor nan."""
    strange = 0
    for i in range(n):
        x, g = data[i] * BEYOND, grad[i] * BEYOND
        strange |= _bits_of((x - x) + (g - g))
    return strange == 0


def _sgd(
    data: array[float], grad: array[float], velocity: array[float], n: int, lr: float, momentum: float,
    dampening: float, weight_decay: float, nesterov: bool, first: bool,
) -> None:  # fmt: skip
    """One step of `SGD`."""
    for i in range(n):
        g = grad[i]
        if weight_decay != 0.0:
            g = g + weight_decay * data[i]
        if momentum != 0.0:
            v = g if first else momentum * velocity[i] + (1.0 - dampening) * g
            velocity[i] = v
            g = g + momentum * v if nesterov else v
        data[i] = data[i] - lr * g


def _sgd_is_tame(lr: float, momentum: float, dampening: float, weight_decay: float) -> bool:
    """Whether no step of `_sgd` on moderate numbers overflows: momenta of g are below g / (1 - momentum), so 1e16 g."""
    return abs(lr) <= LARGE and 0.0 <= momentum < 1.0 and abs(dampening) <= LARGE and abs(weight_decay) <= LARGE


def _adam(
    data: array[float], grad: array[float], mean: array[float], square: array[float], n: int, lr: float, beta1: float,
    beta2: float, eps: float, decay: float, coupled: bool, bias1: float, bias2: float,
) -> None:  # fmt: skip
    """One step of `Adam` or, not coupled, `AdamW`. The biases are 1 - beta^t.

    There is one root and one division for each parameter, which take most of the time.
    """
    factor, rate, keep = 1.0 / libm.sqrt(bias2), lr / bias1, 1.0 - (0.0 if coupled else lr * decay)
    for i in range(n):
        g = grad[i] + decay * data[i] if coupled else grad[i]
        m = mean[i] + (1.0 - beta1) * (g - mean[i])
        s = beta2 * square[i] + (1.0 - beta2) * g * g
        mean[i] = m
        square[i] = s
        size = libm.sqrt(s) * factor + eps
        # 0 for a gradient of 0 and eps=0, where Python raises and C does not
        data[i] = data[i] * keep - rate * (m / size if size != 0.0 else libm.NAN)


def _adam_is_tame(lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> bool:
    """The same for `_adam`: means are no larger than the largest number in them, and what divides is eps at least."""
    means = 0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0
    return means and 1e-50 <= eps <= LARGE and abs(lr) <= LARGE and abs(weight_decay) <= LARGE


# ---- optimizers ----------------------------------------------------------------------------------------------------


class Optimizer:
    """What the optimizers share. A subclass names its state arrays and overrides `update`.

        >>> from glassgrad import Value
        >>> from glassgrad.optim import Optimizer
        >>> class SignSGD(Optimizer):
        ...     def update(self, data, grad, state):
        ...         for i, g in enumerate(grad):
        ...             data[i] -= self.lr * ((g > 0) - (g < 0))
        >>> x = Value(3.0)
        >>> optimizer = SignSGD([x], lr=0.5)
        >>> (x * x).backward()
        >>> optimizer.step()
        >>> x.data
        2.5

    Arguments:
        params: a Module or the Values to be changed: leaves, each once.
        lr: learning rate, at least 0; may be changed at any time.
        settings: what else a subclass takes; becomes attributes, and part of `state_dict()`.

    Raises `OperandError` for something that is not a Value, `OptimError` for everything else.
    """  # fmt: skip

    state_names: tuple[str, ...] = ()
    """Names of the arrays with one number for each parameter that live from step to step."""

    def __init__(self, params: Any, lr: float = 1e-3, **settings: Any) -> None:
        checked = _checked(type(self).__name__, {"lr": lr, **settings})
        self.params, self._names = _parameters(params)
        self._settings = tuple(checked)
        for name, value in checked.items():
            setattr(self, name, value)
        self.steps = 0
        self._state = {name: array("d", bytes(8 * len(self.params))) for name in self.state_names}
        self._calm = True  # whether the state comes of steps on moderate numbers alone
        self._part = flat.share(self.params)  # where they go if a compiled function has them: in this order
        self._placed = self.params  # those that stand there, as long as they are the same

    def __getstate__(self) -> dict[str, Any]:
        state = {name: numbers[:] for name, numbers in self._state.items()}  # a copy writes to arrays of its own
        return {**vars(self), "_state": state, "_part": None, "_placed": None}

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = to_number(type(self).__name__, "lr", lr)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        modes.guard("zero_grad()", None)
        part = _away(self)
        if part is None:
            _clear(self.params)
        else:
            part.clear()

    def step(self) -> None:
        """Change every parameter once, as its gradient says.

        Raises `NonFiniteError`, with nothing changed, if a gradient or a result is nan or infinite.
        """
        modes.guard("step()", None)
        part = _away(self)
        if part is not None and _step_in_store(self, part):
            return
        n = len(self.params)
        if part is None:
            data, grad = array("d", bytes(8 * n)), array("d", bytes(8 * n))
            self._refuse(_gather(self.params, data, grad, n), "the gradient", grad)
        else:
            data, grad = part.copy_data(), part.copy_grad()
            self._refuse(_first_not_finite(grad, n), "the gradient", grad)
        self._calm = False
        before, old_state = data[:], self._state
        state = {name: numbers[:] for name, numbers in old_state.items()}
        self.update(data, grad, state)
        for i in _frozen(self.params):
            data[i] = before[i]
            for name, numbers in state.items():
                numbers[i] = old_state[name][i]
        self._refuse(_first_not_finite(data, n), "the new value", data, grad)
        for name, numbers in state.items():
            self._refuse(_first_not_finite(numbers, n), f"the new {name}", numbers, grad)
        if part is not None and part.store.away:  # `update` may have looked at one
            part.set_data(data)
            self._state = state
            self.steps += 1
            return
        try:
            _scatter(self.params, data, n)
            self._state = state
            self.steps += 1
        except BaseException:  # Ctrl-C between two parameters, in the interpreted build
            _scatter(self.params, before, n)
            self._state = old_state
            raise

    def _is_tame(self) -> bool:
        """Whether the settings are such that a step on moderate numbers gives finite ones, and a moderate state."""
        return False

    def update(self, data: array[float], grad: array[float], state: dict[str, array[float]]) -> None:
        """Change `data`, and the arrays in `state`, in place: one step from the gradients in `grad`."""
        raise NotImplementedError(f"{type(self).__name__} must define update(self, data, grad, state)")

    def _refuse(self, i: int, what: str, numbers: array[float], grad: array[float] | None = None) -> None:
        if i >= 0:
            given = "" if grad is None else f" (its gradient is {grad[i]!r}, lr is {self.lr!r})"
            raise NonFiniteError(
                f"{type(self).__name__}.step: {what} of {_name(self.params, self._names, i)} is {numbers[i]!r}{given}; "
                "nothing was changed"
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on later, as plain numbers, text and lists, ready for JSON."""
        settings = {name: getattr(self, name) for name in self._settings}
        settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        arrays = {name: list(numbers) for name, numbers in self._state.items()}
        return {"optimizer": type(self).__name__, "steps": self.steps, **settings, "state": arrays}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict()` returned.

        Raises `OptimError`, with nothing changed, if it belongs to another kind of optimizer or number of parameters.
        """
        kind, n = type(self).__name__, len(self.params)
        expected = {"optimizer", "steps", "state", *self._settings}
        if not isinstance(state_dict, Mapping) or set(state_dict) != expected:
            got = sorted(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise OptimError(f"{kind}.load_state_dict: expected the keys {sorted(expected)}, got {got}")
        if state_dict["optimizer"] != kind:
            raise OptimError(f"{kind}.load_state_dict: this is the state of {state_dict['optimizer']!r}")
        steps, stored = to_count(f"{kind}.load_state_dict", "steps", state_dict["steps"], least=0), state_dict["state"]
        if not isinstance(stored, Mapping) or set(stored) != set(self.state_names):
            raise OptimError(f"{kind}.load_state_dict: the state must have the arrays {list(self.state_names)}")
        try:
            state = {name: array("d", stored[name]) for name in self.state_names}
        except (TypeError, ValueError, OverflowError) as error:
            raise OptimError(f"{kind}.load_state_dict: {error}") from None
        for name, numbers in state.items():
            if len(numbers) != n or _first_not_finite(numbers, n) >= 0:
                raise OptimError(f"{kind}.load_state_dict: {name} must have {n} finite numbers, one for each parameter")
        for name, value in _checked(kind, {name: state_dict[name] for name in self._settings}).items():
            setattr(self, name, value)
        self.steps, self._state, self._calm = steps, state, False

    def __repr__(self) -> str:
        """The settings, and how many parameters there are."""
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"


class SGD(Optimizer):
    """Stochastic gradient descent, with torch.optim.SGD's arguments.

    The velocity is v = momentum·v + (1 - dampening)·g, in the first step g, where g = gradient + weight_decay·p; then
    p -= lr·v, or with nesterov p -= lr·(g + momentum·v). Without momentum it is micrograd's `p.data -= lr * p.grad`.

        >>> from glassgrad import Value
        >>> from glassgrad.optim import SGD
        >>> x = Value(3.0)
        >>> optimizer = SGD([x], lr=0.1)
        >>> (x * x).backward()
        >>> optimizer.step()
        >>> round(x.data, 9)
        2.4
    """

    state_names = ("velocity",)
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params, lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def update(self, data: array[float], grad: array[float], state: dict[str, array[float]]) -> None:
        """One step of gradient descent."""
        _sgd(
            modes.doubles(data), modes.doubles(grad), modes.doubles(state["velocity"]), len(data), self.lr,
            self.momentum, self.dampening, self.weight_decay, self.nesterov, self.steps == 0,
        )  # fmt: skip

    def _is_tame(self) -> bool:
        return _sgd_is_tame(self.lr, self.momentum, self.dampening, self.weight_decay)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with torch.optim.Adam's arguments; weight decay is added to the gradient.

    >>> from glassgrad import Value
    >>> from glassgrad.optim import Adam
    >>> x = Value(3.0)
    >>> optimizer = Adam([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    2.9
    """

    state_names = ("exp_avg", "exp_avg_sq")
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    _coupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, data: array[float], grad: array[float], state: dict[str, array[float]]) -> None:
        """One step of Adam."""
        (beta1, beta2), t = self.betas, self.steps + 1
        coupled = self._coupled and self.weight_decay != 0.0
        decay = self.weight_decay if coupled or not self._coupled else 0.0
        _adam(
            modes.doubles(data), modes.doubles(grad), modes.doubles(state["exp_avg"]),
            modes.doubles(state["exp_avg_sq"]), len(data), self.lr, beta1, beta2, self.eps, decay, coupled,
            1.0 - beta1**t, 1.0 - beta2**t,
        )  # fmt: skip

    def _is_tame(self) -> bool:
        beta1, beta2 = self.betas
        return self.steps >= 0 and _adam_is_tame(self.lr, beta1, beta2, self.eps, self.weight_decay)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): p *= 1 - lr·weight_decay before Adam's step.

    The arguments are torch.optim.AdamW's; weight_decay is 0.01 unless given.
    """

    _coupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


# ---- steps in a store: functions, since methods of a class that users derive from have no C types -------------------

OURS = frozenset([SGD.update, Adam.update])  # what may change numbers in place; others are given copies


def _away(optimizer: Optimizer) -> flat.Part | None:
    """Where the parameters stand, if that is in a store."""
    part, params = optimizer._part, optimizer.params
    if part is None or not part.store.live or params is not optimizer._placed or part.count != len(params):
        part = optimizer._part = flat.locate(params)
        optimizer._placed = params
    return part if part is not None and part.store.away else None


def _step_in_store(optimizer: Optimizer, part: flat.Part) -> bool:
    """Make the step on the store's own arrays. False, with nothing changed, where it is to be made the long way.

    Numbers below 1e108 and settings up to 1e20 give gradients with decay below 1e130, squares below 1e260 and, divided
    by 1e-50 and by biases of at least 1e-16, steps below 1e220. So nothing here can fail, and no number has a copy.
    """
    if part.store.frozen or type(optimizer).update not in OURS or "update" in optimizer.__dict__:
        return False
    if not (optimizer._is_tame() and _is_calm(optimizer)):
        return False
    data, grad = part.data(), part.grad()
    if not _are_moderate(modes.doubles(data), modes.doubles(grad), part.count):
        return False
    steps = optimizer.steps + 1
    optimizer.update(data, grad, optimizer._state)
    part.set_data(data)
    optimizer.steps = steps
    return True


def _is_calm(optimizer: Optimizer) -> bool:
    """Whether the state is moderate too. It stays so, once it has been, as long as the steps are made here."""
    if not optimizer._calm:
        calm = True
        for name, numbers in optimizer._state.items():
            calm &= _are_moderate(modes.doubles(numbers), modes.doubles(numbers), len(numbers))
            calm &= name != "exp_avg_sq" or min(numbers) >= 0.0  # it may be somebody's own, and roots are taken of it
        optimizer._calm = calm
    return optimizer._calm


# ---- clipping ------------------------------------------------------------------------------------------------------


def clip_grad_norm_(parameters: Any, max_norm: float) -> float:
    """Scale the gradients so that their common Euclidean norm is at most `max_norm`; the norm they had is returned.

    The factor is torch's, min(1, max_norm / (norm + 1e-6)). Raises `NonFiniteError`, with nothing changed, if a
    gradient or the norm is not finite.

        >>> from glassgrad import Value
        >>> from glassgrad.optim import clip_grad_norm_
        >>> a, b = Value(1.0), Value(1.0)
        >>> (3 * a + 4 * b).backward()
        >>> clip_grad_norm_([a, b], max_norm=1.0), round(a.grad, 3), round(b.grad, 3)
        (5.0, 0.6, 0.8)
    """
    max_norm = to_number("clip_grad_norm_", "max_norm", max_norm)
    part = flat.locate(parameters) if type(parameters) is list else None
    if part is not None and part.runs == 1 and part.store.away:  # in a row: each is there once
        params, n = parameters, part.count
        names: list[str] = []
        grad = part.copy_grad()
        i = _first_not_finite(grad, n)
    else:
        part = None
        params, names = _parameters(parameters)
        n = len(params)
        data, grad = array("d", bytes(8 * n)), array("d", bytes(8 * n))
        i = _gather(params, data, grad, n)
    if i >= 0:
        raise NonFiniteError(f"clip_grad_norm_: the gradient of {_name(params, names, i)} is {grad[i]!r}")
    norm = math.hypot(*grad)
    if not math.isfinite(norm):
        raise NonFiniteError(f"clip_grad_norm_: the norm of {n} gradients is beyond the largest float")
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0 and part is not None:
        part.scale_grads(factor)
    elif factor < 1.0:
        for p, g in zip(params, grad, strict=True):
            if g:
                p.grad = g * factor
    return norm


# ---- checks of arguments -------------------------------------------------------------------------------------------


def _parameters(params: Any) -> tuple[list[Value], list[str]]:
    """The parameters and, where a Module was given, their names."""
    if isinstance(params, Value):
        raise OperandError("the parameters must be a list of Values, got one Value; write [p]")
    if hasattr(params, "named_parameters"):
        named = params.named_parameters()
        names, values = [name for name, _ in named], [p for _, p in named]
    elif isinstance(params, (str, bytes, Mapping)) or not isinstance(params, Iterable):
        raise OperandError(f"the parameters must be a Module or a list of Values, got {type(params).__name__}")
    else:
        names, values = [], list(params)
    if not values:
        raise OptimError("there are no parameters to change; does parameters() return them?")
    seen: dict[int, int] = {}
    for i, p in enumerate(values):
        if not isinstance(p, Value):
            raise OperandError(f"parameter {i} must be a Value, got {shown(p)}")
        if p._prev:
            raise OptimError(f"{_name(values, names, i)} is the result of an operation ({p._op}), not a leaf")
        if id(p) in seen:
            raise OptimError(f"{_name(values, names, i)} is parameter {seen[id(p)]} a second time")
        seen[id(p)] = i
    return values, names


def _name(params: list[Value], names: list[str], i: int) -> str:
    """A parameter as errors name it: its path in the Module, or its place in the list and its label."""
    if names:
        return f"parameter {names[i]}"
    label = params[i].label
    return f"parameter {i} ({label[:60]!r})" if label else f"parameter {i}"


def _checked(owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, arguments or part of a stored state, as plain floats where they are known; bad ones are refused."""
    checked = dict(settings)
    for name in ("lr", "momentum", "dampening", "weight_decay", "eps"):
        if name in settings:
            checked[name] = to_number(owner, name, settings[name])
    betas = settings.get("betas", (0.0, 0.0))
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise OptimError(f"{owner}: betas must be two numbers, got {shown(betas)}")
    if "betas" in settings:
        checked["betas"] = tuple([to_number(owner, "each of betas", beta, below=1.0) for beta in betas])
    nesterov = settings.get("nesterov", False)
    if not isinstance(nesterov, bool) and not is_numpy_bool(nesterov):
        raise OptimError(f"{owner}: nesterov must be True or False, got {shown(nesterov)}")
    if nesterov and not (checked["momentum"] and not checked["dampening"]):
        raise OptimError(f"{owner}: nesterov needs a momentum above 0 and no dampening")
    if "nesterov" in settings:
        checked["nesterov"] = bool(nesterov)
    return checked
