"""Trees of scalars: taken apart, put together, and what their leaves are called in errors."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from conftest import BUILDS, environment
from hypothesis import given
from hypothesis import strategies as st

Point = namedtuple("Point", "x y")  # noqa: PYI024 - the kind that is meant


class Version(tuple):
    """A tuple that cannot be made from its items, for all anybody knows."""

    __slots__ = ()


class Row(list):
    """A list of a kind of its own."""


@dataclasses.dataclass(frozen=True)
class Line:
    slope: object
    points: list
    name: str = dataclasses.field(default="a line", metadata={"static": True})


@dataclasses.dataclass(slots=True)
class Box:
    side: float
    area: float = dataclasses.field(init=False)

    def __post_init__(self):
        self.area = self.side**2


@dataclasses.dataclass(frozen=True)
class Cached:
    side: float

    @functools.cached_property
    def area(self):
        return self.side**2


class Diagonal(np.ndarray):
    """An array in which `*` could mean anything."""


class Soon:
    """What a coroutine function returns, without Python's warning if nobody waits for it."""

    def __await__(self):
        yield


def there_and_back(gg, tree, change=lambda x: x):
    leaves, structure = gg.trees.flatten(tree)
    assert structure.size == len(leaves)
    return gg.trees.rebuild(structure, [change(x) for x in leaves])


TREES = {
    "number": 2.0,
    "list": [1.0, 2.0],
    "nested": [1.0, [2.0, (3.0, [4.0])], ()],
    "tuple": (1.0, (2.0,)),
    "namedtuple": Point(1.0, Point(2.0, [3.0])),
    "dict": {"w": [1.0, 2.0], "b": 3.0, 7: {}},
    "ordered": OrderedDict(b=1.0, a=2.0),
    "none": {"a": None, "b": [None, 1.0]},
    "only none": None,
    "dataclass": Line(1.0, [Point(2.0, 3.0)], "mine"),
    "list of its own kind": [Row([1.0, 2.0]), 3.0],
    "empty": [],
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_tree_put_together_again_is_the_same(gg, tree):
    made = there_and_back(gg, tree)
    assert made == tree
    assert type(made) is type(tree)
    assert repr(made) == repr(tree)


def test_containers_are_new_and_the_old_ones_unchanged(gg):
    tree = {"a": [1.0, 2.0], "b": Row([3.0])}
    made = there_and_back(gg, tree, lambda x: x + 10)
    assert made == {"a": [11.0, 12.0], "b": [13.0]}
    assert tree == {"a": [1.0, 2.0], "b": [3.0]}
    assert type(made["b"]) is Row
    assert made["a"] is not tree["a"]
    row = [1.0, 2.0]
    assert there_and_back(gg, row) is not row


def test_kinds_of_dicts_stay_what_they_are(gg):
    tree = defaultdict(list, b=1.0, a=2.0)
    made = there_and_back(gg, tree, lambda x: -x)
    assert (made, list(made), made.default_factory) == ({"b": -1.0, "a": -2.0}, ["b", "a"], list)
    counts = there_and_back(gg, Counter(b=2, a=3), lambda x: -x)  # whose update() adds
    assert (type(counts), list(counts.items())) == (Counter, [("b", -2), ("a", -3)])


def test_leaves_stand_in_the_order_of_the_tree(gg):
    leaves, _ = gg.trees.flatten({"z": 1.0, "a": (2.0, {"y": 3.0, "b": np.array([[4.0, 5.0], [6.0, 7.0]])}), 0: 8.0})
    assert leaves == [1, 2, 3, 4, 5, 6, 7, 8]


def test_fields_of_dataclasses(gg):
    leaves, structure = gg.trees.flatten(Line(1.0, [2.0, 3.0], "kept"))
    assert leaves == [1.0, 2.0, 3.0]
    assert gg.trees.rebuild(structure, [4.0, 5.0, 6.0]) == Line(4.0, [5.0, 6.0], "kept")
    box = there_and_back(gg, Box(3.0), lambda x: -x)  # as it is: __post_init__ does not run again
    assert (box.side, box.area) == (-3.0, -9.0)
    assert gg.trees.flatten(Line)[0] == [Line]  # a class is no tree


def test_what_a_dataclass_has_cached_is_computed_anew(gg):
    tree = Cached(3.0)
    assert tree.area == 9.0
    made = there_and_back(gg, tree, lambda x: x + 1)
    assert (made.area, tree.area) == (16.0, 9.0)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 1, 2)])
