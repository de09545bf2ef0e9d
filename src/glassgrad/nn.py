"""Neural networks out of Values: micrograd's Module, Neuron, Layer and MLP, drop-in, with names and files added.

What this module guarantees:

- A model built under `random.seed(n)` starts with micrograd's weights, number for number, and lists its parameters in
  micrograd's order; outputs and gradients agree with micrograd's to rounding.
- A neuron is one `dot` node, one `+` and its activation, so pictures stay readable and 16 inputs cost one node; every
  neuron's nodes carry its scope (`layer0/neuron3`).
- An input of the wrong length is an error; micrograd's `zip` drops what does not fit.
- `load` and `load_state_dict` either load everything or change nothing; `save` leaves the old file or the new one,
  never half of one. `docs/model-file.md` describes the file.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from types import FunctionType, MethodDescriptorType, NoneType
from typing import Any, NamedTuple, Self, SupportsIndex

from .engine import Value
from .errors import GlassgradError, OperandError, is_numpy_bool, shown
from .files import can_replace, write_whole
from .functions import dot
from .modes import call_each, scope

__all__ = ["MLP", "IncompatibleKeys", "Layer", "ModelError", "Module", "Neuron", "StateError"]

FORMAT = "glassgrad.model"
VERSION = 1

ACTIVATIONS = {
    "relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU",
    "silu": "SiLU", "softplus": "Softplus", "sin": "Sin", "linear": "Linear",
}  # fmt: skip
"""The activations known by name, each a method of Value, and how a neuron's repr spells them."""

ATOMS = frozenset({bool, int, float, str, NoneType, FunctionType, MethodDescriptorType, scope})
"""Types of attributes that hold no parameters, known without asking further."""

KeyPath = tuple[Any, ...]
"""Where a parameter lies, the last key outermost: `((((), "layers"), 0), "w")`."""

Activation = str | Callable[[Value], Value]


class ModelError(GlassgradError, ValueError):
    """A model was described wrongly or called with the wrong number of inputs."""


