"""The engine in the browser: the same calculus, the same graphs, the same refusals as in Python, in a real Chromium."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
import time
from array import array

import mpmath
import pytest
from references import CASES, NARY
from strategies import evaluate, on, smooth_program, wild_number, wild_program

import glassgrad
from glassgrad import Value, rules
from glassgrad.errors import GraphError
from glassgrad.graph import Graph
from glassgrad.viz import bundle, javascript

INF, NAN = math.inf, math.nan

# Numbers cross over as text: JSON has no nan, and its writers have no -0.
READ = "const read = (x) => (typeof x === 'string' ? { nan: NaN, inf: Infinity, '-inf': -Infinity }[x] : x);"
WRITE = "const write = (xs) => Array.from(xs, (x) => (Object.is(x, -0) ? '-0' : String(x))).join(' ');"


def numbers(text):
    return [float(word) for word in text.split()]


def as_json(value):
    """JSON in which nan and the infinities are strings, as in that of a graph."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_json, value))}]"
    return repr(value) if math.isfinite(value) else f'"{value}"'


def agree(a, b, unit=0.0):
    """Whether two numbers are the same to 1e-12, relative to the larger of the first and some unit.

    Subnormal ones have fewer digits than that. nan is the same as nan, an infinity as itself.
    """
    if not math.isfinite(a) or not math.isfinite(b):
        return a == b or (a != a and b != b)
    return abs(a - b) <= 1e-12 * max(abs(a), unit) + 4 * 5e-324


def same(a, b):
    """Whether two numbers are the same to the last bit."""
    return (a != a and b != b) or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))


# ---- the rules -----------------------------------------------------------------------------------------------------


def by_python(name, operands):
    """Value and derivatives of a rule."""
    rule = rules.RULES[name]
    if name in NARY:
        xs, out = array("d", operands), array("d", bytes(8 * len(operands)))
        y = rule.value(xs)
        rule.derivatives[0](xs, y, out)
        return [y, *out]
    y = rule.value(*operands)
    return [y, *[d(*operands, y) for d in rule.derivatives]]


def by_javascript(js, jobs):
    """The same for many points of many rules: {name: [operands]} to {name: [[value, derivatives]]}."""
    text = ",".join([f'["{name}",{as_json(points)}]' for name, points in jobs.items()])
    found = js(
        "(g, text) => {" + READ + WRITE + """
            const apply = (rule, xs) => {
                if (rule.operands.length) {
                    const y = rule.value(...xs);
                    return [y, ...rule.partials.map((partial) => partial(...xs, y))];
                }
                const out = new Float64Array(xs.length);
                const y = rule.value(Float64Array.from(xs));
                rule.partials(Float64Array.from(xs), y, out);
                return [y, ...out];
            };
            return JSON.parse(text).map(([name, points]) => [
                name, points.map((xs) => write(apply(g.RULES[name], xs.map(read)))),
            ]);
        }""",
        f"[{text}]",
    )  # fmt: skip
    return {name: [numbers(row) for row in rows] for name, rows in found}


def unit(name, operands):
    """What 1e-12 is relative to: where a result cancels by its nature, the largest operand (docs/corners.md)."""
    return max(map(abs, operands)) if name in ("logaddexp", "logsumexp") and all(map(math.isfinite, operands)) else 0.0


POINTS = [
    0.0, -0.0, 5e-324, -5e-324, 2.3e-308, -1e-300, 1e-17, 0.5, -0.9, 1.0, -1.0, 1.5, 2.0, -2.5, 3.0, 30.5, -39.5, 700.0,
    710.0, -746.0, 1e16, -1e154, 1e300, 1.7976931348623157e308, -1.7976931348623157e308, INF, -INF, NAN,
]  # fmt: skip
FEW = [0.0, -0.0, 5e-324, 1.0, -2.5, 710.0, -1e300, INF, -INF, NAN]


def special(name):
    """Points at which the functions of a rule are hard to get right."""
    count = len(CASES[name].names) or (4 if name == "dot" else 3)
    return [list(xs) for xs in itertools.product(POINTS if count < 3 else FEW, repeat=count)]


