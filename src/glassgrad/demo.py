"""`glassgrad demo`: three computations differentiated by this engine, with pictures and a summary of measured facts.

The article's example with its local derivatives; a line fitted to noisy data until the loss reaches a tolerance; and
micrograd's moons task, trained to the end with micrograd's own seed, schedule and network.

What this module guarantees:

- Every number in the summary was measured in this run. The same seed gives the same files, whether or not Graphviz is
  installed.
- A file appears whole or not at all, and no window is ever opened.
- Without scikit-learn or matplotlib everything that works without them is made, and one line says what to install.
- Ctrl-C, or an error on the way, still gives the summary of what was finished.
"""

from __future__ import annotations

import importlib
import locale
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import losses, nn, training
from ._build import COMPILED, __version__
from .engine import Value
from .errors import GlassgradError
from .files import write_whole
from .functions import sum as total
from .graph import Graph, count_below
from .viz import svg
from .viz.watch import Recording, watch

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["FILES", "TEXTS", "DemoError", "language", "run"]

FILES: Final = (
    "1-derivatives.svg",
    "2-line.png",
    "3-moons-boundary.png",
    "3-moons-loss.png",
    "3-moons-graph.svg",
    "3-moons-page.html",
    "3-moons-model.json",
)
DERIVATIVES, LINE, BOUNDARY, LOSS, GRAPH, PAGE, MODEL = FILES