def test_arrays_keep_their_shape(gg, shape):
    tree = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    leaves, structure = gg.trees.flatten([tree])
    assert all(type(x) is float for x in leaves)
    (made,) = gg.trees.rebuild(structure, array("d", leaves))
    assert (made.shape, made.dtype) == (shape, np.float64)
    np.testing.assert_array_equal(made, tree)
    (values,) = gg.trees.rebuild(structure, [gg.Value(x) for x in leaves])
    assert isinstance(values, np.ndarray)
    assert values.shape == shape
    assert [v.data for v in values.ravel()] == leaves


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64, np.longdouble, object])
def test_arrays_of_any_numbers_come_back_as_float64(gg, dtype):
    leaves, structure = gg.trees.flatten(np.array([1, 2, 3], dtype=dtype))
    gg.trees.scalars(leaves, str)
    made = gg.trees.rebuild(structure, leaves)
    assert (made.dtype, made.tolist()) == (np.float64, [1.0, 2.0, 3.0])


def test_arrays_in_the_order_of_fortran_and_views(gg):
    tree = np.arange(6.0).reshape(2, 3).T[::-1]
    np.testing.assert_array_equal(there_and_back(gg, tree), tree)
    np.testing.assert_array_equal(there_and_back(gg, np.asfortranarray(tree)), tree)


def test_scalars_become_floats_and_values_stay(gg):
    x = gg.Value(1.0)
    leaves = [2, np.float32(0.5), np.int64(3), x, 1.5]
    assert gg.trees.scalars(leaves, str) is True
    assert [type(leaf) for leaf in leaves] == [float, float, float, gg.Value, float]
    assert leaves[3] is x
    assert gg.trees.scalars([1.0, 2], str) is False
    assert gg.trees.scalars([], str) is False


REFUSED = {
    "text": ("abc", r"at 0 takes a real number, not str 'abc'; convert it first"),
    "truth": (True, r"not bool True; a truth value has no derivative"),
    "truth of NumPy": (np.True_, r"a truth value has no derivative"),
    "nothing": (np.array([None]), r"not NoneType None; a number is missing"),
    "complex": (1j, r"keep \.real and \.imag apart"),
    "set": ({1.0}, r"make it a list, tuple, dict, dataclass or plain NumPy array"),
    "range": (range(3), r"make it a list"),
    "generator": ((x for x in [1.0]), r"make it a list"),
    "map": (map(float, "12"), r"make it a list"),
    "coroutine": (Soon(), r"it runs later: give a plain function"),
    "masked": (np.ma.array([1.0, 2.0], mask=[True, False]), r"make it a list, .* or plain NumPy array"),
    "matrix": (np.zeros((1, 2)).view(np.matrix), r"make it a list, .* or plain NumPy array"),
    "subclass of arrays": (np.zeros(2).view(Diagonal), r"or plain NumPy array"),
    "records": (np.zeros(2, dtype=[("a", float)]), r"at 0 .* not tuple \(0\.0,\); an array holds numbers only"),
    "dicts in an array": (np.array([{"a": 1.0}]), r"not dict {'a': 1\.0}; an array holds numbers only"),
    "a tuple of another kind": (Version((1, 2)), r"make it a list, tuple"),
    "object": (object(), r"give it a float or an int"),
    "class": (float, r"takes a real number, not type"),
}


