"""Value: construction, operators, comparisons, texts, and what it refuses."""

from __future__ import annotations

import enum
import inspect
import math
import operator
import pickle
import pydoc
import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

NUMPY_SCALARS = [np.float64(3), np.float32(3), np.float16(3), np.longdouble(3), np.int64(3), np.int8(3), np.uint8(3)]
NUMBERS = [3, 3.0, True, np.True_, Fraction(3, 4), *NUMPY_SCALARS]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def names(objects):
    return [f"{type(x).__name__}" for x in objects]


# ---- construction --------------------------------------------------------------------------------------------------


def test_a_leaf_has_micrograds_attributes(gg):
    x = gg.Value(2)
    assert (x.data, x.grad, x.label, x._op, tuple(x._prev)) == (2.0, 0.0, "", "", ())
    assert type(x.data) is float
    assert type(x.grad) is float
    assert callable(x._backward)
    x._backward()  # does nothing on a leaf
    assert x.grad == 0.0
    assert x.requires_grad


def test_a_label_is_the_second_argument_or_named(gg):
    assert gg.Value(2, "a").label == "a"
    assert gg.Value(2, label="a").label == "a"
    x = gg.Value(2)
    x.label = "β"
    assert x.label == "β"
    y = x * 2
    y.label = "twice"
    assert (y.label, x.label) == ("twice", "β")


def test_micrograds_constructor_still_constructs(gg):
    a, b = gg.Value(1.0), gg.Value(2.0)
    for node in (gg.Value(3.0, (a, b), "+"), gg.Value(data=3.0, _children=(a, b), _op="+"), gg.Value(3.0, [a, b], "+")):
        assert node._prev == (a, b)
        assert node._op == "+"
        assert node.data == 3.0
    assert set(gg.Value(3.0, {a, b}, "+")._prev) == {a, b}
    assert gg.Value(3.0, (), "+")._op == "+"


def test_the_second_place_takes_one_label_or_operands(gg):
    for arguments, named in [((2, "a"), {"label": "b"}), ((2, None), {}), ((2, 5), {})]:
        with pytest.raises(gg.OperandError, match=r"two labels|label or a tuple"):
            gg.Value(*arguments, **named)


@pytest.mark.parametrize("none", [(), [], set(), ""], ids=repr)
def test_no_children_make_a_leaf(gg, none):
    x = gg.Value(2.0, none)
    assert x._rule == "leaf"
    x.backward()
    x.backward()
    assert x.grad == 2.0


@pytest.mark.parametrize("number", NUMBERS, ids=names(NUMBERS))
def test_real_numbers_become_floats(gg, number):
    x = gg.Value(number)
    assert type(x.data) is float
    assert x.data == float(number)
    x.data = number
    x.grad = number
    assert type(x.data) is type(x.grad) is float


REFUSED = {
    "text": ("2", r"float\(text\)"),
    "bytes": (b"2", r"float\(text\)"),
    "nothing": (None, "float or an int"),
    "complex": (1j, r"\.real and \.imag"),
    "numpy complex": (np.complex128(1), r"\.real and \.imag"),
    "list": ([1.0], "one Value for each"),
    "tuple": ((1.0, 2.0), "one Value for each"),
    "array": (np.ones(3), "one Value for each"),
    "array of one": (np.array(2.0), r"\.item\(\)|float\("),  # it cannot be iterated
    "object": (object(), "float or an int"),
    "decimal": (Decimal(2), "float or an int"),
    "function": (math.exp, "float or an int"),
}


