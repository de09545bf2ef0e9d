"""The tables made of the results: on the terminal, in docs/benchmarks.md, in the READMEs."""

import math
import re
import sys
from pathlib import Path

import compiled_report
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
CHAIN = "10000"  # the length that counts against the goal

# What is measured: English and Chinese name, where it stands in the results, the goal.
RATIOS = [
    ("forward, chain of 10,000 operations", "前向：一万次运算的链", ("chain", CHAIN, "forward"), "micrograd", 50),
    ("backward, the same chain", "反向：同一条链", ("chain", CHAIN, "backward"), "micrograd", 30),
    ("moons demo, one full-batch training step", "moons 示例：全批量训练一步", ("moons", "total"), "micrograd", 200),
    ("names_gpt, one training step with Adam", "names_gpt：训练一步，含 Adam", ("names_gpt", "total"), "plain", 40),
    ("the same, dot products written with * and +", "同上，点积改用 * 和 + 写",
     ("names_gpt_operators", "total"), "plain", None),
]  # fmt: skip
GROWTH = [
    ("build: time(10⁶) / time(10⁵)", "构建：10⁶ 次与 10⁵ 次运算的耗时比", ("growth", "first", "forward", "ratio")),
    ("backward: time(10⁶) / time(10⁵)", "反向：10⁶ 次与 10⁵ 次运算的耗时比", ("growth", "first", "backward", "ratio")),
    ("free: time(10⁶) / time(10⁵)", "释放：10⁶ 次与 10⁵ 次运算的耗时比", ("growth", "first", "free", "ratio")),
]
PEERS = {"micrograd": ("micrograd", "micrograd"), "plain": ("plain Python Values", "纯 Python Value")}


def goals(results, chinese=False):
    """The rows of the main table: name, glassgrad, the peer, ratio, goal, met (True, False or None)."""
    return [*eager_goals(results, chinese), *compiled_report.goals(results, chinese, sys.modules[__name__])]


def eager_goals(results, chinese=False):
    rows = []
    for english, chinese_name, path, peer, goal in RATIOS:
        found = at(results, path)
        if found:
            scale = int(CHAIN) if path[0] == "chain" else 1
            per = "" if scale == 1 else "/次" if chinese else " / op"
            rows.append([
                chinese_name if chinese else english,
                seconds(found["ours"] / scale) + per,
                f"{seconds(found['peer'] / scale)}{per}{in_brackets(PEERS[peer][chinese], chinese)}",
                f"{digits(found['ratio'])}×",
                f"≥ {goal}×" if goal else "",
                None if goal is None else found["ratio"] >= goal,
            ])  # fmt: skip
    if found := results.get("memory"):
        unit = "字节" if chinese else "bytes"
        rows.append([
            "每个节点的内存" if chinese else "memory per node",
            f"{found['ours']:.0f} {unit}", f"{found['peer']:.0f} {unit}{in_brackets('micrograd', chinese)}",
            f"{found['ratio']:.1f}×", f"≤ 96 {unit}", round(found["ours"]) <= 96,
        ])  # fmt: skip
    for english, chinese_name, path in GROWTH:
        if found := at(results, path):
            rows.append([chinese_name if chinese else english, f"{found:.1f}", "", "", "8 – 13", 8 <= found <= 13])
    if found := results.get("importing"):
        rows.append(["import glassgrad", seconds(found["ours"]), "", "", "≤ 0.15 s", found["ours"] <= 0.15])
    return rows


def at(results, path):
    for key in path:
        results = results.get(key) if results else None
    return results


def in_brackets(text, chinese):
    return f"（{text}）" if chinese else f" ({text})"