def test_every_rule_is_the_same_in_the_browser(js):
    jobs = {name: special(name) + [list(xs) for xs in CASES[name].draw(random.Random(name))] for name in CASES}
    found = by_javascript(js, jobs)
    wrong = []
    for name, points in jobs.items():
        for operands, got in zip(points, found[name], strict=True):
            want = by_python(name, operands)
            least = unit(name, operands)
            if not all(agree(a, b, least if i == 0 else 0.0) for i, (a, b) in enumerate(zip(want, got, strict=True))):
                wrong.append((name, operands, want, got))
    assert wrong == []
    assert sum(map(len, jobs.values())) > 30_000


ARITHMETIC = {"identity", "add", "sub", "mul", "div", "neg", "abs", "sign", "square", "reciprocal", "sqrt", "relu"} | {
    "leaky_relu", "hypot", "maximum", "minimum", "clip", "where", "sum", "mean", "prod", "dot",
}  # fmt: skip


def test_what_needs_no_function_of_the_c_library_is_the_same_to_the_last_bit(js):
    jobs = {name: special(name) + [list(xs) for xs in CASES[name].draw(random.Random(name))] for name in ARITHMETIC}
    for name, rows in by_javascript(js, jobs).items():
        for operands, got in zip(jobs[name], rows, strict=True):
            assert all(map(same, by_python(name, operands), got)), (name, operands)


def test_the_table_says_what_pythons_says(js):
    found = js("(g) => Object.entries(g.RULES).map(([k, r]) => [k, r.symbol, r.formula, r.operands, r.derivatives])")
    assert found == [
        [name, rule.symbol, rule.formula, list(CASES[name].names), list(rule.derivative_texts)]
        for name, rule in rules.RULES.items()
    ]
    assert js("(g) => [g.RULES['constructor'], g.RULES['__proto__'], g.RULES['leaf']].every((x) => x === undefined)")


def test_the_error_function_is_right_to_two_units_in_the_last_place(js):
    rng = random.Random(1)
    points = [rng.uniform(-7, 7) for _ in range(2000)] + [1.0, 0.9999999999999999, 6.0, 5.999999999999999, 1e-310, 0.0]
    found = numbers(js("(g, xs) => {" + WRITE + "return write(xs.map(g.libm.erf)); }", points))
    with mpmath.workdps(40):
        for x, y in zip(points, found, strict=True):
            right = mpmath.erf(x)
            assert abs(y - right) <= 2 * math.ulp(float(right)), x


def test_powers_follow_c(js):
    pairs = [(1.0, NAN), (1.0, INF), (-1.0, INF), (-1.0, -INF), (NAN, 0.0), (-8.0, 1 / 3), (-0.0, -3.0), (-0.0, -2.0)]
    got = numbers(js("(g, xs) => {" + READ + WRITE + """
        return write(JSON.parse(xs).map(([x, w]) => g.libm.pow(read(x), read(w)))); }""", as_json(pairs)))  # fmt: skip
    want = [glassgrad._libm.pow(x, w) for x, w in pairs]
    assert list(map(repr, got)) == list(map(repr, want))


# ---- translating ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "return x % 2.0",
        "return x ** 2.0",
        "return [x]",
        "return max(x, 1.0)",
        "return math.sin(x)",
        "return libm.lgamma(x)",
        "return x is None",
        "return 1.0 < f(x) < 2.0",
        "return (lambda: x)()",
        "return 'text'",
        "return f(x=x)",
        "return",
        "x = y = 1.0",
        "x: float = 1.0",
        "x **= 2.0",
        "a, b = x, a",
        "x.y = 1.0",
        "with x: pass",
        "for i in x: pass",
        "for i in range(0, 9, 2): pass",
        "for i in range(x): x = 2.0",
        "return [i for i in x]",
        "while x < 1.0: break",
        "raise x",
        "return n if x + 1.0 else x",
        "return -x and n",
        "return unknown",
        "return f(x).y",
    ],
)
def test_what_has_no_translation_is_an_error_that_names_the_line(line):
    with pytest.raises(javascript.TranslationError, match=r"line 3 of the rules cannot be translated") as error:
        javascript.translate(f"n = 1.0\ndef f(x):\n    {line}\n")
    assert len(str(error.value)) < 300


