"""The tables of compiled functions: rows of the main table, and where a step's time goes."""

NAMES = {
    "jax": "jax.jit", "numpy": "NumPy", "torch": "PyTorch", "casadi": "CasADi", "micrograd": "micrograd",
}  # fmt: skip
STEPS = [  # row of the results, English and Chinese name, goal against each peer; None for a peer without one
    ("compiled_gpt", "names_gpt compiled, one training step with Adam", "names_gpt 编译后：训练一步，含 Adam",
     {"jax": 3.5}),
    ("compiled_gpt_16", "the same, float32, a batch of 16, per sample", "同上，float32，每批 16 个，按每个样本计",
     {"jax": 4}),
    ("compiled_moons", "moons compiled, one full-batch training step", "moons 编译后：全批量训练一步",
     {"jax": 2.5, "numpy": 2, "torch": 12, "casadi": None, "micrograd": 40_000}),
    ("compiled_digits", "digits, 64-32-10, vmap, a batch of 64, float32", "digits，64-32-10，vmap，每批 64 个，float32",
     {"torch": 2, "jax": 1.2}),
    ("compiled_mnist", "784-100-10, vmap, a batch of 64, float32", "784-100-10，vmap，每批 64 个，float32",
     {"torch": 0.8, "jax": None}),
]  # fmt: skip
RECURRENCES = [
    ("compiled_logistic", "1,000 steps of the logistic map", "逻辑斯谛映射 1000 步"),
    ("compiled_lotka", "Lotka–Volterra fit, 100 Runge–Kutta steps", "Lotka–Volterra 拟合，100 个 Runge–Kutta 步"),
]


def goals(results, chinese, write):
    """Rows as `report.goals` has them; `write` has its functions seconds, digits and in_brackets."""
    rows = []

    def row(name, ours, theirs, peer, goal, least=None):
        """Seconds of both; `least` where the peer took longer than that."""
        ratio = (theirs or least) / ours
        more = "" if theirs else "> "
        rows.append([
            name, write.seconds(ours),
            f"{more}{write.seconds(theirs or least)}{write.in_brackets(peer, chinese)}",
            f"{more}{write.digits(ratio) if ratio < 1000 else format(round(ratio), ',')}×",
            f"≥ {goal:,}×" if goal else "", None if goal is None else ratio >= goal,
        ])  # fmt: skip

    for key, english, other, wanted in STEPS:
        if found := results.get(key):
            libraries, each = found["libraries"], found["batch"]
            for peer, goal in wanted.items():
                if peer in libraries:
                    ours, theirs = (libraries[name]["seconds"] / each for name in ("glassgrad", peer))
                    row(other if chinese else english, ours, theirs, NAMES[peer], goal)
    for key, english, other in RECURRENCES:
        if found := results.get(key):
            ways = {entry["way"]: entry for entry in found["ways"]}
            ours = ways.pop("")
            way = min((way for way in ways if ways[way]["later"]), key=lambda way: ways[way]["later"])
            name = other if chinese else english
            scan = "jax.jit，lax.scan" if chinese else "jax.jit, lax.scan"
            peer = "jax.jit" if way == "unrolled" else scan
            later = f"{name}{'：值与梯度' if chinese else ': value and gradient'}"
            row(later, ours["later"], ways[way]["later"], peer, 1)
            first = f"{name}{'：首个结果' if chinese else ': first result'}"
            row(first, ours["first"], ways["unrolled"]["first"],
                "jax.jit，同一源码" if chinese else "jax.jit, the same source", 20, found["limit"])  # fmt: skip
            scans = min(ways[way]["first"] for way in ways if way != "unrolled")
            row(first, ours["first"], scans, scan, None)
    if found := results.get("compiled_first"):
        ours, peer = (entry["first"] for entry in found["ways"])
        name = "names_gpt：首个编译步" if chinese else "names_gpt, first compiled step"
        row(name, ours, peer, "jax.jit", 2)
        rows.append([name, write.seconds(ours), "", "", "≤ 0.4 s", ours <= 0.4])
    if found := results.get("compiled_growth"):
        small, large = (f"{found[size]['scalars']:,}" for size in ("small", "large"))
        name = f"compiling: time({large} scalars) / time({small})"
        name = f"编译：{large} 与 {small} 个标量的耗时比" if chinese else name
        rows.append([name, write.digits(found["ratio"]), "", "", "≤ 13", found["ratio"] <= 13])
    return rows


def details(results, write):
    """(title, head, rows) of the tables behind them."""
    seconds = write.seconds
    yield (
        "Each way of writing the peers, and how much the ratio varied over the rounds",
        ["", "a step", "fastest way", "ratio", "from", "to"],
        [
            [
                f"{english}: {NAMES[peer]}", seconds(entry["seconds"]), entry["way"] or "–",
                *(f"{write.digits(x)}×" for x in (entry["ratio"], *entry["range"])),
            ]
            for key, english, _, _ in STEPS
            for peer, entry in (results.get(key) or {"libraries": {}})["libraries"].items()
            if peer != "glassgrad"
        ],
    )  # fmt: skip
    yield (
        "Recurrences, every way: the first result, and a later call",
        ["", "first result", "later"],
        [
            [f"{english}: {way_of(entry)}", *(seconds(entry[x]) if entry[x] else f"> {found['limit']} s"
                                              for x in ("first", "later"))]
            for key, english, _ in [*RECURRENCES, ("compiled_first", "names_gpt, a training step", "")]
            if (found := results.get(key))
            for entry in found["ways"]
        ],
    )  # fmt: skip
    measured = [(english, results[key]) for key, english, _, _ in STEPS if results.get(key)]
    python = ["zero_grad", "call", "program", "backward", "step"]
    yield (
        "Where a compiled step goes: Python's parts, the call without its program; and the floor of this machine",
        ["", *python, "instructions", "floor: arithmetic", "floor: memory"],
        [
            [english, *(seconds(found["parts"]["python"][part]) for part in python),
             f"{found['parts']['instructions']} ({found['parts']['machine']})",
             seconds(found["floor"]["arithmetic"]), seconds(found["floor"]["memory"])]
            for english, found in measured
        ],
    )  # fmt: skip
    kinds = list(dict.fromkeys(kind for _, found in measured for kind in found["parts"]["work"]))
    yield (
        "Where a program's time goes, each instruction repeated in the cache; and what the floor is made of",
        ["", *kinds, "multiply-adds", "at", "bytes", "at"],
        [
            [
                english, *(seconds(found["parts"]["work"].get(kind, 0.0)) for kind in kinds),
                f"{found['floor']['multiply-adds']:,}", f"{found['floor']['peak'] / 1e9:.1f} / ns",
                f"{found['floor']['bytes']:,}", f"{found['floor']['rate'] / 1e9:.1f} GB/s",
            ]
            for english, found in measured
        ],
    )  # fmt: skip
    if found := results.get("compiled_growth"):
        stages = ["trace", "differentiate", "lift", "prepare"]
        yield (
            "Compiling moons with more and more samples written out, an average scalar's share",
            ["scalars", "in all", *stages],
            [
                [f"{run['scalars']:,}", seconds(run["seconds"]), *(seconds(run[x] / run["scalars"]) for x in stages)]
                for run in (found["small"], found["large"])
            ],
        )


def way_of(entry):
    if entry["library"] == "glassgrad":
        return "glassgrad"
    if entry["way"] in ("", "unrolled"):
        return f"jax.jit{', the same source' if entry['way'] else ''}"
    return "jax.jit, lax.scan" + (f", unroll={entry['way']}" if entry["way"] != "1" else "")