def seconds(s):
    """A time with its unit and three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if s >= size:
            return f"{digits(s / size)} {unit}"
    return f"{digits(s / 1e-9)} ns"


def digits(x):
    return f"{x:.{max(0, 2 - math.floor(math.log10(x)))}f}" if x > 0 else "0"


def described(results, chinese=False):
    """The machine in one line."""
    machine, load = results["machine"], results["load"]
    versions = [f"{name} {machine[name]}" for name in ("glassgrad", "micrograd", "torch") if machine[name]]
    if chinese:
        return (
            f"{machine['cpu']}，{machine['cores']} 核，{machine['system']}，Python {machine['python']}，"
            f"{machine['compiler']}；{'；'.join(versions).replace(', compiled', '（编译版）')}；"
            f"测量前后的系统负载分别为 {load[0]} 和 {load[1]}；{machine['date']}"
        )
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
        f"{machine['compiler']}; {'; '.join(versions)}; load {load[0]} before and {load[1]} after; {machine['date']}"
    )


def peers(results):
    """The versions of the libraries that derivatives are compared with."""
    machine = results["machine"]
    return ", ".join(f"{name} {machine[key]}" for key, name in LIBRARIES.items() if machine.get(key))


# ---- terminal --------------------------------------------------------------------------------------------------------


def show(results):
    """Print the tables; plain text where the output is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=170)
    marks = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
    table(console, ["", "glassgrad", "peer", "ratio", "goal", ""], [[*r[:5], marks[r[5]]] for r in goals(results)])
    behind = details, compiled, derivatives, layouts, pages
    for title, head, rows in (table for tables in behind for table in tables(results)):
        if rows:
            console.print()
            table(console, head, rows, title)
    console.print(f"\n{described(results)}", highlight=False)


def table(console, head, rows, title=None):
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for i, name in enumerate(head):
        made.add_column(name, justify="left" if i == 0 else "right", no_wrap=i > 0)
    for row in rows:
        made.add_row(*row)
    if rows:
        console.print(made, highlight=False)


def details(results):
    """(title, head, rows) of the tables behind the main one."""
    yield (
        "A chain of n operations, z = z * w + b",
        ["n", "forward", "micrograd", "ratio", "backward", "micrograd", "ratio", "free"],
        [
            [f"{int(n):,}", *pair(parts["forward"], int(n)), *pair(parts["backward"], int(n)),
             seconds(parts["free"]["ours"] / int(n))]
            for n, parts in results.get("chain", {}).items()
        ],
    )  # fmt: skip
    yield (
        "Each operator, 1,000 in a row",
        ["", "forward", "micrograd", "ratio", "backward", "micrograd", "ratio"],
        [
            [name, *pair(parts["forward"], 1000), *pair(parts["backward"], 1000)]
            for name, parts in results.get("operators", {}).items()
        ],
    )
    for name, title in (
        ("moons", "Where a moons step goes"),
        ("names_gpt", "Where a names_gpt step goes"),
        ("names_gpt_operators", "The same with dot products written in * and +"),
    ):
        yield (
            title,
            ["", "glassgrad", "peer", "ratio", "from", "to"],
            [
                [part, *pair(found), *(f"{x:.1f}×" for x in found["range"])] if found["peer"] > 1e-5
                else [part, seconds(found["ours"]), "later, by the collector", "", "", ""]
                for part, found in results.get(name, {}).items()
            ],
        )  # fmt: skip
    yield (
        "Growth: seconds for 10⁶ operations over seconds for 10⁵; the first such chain of a process, and the second",
        ["", "an operation of 10⁵", "of 10⁶", "ratio"],
        [
            [f"{part}, {turn}", seconds(found["small"] / 1e5), seconds(found["large"] / 1e6), f"{found['ratio']:.1f}"]
            for turn, parts in results.get("growth", {}).items()
            for part, found in parts.items()
        ],
    )
    if found := results.get("torch"):
        yield (
            f"For orientation: PyTorch {found['version']}, one thread, float64",
            ["", "PyTorch"],
            [
                ["moons step in tensors", seconds(found["moons"])],
                ["chain of 1,000 scalars, forward, one operation", seconds(found["forward"])],
                ["the same, backward", seconds(found["backward"])],
            ],
        )


def compiled(results):
    """The same for compiled functions."""
    return compiled_report.details(results, sys.modules[__name__])


