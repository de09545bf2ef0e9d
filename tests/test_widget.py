"""The widget: Values in Python and the picture, in step both ways; its two halves apart, and together in Chromium."""

from __future__ import annotations

import builtins
import json
import math
import subprocess
import sys

import pytest
from conftest import environment

import glassgrad
from glassgrad.viz import bundle

pytest.importorskip("anywidget", reason="the widget needs anywidget: pip install 'glassgrad[notebook]'")


@pytest.fixture
def four(gg):
    """L = (a * b + c) * f and its leaves, before backward()."""
    leaves = [gg.Value(x, name) for x, name in [(2.0, "a"), (-3.0, "b"), (10.0, "c"), (-2.0, "f")]]
    a, b, c, f = leaves
    product = a * b
    product.label = "ab"
    loss = (product + c) * f
    loss.label = "L"
    return loss, leaves


@pytest.fixture
def open_widget(gg):
    """Makes widgets, and closes them afterwards."""
    made = []

    def make(*args, **kwargs):
        made.append(gg.widget(*args, **kwargs))
        return made[-1]

    yield make
    for widget in made:
        widget.close()


def edit(widget, **numbers):
    """What the picture sends: all edits there are, by the ids of nodes, which are given by label."""
    places = {node.label: i for i, node in enumerate(widget._numbers.nodes)}
    widget.set_state({"_edits": {str(places[label]): x for label, x in numbers.items()}})


def grads(leaves):
    return [leaf.grad for leaf in leaves]


# ---- from the picture to Python ------------------------------------------------------------------------------------