def test_names_that_python_would_read_otherwise_are_refused():
    after = "def f(x):\n    for i in range(3):\n        x += 1.0\n    return i\n"
    both = "def f(x):\n    i = 2.0\n    for i in range(3):\n        x += i\n    return x\n"
    for text, line in ((after, 4), (both, 3)):
        with pytest.raises(javascript.TranslationError, match=f"line {line} of the rules"):
            javascript.translate(text)


ODD = """
def f(x, w):
    y = 0.0
    if x > 0.0:
        if w > 0.0:
            y = 1.0
    else:
        y = 2.0
    for i in range(1, 3):
        for k in range(2):
            y += (i - (k - 2)) - -x * (w / (2.0 * x))
    while not (y < 4.0 or y != y):
        y -= 1.0 - (0.5 - -0.25)
    a, b = y, x
    return (a if x < w <= 3.0 else -(-b)) if (x == 1.0 or w == 1.0) and x < 4.0 else a - (b + (w - 1.0)) // 2

F = _rule("f", "f", "f(x, w)", f, (f, f), ("0", "0"))
"""


def test_precedence_nesting_and_loops_mean_what_they_mean_in_python(js):
    table = {}
    exec(ODD, {"_rule": lambda *row: table.update(f=row)})
    module = re.sub("(?m)^import.*|^export ", "", javascript.translate(ODD))
    points = [(x, w) for x in (-2.0, 0.5, 1.0, 3.0, 5.0) for w in (-1.5, 0.0, 1.0, 3.0, 3.5) if x != w]
    found = js("(g, [module, points]) => { const f = new Function(`${module}; return RULES.f.value;`)();"
               "return points.map(([x, w]) => f(x, w)); }", [module, points])  # fmt: skip
    assert found == [table["f"][3](*xs) for xs in points]


@pytest.mark.parametrize("text", ["def f(x=1.0): return x", "def f(*x): return x", "@g\ndef f(x): return x", "x = [1]"])
def test_what_has_no_translation_outside_of_functions_is_an_error_too(text):
    with pytest.raises(javascript.TranslationError, match=r"line [12] of the rules"):
        javascript.translate(text)


def test_the_calculus_takes_little_of_the_page():
    assert len(bundle.module("rules").encode()) < 22_000


def test_nothing_of_the_rules_is_seen_from_outside():
    names = bundle.exports()
    assert "RULES" in names
    assert len(set(names)) == len(names)
    assert not {"sign", "exp", "total"} & set(names)


# ---- graphs --------------------------------------------------------------------------------------------------------

RUN = "(g, pairs) => {" + WRITE + """
    return pairs.map(([before, after]) => {
        const graph = g.readGraph(JSON.parse(before));
        const target = g.readGraph(JSON.parse(after));
        const root = graph.roots[0];
        const values = graph.values.slice();
        const partials = graph.partials.slice();
        for (let i = 0; i < graph.size; i++) if (graph.ops[i] === "leaf") values[i] = target.values[i];
        g.evaluate(graph, values);
        g.differentiate(graph, values, partials);
        const fresh = g.recompute(graph, values, root);
        const same = (xs, ys) => xs.every((x, i) => Object.is(x, ys[i]));
        return {
            values: write(values),
            partials: write(partials),
            grads: write(g.sweep(graph, partials, root)),
            swept: write(g.sweep(target, target.partials, root)),
            fresh: same(fresh.values, values) && same(fresh.partials, partials),
            opaque: g.opaque(graph).some((mark) => mark),
            reached: Array.from(g.reached(graph, root)),
        };
    });
}"""  # fmt: skip