def pair(found, scale=1):
    return seconds(found["ours"] / scale), seconds(found["peer"] / scale), f"{found['ratio']:.1f}×"


# ---- derivatives -----------------------------------------------------------------------------------------------------

LIBRARIES = {
    "glassgrad": "glassgrad",
    "autograd": "autograd",
    "jax": "JAX",
    "jit": "JAX, jit",
    "torch": "PyTorch",
    "casadi": "CasADi",
}


def derivatives(results):
    """(title, head, rows) of the tables of derivatives."""
    rows = [found for found in results.values() if isinstance(found, dict) and "scalars" in found]
    head = ["", *LIBRARIES.values()]
    yield (
        "Time to the first result; fastest: of the libraries that run the same function on scalars",
        [*head, "fastest"],
        [[*line, mark] for found in rows for line, mark in zip(lines(found, "first"), fastest(found), strict=False)],
    )
    yield "Time of a later call, with other numbers", head, [line for found in rows for line in lines(found, "later")]
    yield (
        "What a derivative costs in glassgrad: the time of a later call, and that of the function itself",
        ["", "function on floats", "on Values", "derivative", "over floats", "over Values", "goal", ""],
        [cost(found) for found in rows if found["scalars"].get("glassgrad", {}).get("derivative")],
    )


def lines(found, key):
    """The libraries on scalars, and the peers in array form where there is one; ratios are to glassgrad on scalars."""
    ours = found["scalars"].get("glassgrad", {}).get(key)
    for form, title in (("scalars", found["title"]), ("arrays", "the same, peers in array form")):
        if form in found:
            yield [title, *(timing(found[form].get(library), key, ours, found["limit"]) for library in LIBRARIES)]


def timing(entry, key, ours, limit):
    """A cell: seconds and how often ours; or why there are none."""
    if entry is None:
        return "–"  # not offered
    if not entry:
        return "failed"
    if entry[key] is None:
        return f"> {limit} s"
    ratio = "" if ours in (None, entry[key]) else f" ({digits(entry[key] / ours)}×)"
    return seconds(entry[key]) + ratio


def fastest(found):
    """Whether glassgrad has its first result before every peer on the same scalars, and no word on arrays."""
    times = {library: entry["first"] or math.inf for library, entry in found["scalars"].items() if entry}
    ours = times.pop("glassgrad", math.inf)
    return ["✓" if all(ours < peer for peer in times.values()) else "missed", ""]


def cost(found):
    ours = found["scalars"]["glassgrad"]
    floats, values, derivative = ours["on floats"], ours["on Values"], ours["derivative"]
    goal = ["≤ 4×", "✓" if derivative <= 4 * values else "missed"] if found["goal"] else ["", ""]
    return [
        found["title"], seconds(floats), seconds(values), seconds(derivative),
        f"{derivative / floats:.1f}×", f"{derivative / values:.1f}×", *goal,
    ]  # fmt: skip


# ---- layout ----------------------------------------------------------------------------------------------------------


def layouts(results):
    """(title, head, rows) of the table of layouts; a ratio is to glassgrad in the browser, or in Python without one."""
    found = results.get("layout", {"sizes": []})
    rows = []
    for entry in found["sizes"]:
        seconds_of, crossings = entry["seconds"], entry["crossings"]
        ours = seconds_of.get("browser", seconds_of["python"])
        times = [
            "–" if name not in seconds_of else timing({"first": seconds_of[name]}, "first", ours, found["limit"])
            for name in ("python", "browser", "dot")
        ]
        counts = ["–" if crossings.get(name) is None else f"{crossings[name]:,}" for name in ("python", "dot")]
        rows.append([entry["title"], f"{entry['nodes']:,}", *times, *counts])
    head = ["", "nodes", "Python", "in the browser", "dot", "crossings", "dot's"]
    yield "Time of a layout, and the crossings that it leaves", head, rows


def painters(results):
    """The versions of what lays out."""
    return ", ".join([f"glassgrad {results['machine']['glassgrad']}", *results["layout"]["versions"].values()])


