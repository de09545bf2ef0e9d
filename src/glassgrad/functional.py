"""Derivatives of functions: `grad`, `jacobian`, `hessian` and their relatives; and of Values: `gradients`.

A transform makes an input of every number it differentiates by, runs the function once, and takes the derivatives from
what was recorded: `if`, `while`, recursion and closures are all fine. Functions take and return trees of numbers (see
`trees`), and so do their derivatives.

- **Numbers in, numbers out; Values in, Values out.** Of numbers, derivatives are floats, read off graph or `tape`.
  With a Value among the arguments, or where the result depends on others that require a gradient (a model's weights,
  inputs of another transform), it is a Value, and so are its derivatives: `symbolic` makes them, to be differentiated
  again.
- Each call has inputs of its own, so nested transforms do not mix theirs up. One that fails leaves nothing behind.
- No `grad` changes: neither of a model's weights that the function uses, nor of Values among the arguments.
- With `no_grad` around it, a transform gives numbers for numbers, constants for Values; inside the function `no_grad`
  means what it always does.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, overload

from . import modes, sparsity, symbolic, trees
from .engine import Value
from .errors import GlassgradError, OperandError, shown
from .run import Argnums, Function, Run, as_results, as_values, counted, positions, refuse_unused, title
from .tape import Tape

T = TypeVar("T")
COLOURS = 256  # in one go: their sums take 2 kB for each result

__all__ = ["grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]


# ---- of Values -----------------------------------------------------------------------------------------------------


def gradients(outputs: Any, inputs: T, seeds: Any = None, *, strict: bool = False) -> T:
    """The derivative by each input of the sum of the outputs, as Values, to be differentiated again.

    Arguments:
        outputs: a Value or a tree of them.
        inputs: a Value or a tree of them, also results of operations.
        seeds: what each output is multiplied with, numbers or Values in the structure of `outputs`; 1 if left out.
        strict: whether an input that no output depends on is an error; otherwise the derivative by it is 0.

    Returns:
        a Value in the place of each input. No `grad` changes.

    Raises:
        OperandError: an input is no Value, or an output is neither a Value nor a number.
        GraphError: an operation written by hand is on the way, or, with `strict`, there is no way at all.
        NonFiniteError: a derivative is infinite.

    Example:
        >>> x = Value(2.0)
        >>> slope = gradients(x**3, x)
        >>> slope.data, gradients(slope, x).data
        (12.0, 12.0)
    """
    modes.guard("gradients()", None)
    variables, structure = trees.flatten(inputs)
    for i, x in enumerate(variables):
        if not isinstance(x, Value):
            raise OperandError(
                f"gradients: inputs{structure.path(i)} is {shown(x)}, and derivatives are by Values: make it one, "
                "before the outputs are computed from it, or use grad(f)"
            )
    results, made = trees.flatten(outputs)
    trees.scalars(results, lambda i: f"gradients: outputs{made.path(i)}")
    weights: list[Any] = [1.0] * len(results)
    if seeds is not None:
        weights, _ = trees.leaves_like(made, seeds, "gradients: seeds", "outputs")
    tape = Tape(as_values(results), variables, through=True)
    if strict:
        refuse_unused(tape, lambda i: f"gradients: no output depends on inputs{structure.path(i)}")
    return trees.rebuild(structure, as_values(symbolic.pull(tape, weights)))  # type: ignore[no-any-return]


# ---- of functions with one result ----------------------------------------------------------------------------------


def grad(f: Function, argnums: Argnums = 0, *, has_aux: bool = False, strict: bool = False) -> Function:
    """A function of the same arguments that gives the derivatives of `f`, which returns one scalar.

    Arguments:
        f: any function. Where its arguments have numbers to differentiate by it gets Values, in an array of objects
            for a NumPy array; all other arguments it gets as they are.
        argnums: which argument, by position, to differentiate by, or a tuple of some; -1 is the last.
        has_aux: whether `f` returns a pair: the scalar, and something to hand out as it is.
        strict: whether an input that the result does not depend on is an error; otherwise the derivative by it is 0.

    Returns:
        a function that gives the derivatives in the structure of the argument, or a tuple of such if argnums is one;
        with `has_aux` a pair of that and what `f` returned besides.

    Raises:
        OperandError: where it is called: an argument to differentiate by is missing or has something else than numbers
            in it, or `f` returns something else than one scalar.
        GraphError: with `strict`, the result does not depend on an input.
        NonFiniteError: a result or a derivative is undefined or infinite.

    Example:
        >>> grad(lambda x: x**3)(2.0)
        12.0
        >>> grad(grad(lambda x: x**3))(2.0)
        12.0
        >>> grad(lambda p: p["a"] * p["b"] ** 2)({"a": 1.0, "b": 3.0})
        {'a': 9.0, 'b': 6.0}
    """
    who = title("grad", f)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        run = Run(who, f, argnums, args, kwargs, has_aux)
        slopes = run.gradient(strict)
        return (slopes, run.aux) if has_aux else slopes

    return _named(gradient, who, "Its derivatives")


def value_and_grad(f: Function, argnums: Argnums = 0, *, has_aux: bool = False, strict: bool = False) -> Function:
    """A function of the same arguments that gives what `f` returns, one scalar, and its derivatives, as `grad` does.

    Arguments:
        f, argnums, has_aux, strict: as in `grad`.

    Returns:
        a function that gives a pair (value, derivatives); with `has_aux`, ((value, aux), derivatives).

    Raises:
        OperandError, GraphError, NonFiniteError: as in `grad`.

    Example:
        >>> value_and_grad(lambda x: x**3)(2.0)
        (8.0, 12.0)
    """
    who = title("value_and_grad", f)

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        run = Run(who, f, argnums, args, kwargs, has_aux)
        slopes = run.gradient(strict)
        value = run.leaves(run.outputs)[0]
        return ((value, run.aux) if has_aux else value), slopes

    return _named(value_and_gradient, who, "Its value and its derivatives")


def hessian(
    f: Function, argnums: Argnums = 0, *, has_aux: bool = False, sparse: bool = False, strict: bool = False
) -> Function:
    """A function of the same arguments that gives the second derivatives of `f`, which returns one scalar.

    The pattern of the matrix is found from the graph and its columns are coloured, so a banded Hessian costs as many
    sweeps as its band is wide, whatever its size. It is exactly symmetric.

    Arguments:
        f, argnums, has_aux, strict: as in `grad`.
        sparse: whether to give a `scipy.sparse.csr_array`, with all inputs in a row.

    Returns:
        a function that gives the structure of the argument, with that structure again in the place of each number;
        a NumPy array of shape S gives one of shape S + S.

    Raises:
        OperandError, GraphError, NonFiniteError: as in `grad`; an operation written by hand has no second derivative.

    Example:
        >>> hessian(lambda x: x[0] ** 2 * x[1])([1.0, 2.0])
        [[4.0, 2.0], [2.0, 0.0]]
    """
    who = title("hessian", f)

    def second_derivatives(*args: Any, **kwargs: Any) -> Any:
        run = Run(who, f, argnums, args, kwargs, has_aux)
        tape = run.tape_of_slopes(strict)
        n = len(run.inputs)
        parts = run.numbers(tape, lambda: _symmetric_entries(tape))
        if sparse:
            if parts is None:
                raise _sparse_values(who)
            found = _csr(who, *parts, n)
        else:
            matrix = _symmetric(tape, n) if parts is None else run.leaves(_dense(*parts, n))
            found = trees.rebuild_matrix(run.by, run.by, matrix)
        return (found, run.aux) if has_aux else found

    return _named(second_derivatives, who, "Its second derivatives")


def hvp(f: Function, argnums: Argnums = 0, *, has_aux: bool = False, strict: bool = False) -> Function:
    """A function that gives the product of the Hessian of `f` with a vector, for the price of a few gradients.

    Arguments:
        f, argnums, has_aux, strict: as in `grad`.

    Returns:
        a function of the arguments of `f`, with the vector right after the one to differentiate by, in its structure:
        (x, v) for f(x), (x, v, a) for f(x, a). It gives the product in the structure of x. By several arguments the
        vector is a tuple, one part for each, right after the last of them: (x, y, (v, w)) for argnums=(0, 1).

    Raises:
        OperandError, GraphError, NonFiniteError: as in `hessian`.

    Example:
        >>> hvp(lambda x: x[0] ** 2 * x[1])([1.0, 2.0], [1.0, 0.0])
        [4.0, 2.0]
    """
    who = title("hvp", f)
    by = positions(argnums, who)
    places = (by,) if isinstance(by, int) else by
    if not places:
        raise OperandError(f"{who} differentiates by one argument at least: argnums is empty")
    shape = "(x, v)" if isinstance(by, int) else "(x, y, (v, w))"

    def product(*args: Any, **kwargs: Any) -> Any:
        n = len(args) - 1
        if not all(-n <= place < n for place in places):
            raise OperandError(
                f"{who} takes the vector right after argument {max(places)}, as in {shape}, but it was called with "
                f"{counted(len(args))}"
            )
        at = 1 + max(place % n for place in places)
        run = Run(who, f, by, (*args[:at], *args[at + 1 :]), kwargs, has_aux)
        like = f"argument {run.places[0]}" if isinstance(by, int) else "the tuple of the arguments"
        v, values = trees.leaves_like(run.by, args[at], f"{who}: the vector", like)
        found = trees.rebuild(run.by, run.push(run.tape_of_slopes(strict), v, values))
        return (found, run.aux) if has_aux else found

    return _named(product, who, "The product of its Hessian with a vector")


# ---- of functions with any results ---------------------------------------------------------------------------------


def jacobian(
    f: Function,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    sparse: bool = False,
    mode: Literal["forward", "reverse"] | None = None,
    strict: bool = False,
) -> Function:
    """A function of the same arguments that gives the derivative of each result of `f` by each input.

    Arguments:
        f, argnums, has_aux, strict: as in `grad`, but `f` returns any tree of scalars.
        sparse: whether to give a `scipy.sparse.csr_array`, with a row for each result and a column for each input. Its
            pattern is found from the graph, and columns or rows that do not overlap share a sweep.
        mode: sweep 'forward', once for each input, or 'reverse', once for each result; None chooses.

    Returns:
        a function that gives the structure of what `f` returns, with the structure of the argument in the place of each
        number; where both are NumPy arrays, of shapes S and T, it is one array of shape S + T.

    Raises:
        OperandError, GraphError, NonFiniteError: as in `grad`.

    Example:
        >>> jacobian(lambda x: [x[0] * x[1], x[0] + 3 * x[1]])([1.0, 2.0])
        [[2.0, 1.0], [1.0, 3.0]]
    """
    who = title("jacobian", f)
    if mode not in (None, "forward", "reverse"):
        raise OperandError(f"{who}: mode is 'forward', 'reverse' or None, not {shown(mode)}")

    def derivatives(*args: Any, **kwargs: Any) -> Any:
        run = Run(who, f, argnums, args, kwargs, has_aux)
        m, n = len(run.outputs), len(run.inputs)
        forward = n <= m if mode is None else mode == "forward"
        if strict:
            run.refuse_unused()
        tape = run.tape
        if sparse:
            starts, indices = tape.pattern()
            entries = run.numbers(tape, lambda: _entries(tape, starts, indices, n, mode))
            if entries is None:
                raise _sparse_values(who)
            found = _csr(who, starts, indices, entries, n)
        else:
            entries = run.numbers(tape, lambda: tape.jacobian(forward))
            matrix = _matrix(tape, m, n, forward) if entries is None else run.leaves(entries)
            found = trees.rebuild_matrix(run.made, run.by, matrix)
        return (found, run.aux) if has_aux else found

    return _named(derivatives, who, "Its derivatives")


@overload
def vjp(
    f: Function, *primals: Any, argnums: Sequence[int] | None = None, has_aux: Literal[False] = False
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]: ...
@overload
def vjp(
    f: Function, *primals: Any, argnums: Sequence[int] | None = None, has_aux: Literal[True]
) -> tuple[Any, Callable[[Any], tuple[Any, ...]], Any]: ...
@overload
def vjp(
    f: Function, *primals: Any, argnums: int, has_aux: Literal[False] = False
) -> tuple[Any, Callable[[Any], Any]]: ...
@overload
def vjp(f: Function, *primals: Any, argnums: int, has_aux: Literal[True]) -> tuple[Any, Callable[[Any], Any], Any]: ...
def vjp(f: Function, *primals: Any, argnums: Argnums | None = None, has_aux: bool = False) -> Any:
    """What `f` returns for these arguments, and the function that takes derivatives back through it.

    Arguments:
        f: any function.
        primals: the arguments.
        argnums: which of them, by position, to differentiate by, or a tuple of some; all if left out.
        has_aux: whether `f` returns a pair: a tree of scalars, and something to hand out as it is.

    Returns:
        (results, pullback), with `has_aux` (results, pullback, aux). pullback(cotangents) takes a number for each
        result, in their structure, and gives the derivatives of the sum of the results, each times its number: a tuple
        with one tree for each argument, or, where argnums is one position, that tree. It may be called many times.

    Raises:
        OperandError, GraphError, NonFiniteError: as in `grad`.

    Example:
        >>> results, pullback = vjp(lambda x, y: [x * y, x + y], 2.0, 3.0)
        >>> results, pullback([1.0, 0.0]), pullback([0.0, 1.0])
        ([6.0, 5.0], (3.0, 2.0), (1.0, 1.0))
    """
    who = title("vjp", f)
    run = Run(who, f, range(len(primals)) if argnums is None else argnums, primals, {}, has_aux)
    results = trees.rebuild(run.made, run.leaves(run.outputs))

    def pullback(cotangents: Any) -> Any:
        seeds, values = trees.leaves_like(run.made, cotangents, f"{who}: the cotangent", f"the result of {run.name}")
        return trees.rebuild(run.by, run.pull(seeds, values))

    return (results, pullback, run.aux) if has_aux else (results, pullback)


@overload
def jvp(
    f: Function, primals: Any, tangents: Any, *, argnums: Argnums | None = None, has_aux: Literal[False] = False
) -> tuple[Any, Any]: ...
@overload
def jvp(
    f: Function, primals: Any, tangents: Any, *, argnums: Argnums | None = None, has_aux: Literal[True]
) -> tuple[Any, Any, Any]: ...
def jvp(f: Function, primals: Any, tangents: Any, *, argnums: Argnums | None = None, has_aux: bool = False) -> Any:
    """What `f` returns for these arguments, and how fast that changes where they move: forward mode.

    Arguments:
        f: any function.
        primals: a tuple of the arguments.
        tangents: a tuple of their velocities, in the same structure; with `argnums`, of those that move.
        argnums: which arguments move, by position, or a tuple of some; all if left out. Of one position the velocity
            is no tuple.
        has_aux: whether `f` returns a pair: a tree of scalars, and something to hand out as it is.

    Returns:
        (results, velocities of the results), with `has_aux` and aux.

    Raises:
        OperandError, GraphError, NonFiniteError: as in `grad`.

    Example:
        >>> jvp(lambda x, y: [x * y, x + y], (2.0, 3.0), (1.0, 0.0))
        ([6.0, 5.0], [3.0, 1.0])
    """
    who = title("jvp", f)
    primals = _as_tuple(primals, f"{who}: primals")
    by = tuple(range(len(primals))) if argnums is None else positions(argnums, who)
    if not isinstance(by, int):
        tangents = _as_tuple(tangents, f"{who}: tangents")
    run = Run(who, f, by, primals, {}, has_aux)
    v, values = trees.leaves_like(run.by, tangents, f"{who}: tangents", "primals")
    velocities = trees.rebuild(run.made, run.push(run.tape, v, values))
    results = trees.rebuild(run.made, run.leaves(run.outputs))
    return (results, velocities, run.aux) if has_aux else (results, velocities)


# ---- what the transforms share -------------------------------------------------------------------------------------


def _named(function: Function, name: str, what: str) -> Function:
    """The function with a name and a docstring to be known by."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{what}; see `glassgrad.{name.partition('(')[0]}`."
    return function