@pytest.mark.parametrize(("leaf", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_scalar_is_refused(gg, leaf, message):
    with pytest.raises(gg.OperandError, match=message):
        gg.trees.scalars(gg.trees.flatten(leaf)[0], lambda i: f"at {i}")


def test_a_tree_that_contains_itself_is_refused(gg):
    tree = []
    tree.append({"again": tree})
    with pytest.raises(gg.OperandError, match="nested too deeply, or contains itself"):
        gg.trees.flatten(tree)
    for _ in range(10_000):
        tree = [tree]
    with pytest.raises(gg.OperandError, match="nested too deeply, or contains itself"):
        gg.trees.flatten_all([tree])


def test_an_integer_that_no_float_holds_is_refused(gg):
    with pytest.raises(gg.NonFiniteError, match="at 1 takes numbers that a float can hold"):
        gg.trees.scalars([1, 10**400], lambda i: f"at {i}")


def test_paths_are_python(gg):
    tree = {
        "w": [1.0, (2.0, 3.0)],
        7: Point(4.0, None),
        "a": np.zeros((2, 2)),
        "l": Line(5.0, [6.0]),
        "n": np.array(7.0),
    }
    leaves, structure = gg.trees.flatten(tree)
    paths = [structure.path(i) for i in range(len(leaves))]
    assert paths == [
        "['w'][0]", "['w'][1][0]", "['w'][1][1]", "[7].x",
        "['a'][0, 0]", "['a'][0, 1]", "['a'][1, 0]", "['a'][1, 1]", "['l'].slope", "['l'].points[0]", "['n']",
    ]  # fmt: skip
    assert [eval("tree" + path, {"tree": tree}) for path in paths] == leaves


def test_structures_say_what_they_are(gg):
    def text(tree):
        return gg.trees.a(gg.trees.flatten(tree)[1])

    assert text(1.0) == text(np.array(1.0)) == "a number"
    assert text([1.0, 2.0]) == text([np.float64(1), 2]) == "a list of 2 numbers"
    assert text((1.0,)) == "a tuple of 1 number"
    assert text([[1.0], 2.0]) == "a list with [0] list of 1 number, [1] number"
    assert text({"a": 1.0}) == "a dict with ['a'] number"
    assert text(Point(1.0, 2.0)) == "a Point with .x number, .y number"
    assert text(np.zeros((2, 3))) == "an array of shape (2, 3)"
    assert text([]) == "an empty list"
    assert text(None) == "None"
    assert len(text({str(i): 0.0 for i in range(1000)})) < 110


def test_a_second_tree_follows_the_first(gg):
    _, structure = gg.trees.flatten({"a": 1.0, "b": [2.0, {"x": 3.0, "y": 4.0}]})
    leaves, values = gg.trees.leaves_like(structure, {"b": [20, {"y": 40, "x": 30}], "a": 10}, "v", "x")
    assert (leaves, values) == ([10.0, 20.0, 30.0, 40.0], False)
    with pytest.raises(gg.OperandError, match=r"v is a list of 1 number, and x is a dict with .*same structure"):
        gg.trees.leaves_like(structure, [1.0], "v", "x")
    with pytest.raises(gg.OperandError, match=r"v\['b'\]\[1\]\['y'\] takes a real number, not str"):
        gg.trees.leaves_like(structure, {"a": 1.0, "b": [2.0, {"x": 3.0, "y": "4"}]}, "v", "x")


def test_matrices_of_trees(gg):
    def matrix(rows, columns):
        (left, rows), (right, columns) = gg.trees.flatten(rows), gg.trees.flatten(columns)
        entries = array("d", [10.0 * i + j for i in range(len(left)) for j in range(len(right))])
        return gg.trees.rebuild_matrix(rows, columns, entries)

    assert matrix([1, 2], [1, 2]) == [[0.0, 1.0], [10.0, 11.0]]
    assert matrix({"a": 1, "b": (2,)}, (1, [2])) == {"a": (0.0, [1.0]), "b": ((10.0, [11.0]),)}
    np.testing.assert_array_equal(matrix(np.zeros(2), np.zeros(3)), [[0, 1, 2], [10, 11, 12]])
    assert matrix(np.zeros((2, 2)), np.zeros((1, 3))).shape == (2, 2, 1, 3)
    assert matrix(np.zeros((2, 0)), np.zeros(3)).shape == (2, 0, 3)
    by_two = matrix(np.zeros(2), [1, np.zeros(2)])
    np.testing.assert_array_equal(by_two[0], [0, 10])
    np.testing.assert_array_equal(by_two[1], [[1, 2], [11, 12]])
    rows = matrix([1, 2], np.zeros((2, 1)))
    assert [row.tolist() for row in rows] == [[[0.0], [1.0]], [[10.0], [11.0]]]
    assert matrix([], [1, 2]) == []
    assert matrix([1], []) == [[]]


@given(
    st.recursive(
        st.floats(allow_nan=False) | st.none(),
        lambda tree: (
            st.lists(tree, max_size=4) | st.tuples(tree, tree) | st.dictionaries(st.text(max_size=2), tree, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_any_tree_comes_back(gg, tree):
    leaves, structure = gg.trees.flatten(tree)
    assert gg.trees.rebuild(structure, leaves) == tree
    assert [eval("tree" + structure.path(i), {"tree": tree}) for i in range(len(leaves))] == leaves
    with gg.allow_nonfinite():
        again, _ = gg.trees.leaves_like(structure, tree, "the same", "it")
    assert again == leaves


@pytest.mark.parametrize("build", BUILDS)
def test_numpy_is_not_imported_for_lists(build):
    code = (
        "import sys, glassgrad; print(glassgrad.grad(lambda p: p['a'][0] ** 2)({'a': [3.0]}), 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(build)
    )
    assert done.stdout.strip() == "{'a': [6.0]} False"