def snapshot(program, leaves):
    """The graph of a program at some leaves, with the gradients of the sum of all that it computes."""
    with glassgrad.allow_nonfinite():
        values = [Value(x, f"x{i}") for i, x in enumerate(leaves)]
        root = glassgrad.sum(evaluate(program, values, on(glassgrad)))
        root.backward()
        return Graph.of(root)


def run(js, programs, elsewhere):
    """Every program in Python and in the browser, there starting from a graph at other leaves: (graph, results)."""
    graphs = [snapshot(program, program.leaves) for program in programs]
    before = [snapshot(program, leaves) for program, leaves in zip(programs, elsewhere, strict=True)]
    for a, b in zip(before, graphs, strict=True):
        assert (a.ops, a.operands) == (b.ops, b.operands)
    found = js(RUN, [[a.to_json(), b.to_json()] for a, b in zip(before, graphs, strict=True)])
    for row in found:
        assert row["fresh"]
        assert not row["opaque"]
        for column in ("values", "partials", "grads", "swept"):
            row[column] = numbers(row[column])
    return list(zip(graphs, found, strict=True))


def edges(graph):
    return [(i, k, below) for i, operands in enumerate(graph.operands) for k, below in enumerate(operands)]


def sizes_of_gradients(graph):
    """For each node the sum over all paths of the products of |local derivatives|: what rounding is relative to."""
    sizes = [0.0] * len(graph)
    sizes[graph.roots[0]] = 1.0
    for i in range(len(graph) - 1, -1, -1):
        for below, partial in zip(graph.operands[i], graph.partials[i], strict=True):
            sizes[below] += sizes[i] * abs(partial or 0.0)
    return sizes


def test_300_smooth_graphs_are_the_same_after_an_edit(js):
    rng = random.Random(13)
    programs = [smooth_program(rng, rules) for _ in range(300)]
    elsewhere = [[wild_number(rng) for _ in program.leaves] for program in programs]
    for graph, found in run(js, programs, elsewhere):
        assert all(agree(a, b, 1.0) for a, b in zip(graph.values, found["values"], strict=True))
        partials = [p for row in graph.partials for p in row]
        for (_, _, below), want, got in zip(edges(graph), partials, found["partials"], strict=True):
            assert agree(NAN if want is None else want, got, 1.0) or not graph.requires_grad[below]
        for want, got, size in zip(graph.grads, found["grads"], sizes_of_gradients(graph), strict=True):
            assert agree(want or 0.0, got, size)
        assert found["reached"] == [int(grad is not None) for grad in graph.grads]


def test_200_wild_graphs_are_the_same_after_an_edit_nan_and_infinity_included(js):
    """Node by node: a wild program magnifies a difference in the last place beyond any bound."""
    rng = random.Random(14)
    programs = [wild_program(rng) for _ in range(200)]
    elsewhere = [[wild_number(rng) for _ in program.leaves] for program in programs]
    alike = odd = 0
    for graph, found in run(js, programs, elsewhere):
        values, at = found["values"], 0
        for i, below in enumerate(graph.operands):
            got = [values[i], *found["partials"][at : at + len(below)]]
            at += len(below)
            if below:
                operands = [values[k] for k in below]
                want = by_python(graph.ops[i], operands)
                wanted = [True, *[graph.requires_grad[k] for k in below]]
                least = unit(graph.ops[i], operands)
                for k, (a, b, asked) in enumerate(zip(want, got, wanted, strict=True)):
                    assert not asked or agree(a, b, 0.0 if k else least), (graph.ops[i], operands)
        # The sweep has no functions, so from the same derivatives it gives the same bits.
        for want, got in zip(graph.grads, found["swept"], strict=True):
            assert same(want or 0.0, got or 0.0)
        alike += all(map(agree, graph.values, values))
        odd += sum(not math.isfinite(x) for x in [*values, *found["grads"]])
    assert alike > 180
    assert odd > 500


def test_a_gradient_of_zero_stays_zero_through_an_infinite_derivative(js):
    with glassgrad.allow_nonfinite():
        x = Value(0.0, "x")
        y = glassgrad.where(x > 0.0, x.sqrt(), 0.0) + 0.0 * x.sqrt() + (Value(-2.0) ** Value(2.0, "w"))
    y.backward()
    ((graph, found),) = run_graphs(js, [y])
    assert graph.grads[graph.labels.index("x")] == found[graph.labels.index("x")] == 0.0
    assert math.isnan(found[graph.labels.index("w")])