def _as_tuple(given: Any, what: str) -> tuple[Any, ...]:
    """Arguments, or what belongs to each of some."""
    if not isinstance(given, tuple | list):
        raise OperandError(f"{what} is a tuple with one entry for each argument, as in (x,), not {shown(given)}")
    return tuple(given)


def _unit(i: int, n: int) -> list[float]:
    return [float(i == j) for j in range(n)]


def _matrix(tape: Tape, m: int, n: int, forward: bool) -> list[Value]:
    """The derivative of each of m outputs by each of n inputs, row by row, as Values."""
    table = symbolic.Table(tape.nodes)
    if forward:
        columns = [symbolic.push(tape, _unit(j, n), table) for j in range(n)]
        return as_results([column[i] for i in range(m) for column in columns])
    return as_results([x for i in range(m) for x in symbolic.pull(tape, _unit(i, m), table)])


def _symmetric(tape: Tape, n: int) -> list[Any]:
    """The same for a symmetric matrix: what is right of the diagonal stands below it too."""
    entries: list[Any] = [None] * (n * n)
    table = symbolic.Table(tape.nodes)
    for i in range(n):
        row = as_results(symbolic.pull(tape, _unit(i, n), table)[i:])
        entries[i * n + i : i * n + n] = entries[i * n + i :: n] = row
    return entries


