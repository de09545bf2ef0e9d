"""Trees and boxes for the terminal: each Value once, every edge where it leads, within the width, in any encoding."""

from __future__ import annotations

import io
import random
import re
import sys
import time
from collections import Counter

import pytest
from pictures import HOSTILE

G1 = """\
                  data   grad
L ×                 −8      1
├─ −2 ─ n4 +         4     −2
│  ├─ 1 ─ n2 ×      −6     −2
│  │  ├─ −3 ─ a      2      6
│  │  ╰─ 2 ── b     −3     −4
│  ╰─ 1 ─ c         10     −2
╰─ 4 ── f           −2      4"""
G1_ASCII = """\
                  data   grad
L *                 -8      1
|- -2 - n4 +         4     -2
|  |- 1 - n2 *      -6     -2
|  |  |- -3 - a      2      6
|  |  `- 2 -- b     -3     -4
|  `- 1 - c         10     -2
`- 4 -- f           -2      4"""
G5 = """\
                   data   grad
y +                  18      1
├─ 1 ─ n5 +          15      1
│  ├─ 1 ─ n2 **2      9      1
│  │  ╰─ 6 ─ x        3      9
│  ╰─ 1 ─ n4 ×        6      1
│     ├───── 2
│     ╰─ 2 ─ ↑ x
╰─ 1 ─ ↑ x"""
BOXES = """\
╭─ a ─────╮   ╭─ b ───────╮
│       2 │   │        −3 │
│ grad  6 │   │ grad   −4 │
╰────┬────╯   ╰─────┬─────╯
     ╰────╮   ╭─────╯
          ▼   ▼
      ╭─ n2 × ────╮   ╭─ c ───────╮
      │        −6 │   │        10 │
      │ grad   −2 │   │ grad   −2 │
      ╰─────┬─────╯   ╰─────┬─────╯
            │ ╭─────────────╯
            ▼ ▼
      ╭─ n4 + ────╮   ╭─ f ─────╮
      │         4 │   │      −2 │
      │ grad   −2 │   │ grad  4 │
      ╰─────┬─────╯   ╰────┬────╯
            │ ╭────────────╯
            ▼ ▼
       ╭─ L × ───╮
       │      −8 │
       │ grad  1 │
       ╰─────────╯"""


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def g1(gg):
    a, b, c, f = gg.Value(2, "a"), gg.Value(-3, "b"), gg.Value(10, "c"), gg.Value(-2, "f")
    loss = (a * b + c) * f
    loss.label = "L"
    loss.backward()
    return loss


def part(gg, name):
    return __import__(f"{gg.__name__}.viz.{name}", fromlist=[name])


def layers(gg, width, depth):
    """A network that shares every Value of a layer among all of the next."""
    row = [gg.Value(0.1 * k, f"x{k}") for k in range(width)]
    for _ in range(depth):
        row = [gg.sum([v * 0.5 for v in row]).tanh() for _ in row]
    return gg.sum(row)


def test_g1(gg, g1):
    assert str(g1.tree()) == repr(g1.tree()) == str(gg.tree(g1)) == G1
    assert str(gg.tree(gg.Graph.of(g1))) == G1


def test_a_shared_value_is_drawn_once_and_referred_to(gg):
    x = gg.Value(3.0, "x")
    y = x**2 + 2 * x + x
    y.label = "y"
    y.backward()
    assert str(y.tree()) == G5


def test_a_shared_operation_is_drawn_once(gg):
    root = layers(gg, 4, 3)
    text = str(root.tree(max_lines=None))
    names = re.findall(r"(?<!↑ )\b(n\d+|x\d)\b", text)
    graph = gg.Graph.of(root)
    wanted = [i for i in range(len(graph)) if graph.requires_grad[i]]
    assert Counter(names) == Counter([graph.labels[i] or f"n{i}" for i in wanted])
    assert text.count("↑") + len(names) == 1 + sum(graph.requires_grad[a] for a, _ in graph.edges())


def test_both_operands_of_a_square_are_shown(gg):
    a = gg.Value(5.0, "a")
    assert str((a * a).tree()).splitlines()[2:4] == ["├─ 5 ─ a        5      —", "╰─ 5 ─ ↑ a"]


def test_what_is_not_computed_is_told(gg):
    a = gg.Value(5.0, "a")
    assert str((a * 2).tree()).endswith("\ngrad —: not computed, call backward()")
    assert "not computed" not in G1