class StateError(ModelError):
    """Parameters cannot be saved, do not fit the model, or their file is damaged. Nothing was changed."""


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find: parameters without a number, and numbers without a parameter."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of everything with parameters.

    Parameters are found by looking: leaf Values, Modules, and lists, tuples, dicts and NumPy object arrays of them, in
    the order in which they were assigned, each once. A subclass may still override `parameters`, as in micrograd.

        >>> from glassgrad import Value
        >>> from glassgrad.nn import Module
        >>> class Line(Module):
        ...     def __init__(self):
        ...         self.w, self.b = Value(2.0), Value(1.0)
        ...     def __call__(self, x):
        ...         return self.w * x + self.b
        >>> [name for name, p in Line().named_parameters()]
        ['w', 'b']
    """

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """Every parameter of this module and of those inside it."""
        return list(self._find(set()))

    def named_parameters(self) -> list[tuple[str, Value]]:
        """Every parameter with its path, such as `layers.0.neurons.3.w.1`.

        Parameters that only an overridden `parameters()` knows of are called `parameters.0` and so on.
        """
        return self._named(set())

    def _named(self, seen: set[int]) -> list[tuple[str, Value]]:
        found = self._find(seen)
        if type(self).parameters is Module.parameters:
            return [(_joined(path), p) for p, path in found.items()]
        listed = dict.fromkeys(self.parameters())
        return [(_joined(found.get(p, (((), "parameters"), i))), p) for i, p in enumerate(listed)]

    def _find(self, seen: set[int]) -> dict[Value, KeyPath]:
        """Walk the attributes depth first: every parameter once, and the path to it.

        A training step asks for the parameters three times, and for no names: making them takes longer than the walk.
        `seen` has the containers met so far, so that loops end.
        """
        found: dict[Value, KeyPath] = {}
        stack: list[tuple[KeyPath, Iterator[tuple[Any, Any]]]] = [((), iter(_members(self)))]
        seen.add(id(self))
        while stack:
            path, members = stack[-1]
            for key, item in members:
                kind = type(item)
                if kind is Value or isinstance(item, Value):
                    if not item._prev:  # the result of an operation, kept as an attribute, is no parameter
                        found.setdefault(item, (path, key))
                elif kind in ATOMS or id(item) in seen:
                    continue
                elif isinstance(item, Module) and kind.parameters is not Module.parameters:
                    for name, p in item._named(seen):
                        found.setdefault(p, ((path, key), name))
                else:
                    seen.add(id(item))
                    stack.append(((path, key), iter(_members(item))))
                    break
            else:
                stack.pop()
        return found

    def state_dict(self) -> dict[str, float]:
        """The parameters as a dict from name to number.

        Raises `StateError` if two parameters have the same name.
        """
        named = self.named_parameters()
        state = {name: p.data for name, p in named}
        if len(state) != len(named):
            twice = next(name for i, (name, _) in enumerate(named) if any(name == n for n, _ in named[:i]))
            raise StateError(f"state_dict: two parameters are called {twice!r}; rename an attribute or a dict key")
        return state

    def load_state_dict(self, state_dict: Mapping[str, float], strict: bool = True) -> IncompatibleKeys:
        """Take the parameters from a dict such as `state_dict()` returns.

        Arguments:
            state_dict: name to finite number.
            strict: if true, the names must be exactly the model's; otherwise those that match are loaded.

        Returns the names that were missing and those that were not expected, as torch does. Raises `StateError`, with
        all the reasons and nothing changed, if the names do not match or something is not a finite number.
        """
        if not isinstance(state_dict, Mapping):
            raise StateError(f"load_state_dict takes a dict of name to number, got {type(state_dict).__name__}")
        mine = dict(self.named_parameters())
        missing = [name for name in mine if name not in state_dict]
        unexpected = [str(name) for name in state_dict if name not in mine]
        problems = []
        if strict and missing:
            problems.append(f"missing {_some(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected {_some(unexpected)}")
        numbers = {name: state_dict[name] for name in mine if name in state_dict}
        problems += [f"{name} is {shown(x)}, not a finite number" for name, x in numbers.items() if not _is_finite(x)]
        if problems:
            raise StateError(f"cannot load into {type(self).__name__}: {_listed(problems, '; ')}. Nothing was changed")
        for name, number in numbers.items():
            mine[name].data = float(number)
        return IncompatibleKeys(missing, unexpected)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to a JSON file, all or nothing.

        The text goes to a new file beside `path`, which then takes its place in one step: whatever happens on the
        way, `path` holds the old model or the new one. Raises `StateError` if a parameter is not finite or `path` is
        there and no regular file, such as a pipe or a device; OSError if it cannot be written.
        """
        state = self.state_dict()
        bad = [f"{name} is {number}" for name, number in state.items() if not math.isfinite(number)]
        if bad:
            raise StateError(f"cannot save to {os.fspath(path)!r}: {_some(bad)}, and a model file holds finite numbers")
        content = {"format": FORMAT, "version": VERSION, "parameters": state}
        _write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Take the parameters from a file that `save` wrote, and return the module.

        Raises `StateError`, with the reason and nothing changed, if the file is damaged, of another kind or version, or
        made for another model; OSError if it cannot be read.
        """
        try:
            self.load_state_dict(_read(path))
        except StateError as error:
            raise StateError(f"{os.fspath(path)!r}: {error}") from None
        return self


class Neuron(Module):
    """`activation(w·x + b)`: `nin` weights drawn from uniform(-1, 1) by Python's `random`, and a bias of 0.

    Pictures and errors call the weights w0, w1, … and the bias b.

    Arguments:
        nin: number of inputs.
        nonlin: whether the activation is applied; False makes the neuron linear.
        activation: a name out of `ACTIVATIONS` or a function from Value to Value.

        >>> from glassgrad.nn import Neuron
        >>> Neuron(2), Neuron(2, nonlin=False), Neuron(2, activation="tanh")
        (ReLUNeuron(2), LinearNeuron(2), TanhNeuron(2))
    """

    nonlin = True  # for a subclass that sets w and b itself, as it may in micrograd
    _function: Callable[[Value], Value] = staticmethod(Value.relu)

    def __init__(self, nin: SupportsIndex, nonlin: bool = True, activation: Activation = "relu") -> None:
        self.w = [Value(random.uniform(-1, 1), name) for name in _weight_names(_size("Neuron", "nin", nin))]
        self.b = Value(0, "b")
        if not isinstance(nonlin, bool | int) and not is_numpy_bool(nonlin):
            raise ModelError(f"nonlin is True or False, got {shown(nonlin)}; an activation goes by activation=")
        self.nonlin = bool(nonlin)
        self.activation = activation

    @property
    def activation(self) -> Activation:
        """A name out of `ACTIVATIONS` or a function from Value to Value; may be changed at any time."""
        return vars(self).get("activation", "relu")  # type: ignore[no-any-return]

    @activation.setter
    def activation(self, activation: Activation) -> None:
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ModelError(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}, nor a function")
        if not isinstance(activation, str) and not callable(activation):
            raise ModelError(f"activation takes a name or a function, got {shown(activation)}")
        vars(self)["activation"] = activation  # where parameters are looked for: it may be a Module that has some
        self._function = getattr(Value, activation, Value.__pos__) if isinstance(activation, str) else activation

    def __call__(self, x: Iterable[Any]) -> Value:
        """The neuron's output for one row of inputs: numbers, Values or both."""
        if type(x) is not list:
            x = _inputs(x, len(self.w), f"Neuron({len(self.w)})")
        try:
            act: Value = dot(self.w, x) + self.b
        except OperandError:
            _inputs(x, len(self.w), f"Neuron({len(self.w)})")  # is it the number of inputs?
            raise
        return self._function(act) if self.nonlin else act

    def __repr__(self) -> str:
        """micrograd's repr: what the neuron does and its number of inputs."""
        kind = self.activation if self.nonlin else "linear"
        name = ACTIVATIONS[kind] if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
        return f"{name}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons that see the same `nin` inputs; further arguments go to each `Neuron`.

        >>> from glassgrad.nn import Layer
        >>> Layer(3, 2, activation="tanh")
        Layer of [TanhNeuron(3), TanhNeuron(3)]
    """  # fmt: skip

    def __init__(self, nin: SupportsIndex, nout: SupportsIndex, **kwargs: Any) -> None:
        self.neurons = [Neuron(nin, **kwargs) for _ in range(_size("Layer", "nout", nout))]

    def __call__(self, x: Iterable[Any]) -> Any:  # micrograd's: which of the two it is depends on a number
        """The outputs for one row of inputs: a list of Values, or the Value itself if there is one neuron."""
        return self._forward(self._row(x))

    def _forward(self, row: list[Value]) -> Any:
        out = call_each(self.neurons, _scopes(self, "neuron", self.neurons), row)
        return out[0] if len(out) == 1 else out

    def _row(self, x: Any, place: str = "") -> list[Value]:
        """The inputs as Values: one constant for each plain number, shared by all neurons, is one box in a picture."""
        weights = getattr(self.neurons[0], "w", None)  # a subclass may have neurons of its own
        nin = None if weights is None else len(weights)
        row = _inputs(x, nin, f"{place}Layer({nin}, {len(self.neurons)})")
        return [v if isinstance(v, Value) else Value(v, requires_grad=False) for v in row]

    def __repr__(self) -> str:
        """micrograd's repr."""
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):
    """A multi-layer perceptron: one `Layer` for each number in `nouts`, the last one linear.

    Arguments:
        nin: number of inputs.
        nouts: sizes of the layers, in any iterable.
        activation: that of all layers but the last, as for `Neuron`.

        >>> import random
        >>> from glassgrad.nn import MLP
        >>> random.seed(1337)
        >>> model = MLP(2, [16, 16, 1])
        >>> len(model.parameters()), round(model([0.5, -1.0]).data, 4)
        (337, -0.6662)
    """

    def __init__(self, nin: SupportsIndex, nouts: Iterable[SupportsIndex], activation: Activation = "relu") -> None:
        sizes = _sizes(nin, nouts)
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != len(sizes) - 2, activation=activation)
            for i in range(len(sizes) - 1)
        ]

    def __call__(self, x: Iterable[Any]) -> Any:  # as Layer's
        """The outputs for one row of inputs: a list of Values, or the Value itself if the last layer has one."""
        if isinstance(self.layers[0], Layer):
            x = self.layers[0]._row(x, "layers.0: ")  # here, so that inputs lie outside of every layer's scope
        for layer, place in zip(self.layers, _scopes(self, "layer", self.layers), strict=True):
            row: Any = [x] if isinstance(x, Value) else x if type(x) is list else list(x)
            with place:  # a hidden layer's inputs are Values already: nothing to convert
                x = layer._forward(row) if type(layer) is Layer else layer(row)
        return x

    def __repr__(self) -> str:
        """micrograd's repr."""
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