def run_graphs(js, roots):
    """The gradients that the browser computes from the values of some graphs."""
    graphs = [Graph.of(root) for root in roots]
    found = js(
        "(g, texts) => {" + WRITE + """
        return texts.map((text) => {
            const graph = g.readGraph(JSON.parse(text));
            return write(g.recompute(graph, graph.values, graph.roots[0]).grads);
        }); }""",
        [graph.to_json() for graph in graphs],
    )  # fmt: skip
    return list(zip(graphs, map(numbers, found), strict=True))


def test_constants_collect_nothing(js):
    x, c = Value(3.0, "x"), Value(2.0, "c", requires_grad=False)
    y = x * c + 5 * x
    y.backward()
    ((graph, found),) = run_graphs(js, [y])
    assert [grad or 0.0 for grad in graph.grads] == found
    assert js("(g, t) => Array.from(g.sweep(g.readGraph(JSON.parse(t)), [2, 3], 1))", graph.to_json()) == [0.0] * 6


@glassgrad.primitive(formula="2 * x")
def doubled(x):
    return 2.0 * x


@doubled.derivative(text="2")
def _(x):
    return 2.0


def test_what_is_outside_of_the_table_keeps_what_the_snapshot_has(js):
    x = Value(0.5, "x")
    by_hand = Value(math.tanh(x.data), (x,), "tanh")
    by_hand._backward = lambda: None
    y = doubled(x) * x + by_hand
    graph = Graph.of(y)
    found = js(
        """(g, text) => {
            const graph = g.readGraph(JSON.parse(text));
            const values = graph.values.slice();
            values[0] = 3;
            const { values: after, partials, grads } = g.recompute(graph, values, graph.roots[0]);
            return {
                opaque: Array.from(g.opaque(graph)), after: Array.from(after), known: Number.isNaN(grads[0]),
                partials: Array.from(partials), formulas: Array.from(graph.formulas),
            };
        }""",
        graph.to_json(),
    )
    assert found["opaque"] == [int(op in ("custom", "doubled")) for op in graph.ops]
    assert found["after"] == [3.0, 1.0, 3.0, math.tanh(0.5), 3.0 + math.tanh(0.5)]
    assert found["partials"][0] == 2.0, "the primitive's, which the snapshot knows"
    assert found["known"], "a gradient through an operation whose derivative nobody knows is nan"
    assert found["formulas"] == [["doubled", {"formula": "2 * x", "derivatives": ["2"]}]]


def test_a_graph_can_be_sent_to_a_worker(js):
    same = js(
        """(g, text) => {
            const graph = g.readGraph(JSON.parse(text));
            const copy = structuredClone(graph);
            const ways = [graph, copy].map((x) => g.recompute(x, x.values, x.roots[0]).grads.join());
            return ways[0] === ways[1] && copy.formulas.size === 1 && copy.notes.get(3) === "a note";
        }""",
        json.dumps(sound()),
    )
    assert same


def test_an_operation_on_tensors_is_left_alone(js):
    graph = Graph.of((Value(1.0, "x") + Value(2.0)) * 3.0)
    graph.shapes[2] = (4, 2)
    graph.notes[2] = "all of layer 1"
    found = js(
        """(g, text) => {
            const graph = g.readGraph(JSON.parse(text));
            return [Array.from(g.opaque(graph)), Array.from(graph.shapes), Array.from(graph.notes)];
        }""",
        graph.to_json(),
    )
    assert found == [[0, 0, 1, 0, 1], [[2, [4, 2]]], [[2, "all of layer 1"]]]


def test_an_operation_with_the_wrong_number_of_operands_is_left_alone(js):
    raw = json.loads(Graph.of(Value(2.0) * Value(3.0)).to_json())
    for kind in (["exp", ""], ["clip", ""], ["constructor", ""], ["__proto__", ""]):
        raw["kinds"][1] = kind
        found = js("(g, raw) => { const x = g.readGraph(raw); g.evaluate(x, x.values); return x.values[2]; }", raw)
        assert found == 6.0