def _symmetric_entries(tape: Tape) -> tuple[array[int], array[int], array[float]]:
    """The pattern of a symmetric matrix, and its entries."""
    starts, indices = sparsity.symmetrized(*tape.pattern())
    colours, used = sparsity.star_colour(starts, indices)
    sums = tape.compressed(colours, used, True)
    return starts, indices, sparsity.recover_symmetric(starts, indices, colours, used, sums)


def _entries(tape: Tape, starts: array[int], indices: array[int], n: int, mode: str | None) -> array[float]:
    """The entries of a sparse matrix with n columns, in the order of its pattern."""
    colours, used, by_column = sparsity.colour(starts, indices, n, mode)
    entries = array("d", [0.0]) * len(indices)
    for base in range(0, used, COLOURS):  # a full row and a full column take as many colours as there are columns
        groups = array("i", [c - base for c in colours])
        count = min(COLOURS, used - base)
        sums = tape.compressed(groups, count, by_column)
        sparsity.recover(starts, indices, n, groups, count, by_column, sums, entries)
    return entries


def _dense(starts: array[int], indices: array[int], entries: array[float], n: int) -> array[float]:
    """A square matrix row by row, from the entries of its pattern."""
    found = array("d", [0.0]) * (n * n)
    for i in range(n):
        for at in range(starts[i], starts[i + 1]):
            found[i * n + indices[at]] = entries[at]
    return found


def _csr(who: str, starts: array[int], indices: array[int], entries: array[float], n: int) -> Any:
    """A sparse matrix of SciPy with n columns, from the entries of its pattern."""
    try:
        import numpy as np
        from scipy import sparse
    except ImportError:
        raise GlassgradError(f"{who} needs SciPy for sparse=True: pip install 'glassgrad[sparse]'") from None
    parts = (np.array(entries), np.array(indices, dtype=np.int32), np.array(starts, dtype=np.int32))
    return sparse.csr_array(parts, shape=(len(starts) - 1, n))


def _sparse_values(who: str) -> OperandError:
    return OperandError(
        f"{who}: sparse=True gives numbers, and here derivatives are Values, since the function is given Values or "
        "uses some that require a gradient: call it inside `with no_grad():`, which gives numbers, or leave sparse out"
    )
