"""What an explanation says besides its formulas, in English and in Chinese.

Guarantees: both languages have the same sentences; every sentence is made here, and names and numbers come into it only
through `formulas`, so whatever labels say, Markdown and the terminal show it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from typing import TYPE_CHECKING, Final

from .formulas import Latex, Plain, equation

if TYPE_CHECKING:
    from .explanation import Explanation, Step

__all__ = ["TEXTS", "Sentences", "count_text"]

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "about": "How {root} = {y} changes with {wrt} = {x}, by the chain rule.",
        "steps": "Step by step, from {root} down to {wrt}",
        "use": "{node} is used in {uses}",
        "uses": "{node} is used {count} times: {uses}",
        "more": "{count} more",
        "left out": "{count} steps left out",
        "twice": "{first} is the derivative of {node} by its first operand alone, the others held still.",
        "by hand": "{node} is an operation written by hand: its local derivative is inside its _backward, not in the "
        "graph, and stands as ? here.",
        "own": "{node} is a function of yours: its derivative by {operand} is not in the graph, and stands as ? here.",
        "undefined": "The derivative of {node} by {operand} is undefined at this point: nan.",
        "zero": "An exact zero is passed on as zero, also times an infinite derivative.",
        "path": "One path leads from {root} to {wrt}",
        "paths": "{count} paths lead from {root} to {wrt}; their products add up",
        "largest": "{count} paths lead from {root} to {wrt}; the {shown} with the largest products",
        "sum": "sum",
        "all": "sum of all {count}",
        "not added": "A sweep adds up at every Value on the way, where exact zeros stop; the products listed do not "
        "add up to it.",
        "same": "{wrt}.grad is {grad}, the same.",
        "none": "{wrt}.grad is not computed: call {root}.backward().",
        "times": "{wrt}.grad is {grad}, {k} times as much: backward() ran {k} times without setting it back to 0, or "
        "started from a gradient other than 1.",
        "leaf": "{wrt}.grad is {grad}, not {value}: a leaf's gradient adds up over all calls of backward() until it is "
        "set to 0, so other results have their share in it, or it was set by hand.",
        "interior": "{wrt}.grad is {grad}, not {value}: the last backward() that reached it started from another "
        "Value, or from a gradient other than 1.",
        "hidden": "{wrt}.grad is {grad}: what backward() found, through code that is not in the graph.",
        "hidden none": "backward() would find it: call {root}.backward() and read {wrt}.grad.",
        "itself": "Every Value changes with itself one to one.",
        "apart": "{root} does not depend on {wrt}: no path leads from one to the other.",
        "constant": "{wrt} is a constant, requires_grad=False: no gradient is computed for it.",
        "number": "{wrt} is a plain number in the program: to differentiate by it, make it a Value.",
        "no record": "{root} is a constant: it was computed from constants or under no_grad(), and nothing about it is "
        "recorded.",
        "unknown": "unknown",
        "others": "the product of the others",
        "if": "if",
        "else": "else",
        "comma": ", ",
        "and": "{a}; {b}",
    },
    "zh": {
        "about": "用链式法则求 {wrt} = {x} 的变化如何影响 {root} = {y}。",
        "steps": "逐步推导：从 {root} 往下，直到 {wrt}",
        "use": "{node} 用于 {uses}",
        "uses": "{node} 共被使用 {count} 次：{uses}",
        "more": "另有 {count} 处",
        "left out": "此处省略 {count} 步",
        "twice": "{first} 表示 {node} 只对第一个操作数求导，其余操作数保持不变。",
        "by hand": "{node} 是手写的运算：其局部导数藏在 _backward 的代码里，计算图中没有记录，这里记作 ?。",
        "own": "{node} 是自定义的函数：计算图中没有记录它对 {operand} 的导数，这里记作 ?。",
        "undefined": "{node} 对 {operand} 的局部导数在这一点没有定义，为 nan。",
        "zero": "恰为零的梯度向下传递时仍为零，即使局部导数为无穷大。",
        "path": "从 {root} 到 {wrt} 只有一条路径",
        "paths": "从 {root} 到 {wrt} 共有 {count} 条路径，各路径的乘积相加",
        "largest": "从 {root} 到 {wrt} 共有 {count} 条路径，下面列出乘积绝对值最大的 {shown} 条",
        "sum": "总和",
        "all": "全部 {count} 条之和",
        "not added": "反向传播在途中的每个 Value 处先求和，恰为零的梯度就此终止，因此与所列乘积直接相加的结果不同。",
        "same": "{wrt}.grad 为 {grad}，与此一致。",
        "none": "{wrt}.grad 尚未计算：请调用 {root}.backward()。",
        "times": "{wrt}.grad 为 {grad}，是此值的 {k} 倍：backward() 运行了 {k} 次而其间没有清零，或者起始梯度不是 1。",
        "leaf": "{wrt}.grad 为 {grad}，而不是 {value}：叶子节点的梯度在清零之前会在每次 backward() 时累加，"
        "所以其中含有其他结果的贡献，或者它被手动改过。",
        "interior": "{wrt}.grad 为 {grad}，而不是 {value}：最近一次经过它的 backward() 是从另一个 Value 开始的，"
        "或者起始梯度不是 1。",
        "hidden": "{wrt}.grad 为 {grad}：这是 backward() 经由计算图之外的代码得到的结果。",
        "hidden none": "请调用 {root}.backward()，再查看 {wrt}.grad。",
        "itself": "任何 Value 对自身的导数都是 1。",
        "apart": "{root} 不依赖于 {wrt}：两者之间没有路径。",
        "constant": "{wrt} 是常量（requires_grad=False），不为它计算梯度。",
        "number": "{wrt} 是程序中的普通数字：若要对它求导，请把它写成 Value。",
        "no record": "{root} 是常量：它由常量算出，或在 no_grad() 中算出，没有留下任何计算记录。",
        "unknown": "未知",
        "others": "其余操作数之积",
        "if": "若",
        "else": "否则",
        "comma": "，",
        "and": "{a}；{b}",
    },
}
"""Everything an explanation says, by language; the formulas are the same in all."""


class Sentences:
    """The sentences of one explanation; `math` puts a formula into a sentence."""

    def __init__(self, it: Explanation, write: Plain, math: Callable[[str], str]) -> None:
        self.it, self.write, self.math = it, write, math
        self.texts = TEXTS[it.lang]

    def say(self, key: str, **more: str) -> str:
        known = {}
        for name, number, i in (("root", "y", self.it.root), ("wrt", "x", self.it.wrt)):
            known[name] = self.math(self.write.operand(i) if key == "number" else self.write.name(i))
            known[number] = self.math(self.write.number(self.it.graph.values[i]))
        return self.texts[key].format(**known | more)

    def value(self) -> str:
        """Return the derivative, or that it is unknown."""
        if self.it.derivative is None:
            return self.write.words(self.texts["unknown"]) if isinstance(self.write, Latex) else self.texts["unknown"]
        return self.write.number(self.it.derivative)

    def used(self, step: Step) -> str:
        """Return where a Value is used, as equations."""
        write, consumers = self.write, list(dict.fromkeys([use.consumer for use in step.uses]))
        uses = [self.math(f"{write.name(c)} = {equation(self.it.graph, c, write)}") for c in consumers]
        if step.count > len(step.uses):
            uses.append(self.say("more", count=count_text(step.count - len(step.uses))))
        node = self.math(f"{write.name(step.node)} = {write.number(self.it.graph.values[step.node])}")
        key = "use" if step.count == 1 else "uses"
        return self.say(key, node=node, uses=self.texts["comma"].join(uses), count=count_text(step.count))

    def notes(self) -> list[str]:
        """Return what has to be said about the formulas."""
        notes = []
        for key, nodes in self.it.notes:
            notes.append(self.say(key, **{k: self.math(self.write.name(i)) for k, i in nodes.items()}))
        for step in self.it.steps:
            for use in step.uses:
                if use.consumer != self.it.root and self.it.graph.operands[use.consumer].count(step.node) > 1:
                    node = self.math(self.write.name(use.consumer))
                    return [self.say("twice", node=node, first=self.math(self.write.ratio(use.consumer, 0, 1))), *notes]
        return notes

    def about_paths(self) -> str:
        """Return how many paths there are."""
        paths = self.it.paths
        if not paths.complete:
            return self.say("largest", count=count_text(paths.count), shown=str(len(paths.paths)))
        return self.say("path") if paths.count == 1 else self.say("paths", count=count_text(paths.count))

    def sum(self) -> str:
        """Return what the last line of the paths is called."""
        paths = self.it.paths
        return self.texts["sum"] if paths.complete else self.texts["all"].format(count=count_text(paths.count))

    def gap(self) -> str:
        """Return what to say where the paths do not add up to what the sweep found; mostly nothing."""
        paths = self.it.paths
        products = [path.product for path in paths.paths]
        added, size = sum(products), sum(map(abs, products))
        off = (added != added) != (paths.total != paths.total) or abs(added - paths.total) > 1e-9 * size
        return self.texts["not added"] if paths.complete and off else ""

    def comparison(self) -> str:
        """Return whether `.grad` agrees."""
        key, numbers = self.it.comparison()
        texts = {k: str(x) if k == "k" else self.math(self.write.number(x)) for k, x in numbers.items()}
        return self.say(key, **texts)


def count_text(n: int) -> str:
    """Return a count, from 16 digits on about how many; Python itself refuses to write more than 4,300."""
    if n < 10**15:
        return f"{n:,}"
    shift = max(n.bit_length() - 60, 0)
    digits = log10(n >> shift) + shift * log10(2)
    return f"≈ {10 ** (digits % 1):.3g}·10{str(int(digits)).translate(_RAISED)}"


_RAISED: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