def test_a_central_difference_checks_a_gradient(js):
    rng = random.Random(5)
    programs = [smooth_program(rng, rules) for _ in range(50)]
    graphs = [snapshot(program, program.leaves) for program in programs]
    tiny = Value(1e-9, "x0")
    graphs.append(Graph.of(tiny.log() + tiny))  # a step of the usual size would leave its domain
    found = js(
        """(g, texts) => texts.map((text) => {
            const graph = g.readGraph(JSON.parse(text));
            const leaf = graph.labels.indexOf("x0");
            const { derivative, step } = g.centralDifference(graph, graph.values, leaf, graph.roots[0]);
            return [derivative, step, g.recompute(graph, graph.values, graph.roots[0]).grads[leaf]];
        })""",
        [graph.to_json() for graph in graphs if "x0" in graph.labels],
    )
    assert len(found) > 40
    for difference, step, gradient in found:
        assert 0.0 < step < 1e-4
        assert difference == pytest.approx(gradient, rel=1e-5, abs=1e-5)
    assert found[-1][2] == pytest.approx(1e9)


# ---- damaged JSON --------------------------------------------------------------------------------------------------

VERDICTS = """(g, texts) => texts.map((text) => {
    try { g.readGraph(JSON.parse(text)); return ""; } catch (error) { return error.message || "no reason"; }
})"""


def verdict(text):
    """Why Python refuses a text, '' if it does not."""
    try:
        Graph.from_json(text)
    except GraphError as error:
        return str(error)
    return ""


def sound():
    """A graph that has something in every field."""
    a, b = Value(2.0, "a"), Value(-3.0, "b")
    with glassgrad.scope("layer"):
        y = doubled(a) * b + a * 4.0
    y.backward()
    graph = Graph.of(y)
    graph.shapes[2], graph.notes[3] = (2, 3), "a note"
    return json.loads(graph.to_json())


DAMAGE = {
    "format": ["other", None],
    "version": [2, True, None, "1"],
    "nodes": [-1, 1.5, "7", None, 0, 10**9, 2**53, 10**400],
    "roots": [[], [99], 6, [1.5], [None]],
    "kinds": [[["leaf", ""]], [["leaf"]], [[1, 2]], {}],
    "kind": [[0], [-1] * 7, [9] * 7],
    "operands": [[[]] * 7, [None] * 7, {}, [[], [0], [], [1, 99], [], [0, 4], [3, 5]]],
    "values": [[1], ["x"] * 7, [None] * 7, [True] * 7, [10**400] * 7, ["__proto__"] * 7],
    "grads": [[[]] * 7, [False] * 7, ["1"] * 7],
    "partials": [[[]] * 7, [["x"]] * 7],
    "labels": [[], None, {"a": "b"}, {"99": "b"}, {"-1": "b"}, {"1": 2}, {"1" * 5000: "b"}, {"__proto__": "b"}],
    "scopes": [[1], []],
    "scope": [[5] * 7],
    "constants": [[1.5], [7], None],
    "shapes": [[], {"0": 3}, {"0": [-1]}, {"9": [1]}],
    "notes": [{"0": 1}, {"9": ""}, None],
    "formulas": [{"f": "x"}, {"f": ["x", "y"]}, {"f": [1, []]}, {"f": ["x", [1]]}, 1],
}
SAID = {
    "nodes": "nodes|kind",
    "roots": "root",
    "kinds": "kind",
    "operands": "operand",
    "partials": "partials|derivatives",
    "scopes": "scope",
}
CYCLE = [[], [0], [], [1, 3], [], [0, 4], [3, 5]]
LEAF_WITH_OPERANDS = [[], [0], [0], [1, 2], [], [0, 4], [3, 5]]