TRUE_LINE: Final = (2.0, -1.0)
POINTS: Final = 60
NOISE: Final = 0.5
EPOCHS: Final = 100  # as in micrograd's demo, like the learning rate of 1.0 falling to 0.1 and the L2 term of 1e-4
# A plane of so many points each way is evaluated for the boundary; the interpreted engine takes 0.7 ms for a point.
RESOLUTION: Final = 120 if COMPILED else 60

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "head": "glassgrad {version} ({build}) draws into {folder}",
        "build": "compiled" if COMPILED else "interpreted",
        "derivatives": "derivatives of a·b²",
        "line": f"line through {POINTS} points",
        "moons": "moons classifier",
        "loading": "loading {name}",
        "line note": "epoch {epoch}, loss {loss:.4g}",
        "moons note": "epoch {epoch}, loss {loss:.4g}, accuracy {share:.0%}",
        "drawing": "drawing",
        "fitted": "w = {w:.4g}, b = {b:.4g} after {epochs} epochs",
        "classified": "accuracy {share:.4g}%",
        "skipped": "left out, {name} is not installed",
        "plain": "{title}: {text}",
        "comma": ", ",
        "file": "file",
        "shows": "shows",
        "measured": "measured",
        f"{DERIVATIVES} shows": "c = a·b² and its local derivatives",
        f"{DERIVATIVES} facts": "at a = 2, b = 3: c = {c:.6g}, ∂c/∂a = {da:.6g}, ∂c/∂b = {db:.6g}",
        f"{LINE} shows": "y = w·x + b, and its loss",
        f"{LINE} facts": "w = {w:.4g} (true {true_w:g}), b = {b:.4g} (true {true_b:g}); "
        "loss {loss:.4f} in {epochs} epochs, tolerance {tolerance:.4f}",
        f"{BOUNDARY} shows": "the plane as the network splits it",
        f"{BOUNDARY} facts": "{right} of {points} points right: accuracy {share:.4g}%",
        f"{LOSS} shows": "loss and accuracy, epoch by epoch",
        f"{LOSS} facts": "loss {first:.4g} to {last:.4g} in {epochs} epochs",
        f"{GRAPH} shows": "every Value behind one score",
        f"{GRAPH} facts": "{values} Values: {leaves} leaves, {operations} operations",
        f"{PAGE} shows": "the same to open in a browser",
        f"{PAGE} facts": "every weight and gradient through {steps} recorded steps",
        f"{MODEL} shows": "the trained network",
        f"{MODEL} facts": "{parameters} parameters of MLP(2, [16, 16, 1])",
        "total": "{made} of {all} files in {folder}",
        "times": "{seconds:.1f} s in all; the moons took {steps} steps of {values:,} Values, {ms:.3g} ms each",
        "time": "{seconds:.1f} s in all",
        "interrupted": "Interrupted. Not made: {files}",
        "missing": "Not made, for want of {names}: {files}. Run: pip install 'glassgrad[demo]'",
        "unwritable": "cannot write {path}: {reason}; choose another folder with -o DIR",
        "no folder": "it is a file, not a folder",
    },
    "zh": {
        "head": "glassgrad {version}（{build}），图片写入 {folder}",
        "build": "编译版" if COMPILED else "解释版",
        "derivatives": "a·b² 的导数",
        "line": f"用 {POINTS} 个点拟合直线",
        "moons": "双月形分类",
        "loading": "正在加载 {name}",
        "line note": "第 {epoch} 轮，损失 {loss:.4g}",
        "moons note": "第 {epoch} 轮，损失 {loss:.4g}，准确率 {share:.0%}",
        "drawing": "正在绘图",
        "fitted": "w = {w:.4g}，b = {b:.4g}，共 {epochs} 轮",
        "classified": "准确率 {share:.4g}%",
        "skipped": "已跳过：未安装 {name}",
        "plain": "{title}：{text}",
        "comma": "、",
        "file": "文件",
        "shows": "内容",
        "measured": "实测",
        f"{DERIVATIVES} shows": "c = a·b² 及其局部导数",
        f"{DERIVATIVES} facts": "a = 2，b = 3 时，c = {c:.6g}，∂c/∂a = {da:.6g}，∂c/∂b = {db:.6g}",
        f"{LINE} shows": "拟合的 y = w·x + b 及损失曲线",
        f"{LINE} facts": "w = {w:.4g}（真值 {true_w:g}），b = {b:.4g}（真值 {true_b:g}）；"
        "{epochs} 轮后损失 {loss:.4f}，容差 {tolerance:.4f}",
        f"{BOUNDARY} shows": "网络对整个平面的划分",
        f"{BOUNDARY} facts": "{points} 个点中有 {right} 个分类正确，准确率 {share:.4g}%",
        f"{LOSS} shows": "每轮的损失与准确率",
        f"{LOSS} facts": "{epochs} 轮内损失从 {first:.4g} 降到 {last:.4g}",
        f"{GRAPH} shows": "一个样本得分背后的全部 Value",
        f"{GRAPH} facts": "{values} 个 Value：{leaves} 个叶子节点，{operations} 个运算节点",
        f"{PAGE} shows": "同一张图的交互网页",
        f"{PAGE} facts": "每个权重与梯度在 {steps} 个训练步中的变化",
        f"{MODEL} shows": "训练好的网络",
        f"{MODEL} facts": "MLP(2, [16, 16, 1]) 的 {parameters} 个参数",
        "total": "已生成 {made}/{all} 个文件，位于 {folder}",
        "times": "共用时 {seconds:.1f} 秒；双月形训练了 {steps} 步，"
        "每步计算 {values:,} 个 Value，平均耗时 {ms:.3g} 毫秒",
        "time": "共用时 {seconds:.1f} 秒",
        "interrupted": "已中断。未生成：{files}",
        "missing": "缺少 {names}，未生成：{files}。请执行：pip install 'glassgrad[demo]'",
        "unwritable": "无法写入 {path}：{reason}；请用 -o DIR 指定其他文件夹",
        "no folder": "它是文件，不是文件夹",
    },
}
"""Everything the demo says, by language. The pictures themselves are in English."""


class DemoError(GlassgradError):
    """The demo cannot write its files."""


def run(folder: str | os.PathLike[str] = "demo_output", *, seed: int = 1337, lang: str | None = None) -> int:
    """Make all files in `folder`, telling on standard output; return the exit code.

    Arguments:
        folder: made if it is missing; files of an earlier run are replaced.
        seed: of the noise, the moons and the network's first weights. 1337 is micrograd's.
        lang: `'en'` or `'zh'`; by default what the environment asks for.

    Returns 0 if every file was made, 1 if a package is missing for some, 130 after Ctrl-C. Raises `DemoError` if the
    folder cannot be written.
    """
    demo = _Demo(Path(folder), seed, _Teller(lang or language()))
    stopped: BaseException | None = None
    try:
        demo.prepare()
        with demo.tell:
            demo.derivatives()
            demo.line()
            demo.moons()
    except (KeyboardInterrupt, GlassgradError) as error:
        stopped = error
    if demo.made or isinstance(stopped, KeyboardInterrupt):
        demo.summarize()
    if isinstance(stopped, KeyboardInterrupt):
        demo.tell.line(demo.tell.text("interrupted", files=demo.tell.joined(demo.unmade())))
        return 130
    if stopped is not None:
        raise stopped
    if demo.missing:
        names, files = demo.tell.joined(demo.missing), demo.tell.joined(demo.unmade())
        demo.tell.line(demo.tell.text("missing", names=names, files=files))
        return 1
    return 0