# ---- viewer ----------------------------------------------------------------------------------------------------------

PAGE = [  # where it stands in the results, the goal for each graph in seconds
    ("first paint", "paint", [1.0, 1.0, 3.0]),
    ("graph in sight", "shown", None),
    ("open all groups", "open", None),
    ("longest task", "task", [0.2, 0.2, 0.2]),
    ("frame while panning", "frame", [1 / 30, 1 / 30, 1 / 30]),
]


def pages(results):
    """(title, head, rows) of the table of pages; a time that misses its goal says so."""
    rows = []
    for k, entry in enumerate(results.get("viewer", {"graphs": []})["graphs"]):
        times = []
        for _, name, goals_of in PAGE:
            if name not in entry:
                times.append("–")
            elif entry[name] == 0:
                times.append("< 50 ms")  # what is shorter is not told
            else:
                missed = goals_of is not None and entry[name] > goals_of[k]
                times.append(seconds(entry[name]) + (" (missed)" if missed else ""))
        rows.append([entry["title"], f"{entry['nodes']:,}", f"{entry['bytes'] / 1000:,.0f} kB", *times])
    yield "The page of a graph", ["", "nodes", "size", *[title for title, _, _ in PAGE]], rows


# ---- files -----------------------------------------------------------------------------------------------------------


def publish(results, readmes):
    """Write the tables between their markers."""
    blocks = [markdown_goals(eager_goals(results)), described(results) + "."]
    for title, head, rows in details(results):
        if rows:
            blocks += [f"### {title}", markdown(head, rows)]
    between(ROOT / "docs" / "benchmarks.md", "bench", "\n\n".join(blocks))
    blocks = [markdown_goals(compiled_report.goals(results, False, sys.modules[__name__]))]
    blocks += [f"### {title}\n\n{markdown(head, rows)}" for title, head, rows in compiled(results) if rows]
    between(ROOT / "docs" / "benchmarks.md", "bench:compiled", "\n\n".join([*blocks, peers(results) + "."]))
    blocks = [f"### {title}\n\n{markdown(head, rows)}" for title, head, rows in derivatives(results)]
    between(ROOT / "docs" / "benchmarks.md", "bench:derivatives", "\n\n".join([*blocks, peers(results) + "."]))
    blocks = [f"### {title}\n\n{markdown(head, rows)}" for title, head, rows in layouts(results)]
    between(ROOT / "docs" / "benchmarks.md", "bench:layout", "\n\n".join([*blocks, painters(results) + "."]))
    blocks = [f"### {title}\n\n{markdown(head, rows)}" for title, head, rows in pages(results)]
    browser = results["viewer"]["versions"].get("browser", "no browser")
    between(ROOT / "docs" / "benchmarks.md", "bench:viewer", "\n\n".join([*blocks, f"{browser}."]))
    if readmes:
        between(ROOT / "README.md", "bench:en",
                f"{markdown_goals(goals(results))}\n\nMeasured by `make bench` on {described(results)}.")  # fmt: skip
        between(ROOT / "README.zh-CN.md", "bench:zh",
                f"{markdown_goals(goals(results, chinese=True), chinese=True)}\n\n"
                f"由 `make bench` 测得：{described(results, chinese=True)}。")  # fmt: skip


def markdown_goals(rows, chinese=False):
    head = ["", "glassgrad", "对照", "倍数", "目标", ""] if chinese else ["", "glassgrad", "peer", "ratio", "goal", ""]
    marks = {True: "✓", False: "未达到" if chinese else "missed", None: ""}
    return markdown(head, [[*row[:5], marks[row[5]]] for row in rows])


def markdown(head, rows):
    cells = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def between(path, name, text):
    """Replace what stands between <!-- name --> and <!-- /name -->."""
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    new, count = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if count != 1:
        raise SystemExit(f"bench: {path} should have one pair of markers <!-- {name} --> and <!-- /{name} -->")
    path.write_text(new, encoding="utf-8")