@pytest.mark.parametrize(("data", "way_out"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_real_number_is_refused_with_the_way_out(gg, data, way_out):
    with pytest.raises(TypeError, match=way_out) as caught:
        gg.Value(data)
    assert isinstance(caught.value, gg.OperandError)
    assert "Value" in str(caught.value)
    assert type(data).__name__ in str(caught.value)


def test_a_value_of_a_value_is_refused(gg):
    with pytest.raises(gg.OperandError, match=r"a Value already.*\.data"):
        gg.Value(gg.Value(1))


def test_data_grad_and_label_are_checked_when_assigned(gg):
    x = gg.Value(1.0, "x")
    x.grad = 5
    for attribute, wrong in [("data", "2"), ("data", x), ("grad", None), ("grad", [1.0]), ("label", 3)]:
        with pytest.raises(gg.OperandError):
            setattr(x, attribute, wrong)
    assert (x.data, x.grad, x.label) == (1.0, 5.0, "x")


@pytest.mark.parametrize("wrong", [{"label": 3}, {"label": None}, {"_op": 3}], ids=repr)
def test_labels_and_symbols_are_strings(gg, wrong):
    with pytest.raises(TypeError, match="str"):
        gg.Value(1.0, **wrong)


class Name(str, enum.Enum):  # noqa: UP042 - as programs from before Python 3.11 have it
    WEIGHT = "w"

    def __str__(self):
        return "not the value"


@pytest.mark.parametrize("text", [np.str_("w"), Name.WEIGHT], ids=["numpy", "enum"])
def test_texts_of_any_class_become_plain_ones(gg, text):
    a = gg.Value(1.0)
    renamed = gg.Value(1.0, (a,), "+")
    renamed.label = text
    renamed._op = text
    with gg.scope(text):
        inside = a + 1.0
    named = gg.Value(1.0, text).label, gg.Value(1.0, label=text).label, renamed.label
    for plain in (*named, gg.Value(1.0, (a,), text)._op, renamed._op, inside._scope, gg.scope(text).name):
        assert (type(plain), plain) == (str, "w")


def test_operands_are_values(gg):
    with pytest.raises(gg.OperandError, match=r"Value\(2\.0\)"):
        gg.Value(1.0, (gg.Value(1.0), 2.0), "+")
    node = gg.Value(1.0) * 2
    with pytest.raises(gg.OperandError):
        node._prev = (1.0,)
    with pytest.raises(gg.OperandError):
        node._backward = None


@pytest.mark.parametrize("huge", [10**400, -(10**400), 10**5000], ids=["large", "negative", "without a repr"])
def test_a_number_beyond_the_range_of_floats_is_named_with_the_way_out(gg, huge):
    x = gg.Value(1.0, "x")
    attempts = {
        "Value": [lambda: gg.Value(huge)],
        "data": [lambda: setattr(x, "data", huge)],
        "backward": [lambda: x.backward(huge)],
        "add": [lambda: x + huge, lambda: huge + x, lambda: x + Fraction(huge)],
        "mul": [lambda: x * huge, lambda: huge * x],
        "pow": [lambda: x**huge, lambda: huge**x],
        "exp": [lambda: gg.exp(huge)],
        "hypot": [lambda: gg.hypot(x, huge), lambda: gg.hypot(huge, 1.0), lambda: x.hypot(huge)],
        "clip": [lambda: x.clip(0, huge), lambda: gg.clip(huge, 0, 1)],
        "sum": [lambda: gg.sum([x, huge]), lambda: gg.sum([huge])],
        "where": [lambda: gg.where(True, huge, x)],
    }
    for name, calls in attempts.items():
        for call in calls:
            with pytest.raises(gg.NonFiniteError, match=rf"^{name} takes numbers.*1\.8e308.*math\.log") as caught:
                call()
            assert isinstance(caught.value, ArithmeticError)
            assert len(str(caught.value)) < 300
    assert (x < huge) is (huge > 0)


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


def test_what_has_no_repr_is_refused_by_its_type(gg):
    x = gg.Value(1.0)
    for attempt in (
        lambda: gg.Value(Unprintable()),
        lambda: gg.exp(Unprintable()),
        lambda: gg.Value(1.0, (Unprintable(),), "+"),
        lambda: setattr(x, "label", Unprintable()),
        lambda: setattr(x, "_prev", [Unprintable()]),
    ):
        with pytest.raises(gg.OperandError, match="Unprintable"):
            attempt()


@pytest.mark.parametrize("true", [True, np.True_], ids=["Python", "NumPy"])
def test_bools_are_the_numbers_0_and_1(gg, true):
    x = gg.Value(3.0)
    assert [(x * true).data, (true * x).data, (x - true).data, (true - x).data] == [3.0, 3.0, 2.0, -2.0]
    assert [gg.exp(true), gg.hypot(x, true).data, gg.sum([x, true]).data] == [math.exp(1), math.hypot(3, 1), 4.0]
    assert [x.maximum(true).data, x.clip(0, true).data, gg.Value(true).data, x > true, true < x] == [3, 1, 1, 1, 1]
    with pytest.raises(gg.OperandError):
        gg.Value(np.array([True]))


@pytest.mark.parametrize("label", ['"', "</script>", "a\nb", "\u202eright to left", "x" * 10_000, "\0", "🙂", "{}%s"])
def test_a_label_may_be_any_text(gg, label):
    x = gg.Value(-1.0, label)
    assert x.label == label
    with pytest.raises(gg.NonFiniteError) as caught:
        x.log()
    assert len(str(caught.value)) < 1000


# ---- operators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS, ids=names(NUMBERS))
@pytest.mark.parametrize("operation", ARITHMETIC, ids=lambda f: f.__name__)
def test_arithmetic_with_numbers_on_either_side(gg, operation, number):
    x = gg.Value(2.0)
    right, left = operation(x, number), operation(number, x)
    assert type(right) is type(left) is gg.Value
    assert type(right.data) is type(left.data) is float
    assert right.data == operation(2.0, float(number))
    assert left.data == operation(float(number), 2.0)
    (right + left).backward()
    h, n = 1e-6, float(number)
    difference = operation(2 + h, n) - operation(2 - h, n) + operation(n, 2 + h) - operation(n, 2 - h)
    assert x.grad == pytest.approx(difference / (2 * h), rel=1e-8)


@pytest.mark.parametrize("operation", ARITHMETIC, ids=lambda f: f.__name__)
def test_every_operator_is_one_node(gg, operation):
    a, b = gg.Value(3.0), gg.Value(2.0)
    y = operation(a, b)
    assert y._prev == (a, b)
    assert y._rule == {"truediv": "div"}.get(operation.__name__, operation.__name__)
    assert operation(a, a)._prev == (a, a), "repeats are kept"


def test_unary_operators(gg):
    x = gg.Value(-3.0)
    assert ((-x).data, (+x).data, abs(x).data) == (3.0, -3.0, 3.0)
    (-x + +x * 5 + abs(x)).backward()
    assert x.grad == -1 + 5 - 1
    assert (-x)._prev == abs(x)._prev == (x,)


def test_augmented_assignment_makes_new_nodes(gg):
    x = y = gg.Value(3.0)
    y += 1
    y *= x
    y -= 2
    y /= 4
    y **= 2
    assert y.data == ((3 + 1) * 3 - 2) ** 2 / 16
    assert x.data == 3.0
    y.backward()
    assert x.grad == 2 * (12 - 2) / 16 * (2 * 3 + 1)


def test_powers(gg):
    assert (2 ** gg.Value(3.0)).data == 8.0, "not 7.999999999999998, which complex power gives"
    assert (gg.Value(2.0) ** gg.Value(3.0)).data == 8.0
    v, w = gg.Value(2.0), gg.Value(3.0)
    (v**w).backward()
    assert v.grad == 12.0
    assert w.grad == pytest.approx(8 * math.log(2), rel=4e-16)


def test_a_negative_base_has_a_derivative_and_its_exponent_has_nan_if_asked_for(gg):
    v, w = gg.Value(-2.0), gg.Value(3.0)
    y = v**w
    assert y.data == -8.0
    y.backward()
    assert v.grad == 12.0
    assert math.isnan(w.grad)
    v, w = gg.Value(-2.0), gg.Value(3.0, requires_grad=False)
    (v**w).backward()
    assert (v.grad, w.grad) == (12.0, 0.0)
    v = gg.Value(-2.0)
    (v**3).backward()
    assert v.grad == 12.0


def test_zero_to_the_power_of_zero(gg):
    x = gg.Value(0.0)
    y = x**0
    y.backward()
    assert (y.data, x.grad) == (1.0, 0.0)
    base, power = gg.Value(0.0), gg.Value(0.0)
    y = base**power
    y.backward()
    assert (y.data, base.grad) == (1.0, 0.0)


def test_modular_power_is_refused_not_ignored(gg):
    with pytest.raises(TypeError):
        pow(gg.Value(3.0), 2, 5)


@pytest.mark.parametrize("operation", [*ARITHMETIC, operator.lt, operator.ge], ids=lambda f: f.__name__)
@pytest.mark.parametrize("wrong", ["2", None, 1j, [1.0], (1.0,), object(), Decimal(2)], ids=lambda x: type(x).__name__)
def test_operators_refuse_what_is_no_number(gg, operation, wrong):
    x = gg.Value(2.0)
    with pytest.raises(TypeError):
        operation(x, wrong)
    with pytest.raises(TypeError):
        operation(wrong, x)


@pytest.mark.parametrize("operation", [operator.floordiv, operator.mod, divmod, operator.matmul, operator.and_])
def test_operators_without_a_derivative_are_refused(gg, operation):
    with pytest.raises(TypeError):
        operation(gg.Value(2.0), gg.Value(3.0))


def test_symbols(gg):
    x, w = gg.Value(2.0), gg.Value(3.0)
    shown = {x + w: "+", x - w: "-", x * w: "*", x / w: "/", x**2: "**2", x**0.5: "**0.5", x**-1: "**-1", x**w: "**"}
    for node, symbol in shown.items():
        assert node._op == symbol
    assert (x.relu()._op, x.tanh()._op, x.exp()._op) == ("ReLU", "tanh", "exp")
    assert (x**2)._op == "**2", "also after its operands were asked for"
    y = x**2
    assert [v.data for v in y._prev] == [2.0, 2.0]
    assert y._op == "**2"


def test_op_may_be_renamed_as_in_micrograd(gg):
    y = gg.Value(2.0) * 3
    y._op = "times"
    assert y._op == "times"
    with pytest.raises(gg.OperandError, match="string"):
        y._op = None


def test_numbers_appear_among_the_operands_as_constants(gg):
    x = gg.Value(2.0)
    for y, order in [(x * 3, [2.0, 3.0]), (3 * x, [3.0, 2.0]), (x - 3, [2.0, 3.0]), (3 - x, [3.0, 2.0])]:
        before = y.data
        operands = y._prev
        assert [v.data for v in operands] == order
        assert y._prev == operands, "the same constants each time"
        constant = next(v for v in operands if v is not x)
        assert not constant.requires_grad
        x.grad = 0
        y.backward()
        assert (y.data, constant.grad) == (before, 0.0)
        assert x.grad == {6.0: 3.0, -1.0: 1.0, 1.0: -1.0}[before]


def test_a_plain_number_cannot_be_switched_on(gg):
    x = gg.Value(2.0)
    for y in (x * 3, 3 * x, x / 3, gg.sum([x, 3])):
        (constant,) = (v for v in y._prev if v is not x)
        with pytest.raises(gg.GraphError, match=r"3\.0 is a plain number.*make it a Value"):
            constant.requires_grad = True
        assert not constant.requires_grad


def test_data_is_what_floats_give(gg):
    generator = random.Random(1)
    for _ in range(200):
        a, b = generator.uniform(-10, 10), generator.uniform(0.1, 10)
        x, w = gg.Value(a), gg.Value(b)
        for operation in ARITHMETIC[:-1]:
            assert operation(x, w).data == operation(a, b)
            assert operation(x, b).data == operation(a, b)
            assert operation(a, w).data == operation(a, b)
        assert (w**a).data == pytest.approx(b**a, rel=1e-15)


# ---- order, equality, hash -----------------------------------------------------------------------------------------


def test_order_is_by_value(gg):
    a, b = gg.Value(1.0), gg.Value(2.0)
    for left, right in [(a, b), (a, 2), (1, b), (np.float64(1), b), (a, np.float32(2)), (a, Fraction(3, 2))]:
        assert left < right
        assert left <= right
        assert right > left
        assert right >= left
        assert not left > right
        assert not left >= right
    assert a <= gg.Value(1.0) <= 1
    assert a >= gg.Value(1.0) >= 1
    assert not gg.Value(float("nan")) < 1


def test_builtins_that_compare(gg):
    values = [gg.Value(x) for x in (3.0, 1.0, 2.0)]
    assert max(values) is values[0]
    assert min(values) is values[1]
    assert [v.data for v in sorted(values)] == [1.0, 2.0, 3.0]
    assert max(values[1], 0) is values[1]
    assert sum(values).data == 6.0


@pytest.mark.parametrize(
    "other",
    [2**53 + 1, 10**400, -(10**400), Fraction(1, 10), Fraction(2**54 + 1, 2)],
    ids=["2**53+1", "10**400", "-10**400", "1/10", "2**53+1/2"],
)
def test_comparisons_are_exact_as_those_of_floats(gg, other):
    for number in (0.1, float(2**53), -1e308):
        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            assert compare(gg.Value(number), other) == compare(number, other)
            assert compare(other, gg.Value(number)) == compare(other, number)


def test_equality_and_hash_are_by_identity(gg):
    a, b = gg.Value(2.0), gg.Value(2.0)
    assert a == a
    assert a != b
    assert not a == b  # noqa: SIM201 - `==` and `!=` are two methods
    assert a != 2.0
    assert not a == 2.0  # noqa: SIM201
    assert len({a, b}) == 2
    table = {a: "a", b: "b"}
    a.data = 7.0
    assert table[a] == "a"
    assert b in [a, b]
    assert [a, b].index(b) == 1
    (a + b * 3).backward()
    assert (a.grad, b.grad) == (1.0, 3.0)


def test_hashes_spread(gg):
    values = [gg.Value(0.0) for _ in range(1000)]
    assert len({hash(v) for v in values}) == 1000


# ---- texts and conversions -----------------------------------------------------------------------------------------


def test_repr_is_micrograds(gg):
    x = gg.Value(2.5)
    assert repr(x) == str(x) == f"{x}" == "Value(data=2.5, grad=0.0)"
    (x * 3).backward()
    assert repr(x) == "Value(data=2.5, grad=3.0)"


def test_format(gg):
    x = gg.Value(3.14159)
    assert f"{x:.4f}" == "3.1416"
    assert format(x, ".2e") == "3.14e+00"
    assert f"{x:>8.2f}|" == "    3.14|"
    with pytest.raises(ValueError, match="format"):
        f"{x:q}"


DROPPERS = {
    "float": float,
    "int": int,
    "math.exp": math.exp,
    "math.tanh": math.tanh,
    "math.sqrt": math.sqrt,
    "math.pow": lambda x: math.pow(x, 2),
    "math.fsum": lambda x: math.fsum([x]),
    "math.floor": math.floor,
    "complex": complex,
    "%f": lambda x: "%.2f" % x,  # noqa: UP031 - its conversion is under test
    "numpy.float64": np.float64,
}


@pytest.mark.parametrize("drop", DROPPERS.values(), ids=DROPPERS)
def test_what_would_drop_the_gradient_raises(gg, drop):
    x = gg.Value(2.0, "speed")
    with pytest.raises(TypeError) as caught:
        drop(x)
    if drop in (float, int, math.exp, math.sqrt):
        assert isinstance(caught.value, gg.OperandError)
        for part in ("speed = 2.0", ".data", "x.exp()", "glassgrad.exp(x)", "gradient"):
            assert part in str(caught.value)


# ---- subclasses ----------------------------------------------------------------------------------------------------


def test_a_subclass_calculates(gg):
    class Named(gg.Value):
        def __init__(self, data, name):
            super().__init__(data)
            self.name = name

    a, b = Named(2.0, "a"), gg.Value(3.0)
    for y in (a * b, b * a, a * 3, 3 * a):
        a.grad = 0
        y.backward()
        assert (y.data, a.grad) == (6.0, 3.0)
    assert a.name == "a"
    assert a < b
    assert gg.sum([a, b]).data == 5.0
    assert gg.exp(a).data == math.exp(2.0)


def test_the_parameters_of_the_class_can_be_asked(gg):
    class Same(gg.Value):
        pass

    class Other(gg.Value):
        def __init__(self, data, weight):
            super().__init__(data)

    asked = "(data, _children=(), _op='', *, label='', requires_grad=True)"
    assert str(inspect.signature(gg.Value)) == str(inspect.signature(Same)) == asked
    assert str(inspect.signature(Other)) == "(data, weight)"
    assert f"Value{asked}" in pydoc.render_doc(gg.Value, renderer=pydoc.plaintext)
    if not gg.COMPILED:
        parameters = list(inspect.signature(gg.Value.__init__).parameters.values())[1:]
        assert str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters])) == asked