def language() -> str:
    """`'zh'` where the environment or the system asks for Chinese, else `'en'`."""
    asked = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    if not asked and os.name == "nt":  # there the system knows, not the environment
        asked = locale.getlocale()[0] or ""
    return "zh" if asked.lower().startswith(("zh", "chinese")) else "en"


# ---- the three computations ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Made:
    """A line of the summary."""

    file: str
    facts: str


class _Demo:
    """One run: where it writes, what it tells, what it has made."""

    def __init__(self, folder: Path, seed: int, tell: _Teller) -> None:
        self.folder = folder
        self.seed = seed
        self.tell = tell
        self.made: list[_Made] = []
        self.missing: list[str] = []  # packages
        self.start = time.perf_counter()
        self.times: dict[str, Any] = {}

    def prepare(self) -> None:
        """Make the folder, and find out now rather than after the training whether it can be written."""
        with self._writing(self.folder):
            for path in (self.folder, *self.folder.parents):
                if path.exists() and not path.is_dir():
                    raise DemoError(self.tell.text("unwritable", path=path, reason=self.tell.text("no folder")))
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        text = self.tell.text
        self.tell.line(text("head", version=__version__, build=text("build"), folder=self.folder))

    def derivatives(self) -> None:
        """The example of the article: c = a·b², differentiated and drawn."""
        self.tell.begin("derivatives")
        a, b = Value(2.0, "a"), Value(3.0, "b")
        c = a * b**2
        c.label = "c"
        c.backward()
        self._write(DERIVATIVES, svg.draw(Graph.of(c), partials=True).encode())
        self._done(DERIVATIVES, c=c.data, da=a.grad, db=b.grad)
        self.tell.end(self.made[-1].facts)

    def line(self) -> None:
        """A line fitted to noisy points until it lies as near to them as the line they came from."""
        self.tell.begin("line")
        chance = random.Random(self.seed)
        true_w, true_b = TRUE_LINE
        xs = [4 * chance.random() for _ in range(POINTS)]
        ys = [true_w * x + true_b + chance.gauss(0, NOISE) for x in xs]
        # Below the noise no loss can fall; the best line is always a little nearer than the true one.
        tolerance = sum((true_w * x + true_b - y) ** 2 for x, y in zip(xs, ys, strict=True)) / POINTS
        w, b = Value(0.0, "w"), Value(0.0, "b")

        def note(epoch: int, loss: float) -> None:
            self.tell.note(self.tell.text("line note", epoch=epoch + 1, loss=loss), epoch + 1)

        history = training.fit(
            lambda: losses.mse([w * x + b for x in xs], ys),
            [w, b],
            lr=0.05,
            epochs=5000,
            tolerance=tolerance,
            progress=False,
            callback=note,
        )
        self._unless_interrupted(history)
        if self._has("matplotlib", "matplotlib.backends.backend_agg"):
            from .viz import plots

            self.tell.note(self.tell.text("drawing"))
            picture = plots.line_fit(
                xs, ys, w.data, b.data, true=TRUE_LINE, losses=history, tolerance=tolerance,
                title="y = w·x + b, fitted by gradient descent",
            )  # fmt: skip
            self._write(LINE, plots.png(picture))
            self._done(
                LINE, w=w.data, b=b.data, true_w=true_w, true_b=true_b, loss=history.losses[-1], tolerance=tolerance,
                epochs=len(history),
            )  # fmt: skip
        self.tell.end(self.tell.text("fitted", w=w.data, b=b.data, epochs=len(history)))

    def moons(self) -> None:
        """The task of micrograd's demo: two half moons told apart by an MLP, with micrograd's seed and schedule."""
        self.tell.begin("moons", EPOCHS)
        if not self._has("scikit-learn", "sklearn.datasets"):
            self.tell.end(self.tell.text("skipped", name="scikit-learn"), done=False)
            return
        from sklearn.datasets import make_moons

        points, classes = make_moons(n_samples=100, noise=0.1, random_state=self.seed)
        rows: list[list[float]] = points.tolist()
        labels: list[int] = (2 * classes - 1).tolist()
        random.seed(self.seed)
        model = nn.MLP(2, [16, 16, 1])
        parameters = model.parameters()
        shares: list[float] = []

        def step() -> Value:
            scores = [model(row) for row in rows]
            shares.append(sum((s.data > 0) == (y > 0) for s, y in zip(scores, labels, strict=True)) / len(rows))
            loss: Value = losses.hinge(scores, labels) + 1e-4 * total([p * p for p in parameters])
            return loss

        def note(epoch: int, loss: float) -> None:
            self.tell.note(self.tell.text("moons note", epoch=epoch + 1, loss=loss, share=shares[-1]), epoch + 1)

        recording = watch(model)
        history = training.fit(
            step, model, lr=1.0, epochs=EPOCHS, scheduler=lambda k: 1 - 0.9 * k / EPOCHS, progress=False, callback=note,
            watch=recording,
        )  # fmt: skip
        self._unless_interrupted(history)
        last = step()  # of the trained network
        share = shares.pop()
        self.times = {
            "steps": len(history),
            "values": count_below([last], sys.maxsize),
            "ms": 1000 * history.times[-1] / len(history),
        }
        if self._has("matplotlib", "matplotlib.backends.backend_agg"):
            from .viz import plots

            self.tell.note(self.tell.text("drawing"))
            picture = plots.decision_boundary(
                model, rows, labels, resolution=RESOLUTION, title="Two moons, told apart by MLP(2, [16, 16, 1])",
                names=("moon −1", "moon +1"),
            )  # fmt: skip
            self._write(BOUNDARY, plots.png(picture))
            self._done(BOUNDARY, right=round(share * len(rows)), points=len(rows), share=100 * share)
            self._write(LOSS, plots.png(plots.loss_curve(history, accuracy=shares, title="Training on the two moons")))
            self._done(LOSS, first=history.losses[0], last=last.data, epochs=len(history))
        self._graph_of_one_example(model, rows, recording)
        with self._writing(self.folder / MODEL):
            model.save(self.folder / MODEL)
        self._done(MODEL, parameters=len(parameters))
        self.tell.end(self.tell.text("classified", share=100 * share))

    def _graph_of_one_example(self, model: nn.MLP, rows: list[list[float]], recording: Recording) -> None:
        """The whole network at the first point: its score and the score's derivative by every weight.

        Once as a picture, and once as a page with a slider along the training.
        """
        model.zero_grad()
        score = model([Value(x, label, requires_grad=False) for label, x in zip(("x₀", "x₁"), rows[0], strict=True)])
        score.label = "score"
        score.backward()
        graph = Graph.of(score)
        # Layers below each other: sixteen neurons fill a page side by side, whose four ranks would take two.
        self._write(GRAPH, svg.draw(graph, rankdir="TB").encode())
        leaves = graph.ops.count("leaf")
        self._done(GRAPH, values=len(graph), leaves=leaves, operations=len(graph) - leaves)
        recording.snapshot(score)
        self._write(PAGE, recording.to_html().encode())
        self._done(PAGE, steps=len(recording))

    # -- what they share

    def summarize(self) -> None:
        """The closing table."""
        text = self.tell.text
        if self.made:
            self.tell.table(self.made, self.folder.resolve())
        self.tell.line(text("total", made=len(self.made), all=len(FILES), folder=self.folder.resolve()))
        seconds = time.perf_counter() - self.start
        self.tell.line(text("times", seconds=seconds, **self.times) if self.times else text("time", seconds=seconds))

    def unmade(self) -> list[str]:
        """The files that are not there."""
        return [name for name in FILES if name not in {made.file for made in self.made}]

    def _has(self, package: str, module: str) -> bool:
        """Whether a package that is not needed to install glassgrad can be imported."""
        if package in self.missing:
            return False
        self.tell.note(self.tell.text("loading", name=package))
        try:
            with _undisturbed():
                importlib.import_module(module)
        except ImportError:
            self.missing.append(package)
            return False
        return True

    def _done(self, name: str, **facts: Any) -> None:
        self.made.append(_Made(name, self.tell.text(f"{name} facts", **facts)))

    def _write(self, name: str, data: bytes) -> None:
        """Write a file, all or nothing."""
        target = self.folder / name
        with self._writing(target):
            write_whole(target, data)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise DemoError(self.tell.text("unwritable", path=path, reason=reason)) from None

    def _unless_interrupted(self, history: training.History) -> None:
        if history.stopped == "interrupted":  # fit keeps what was learned; here all of it stops
            raise KeyboardInterrupt