# ---- what the classes share ----------------------------------------------------------------------------------------


def _members(item: Any) -> Iterable[tuple[Any, Any]]:
    """Names and contents of a Module or container; nothing for anything else."""
    if isinstance(item, Module):
        return vars(item).items()
    if isinstance(item, (list, tuple)):
        return enumerate(item)
    if isinstance(item, Mapping):
        return item.items()
    if getattr(getattr(item, "dtype", None), "kind", "") == "O" and hasattr(item, "tolist"):
        return enumerate([item.tolist()] if item.ndim == 0 else item.tolist())
    return ()


def _joined(path: KeyPath) -> str:
    """The name that a path spells."""
    keys: list[str] = []
    while path:
        path, key = path
        keys.append(str(key))
    return ".".join(reversed(keys))


def _inputs(x: Any, nin: int | None, owner: str) -> list[Any]:
    """The inputs as a list of length `nin`, of any length where that is None."""
    if type(x) is not list:
        if isinstance(x, Value):
            raise ModelError(f"{owner} takes a row of {nin} inputs, got one Value; write [x]")
        if hasattr(x, "tolist"):
            x = x.tolist()  # a NumPy row gives Python floats, an object row its Values
        if isinstance(x, (str, bytes)) or not isinstance(x, Iterable):
            raise ModelError(f"{owner} takes a row of {nin} inputs, got {shown(x)}; write [x]")
        x = list(x)
    if x and isinstance(x[0], (list, tuple)):
        raise ModelError(f"{owner} takes one row of {nin} inputs, got {len(x)} rows; write [model(row) for row in x]")
    if nin is not None and len(x) != nin:
        raise ModelError(f"{owner} takes {nin} inputs, got {len(x)}")
    return x  # type: ignore[no-any-return]


