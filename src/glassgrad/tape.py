"""A recorded graph as a tape: flat arrays that hold its derivative, one linear map, at the point it was computed at.

A tape has what depends on some inputs and nothing else: for each such node its operands among them, and the derivative
by each. Sweeping over it back gives vector-Jacobian products, sweeping forward gives Jacobian-vector products, for
eight directions at once where many are wanted; no Value is touched, so no `grad` changes. `symbolic` goes over the same
tape with rules in place of numbers.

What holds here, in both builds of this file:

- Nothing recurses, every sweep is linear in the tape, and gradients of exactly zero are passed on as zero.
- A derivative that is infinite where it counts raises what `backward()` raises.
- An operation written by hand is asked once for its derivatives: its `_backward` runs with the gradient 1, and every
  `grad` is put back.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

try:
    import cython
except ImportError:
    from . import _cython as cython

from . import engine, flat, modes, rules, sweep
from .engine import Value
from .errors import GraphError, NonFiniteError, named
from .modes import Info
from .sweep import Nodes

FEW = 64  # inputs: their sets cost less than walks from each output
LANES = 8  # directions in one sweep: what two or four vector registers hold
ZERO = array("d", [0.0])
INDEX = array("i", [0])
NONE = array("i", [-1])
ONE = 1  # as an object: C's has no room for the 64th input
OUTSIDE = -1  # the number of a node that does not depend on the inputs
INPUT = -2  # the number of an operation that is an input, before it has one


# ---- inputs --------------------------------------------------------------------------------------------------------


def variable(x: Value | float) -> Value:
    """An input to differentiate by, as long as it is not released: a leaf, or a node of its own on top of a Value.

    On top of it, so that the derivative by this input leaves out other uses of the same Value.
    """
    out: Value
    if isinstance(x, Value) and cython.cast(Value, x)._flags & engine.REQUIRES_GRAD:
        out = engine.unary(x, rules.IDENTITY, rules.identity, rules.identity_dx)
    else:
        out = engine.new(rules.LEAF, engine.REQUIRES_GRAD | engine.PLAIN, engine.plain(x))
    out._flags |= engine.ACTIVE
    return out


def release(variables: list[Value]) -> None:
    """Say that nobody differentiates by these any more."""
    for node in variables:
        node._flags &= ~engine.ACTIVE


def captured(results: list[Value], inputs: list[Value], depth: int) -> list[Value]:
    """The Values besides these inputs from which results were computed at a depth: those that were there before."""
    found, todo = Nodes(), Nodes()
    held: list[Value] = []
    none = cython.cast("Node *", None)
    with sweep._one_at_a_time:
        seen = sweep.new_stamp()
        for x in inputs:
            x._stamp = seen
        for x in reversed(results):
            todo.append(cython.cast("Node *", x))
        while todo.count:
            todo.count -= 1
            node = todo.items[todo.count]
            if node._stamp == seen or not node._flags & engine.REQUIRES_GRAD:
                continue
            node._stamp = seen
            if node._code == rules.LEAF or node._flags & engine.DEPTH != depth or node._flags & engine.ACTIVE:
                found.append(node)
                continue
            if node._a is none and node._b is none:
                sweep.add_many(cython.cast(Value, node), todo)
            if node._b is not none:
                todo.append(node._b)
            if node._a is not none:
                todo.append(node._a)
        found.copy_to(held)
    return held


# ---- the tape ------------------------------------------------------------------------------------------------------


@cython.final
@cython.cclass
class Tape:
    """The derivative of `outputs` by `inputs`, Values both.

    What lies below an input is left out, unless `through` says that one input may lie below another: its derivative
    then counts all ways, also those through the other. With `every` it has all that requires a gradient.

    Attributes:
        nodes: what depends on an input, operands first; a node's place in this list is its number here.
        open: whether the outputs, or their derivatives, also depend on Values besides the inputs that somebody may
            differentiate by. That a way back uses such Values shows when it is asked: in `pull` and `push`.
    """

    __slots__ = (
        "calls", "edges", "every", "finite", "first", "ins", "nodes", "open", "outs", "partials", "places", "sources",
    )  # fmt: skip

    def __init__(
        self, outputs: Iterable[Value], inputs: Iterable[Value], through: bool = False, every: bool = False
    ) -> None:
        self.nodes: list[Value] = []
        self.open = False
        self.every = every
        self.finite = modes.current().allow_nonfinite == 0  # whether a derivative that is not finite is an error
        roots, variables = list(outputs), list(inputs)
        self.outs = NONE * len(roots)  # numbers; -1 for an output that depends on no input
        self.ins = NONE * len(variables)  # and for an input that no output depends on
        self.first = INDEX * 1  # node k has the edges first[k] to first[k + 1]
        self.sources = INDEX * 1  # an edge's operand: its number
        self.places = INDEX * 1  # its place among the operands
        self.partials = ZERO * 1  # the derivative by it
        self.edges = 0
        self.calls: dict[int, Value] = {}  # functions that say themselves how derivatives go through them, and results
        with sweep._one_at_a_time:
            if through:
                self.record(roots, variables)
            else:
                self.record_down_to(roots, variables)

    def record_down_to(self, outputs: list[Value], inputs: list[Value]) -> None:
        """Record what is above the inputs: they pass for leaves meanwhile."""
        codes = [node._code for node in inputs]
        try:
            for node in inputs:
                node._code = rules.LEAF
            self.record(outputs, inputs)
        finally:
            for i in range(len(inputs)):
                node = inputs[i]
                node._code = codes[i]

    def record(self, outputs: list[Value], inputs: list[Value]) -> None:
        order, leaves = Nodes(), Nodes()
        held: list[Value] = []
        grads = ZERO * 1
        by_hand: dict[int, list[tuple[Value, float]]] = {}
        seen = sweep.order_below(outputs, order, leaves, held, None, False)
        if seen:
            sweep.refuse_cycle(held, seen)
            for node in held:
                if node._code == rules.CUSTOM:
                    by_hand[id(node)] = derivatives_by_hand(node)
        edges = count_edges(order)
        if edges + order.count + leaves.count > 0x7FFFFFFF:
            raise GraphError(f"a tape has room for 2,147,483,647 entries, not for a graph of {order.count} operations")
        grads *= order.count + leaves.count  # in place: new arrays would be watched by the garbage collector
        self.first *= order.count + leaves.count + 1
        self.sources *= edges
        self.places *= edges
        self.partials *= edges
        if outputs:
            self.number(order, leaves, outputs, inputs, by_hand, modes.doubles(grads), {})

    def number(
        self,
        order: Nodes,
        leaves: Nodes,
        outputs: list[Value],
        inputs: list[Value],
        by_hand: dict[int, list[tuple[Value, float]]],
        grads: array[float],
        numbers: dict[int, float],
    ) -> None:
        """Number the nodes that depend on an input, and note their operands.

        Compiled, a node's number stands where its gradient does, which is in `grads` meanwhile: no Python code runs,
        and nothing is made that the garbage collector watches.
        """
        root = outputs[0]
        stamp = root._stamp  # every node of this walk has it
        first, ins, outs = ints(self.first), ints(self.ins), ints(self.outs)
        none = cython.cast("Node *", None)
        for i in range(leaves.count):
            node = leaves.items[i]
            grads[order.count + i] = node._grad
            set_number(node, OUTSIDE, numbers)
        for i in range(order.count):
            node = order.items[i]
            grads[i] = node._grad
            set_number(node, OUTSIDE, numbers)
        try:
            for variable in inputs:
                node = cython.cast("Node *", variable)
                if node._stamp == stamp and number_of(node, numbers) == OUTSIDE:
                    if node._code == rules.LEAF and node._flags & engine.REQUIRES_GRAD:
                        set_number(node, len(self.nodes), numbers)
                        self.nodes.append(cython.cast(Value, node))
                    elif node._code != rules.LEAF:
                        set_number(node, INPUT, numbers)
            for i in range(leaves.count):
                node = leaves.items[i]
                if number_of(node, numbers) == OUTSIDE and sweep.is_trained(node):
                    self.open = True
                if self.every and node._flags & engine.REQUIRES_GRAD:
                    set_number(node, len(self.nodes), numbers)
                    self.nodes.append(cython.cast(Value, node))
            for i in range(order.count):
                node = order.items[i]
                before = self.edges
                if node._code == rules.CUSTOM:
                    for operand, partial in by_hand[id(cython.cast(Value, node))]:
                        self.edge(cython.cast("Node *", operand), 0, partial, numbers)
                elif node._a is none and node._b is none:
                    self.edges_of_many(cython.cast(Value, node), numbers)
                else:
                    if node._a is not none:
                        self.edge(node._a, 0, node._da, numbers)
                    if node._b is not none:
                        self.edge(node._b, 1, node._db, numbers)
                wanted = self.edges > before or number_of(node, numbers) == INPUT
                if node._flags & engine.REQUIRES_GRAD if self.every else wanted:
                    if self.edges > before and node._code in (rules.CALL, rules.PICK):
                        self.calls[len(self.nodes)] = cython.cast(Value, node)
                    set_number(node, len(self.nodes), numbers)
                    self.nodes.append(cython.cast(Value, node))
                    first[len(self.nodes)] = self.edges
            for i in range(len(outputs)):
                outs[i] = cython.cast(cython.Py_ssize_t, number_of(cython.cast("Node *", outputs[i]), numbers))
            for i in range(len(inputs)):
                node = cython.cast("Node *", inputs[i])
                ins[i] = cython.cast(cython.Py_ssize_t, number_of(node, numbers)) if node._stamp == stamp else -1
        finally:
            if cython.compiled:
                for i in range(order.count):
                    order.items[i]._grad = grads[i]
                for i in range(leaves.count):
                    leaves.items[i]._grad = grads[order.count + i]

    def edge(self, operand: Value, place: int, partial: float, numbers: dict[int, float]) -> None:
        """Note one operand of the node that is next, if it depends on an input."""
        number = number_of(operand, numbers)
        if number >= 0:
            ints(self.sources)[self.edges] = cython.cast(cython.Py_ssize_t, number)
            ints(self.places)[self.edges] = place
            modes.doubles(self.partials)[self.edges] = partial
            self.edges += 1

    def edges_of_many(self, node: Value, numbers: dict[int, float]) -> None:
        """The same for all of a node whose operands are in a tuple."""
        info = node._info
        if info is not None and info.operands is not None:
            partials = modes.doubles(info.partials)  # type: ignore[arg-type]  # operands have derivatives
            for i in range(len(info.operands)):
                if isinstance(info.operands[i], Value):
                    self.edge(cython.cast("Node *", info.operands[i]), i, partials[i], numbers)

    def keep(self, adjoints: array[float]) -> None:
        """Add them to the gradients of leaves; all other nodes get them in place of their own."""
        totals = modes.doubles(adjoints)
        for k in range(len(self.nodes)):
            node: Value = self.nodes[k]
            if node._away:  # what was asked on the way may have called a compiled function
                flat.home(node)
            if node._code == rules.LEAF:
                grad = totals[k]
                totals[k] += node._grad
                if self.finite and totals[k] - totals[k] != 0.0 and grad - grad == 0.0 == node._grad - node._grad:
                    raise NonFiniteError(f"backward() takes the gradient of {named(node)} beyond the largest float")
        for k in range(len(self.nodes)):
            node = self.nodes[k]
            node._grad = totals[k]
            node._flags |= engine.HAS_GRAD

    # -- sweeps

    def reached(self) -> list[bool]:
        """For each input, whether any output depends on it."""
        return [number >= 0 for number in self.ins]

    def pull(self, seeds: array[float]) -> array[float]:
        """The derivative by each input of the outputs' sum, each output times its seed: a sweep back."""
        used: list[Value] = []
        room = self.adjoints(seeds, used)
        if used and not self.open:
            self.open = sweep.is_open(used)
        found = ZERO * len(self.ins)
        results, adjoints, ins = modes.doubles(found), modes.doubles(room), ints(self.ins)
        for j in range(len(self.ins)):
            if ins[j] >= 0:
                results[j] = adjoints[ins[j]]
        return found

    def adjoints(self, seeds: array[float], used: list[Value]) -> array[float]:
        """The same by each node. Values that a CALL gives are noted in `used`."""
        room = ZERO * len(self.nodes)
        adjoints, weights, partials = modes.doubles(room), modes.doubles(seeds), modes.doubles(self.partials)
        first, sources, outs = ints(self.first), ints(self.sources), ints(self.outs)
        calls = bool(self.calls)
        waiting: dict[int, dict[int, float]] = {}
        for i in range(len(self.outs)):
            if outs[i] >= 0:
                adjoints[outs[i]] += weights[i]
        for k in range(len(self.nodes) - 1, -1, -1):
            g = adjoints[k]
            if calls and k in self.calls:
                self.pull_call(k, adjoints, waiting, used)
            elif g != 0.0:
                for e in range(first[k], first[k + 1]):
                    total = adjoints[sources[e]] + g * partials[e]
                    if total - total != 0.0:
                        self.refuse(k, e, g, adjoints[sources[e]])
                    adjoints[sources[e]] = total
        return room

    def push(self, tangents: array[float]) -> array[float]:
        """The derivative of each output where the inputs move with these velocities: a sweep forward."""
        room = ZERO * len(self.nodes)
        velocities, starts, partials = modes.doubles(room), modes.doubles(tangents), modes.doubles(self.partials)
        first, sources, ins, outs = ints(self.first), ints(self.sources), ints(self.ins), ints(self.outs)
        for j in range(len(self.ins)):
            if ins[j] >= 0:
                velocities[ins[j]] += starts[j]
        calls = bool(self.calls)
        waiting: dict[int, list[float]] = {}
        used: list[Value] = []
        for k in range(len(self.nodes)):
            if calls and k in self.calls:
                self.push_call(k, velocities, waiting, used)
                continue
            for e in range(first[k], first[k + 1]):
                if velocities[sources[e]] != 0.0 and partials[e] != 0.0:
                    velocities[k] += velocities[sources[e]] * partials[e]
        if used and not self.open:
            self.open = sweep.is_open(used)
        found = ZERO * len(self.outs)
        results = modes.doubles(found)
        for i in range(len(self.outs)):
            if outs[i] >= 0:
                results[i] = velocities[outs[i]]
                if self.finite and results[i] - results[i] != 0.0:
                    self.refuse_forward(outs[i], velocities)
        return found

    def pull_call(
        self, k: int, adjoints: array[float], waiting: dict[int, dict[int, float]], used: list[Value]
    ) -> None:
        """A sweep back at a CALL, or at a PICK: one of its results, whose adjoint waits for those of the others."""
        node: Value = self.calls[k]
        info: Info = node._info  # type: ignore[assignment]
        first, sources, places = ints(self.first), ints(self.sources), ints(self.places)
        if node._code == rules.PICK:
            if adjoints[k] != 0.0:
                waiting.setdefault(sources[first[k]], {})[info.rule.index] = adjoints[k]
        else:
            seeds = waiting.pop(k, {0: adjoints[k]} if adjoints[k] != 0.0 else {})
            grads = info.rule.pull(info.operands, seeds) if seeds else [0.0] * len(info.operands)  # type: ignore[arg-type]
            for e in range(first[k], first[k + 1]):
                grad = sweep.number_of(grads[places[e]], used)
                total = adjoints[sources[e]] + grad
                if self.finite and total - total != 0.0:
                    raise sweep.call_not_differentiable(node, grad)
                adjoints[sources[e]] = total

    def push_call(self, k: int, velocities: array[float], waiting: dict[int, list[float]], used: list[Value]) -> None:
        """The same for a sweep forward: the velocities of all results wait for theirs."""
        node: Value = self.calls[k]
        info: Info = node._info  # type: ignore[assignment]
        first, sources, places = ints(self.first), ints(self.sources), ints(self.places)
        if node._code == rules.PICK:
            if sources[first[k]] in waiting:
                velocities[k] += waiting[sources[first[k]]][info.rule.index]
        else:
            tangents = [0.0] * len(info.operands)  # type: ignore[arg-type]
            for e in range(first[k], first[k + 1]):
                tangents[places[e]] = velocities[sources[e]]
            if any(tangents):
                waiting[k] = [sweep.number_of(x, used) for x in info.rule.push(info.operands, tangents)]
                for velocity in waiting[k]:
                    if self.finite and velocity - velocity != 0.0:
                        raise sweep.call_not_differentiable(node, velocity)
                if not info.rule.several:
                    velocities[k] += waiting[k][0]

    def refuse(self, k: int, e: int, g: float, before: float) -> None:
        """Raise an error for g times the derivative on an edge of node k, as `sweep.refuse_not_finite` does."""
        partial = self.partials[e]
        c = g * partial
        if self.finite and partial == partial and (c - c != 0.0 or before == before):
            node: Value = self.nodes[k]
            operand = self.nodes[self.sources[e]]
            raise sweep.not_differentiable(node, operand, g, partial)

    def refuse_forward(self, k: int, velocities: array[float]) -> None:
        """Raise the error for the velocity of node k, which is not finite, where that began.

        In a sweep forward an infinite velocity may still meet a derivative of 0, so only results count.
        """
        first, sources, partials = ints(self.first), ints(self.sources), modes.doubles(self.partials)
        e = first[k]
        while e < first[k + 1]:
            g = velocities[sources[e]]
            if g - g != 0.0 and partials[e] != 0.0:
                k = sources[e]  # it came from below
                e = first[k]
            elif g != 0.0 and g * partials[e] - g * partials[e] != 0.0:
                self.refuse(k, e, g, 0.0)
                break  # an undefined derivative, which is delivered
            else:
                e += 1
        else:
            if first[k] < e:  # the sum of finite terms overflowed
                self.refuse(k, e - 1, velocities[sources[e - 1]], 0.0)

    def jacobian(self, forward: bool) -> array[float]:
        """The derivative of every output by every input, row by row, through sweeps forward or back."""
        count = len(self.ins) if forward else len(self.outs)
        return self.compressed(array("i", range(count)), count, forward)

    def compressed(self, groups: array[int], count: int, forward: bool) -> array[float]:
        """The sums of columns (forward) or rows (back) that are in the same group, row by row.

        Arguments:
            groups: for each input (forward) or output (back) its group, from 0 to count - 1, or -1 for none.
            count: the number of groups.
            forward: which way to sweep, LANES groups at once.

        Returns:
            outputs by groups (forward) or groups by inputs (back).
        """
        m, n = len(self.outs), len(self.ins)
        if self.calls:
            return self.one_by_one(groups, count, forward)
        found = ZERO * (m * count if forward else count * n)
        room = ZERO * (LANES * len(self.nodes))
        results, lanes, into = modes.doubles(found), modes.doubles(room), ints(groups)
        starts, ends = (ints(self.ins), ints(self.outs)) if forward else (ints(self.outs), ints(self.ins))
        number_of_starts, number_of_ends = (n, m) if forward else (m, n)
        for base in range(0, count, LANES):
            width = min(LANES, count - base)
            for k in range(LANES * len(self.nodes)):
                lanes[k] = 0.0
            for i in range(number_of_starts):
                if starts[i] >= 0 and base <= into[i] < base + width:
                    lanes[LANES * starts[i] + into[i] - base] += 1.0
            if forward:
                self.sweep_forward(lanes)
            else:
                self.sweep_back(lanes)
            for i in range(number_of_ends):
                for lane in range(width):
                    x = lanes[LANES * ends[i] + lane] if ends[i] >= 0 else 0.0
                    if forward:
                        results[i * count + base + lane] = x
                    else:
                        results[(base + lane) * n + i] = x
        self.repair(found, groups, count, forward)
        return found

    def one_by_one(self, groups: array[int], count: int, forward: bool) -> array[float]:
        """The same with a sweep for each group, where a CALL is on the way."""
        found = ZERO * (len(self.outs) * count if forward else count * len(self.ins))
        for group in range(count):
            self.redo(found, groups, count, forward, group)
        return found

    def redo(self, found: array[float], groups: array[int], count: int, forward: bool, group: int) -> None:
        """Sweep for one group, with checks."""
        seeds = array("d", [float(g == group) for g in groups])
        if forward:
            found[group::count] = self.push(seeds)
        else:
            found[group * len(self.ins) : (group + 1) * len(self.ins)] = self.pull(seeds)

    def sweep_forward(self, lanes: array[float]) -> None:
        """Velocities in all lanes, without a check."""
        partials, first, sources = modes.doubles(self.partials), ints(self.first), ints(self.sources)
        for k in range(len(self.nodes)):
            for e in range(first[k], first[k + 1]):
                partial = partials[e]
                source = LANES * sources[e]
                for lane in range(LANES):
                    lanes[LANES * k + lane] += lanes[source + lane] * partial

    def sweep_back(self, lanes: array[float]) -> None:
        """Adjoints in all lanes, without a check."""
        partials, first, sources = modes.doubles(self.partials), ints(self.first), ints(self.sources)
        for k in range(len(self.nodes) - 1, -1, -1):
            for e in range(first[k], first[k + 1]):
                partial = partials[e]
                source = LANES * sources[e]
                for lane in range(LANES):
                    lanes[source + lane] += lanes[LANES * k + lane] * partial

    def repair(self, found: array[float], groups: array[int], count: int, forward: bool) -> None:
        """Do again, one by one and with checks, the groups with a result that is not finite: 0 * inf came up."""
        width = count if forward else len(self.ins)
        broken = {(i % width if forward else i // width) for i, x in enumerate(found) if x - x != 0.0}
        for group in sorted(broken):
            self.redo(found, groups, count, forward, group)

    def pattern(self) -> tuple[array[int], array[int]]:
        """Which inputs each output depends on: for output i, inputs[starts[i]:starts[i + 1]], ascending.

        The cost is that of walking down from each output to the inputs that it depends on; where inputs are few, as of
        a long trajectory by its parameters, that of one walk.
        """
        if len(self.ins) <= FEW:
            return self.pattern_by_few()
        starts, found = array("i", [0]), array("i")
        count = len(self.nodes)
        room = (INDEX * count, INDEX * count, INDEX * (count + 1))
        seen, input_at, todo = ints(room[0]), ints(room[1]), ints(room[2])
        first, sources, ins, outs = ints(self.first), ints(self.sources), ints(self.ins), ints(self.outs)
        for j in range(len(self.ins)):
            if ins[j] >= 0:
                input_at[ins[j]] = j + 1
        for i in range(len(self.outs)):
            waiting = 0
            if outs[i] >= 0:
                todo[0] = outs[i]
                seen[outs[i]] = i + 1
                waiting = 1
            row = len(found)
            while waiting:
                waiting -= 1
                k = todo[waiting]
                if input_at[k]:
                    found.append(input_at[k] - 1)
                for e in range(first[k], first[k + 1]):
                    if seen[sources[e]] != i + 1:
                        seen[sources[e]] = i + 1
                        todo[waiting] = sources[e]
                        waiting += 1
            found[row:] = array("i", sorted(found[row:]))
            starts.append(len(found))
        return starts, found

    def pattern_by_few(self) -> tuple[array[int], array[int]]:
        """The same, from the set of inputs below each node: the bits of an integer."""
        starts, found = array("i", [0]), array("i")
        below = [0] * len(self.nodes)
        first, sources, ins, outs = ints(self.first), ints(self.sources), ints(self.ins), ints(self.outs)
        bits = [ONE << j for j in range(len(self.ins))]
        for j in range(len(self.ins)):
            if ins[j] >= 0:
                below[ins[j]] = bits[j]
        for k in range(len(self.nodes)):
            for e in range(first[k], first[k + 1]):
                below[k] |= below[sources[e]]
        for i in range(len(self.outs)):
            if outs[i] >= 0:
                inputs = below[outs[i]]
                found.extend([j for j in range(len(bits)) if inputs & bits[j]])
            starts.append(len(found))
        return starts, found


def backward(root: Value, seed: float) -> None:
    """`Value.backward` where functions say themselves how gradients go back, and none is an operation by hand.

    Their code may run long, and in other threads that sweep as well. So no lock is held meanwhile, and no node is
    touched before everything is known.
    """
    tape = Tape([root], [], every=True)
    now = modes.current()
    for node in tape.calls.values():
        for asked in now.asked:
            if id(node) in asked:
                raise sweep.swept_already(node)
    now.asked.append(set(map(id, tape.calls.values())))
    try:
        grads = tape.adjoints(array("d", [seed]), [])
    finally:
        now.asked.pop()
    with sweep._one_at_a_time:
        tape.keep(grads)


sweep.through_calls = backward


# ---- reading the graph ---------------------------------------------------------------------------------------------


def ints(numbers: array[int]) -> array[int]:
    """As `modes.doubles`, for integers of 32 bits."""
    return numbers.data.as_ints if cython.compiled else numbers  # type: ignore[attr-defined]


def number_of(node: Value, numbers: dict[int, float]) -> float:
    return node._grad if cython.compiled else numbers[id(node)]


def set_number(node: Value, number: float, numbers: dict[int, float]) -> None:
    if cython.compiled:
        node._grad = number
    else:  # another thread may run in the middle of this and look at a gradient
        numbers[id(node)] = number


def count_edges(order: Nodes) -> int:
    """At least as many as there are operands."""
    none = cython.cast("Node *", None)
    edges = 0
    for i in range(order.count):
        node = order.items[i]
        if node._a is none and node._b is none:
            edges += operand_count(cython.cast(Value, node))
        else:
            edges += 2
    return edges


def operand_count(node: Value) -> int:
    return 0 if node._info is None or node._info.operands is None else len(node._info.operands)


def derivatives_by_hand(node: Value) -> list[tuple[Value, float]]:
    """The derivative of an operation written by hand by each operand: what its `_backward` adds for a gradient of 1."""
    info = node._info
    if info is None or info.backward is None:
        sweep.no_backward(node)
        return []
    operands = list({id(x): x for x in node._prev}.values())
    before = [(x, x._grad, x._flags & engine.HAS_GRAD) for x in (node, *operands)]
    try:
        for x in operands:
            x._grad = 0.0
        node._grad = 1.0
        info.backward()
        return [(x, x._grad) for x in operands if x._flags & engine.REQUIRES_GRAD]
    finally:
        for x, grad, has_grad in before:
            x._grad = grad
            x._flags = x._flags & ~engine.HAS_GRAD | has_grad