def test_an_edit_in_the_picture_is_what_python_reads(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    edit(widget, b=5)
    assert (leaves[1].data, loss.data) == (5.0, -40.0)
    assert grads(leaves) == [-10.0, -4.0, -2.0, 20.0]
    edit(widget, b=5, a=-1.5)
    assert (loss.data, leaves[1].grad) == (-5.0, 3.0)


def test_gradients_are_those_of_one_pass_however_often_something_is_edited(four, open_widget):
    loss, leaves = four
    loss.backward()
    loss.backward()
    widget = open_widget(loss)
    for x in range(5):
        edit(widget, b=x)
    edit(widget, b=5)
    assert grads(leaves) == [-10.0, -4.0, -2.0, 20.0]


def test_who_observes_edits_hears_of_them_when_the_numbers_are_there(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    heard = []
    widget.observe(lambda change: heard.append((change["new"], loss.data, leaves[0].grad)), names="edits")
    edit(widget, b=5)
    assert heard == [({leaves[1]: 5.0}, -40.0, -10.0)]
    assert widget.edits == {leaves[1]: 5.0}


def test_a_reset_in_the_picture_gives_the_leaf_back_what_it_had(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    edit(widget, b=5, a=1)
    edit(widget, a=1)
    assert (leaves[1].data, loss.data) == (-3.0, -14.0)
    assert widget._graph == "", "the picture knows all this by itself"
    edit(widget)
    assert (leaves[0].data, loss.data, grads(leaves)) == (2.0, -8.0, [6.0, -4.0, -2.0, 4.0])
    assert json.loads(widget._graph)["grads"][0] == 6, "of gradients, which Python has now, the picture is told"


@pytest.mark.parametrize(("sent", "number"), [("-0", -0.0), ("Infinity", math.inf), (7, 7.0), (1e300, 1e300)])
def test_every_number_arrives_as_it_is(gg, open_widget, sent, number):
    x = gg.Value(1.0, "x")
    with gg.allow_nonfinite():  # a widget keeps the mode that it was made in
        widget = open_widget(x * 2.0)
    edit(widget, x=sent)
    assert str(x.data) == str(number)


def test_numbers_of_the_program_can_be_edited_too(gg, open_widget):
    x = gg.Value(3.0, "x")
    y = x**2
    widget = open_widget(y)
    (power,) = [i for i, node in enumerate(widget._numbers.nodes) if node.data == 2.0]
    widget.set_state({"_edits": {str(power): 3}})
    assert (y.data, x.grad) == (27.0, 27.0)


# ---- what Python refuses -------------------------------------------------------------------------------------------


def test_an_undefined_result_is_said_under_the_picture_and_changes_nothing(gg, open_widget):
    x = gg.Value(2.0, "x")
    y = x.log() + x
    y.backward()
    widget = open_widget(y)
    heard = []
    widget.observe(heard.append, names="edits")
    edit(widget, x=0)
    assert widget.error.startswith("Python keeps the numbers it had. log(x = 0.0) is -inf")
    assert (x.data, y.data, x.grad, heard) == (2.0, math.log(2.0) + 2.0, 1.5, [])
    edit(widget, x=0.5)
    assert (widget.error, x.data, x.grad) == ("", 0.5, 3.0)


def test_values_without_gradients_are_said_to_be_so(gg, open_widget):
    x = gg.Value(4.0, "x")
    y = x.sqrt()
    y.backward()
    widget = open_widget(y)
    edit(widget, x=0)
    assert widget.error.startswith("Python has these values, and no gradients. the gradient through sqrt(x = 0.0)")
    assert (x.data, y.data, y._has_grad, x._has_grad) == (0.0, 0.0, False, False)
    with pytest.raises(gg.NonFiniteError, match="sqrt"):
        widget.set(x, 0.0)


def test_what_cannot_run_again_is_said_when_it_is_edited(gg, open_widget):
    x = gg.Value(2.0, "x")
    h = x * x
    by_hand = gg.Value(h.data, (h,), "mine")
    by_hand._backward = lambda: None
    widget = open_widget(by_hand)
    edit(widget, x=3)
    assert "an operation 'mine' written by hand" in widget.error
    assert (x.data, h.data) == (2.0, 4.0)


def test_an_error_of_a_primitives_author_is_said_too(gg, open_widget):
    @gg.primitive
    def touchy(x):
        return {2.0: 1.0}[x]

    touchy.derivative()(lambda x: 1.0)
    x = gg.Value(2.0, "x")
    widget = open_widget(touchy(x))
    edit(widget, x=3)
    assert widget.error == "Python keeps the numbers it had. KeyError: 3.0"
    assert x.data == 2.0


@pytest.mark.parametrize("edits", [{"99": 1.0}, {"-1": 1.0}, {"6": 1.0}, {"x": 1.0}, {"0": "many"}, {"0": None}])
def test_a_front_end_that_sends_nonsense_changes_nothing(four, open_widget, edits):
    loss, leaves = four
    widget = open_widget(loss)
    widget.set_state({"_edits": edits})
    assert widget.error.startswith("Python keeps the numbers it had.")
    assert (loss.data, [leaf.data for leaf in leaves]) == (-8.0, [2.0, -3.0, 10.0, -2.0])


# ---- from Python to the picture ------------------------------------------------------------------------------------


def shown(widget):
    """The values and gradients that the picture was told of."""
    graph = json.loads(widget._graph)
    return graph["values"], graph["grads"]


def test_set_edits_from_python(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    edit(widget, a=7)
    widget.set(leaves[1], 5)
    assert (loss.data, leaves[0].data) == ((7 * 5 + 10) * -2.0, 7.0)
    assert shown(widget)[0] == [7, 5, 35, 10, 45, -2, -90]
    assert shown(widget)[1] == [-10, -14, -2, -2, -2, 45, 1]
    assert (widget._edits, widget.edits) == ({}, {}), "they are the picture's own numbers now"
    edit(widget, a=1)
    edit(widget)
    assert (leaves[0].data, leaves[1].data) == (7.0, 5.0), "which a reset goes back to"


def test_refresh_takes_what_was_assigned(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    leaves[0].data, leaves[1].data = 1.0, 1.0
    widget.refresh()
    assert (loss.data, shown(widget)[0]) == (-22.0, [1, 1, 1, 10, 11, -2, -22])


def test_errors_of_set_and_refresh_are_raised_where_they_are_called(gg, four, open_widget):
    x = gg.Value(2.0, "x")
    y = x.log()
    widget = open_widget(y)
    with pytest.raises(gg.NonFiniteError, match="log"):
        widget.set(x, 0.0)
    assert (x.data, widget._graph) == (2.0, "")
    with pytest.raises(gg.OperandError, match="takes a real number"):
        widget.set(x, "0.5")
    with pytest.raises(gg.OperandError, match="only leaves can be edited"):
        widget.set(y, 1.0)
    with pytest.raises(gg.OperandError, match="takes a leaf of this widget's graph"):
        widget.set(four[0], 1.0)
    with pytest.raises(gg.OperandError, match="takes a leaf of this widget's graph"):
        widget.set("x", 1.0)
    x.data = -1.0
    with pytest.raises(gg.NonFiniteError, match="log"):
        widget.refresh()
    assert (x.data, y.data) == (-1.0, math.log(2.0)), "what the user assigned is the user's"


def test_several_roots_change_together_and_gradients_are_of_the_first(gg, open_widget):
    x = gg.Value(3.0, "x")
    roots = [x * x, x + 1.0]
    widget = open_widget(iter(roots))
    edit(widget, x=5)
    assert ([root.data for root in roots], x.grad) == ([25.0, 6.0], 10.0)


def test_a_constant_has_a_picture_too(gg, open_widget):
    x = gg.Value(3.0, "x", requires_grad=False)
    widget = open_widget(x)
    edit(widget, x=5)
    assert (x.data, widget.error) == (5.0, "")


# ---- cells ---------------------------------------------------------------------------------------------------------


class Shell:
    """The part of IPython's shell that the widget uses."""

    def __init__(self):
        self.events, self.callbacks = self, []

    def register(self, name, function):
        assert name == "post_run_cell"
        self.callbacks.append(function)

    def unregister(self, name, function):
        assert name == "post_run_cell"
        self.callbacks.remove(function)

    def run_cell(self):
        for callback in self.callbacks:
            callback("the result of the cell")


@pytest.fixture
def shell(gg, monkeypatch):
    found = Shell()
    monkeypatch.setattr(sys.modules[f"{gg.__name__}.viz.widget"], "_shell", lambda: found)
    return found


def test_what_a_cell_assigns_is_shown_after_it(four, shell, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    shell.run_cell()
    assert widget._graph == "", "nothing changed"
    leaves[1].data = 5.0
    shell.run_cell()
    assert (loss.data, grads(leaves)) == (-40.0, [-10.0, -4.0, -2.0, 20.0])
    assert shown(widget) == ([2, 5, 10, 10, 20, -2, -40], [-10, -4, -2, -2, -2, 20, 1])


def test_a_sweep_in_a_cell_is_shown_as_it_is(four, shell, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    loss.backward()
    loss.backward()
    shell.run_cell()
    assert grads(leaves) == [12.0, -8.0, -4.0, 8.0]
    assert shown(widget)[1] == [12, -8, -2, -4, -2, 8, 1]


def test_gradients_that_a_cell_computes_itself_are_left_alone(four, shell, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    loss.backward()
    for leaf in leaves:  # a step of training
        leaf.data -= 0.1 * leaf.grad
    shell.run_cell()
    assert grads(leaves) == [6.0, -4.0, -2.0, 4.0]
    assert loss.data == pytest.approx((1.4 * -2.6 + 10.2) * -2.4)
    assert shown(widget)[1] == [6, -4, None, -2, None, 4, None]


def test_an_error_after_a_cell_is_said_once(gg, shell, open_widget):
    x = gg.Value(2.0, "x")
    widget = open_widget(x.log())
    x.data = -1.0
    shell.run_cell()
    assert widget.error.startswith("The picture keeps the numbers it had. log(x = -1.0) is undefined")
    widget.error = ""
    shell.run_cell()
    assert (widget.error, widget._graph) == ("", "")
    x.data = math.nan
    shell.run_cell()
    assert "log(x = nan)" in widget.error


def test_a_closed_widget_follows_nothing(four, shell, open_widget):
    loss, leaves = four
    widget = open_widget(loss)
    widget.close()
    widget.close()
    leaves[1].data = 5.0
    shell.run_cell()
    assert (shell.callbacks, loss.data) == ([], -8.0)


def test_in_ipython_itself():
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.history_manager.enabled = False
def cell(text):
    shell.run_cell(text).raise_error()
cell("from glassgrad import Value, widget; a, b = Value(2, 'a'), Value(3, 'b'); y = a * b; w = widget(y)")
cell("a.data = 7")
cell("print(y.data, a.grad, b.grad)")
cell("w.set_state({'_edits': {'1': -1}})")
cell("print(y.data, a.grad, b.grad)")
cell("w.close(); a.data = 0")
cell("print(y.data)")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment("interpreted")
    )
    assert done.stdout.splitlines() == ["21.0 3.0 7.0", "-7.0 -1.0 7.0", "-7.0"], done.stderr


# ---- what a notebook is given --------------------------------------------------------------------------------------


def test_without_a_kernel_there_is_the_page_with_the_numbers_of_now(four, open_widget):
    loss, leaves = four
    widget = open_widget(loss, height=321)
    widget.set(leaves[1], 5.0)
    data, _ = widget._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["text/plain"] == "widget(Graph of L, 7 values)"
    assert "height:321px" in data["text/html"]
    assert "&quot;values&quot;:[2,5,10,10,20,-2,-40]" in data["text/html"]


def test_what_is_no_value_is_refused(gg, four):
    loss, _ = four
    with pytest.raises(gg.OperandError, match=r"a Graph is a snapshot of them: write show\(graph\)"):
        gg.widget(gg.Graph.of(loss))
    with pytest.raises(gg.OperandError, match=r"widget\(\) draws a Value"):
        gg.widget(3.0)
    with pytest.raises(gg.DrawingError, match="this graph has 7 Values"):
        gg.widget(loss, max_nodes=6)


def test_without_anywidget_the_error_says_what_to_install(gg, four, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "anywidget":
            raise ImportError("No module named 'anywidget'")
        return real(name, *args, **kwargs)

    module = sys.modules[f"{gg.__name__}.viz.widget"]
    module._widget_class.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(gg.DrawingError, match=r"pip install 'glassgrad\[notebook\]'"):
            gg.widget(four[0])


@pytest.mark.slow
def test_a_notebook_runs_with_a_widget_and_its_export_has_the_page(tmp_path):
    pytest.importorskip("nbconvert")
    nbformat = pytest.importorskip("nbformat")
    cells = [
        "from glassgrad import Value, widget\na, b = Value(2, 'a'), Value(-3, 'b')\ny = a * b\nw = widget(y)\nw",
        "b.data = 5",
        "print('after the cell:', y.data, a.grad)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbformat.write(book, tmp_path / "book.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "book.ipynb"]
    command.append("--NotebookClient.store_widget_state=False")
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=environment("interpreted"), timeout=120)
    text = (tmp_path / "book.html").read_text(encoding="utf-8")
    assert "after the cell: 10.0 5.0" in text
    assert text.count("<iframe ") == 1
    assert "&quot;values&quot;:[2,-3,-6]" in text


# ---- both halves, in Chromium --------------------------------------------------------------------------------------

MODEL = """
async ([code, state]) => {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const listeners = [];
  globalThis.saved = [];
  globalThis.model = {
    get: (name) => state[name],
    set: (name, x) => model.update({ [name]: x }),
    save_changes: () => saved.push(JSON.parse(JSON.stringify({ _edits: state._edits }))),
    on: (event, f) => listeners.push([event, f]),
    off: (event, f) => listeners.splice(listeners.findIndex(([e, g]) => e === event && g === f), 1),
    update(changed) { // as Backbone does: all of it first, then an event for each
      const text = JSON.stringify;
      const names = Object.keys(changed).filter((name) => text(state[name]) !== text(changed[name]));
      Object.assign(state, changed);
      for (const name of names) for (const [event, f] of [...listeners]) if (event === `change:${name}`) f();
    },
    listeners,
  };
  const { default: widget } = await import(url);
  globalThis.mount = () => {
    const el = document.body.appendChild(document.createElement("div"));
    return widget.render({ model, el });
  };
  globalThis.unmount = mount();
}
"""
SYNCED = ["_page", "_title", "_height", "_graph", "_edits", "error"]


class Notebook:
    """A widget in Python, its other half in a browser, and between them what a kernel would carry."""

    def __init__(self, chromium, widget):
        self.widget = widget
        self.tab = chromium.new_page(viewport={"width": 1000, "height": 800})
        self.complaints = []
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.tab.on("request", lambda r: self.complaints.append(r.url) if r.url.startswith("http") else None)
        self.tab.set_content("<!doctype html><body></body>")
        self.tab.evaluate(MODEL, [bundle.source("widget.js"), self.state()])

    def state(self):
        return {name: getattr(self.widget, name) for name in SYNCED}

    def view(self, k=0):
        """The page inside of a view of the widget, once it is there."""
        frame = self.tab.frame_locator(f"iframe >> nth={k}")
        frame.locator("html[data-ready=true]").wait_for()
        return frame

    def carry(self):
        """What the browser saved goes to Python, and what Python has goes to the browser."""
        self.tab.wait_for_function("saved.length > 0")
        for state in self.tab.evaluate("saved.splice(0)"):
            self.widget.set_state(state)
        self.to_browser()

    def to_browser(self):
        self.tab.evaluate("(state) => model.update(state)", self.state())

    def inspect(self, label, k=0):
        """Open the inspector of a node in a view."""
        frame = self.view(k)
        (place,) = [i for i, node in enumerate(self.widget._numbers.nodes) if node.label == label]
        frame.locator("#gg-search").fill(f"n{place}")
        frame.locator("#gg-search").press("Enter")
        frame.locator("#gg-panel").wait_for()
        return frame

    def type(self, label, text):
        self.inspect(label).locator("#gg-edit").fill(text)

    def reads(self, label, value, grad, k=0):
        from playwright.sync_api import expect  # waits: a frame hears of a change a moment later

        frame = self.inspect(label, k)
        expect(frame.locator("#gg-value")).to_have_text(value)
        expect(frame.locator("#gg-grad")).to_have_text(grad)


@pytest.fixture
def notebook(chromium):
    opened = []

    def make(widget):
        opened.append(Notebook(chromium, widget))
        return opened[-1]

    yield make
    for one in opened:
        assert one.complaints == []
        one.tab.close()


def named_leaves(gg):
    a, b, c, f = (gg.Value(x, name) for x, name in [(2.0, "a"), (-3.0, "b"), (10.0, "c"), (-2.0, "f")])
    loss = (a * b + c) * f
    loss.label = "L"
    return loss, a, b


def test_an_edit_in_the_picture_reaches_python(notebook):
    loss, a, b = named_leaves(glassgrad)
    book = notebook(glassgrad.widget(loss))
    assert book.view().locator("#gg-panel").is_hidden()
    book.type("b", "5")
    book.carry()
    assert (b.data, loss.data, a.grad) == (5.0, -40.0, -10.0)
    book.reads("L", "−40", "1")
    book.reads("a", "2", "−10")
    book.inspect("b").locator('[data-do="reset"]').click()
    book.carry()
    assert (b.data, loss.data, a.grad) == (-3.0, -8.0, 6.0)
    book.reads("a", "2", "6")
    book.widget.close()


def test_what_python_sets_is_in_the_picture(notebook):
    loss, a, b = named_leaves(glassgrad)
    book = notebook(glassgrad.widget(loss))
    book.reads("a", "2", "not computed")
    book.widget.set(b, 5.0)
    book.to_browser()
    book.reads("L", "−40", "1")
    book.reads("a", "2", "−10")
    a.grad = 1.25
    book.widget._after_cell()
    book.to_browser()
    book.reads("a", "2", "1.25")
    assert book.inspect("b").locator('[data-do="reset"]').is_disabled(), "the number is Python's own"
    book.widget.close()


def test_what_python_refuses_is_said_under_the_picture(notebook):
    x = glassgrad.Value(2.0, "x")
    y = x.log()
    book = notebook(glassgrad.widget(y))
    line = book.tab.get_by_role("alert")
    assert line.is_hidden()
    book.type("x", "0")
    book.carry()
    assert line.inner_text().startswith("Python keeps the numbers it had. log(x = 0.0) is -inf")
    assert book.inspect("x").locator("#gg-edit").input_value() == "0", "nothing typed is lost"
    assert x.data == 2.0
    book.type("x", "0.5")
    book.carry()
    assert line.is_hidden()
    assert (x.data, x.grad) == (0.5, 2.0)
    book.widget.close()


def test_two_views_of_one_widget_and_one_opened_later_show_the_same(notebook):
    loss, a, b = named_leaves(glassgrad)
    book = notebook(glassgrad.widget(loss))
    book.tab.evaluate("void mount()")
    assert book.tab.locator("iframe").count() == 2
    book.view(1)
    book.type("b", "5")
    book.carry()
    book.reads("L", "−40", "1", k=1)
    book.tab.evaluate("void mount()")
    book.reads("b", "5", "−4", k=2)
    book.inspect("b", k=2).locator('[data-do="reset"]').click()
    book.carry()
    for k in range(3):
        book.reads("L", "−8", "1", k=k)
    assert b.data == -3.0
    book.widget.set(a, 1.0)
    book.to_browser()
    book.tab.evaluate("void mount()")
    for k in range(4):
        book.reads("L", "−14", "1", k=k)
    book.widget.close()


def test_an_unmounted_view_hears_nothing(notebook):
    loss, _, _ = named_leaves(glassgrad)
    book = notebook(glassgrad.widget(loss))
    book.view()
    assert book.tab.evaluate("model.listeners.length") == 3
    book.tab.evaluate("unmount()")
    book.type("b", "5")
    book.reads("L", "−40", "1")
    assert book.tab.evaluate("[saved.length, model.listeners.length]") == [0, 0]
    book.widget.close()


def test_only_its_own_frame_is_listened_to(notebook):
    loss, _, _ = named_leaves(glassgrad)
    book = notebook(glassgrad.widget(loss))
    book.view()
    book.tab.evaluate("""() => new Promise((done) => {
      addEventListener("message", ({ data }) => data.glassgrad === "edit" && setTimeout(done));
      postMessage({ glassgrad: "edit", id: 1, value: 7 }, "*");
    })""")
    assert book.tab.evaluate("saved.length") == 0
    assert book.tab.locator("iframe").get_attribute("sandbox") == "allow-scripts allow-downloads"
    book.widget.close()