def _scopes(module: Module, name: str, parts: list[Any]) -> list[scope]:
    """One scope for each of the parts: made once, since making one costs three times as much as entering it."""
    scopes: list[scope] = vars(module).get("_scopes", [])
    if len(scopes) != len(parts):
        vars(module)["_scopes"] = scopes = [scope(f"{name}{i}") for i in range(len(parts))]
    return scopes


def _sizes(nin: SupportsIndex, nouts: Any) -> list[int]:
    if isinstance(nouts, (str, bytes)) or not isinstance(nouts, Iterable):
        raise ModelError(f"MLP takes the sizes of its layers as a list, got {shown(nouts)}; write MLP({nin}, [16, 1])")
    sizes = [_size("MLP", "nin", nin), *(_size("MLP", "nouts", n) for n in nouts)]
    if len(sizes) == 1:
        raise ModelError(f"MLP needs at least one layer, got nouts={shown(nouts)}; write MLP({nin}, [16, 1])")
    return sizes


@functools.lru_cache(maxsize=16)  # neurons side by side share the strings: 4 MB less for 784 inputs and 100 neurons
def _weight_names(nin: int) -> tuple[str, ...]:
    return tuple([f"w{i}" for i in range(nin)])


def _size(owner: str, name: str, n: Any) -> int:
    try:
        size = operator.index(n)
    except TypeError:
        raise OperandError(f"{owner}: {name} must be an integer, got {shown(n)}") from None
    if size < 1:
        raise ModelError(f"{owner}: {name} must be at least 1, got {size}")
    return size


def _some(items: list[str]) -> str:
    return _listed([item if len(item) <= 80 else f"{item[:77]}..." for item in items], ", ")


def _listed(items: list[str], separator: str) -> str:
    """The first few of the items, and how many more there are."""
    return separator.join(items[:8]) + (f" and {len(items) - 8} more" if len(items) > 8 else "")


def _is_finite(x: object) -> bool:
    """Whether x is a real number (bool and text are not) that a float can hold."""
    try:
        return isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x)
    except OverflowError:  # an int beyond every float
        return False


# ---- files ---------------------------------------------------------------------------------------------------------


def _write_atomically(path: str | os.PathLike[str], text: str) -> None:
    if not can_replace(path):  # a rename would put a file in place of /dev/null itself
        raise StateError(
            f"cannot save to {os.fspath(path)!r}: it is a folder, pipe or device, which a file would replace; "
            "name a file, or write json.dumps(model.state_dict()) there yourself"
        )
    write_whole(path, text.encode())


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The parameters in a model file, which is checked as far as that can be done without the model."""
    raw = Path(path).read_bytes()
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # ValueError covers JSON, UTF-8 and StateError
        raise StateError(f"not a model file, or a damaged one: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError(f'not a model file: "format" must be "{FORMAT}"')
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        raise StateError(f'"version" of the model file must be {VERSION} for this glassgrad, got {shown(version)}')
    parameters = content.get("parameters")
    if not isinstance(parameters, dict):
        raise StateError('a damaged model file: "parameters" must be an object of names and numbers')
    return parameters


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if any(key == k for k, _ in pairs[:i]))
        raise StateError(f"{twice!r} appears twice")
    return content


def _no_constant(name: str) -> float:
    raise StateError(f"{name} is not a number that JSON has")