# ---- telling -------------------------------------------------------------------------------------------------------

_ASCII: Final = str.maketrans({"∂": "d", "·": "*", "²": "^2", "✓": "+", "−": "-"})


class _Teller:
    """What is said on the way and at the end: live lines on a terminal, plain lines in a pipe or file.

    Says everything in ASCII where standard output can hold nothing more.
    """

    def __init__(self, lang: str) -> None:
        from rich.console import Console

        self.console: Console = Console(highlight=False, markup=False, emoji=False)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = 140  # lines that nobody looks at in a window are better whole
        self.unicode = _can_say(self.console.encoding, "∂²✓━")
        self.texts = TEXTS[lang if _can_say(self.console.encoding, TEXTS[lang]["moons"]) else "en"]
        self.live: Any = None
        self.task: Any = None
        self.title = ""
        self.total = 0
        self.due = 0.0

    def text(self, key: str, **values: Any) -> str:
        """What the demo says about something, in the reader's language."""
        said = self.texts[key].format(**values)
        return said if self.unicode else said.translate(_ASCII)

    def joined(self, names: Iterable[str]) -> str:
        """Names as one text."""
        return self.text("comma").join(names)

    def line(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True)

    def __enter__(self) -> None:
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            return
        from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
        from rich.text import Text

        class Note(ProgressColumn):
            """The note, cut where a line ends: a column that may wrap gives way to those that may not."""

            def render(self, task: Task) -> Text:
                return Text(task.fields["note"], style="dim", no_wrap=True, overflow="ellipsis")

        self.live = Progress(
            SpinnerColumn("dots" if self.unicode else "line", finished_text=self.mark),
            TextColumn("{task.description}", markup=False),
            *([BarColumn(bar_width=16)] if self.console.width >= 80 else []),
            Note(),
            console=self.console,
        )
        self.live.start()

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    @property
    def mark(self) -> str:
        """What stands before something finished."""
        return "✓" if self.unicode else "+"

    def begin(self, key: str, total: int = 0) -> None:
        """Open the next of the three computations; `total` is the number of its epochs, if it is known."""
        self.title, self.total, self.due = self.text(key), total, 0.0
        if self.live is not None:
            self.task = self.live.add_task(self.title, total=total or None, note="")

    def note(self, text: str, epoch: int = 0) -> None:
        """Say how far it is: epochs at most ten times a second, in a pipe every twentieth of a known number."""
        if self.live is None:
            if epoch and self.total and epoch % 20 == 0:
                self._plain(text)
        elif not epoch or time.perf_counter() >= self.due or epoch == self.total:
            self.due = time.perf_counter() + 0.1
            self.live.update(self.task, note=text, **({"completed": epoch} if self.total and epoch else {}))

    def end(self, text: str, *, done: bool = True) -> None:
        """Close the computation with what came out."""
        if self.live is None:
            self._plain(text)
        elif done:
            self.live.update(self.task, note=text, total=1, completed=1)
        else:
            self.live.update(self.task, note=text)
            self.live.stop_task(self.task)

    def _plain(self, text: str) -> None:
        self.console.print(self.text("plain", title=self.title, text=text), soft_wrap=True)
        self.console.file.flush()

    def table(self, made: list[_Made], folder: Path) -> None:
        """The files with what they show and what was measured."""
        from rich.box import SIMPLE_HEAD
        from rich.style import Style
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
        table.add_column(self.text("file"), no_wrap=True)
        table.add_column(self.text("shows"), overflow="fold")
        table.add_column(self.text("measured"), overflow="fold")
        for row in made:
            link = Style(link=(folder / row.file).as_uri())
            table.add_row(Text(row.file, style=link), Text(self.text(f"{row.file} shows")), Text(row.facts))
        self.console.print()
        self.console.print(table)
        self.console.print()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait for the end of an import: in the middle, C extensions make an ImportError of it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    pending: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pending:
        raise KeyboardInterrupt


def _can_say(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