# ---- results that are not finite -----------------------------------------------------------------------------------

NOT_FINITE = {
    "log(0)": (lambda v: v(0.0, "x").log(), ["log", "x = 0.0", "-inf"]),
    "log(-1)": (lambda v: v(-1.0, "x").log(), ["log", "x = -1.0", "undefined"]),
    "1/0": (lambda v: 1 / v(0, "d"), ["div", "1.0", "d = 0.0", "inf"]),
    "0/0": (lambda v: v(0, "n") / v(0, "d"), ["div", "n = 0.0", "d = 0.0", "undefined"]),
    "sqrt(-2)": (lambda v: v(-2.0, "b") ** 0.5, ["pow", "b = -2.0", "0.5", "undefined"]),
    "(-2)**v": (lambda v: (-2) ** v(0.5, "w"), ["pow", "-2.0", "w = 0.5", "undefined"]),
    "0**-1": (lambda v: v(0, "z") ** -1, ["pow", "z = 0.0", "-1.0", "inf"]),
    "exp(1000)": (lambda v: v(1000, "x").exp(), ["exp", "x = 1000.0", "inf"]),
    "1e308*10": (lambda v: v(1e308, "x") * 10, ["mul", "x = 1e+308", "10.0", "inf"]),
    "1e308+1e308": (lambda v: v(1e308, "p") + v(1e308, "q"), ["add", "p = 1e+308", "q = 1e+308", "inf"]),
    "nan+1": (lambda v: v(math.nan, "x") + 1, ["add", "x = nan", "undefined"]),
    "1*nan": (lambda v: v(1.0, "x") * math.nan, ["mul", "x = 1.0", "nan", "undefined"]),
    "inf-inf": (lambda v: v(math.inf, "x") - math.inf, ["sub", "x = inf", "undefined"]),
    "relu(nan)": (lambda v: v(math.nan, "x").relu(), ["relu", "x = nan", "undefined"]),
    "sign(nan)": (lambda v: v(math.nan, "x").sign(), ["sign", "x = nan"]),
    "max(1,nan)": (lambda v: v(1.0, "x").maximum(math.nan), ["maximum", "x = 1.0", "nan"]),
    "nan**0": (lambda v: v(math.nan, "x") ** 0, ["pow", "x = nan"]),
    "clip(nan)": (lambda v: v(math.nan, "x").clip(0, 1), ["clip", "x = nan"]),
    "hypot(inf,nan)": (lambda v: v(math.inf, "x").hypot(math.nan), ["hypot", "x = inf", "nan"]),
    "arccosh(0)": (lambda v: v(0.0, "x").arccosh(), ["arccosh", "x = 0.0", "undefined"]),
    "arctanh(1)": (lambda v: v(1.0, "x").arctanh(), ["arctanh", "x = 1.0", "inf"]),
}


@pytest.mark.parametrize(("make", "parts"), NOT_FINITE.values(), ids=NOT_FINITE)
def test_a_result_that_is_not_finite_raises_and_names_everything(gg, make, parts):
    with pytest.raises(gg.NonFiniteError) as caught:
        make(gg.Value)
    for part in (*parts, "allow_nonfinite"):
        assert part in str(caught.value)
    assert isinstance(caught.value, ArithmeticError)
    assert isinstance(caught.value, gg.GlassgradError)
    with gg.allow_nonfinite():
        y = make(gg.Value)
    assert not math.isfinite(y.data)


def test_the_scope_is_named_in_the_error(gg):
    with gg.scope("layer1"), gg.scope("neuron3"), pytest.raises(gg.NonFiniteError, match="in scope layer1/neuron3"):
        gg.Value(0.0).log()


def test_a_long_operand_list_is_shortened_in_the_error(gg):
    with pytest.raises(gg.NonFiniteError, match="993 more") as caught:
        gg.sum([gg.Value(1e308) for _ in range(1000)])
    assert len(str(caught.value)) < 500


def test_errors_survive_pickling(gg):
    with pytest.raises(gg.NonFiniteError) as caught:
        gg.Value(0.0).log()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