def test_damage_is_refused_with_the_reason_by_both_sides(js):
    raw = sound()
    assert raw["nodes"] == 7
    cases = [(field, value) for field, values in DAMAGE.items() for value in values]
    texts = [json.dumps({**raw, field: value}) for field, value in cases]
    for (field, value), text, browser in zip(cases, texts, js(VERDICTS, texts), strict=True):
        for said in (verdict(text), browser):
            assert re.search(SAID.get(field, field), said), (field, value, said)
            assert len(said) < 250
    texts = [json.dumps({**raw, "operands": operands}) for operands in (CYCLE, LEAF_WITH_OPERANDS)]
    for said in (list(map(verdict, texts)), js(VERDICTS, texts)):
        assert said[0].startswith("node 3 has operand 3: operands")
        assert said[1].startswith("node 2 is a leaf and cannot have operands")
    whole = [json.dumps({k: v for k, v in raw.items() if k != field}) for field in raw]
    for field, text, browser in zip(raw, whole, js(VERDICTS, whole), strict=True):
        optional = field in ("shapes", "notes", "formulas")
        assert [bool(verdict(text)), bool(browser)] == [not optional] * 2
        assert optional or field in browser


def test_random_damage_meets_the_same_verdict_on_both_sides(js):
    rng = random.Random(99)
    junk = [
        None,
        True,
        False,
        -1,
        0,
        1,
        3,
        50,
        0.5,
        1e300,
        "",
        "nan",
        "x",
        [],
        [0],
        [1, 2],
        ["a", "b"],
        {},
        {"0": "x"},
        {"0": [2]},
    ]
    texts = []
    for _ in range(1500):
        raw = sound()
        field = rng.choice(list(raw))
        if isinstance(raw[field], list) and raw[field] and rng.random() < 0.7:
            raw[field][rng.randrange(len(raw[field]))] = rng.choice(junk)
        else:
            raw[field] = rng.choice(junk)
        texts.append(json.dumps(raw))
    found = js(VERDICTS, texts)
    differ = [
        (text, verdict(text), got) for text, got in zip(texts, found, strict=True) if bool(verdict(text)) != bool(got)
    ]
    assert differ == []
    assert 500 < sum(map(bool, found)) < 1500


def test_hostile_texts_are_refused_at_once_by_both_sides(js):
    raw = sound()
    deep = "[" * 900 + "]" * 900
    texts = [
        json.dumps({**raw, "nodes": 10**9}),
        json.dumps({**raw, "labels": {"0": ["x" * 1_000_000]}}),
        json.dumps({**raw, "labels": {"y" * 1_000_000: "x"}}),
        json.dumps({**raw, "version": "z" * 1_000_000}),
        *[json.dumps({**raw, field: "HERE"}).replace('"HERE"', deep) for field in raw],
    ]
    start = time.perf_counter()
    found = [*map(verdict, texts), *js(VERDICTS, texts)]
    assert time.perf_counter() - start < 10.0
    assert all(0 < len(reason) < 250 for reason in found)


# ---- time ----------------------------------------------------------------------------------------------------------


def test_the_time_is_linear(js):
    small, large = js(
        """(g) => [20000, 200000].map((n) => {
            const chain = {
                format: "glassgrad.graph", version: 1, nodes: n, roots: [n - 1],
                kinds: [["leaf", ""], ["tanh", "tanh"]],
                kind: Array.from({ length: n }, (_, i) => (i ? 1 : 0)), scopes: [""], scope: new Array(n).fill(0),
                operands: Array.from({ length: n }, (_, i) => (i ? [i - 1] : [])), labels: {}, constants: [],
                partials: Array.from({ length: n }, (_, i) => (i ? [1] : [])),
                values: new Array(n).fill(0.5), grads: new Array(n).fill(null),
            };
            let best = Infinity;
            for (let k = 0; k < 5; k++) {
                const start = performance.now();
                const graph = g.readGraph(chain);
                g.recompute(graph, graph.values, n - 1);
                g.opaque(graph);
                g.reached(graph, n - 1);
                best = Math.min(best, performance.now() - start);
            }
            return best;
        })"""
    )
    assert large < 25 * small