def test_unknown_derivatives_and_constants(gg):
    x, k = gg.Value(2.0, "x"), gg.Value(3.0, "k", requires_grad=False)
    out = gg.Value(8.0, (x,), "cube")
    text = str((out * k).tree())
    assert "╰─ ? ─ x" in text
    assert re.search(r"╰───── k +3$", text, re.MULTILINE)
    assert "n1 cube" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_ascii_where_there_is_no_unicode(gg, g1, monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
    assert str(g1.tree()) == G1_ASCII
    print(g1.tree(boxes=True))  # noqa: T201
    a = gg.Value(1.0, "数")
    print((a * 2).tree(), (a * 2).tree(boxes=True))  # noqa: T201
    assert "?" in str((a * 2).tree())


def test_colours_only_on_a_terminal_and_as_the_user_wants(g1, monkeypatch):
    assert "\x1b" not in str(g1.tree())
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced = str(g1.tree())
    assert re.sub(r"\x1b\[\d*m", "", forced) == G1
    assert "\x1b[34m" in forced
    assert "\x1b[33m" in forced
    monkeypatch.setenv("NO_COLOR", "1")
    assert str(g1.tree()) == G1
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.delenv("FORCE_COLOR")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    assert str(g1.tree()) == forced
    monkeypatch.setenv("TERM", "dumb")
    assert str(g1.tree()) == G1


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(gg, monkeypatch, width):
    cells = part(gg, "terminal").cells
    root = layers(gg, 3, 8)
    root.label = "数" * 100
    given = str(root.tree(max_lines=None, width=width))
    monkeypatch.setenv("COLUMNS", str(width))
    assert str(root.tree(max_lines=None)) == given
    assert max(map(cells, given.splitlines())) <= width
    names = set(re.findall(r"\bn\d+\b", given))
    assert width < 60 or len(names) == len([v for v in gg.Graph.of(root).ops if v != "leaf"]) - 1
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert max(map(len, str(root.tree(max_lines=None)).splitlines())) <= width


def test_columns_stay_aligned_with_wide_labels(gg):
    cells = part(gg, "terminal").cells
    a, b, c = gg.Value(1.0, "宽标签"), gg.Value(2.0, "b"), gg.Value(3.0, "e\u0301" * 5)
    y = (a * b + c) * a
    y.backward()
    lines = [line for line in str(y.tree()).splitlines() if "↑" not in line]
    assert len({cells(line) for line in lines}) == 1


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels(gg, label):
    a, b = gg.Value(1.0, label), gg.Value(2.0, label)
    y = a * b + a
    y.label = label
    cells = part(gg, "terminal").cells
    for text in (str(y.tree()), str(y.tree(boxes=True))):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
        assert max(map(cells, text.splitlines())) <= 80
    assert len(str(y.tree()).splitlines()) == 7


def test_lines_are_capped_and_the_last_says_so(gg):
    root = layers(gg, 5, 5)
    root.backward()
    graph = gg.Graph.of(root)
    text = str(root.tree(max_lines=20))
    lines = text.splitlines()
    assert len(lines) == 22
    shown = sum("↑" not in line for line in lines[1:21])
    assert lines[-1] == f"… {len(graph) - shown:,} more Values: tree(max_lines=None) draws them all"
    assert "more Values" not in str(root.tree(max_lines=None))


def test_a_chain_of_20000(gg):
    y = gg.Value(1.0, "x")
    for _ in range(20_000):
        y = y.tanh()
    start = time.perf_counter()
    assert len(str(y.tree()).splitlines()) == 203
    whole = str(y.tree(max_lines=None))
    assert time.perf_counter() - start < 30
    heads = re.findall(r"^n\d+ tanh$", whole, re.MULTILINE)
    assert whole.count("↓") == len(heads) > 100
    assert whole.count("tanh") - len(heads) == 20_000
    assert re.search(r"╰─ [\d.]+ ─ x ", whole)


def test_several_roots_stand_one_below_the_other(gg):
    a = gg.Value(2.0, "a")
    y, z = a * 2, a + 1
    y.label, z.label = "y", "z"
    text = str(gg.tree(gg.Graph.of(y, z)))
    assert text.index("y ×") < text.index("\n\nz +") < text.index("↑ a")


# ---- boxes ---------------------------------------------------------------------------------------------------------


def test_boxes_of_g1(g1):
    assert str(g1.tree(boxes=True)) == BOXES


def boxes_in(lines):
    """name → (left, top, right, bottom) of every box with a name in its rim."""
    found = {}
    for y, line in enumerate(lines):
        for match in re.finditer(r"╭─ (\S+)(?: \S+)? ─*╮", line):
            left, right = match.start(), match.end() - 1
            bottom = next(k for k in range(y, len(lines)) if k > y and lines[k][left : left + 1] == "╰")
            assert lines[bottom][right] == "╯"
            assert all(lines[k][left] == lines[k][right] == "│" for k in range(y + 1, bottom))
            found[match[1]] = left, y, right, bottom
    return found


SIDES = {
    c: {d for k, d in enumerate(["left", "right", "up", "down"]) if n >> k & 1}
    for n, c in enumerate(" ╴╶─╵╯╰┴╷╮╭┬│┤├┼")
}
STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
BACK = {"left": "right", "right": "left", "up": "down", "down": "up"}


def ends_of(lines, x, y):
    """The columns and rows of the arrowheads that the line from (x, y) downwards leads to."""
    heads, todo = [], [(x, y + 1, "down")]
    while todo:
        x, y, way = todo.pop()
        c = lines[y][x]
        if c == "▼":
            assert way == "down"
            heads.append((x, y))
            continue
        sides = set(STEP) if c == "●" else SIDES[c]
        assert BACK[way] in sides, f"a line breaks off at {x}, {y}: {c!r}"
        ways = {way} if c == "┼" else sides - {BACK[way]}  # two that cross
        todo += [(x + STEP[w][0], y + STEP[w][1], w) for w in ways]
    return heads


def random_graph(gg, rng):
    n = rng.randint(2, 40)
    reach = rng.choice([3, 6, 40])
    operands = [tuple(rng.randrange(max(0, i - reach), i) for _ in range(rng.randint(0, min(i, 4)))) for i in range(n)]
    return gg.Graph(
        ops=["custom" if below else "leaf" for below in operands], symbols=["f" if below else "" for below in operands],
        operands=operands, values=[rng.uniform(-1e3, 1e3) for _ in operands], grads=[None] * n,
        partials=[(None,) * len(below) for below in operands], labels=[f"v{i}" for i in range(n)], scopes=[""] * n,
        requires_grad=[rng.random() < 0.9 for _ in operands], roots=(n - 1,),
    )  # fmt: skip


def test_every_edge_of_random_boxes_can_be_followed(gg):
    rng = random.Random(11)
    for _ in range(300):
        graph = random_graph(gg, rng)
        lines = part(gg, "boxes").draw(graph)
        width = max(map(len, lines)) + 1
        lines = [line.ljust(width) for line in lines]
        places = boxes_in(lines)
        assert len(places) == len(graph)
        found = []
        for name, (left, _, right, bottom) in places.items():
            for x in range(left, right):
                if lines[bottom][x] == "┬":
                    for head_x, head_y in ends_of(lines, x, bottom):
                        targets = [n for n, (l, t, r, _) in places.items() if t == head_y + 1 and l < head_x < r]
                        found += [(int(name[1:]), int(target[1:])) for target in targets]
        assert sorted(found) == sorted(graph.edges())


def test_boxes_have_a_limit_and_say_the_way_out(gg):
    y = gg.Value(1.0)
    for _ in range(40):
        y = y.tanh()
    with pytest.raises(gg.DrawingError, match=r"41 Values; boxes are for up to 40[\s\S]*value\.tree\(\)"):
        y.tree(boxes=True)
    assert str(y._prev[0].tree(boxes=True)).count("╭─") == 40
    with pytest.raises(gg.DrawingError, match="more than 400"):
        layers(gg, 20, 5).tree(boxes=True)


def test_boxes_wider_than_the_terminal_are_refused_with_the_way_out(gg):
    cells = part(gg, "terminal").cells
    y = gg.prod([gg.Value(k, f"leaf {k}") for k in range(12)])
    with pytest.raises(gg.DrawingError, match=r"(\d+) columns wide, and there are 80: .*width=\1") as error:
        y.tree(boxes=True)
    width = int(re.search(r"width=(\d+)", str(error.value))[1])
    assert max(map(cells, str(y.tree(boxes=True, width=width)).splitlines())) == width


# ---- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [None, 1.0, "x", []])
def test_what_is_no_value_is_refused(gg, root):
    with pytest.raises(gg.OperandError, match=r"write tree\(loss\)"):
        gg.tree(root)


@pytest.mark.parametrize(
    "options", [{"max_lines": 0}, {"max_lines": True}, {"max_lines": 1.5}, {"width": 10}, {"width": "80"}]
)
def test_options_without_sense_are_refused(gg, options):
    with pytest.raises(gg.DrawingError, match=next(iter(options))):
        gg.tree(gg.Value(1.0), **options)


def test_methods_of_value_are_what_the_package_says(gg, monkeypatch):
    v = gg.Value(1.0)
    assert v.tree.__func__ is gg.tree
    assert gg.Value.tree is gg.tree
    monkeypatch.delitem(gg.engine.viewers, "tree")
    assert not hasattr(v, "tree")
    assert not hasattr(gg.Value, "tree")
    monkeypatch.setitem(gg.engine.viewers, "show", lambda value, title="": (value, title))
    assert v.show(title="page") == (v, "page")
    monkeypatch.delitem(gg.engine.viewers, "_repr_mimebundle_")
    assert v._repr_mimebundle_() == {"text/plain": repr(v)}
