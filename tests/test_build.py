"""Building: what GLASSGRAD_COMPILE promises, what wheels and the sdist hold, and how the two builds are told apart."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from conftest import BUILDS, has_compiler, load_interpreted

import glassgrad
from glassgrad import _cython

ENGINE = '''
"""A stand-in with the engine's name, so that these tests take seconds."""

from __future__ import annotations

try:
    import cython
except ImportError:
    from . import _cython as cython


@cython.final
@cython.trashcan(True)
@cython.freelist(8)
@cython.cclass
class Value:
    """A number."""

    __slots__ = ("data",)

    def __init__(self, data: float) -> None:
        self.data = data

    def _times(self, factor: float) -> float:
        with cython.nogil:
            return self.data * cython.cast(cython.double, factor)

    def doubled(self) -> float:
        """Twice the number."""
        return self._times(2.0)
'''
ENGINE_PXD = """
cdef class Value:
    cdef public double data
    cdef double _times(self, double factor) noexcept
"""
LINE = "glassgrad: no extension compiled, installing pure Python"
ASK = "import glassgrad as g; print(g.COMPILED, g.Value(3).doubled())"

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="this machine has no C compiler or no Python headers")
finds_compiler_by_name = pytest.mark.skipif(os.name == "nt", reason="MSVC is found through the registry")


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """A folder with setuptools and Cython, kept out of the environment so that the tests see a user's: no Cython."""
    folder = tmp_path_factory.mktemp("backend")
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "setuptools>=77", "Cython>=3.1"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def project(root, tmp_path):
    """The project's own build files around a tiny engine."""
    package = tmp_path / "project" / "src" / "glassgrad"
    package.mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md", "MANIFEST.in"):
        if (root / name).exists():
            shutil.copy(root / name, tmp_path / "project")
    for name in ("_build.py", "_cython.py", "py.typed"):
        shutil.copy(root / "src" / "glassgrad" / name, package)
    (package / "__init__.py").write_text("from ._build import COMPILED\nfrom .engine import Value\n")
    (package / "engine.py").write_text(ENGINE)
    (package / "engine.pxd").write_text(ENGINE_PXD)
    return tmp_path / "project"


@pytest.fixture
def build(backend, tmp_path):
    """Run one hook of the build backend, as pip does: `build(project, 'wheel', GLASSGRAD_COMPILE='off')`."""

    def run(project, hook, **environment):
        out = tmp_path / hook
        out.mkdir(exist_ok=True)
        inherited = {k: v for k, v in os.environ.items() if k not in ("CC", "GLASSGRAD_COMPILE", "GLASSGRAD_PURE")}
        result = subprocess.run(
            [sys.executable, "-c", f"from setuptools import build_meta as b; b.build_{hook}({str(out)!r})"],
            check=False,
            cwd=project,
            env={**inherited, "PYTHONPATH": str(backend), **environment},
            capture_output=True,
            text=True,
        )
        result.products = sorted(out.iterdir())
        return result

    return run


def run_python(code, path, **environment):
    """What `code` prints in a fresh interpreter that imports from `path`."""
    env = {k: v for k, v in os.environ.items() if k != "GLASSGRAD_PURE"}
    env |= {"PYTHONPATH": str(path), **environment}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def unpack(wheel, folder):
    """Unpack a wheel and return the folder and the sorted names in it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        return folder, sorted(archive.namelist())


def extensions(names):
    return [name for name in map(str, names) if name.endswith(tuple(EXTENSION_SUFFIXES))]


def no_compiler(kind, tmp_path):
    return {"CC": "/nonexistent/cc"} if kind == "CC" else {"PATH": str(tmp_path / "empty")}


@needs_compiler
@pytest.mark.parametrize("mode", ["", "auto", "require"])
def test_with_a_compiler_the_wheel_is_compiled_and_both_builds_run(project, build, tmp_path, mode):
    built = build(project, "wheel", GLASSGRAD_COMPILE=mode)
    assert built.returncode == 0, built.stderr
    assert LINE not in built.stderr
    site, names = unpack(built.products[0], tmp_path / "site")
    assert len(extensions(names)) == 1
    assert run_python(ASK, site) == ["True", "6.0"]
    assert run_python(ASK, site, GLASSGRAD_PURE="1") == ["False", "6.0"]
    assert run_python(ASK, site, GLASSGRAD_PURE="0") == ["True", "6.0"]


@finds_compiler_by_name
@pytest.mark.parametrize("kind", ["CC", "PATH"])
def test_auto_without_a_compiler_builds_pure_python_and_says_why_in_one_line(project, build, tmp_path, kind):
    built = build(project, "wheel", **no_compiler(kind, tmp_path))
    assert built.returncode == 0, built.stderr
    said = [line for line in built.stderr.splitlines() if line.startswith("glassgrad:")]
    assert len(said) == 1
    assert said[0].startswith(LINE)
    assert "Reason: " in said[0]
    (wheel,) = built.products
    assert wheel.name.endswith("-py3-none-any.whl")  # else pip keeps it as the one compiled for this Python
    site, names = unpack(wheel, tmp_path / "site")
    assert extensions(names) == []
    assert "glassgrad/engine.py" in names
    (about,) = site.glob("*.dist-info/WHEEL")
    assert "Root-Is-Purelib: true" in about.read_text()
    assert run_python(ASK, site) == ["False", "6.0"]


@finds_compiler_by_name
@pytest.mark.parametrize("kind", ["CC", "PATH"])
def test_require_without_a_compiler_fails(project, build, tmp_path, kind):
    built = build(project, "wheel", GLASSGRAD_COMPILE="require", **no_compiler(kind, tmp_path))
    assert built.returncode != 0
    assert built.products == []
    assert LINE not in built.stderr


def test_a_source_that_does_not_compile_is_named_in_auto_and_fails_in_require(project, build):
    (project / "src" / "glassgrad" / "engine.pxd").write_text("cdef class Value:\n    cdef public nonsense data\n")
    built = build(project, "wheel")
    assert built.returncode == 0, built.stderr
    said = [line for line in built.stderr.splitlines() if line.startswith(LINE)]
    assert len(said) == 1
    assert "engine.py" in said[0]
    assert build(project, "wheel", GLASSGRAD_COMPILE="require").returncode != 0


@pytest.mark.parametrize("hook", ["wheel", "editable", "sdist"])
@pytest.mark.parametrize("value", ["yes", "Auto", "1"])
def test_any_other_value_is_refused(project, build, hook, value):
    built = build(project, hook, GLASSGRAD_COMPILE=value)
    assert built.returncode != 0
    assert built.products == []
    assert f"GLASSGRAD_COMPILE={value!r} is not understood; use 'auto', 'require' or 'off'" in built.stderr


@needs_compiler
@finds_compiler_by_name
@pytest.mark.parametrize("then", [{"GLASSGRAD_COMPILE": "off"}, {"CC": "/nonexistent/cc"}], ids=["off", "no compiler"])
def test_an_editable_build_never_leaves_a_stale_extension(project, build, then):
    source = project / "src"
    assert build(project, "editable").returncode == 0
    assert run_python(ASK, source) == ["True", "6.0"]
    assert run_python(ASK, source, GLASSGRAD_PURE="1") == ["False", "6.0"]
    built = build(project, "editable", **then)
    assert built.returncode == 0, built.stderr
    assert extensions(source.rglob("*")) == []
    assert run_python(ASK, source) == ["False", "6.0"]


@needs_compiler
def test_an_editable_build_compiles_what_was_edited(project, build):
    assert build(project, "editable").returncode == 0
    engine = project / "src" / "glassgrad" / "engine.py"
    engine.write_text(ENGINE.replace("self._times(2.0)", "self._times(2.0) + 1.0"))
    assert build(project, "editable").returncode == 0
    assert run_python(ASK, project / "src") == ["True", "7.0"]


@pytest.fixture
def checkout(root, tmp_path):
    """A copy of the whole project as it is, with an extension and a C file lying about as builds leave them."""
    skip = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
    copy = Path(shutil.copytree(root, tmp_path / "checkout", ignore=skip))
    (copy / "src" / "glassgrad" / f"engine{EXTENSION_SUFFIXES[0]}").write_bytes(b"stale")
    (copy / "src" / "glassgrad" / "engine.c").write_text("stale")
    return copy


def test_off_gives_exactly_one_pure_wheel_with_every_source(checkout, build, tmp_path):
    built = build(checkout, "wheel", GLASSGRAD_COMPILE="off")
    assert built.returncode == 0, built.stderr
    (wheel,) = built.products
    version = wheel.name.split("-")[1]
    assert wheel.name == f"glassgrad-{version}-py3-none-any.whl"
    site, names = unpack(wheel, tmp_path / "site")
    kinds = (".py", ".pxd", ".pyx", ".h", ".pyi", "py.typed", ".js", ".css", ".json", ".html")
    sources = {
        p.relative_to(checkout / "src").as_posix() for p in (checkout / "src").rglob("*") if p.name.endswith(kinds)
    }
    assert {name for name in names if name.startswith("glassgrad/")} == sources
    script = "from glassgrad.viz import bundle; print('const RULES' in bundle.script(), 'sweep' in bundle.exports())"
    assert run_python(script, site) == ["True", "True"], "the viewer is made of files of the wheel alone"


def test_the_sdist_holds_sources_and_tests_and_nothing_generated(checkout, build):
    built = build(checkout, "sdist")
    assert built.returncode == 0, built.stderr
    with tarfile.open(built.products[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"setup.py", "pyproject.toml", "LICENSE", "CHANGELOG.md", "Makefile"}
    expected |= {"tests/conftest.py", "src/glassgrad/_build.py"}
    kinds = (".pxd", ".pyx", ".h")
    expected |= {p.relative_to(checkout).as_posix() for p in (checkout / "src").rglob("*") if p.name.endswith(kinds)}
    assert {"src/glassgrad/compiler/native.pyx", "src/glassgrad/compiler/kernels.h"} <= expected
    assert expected <= names
    assert [name for name in names if name.endswith((".c", ".so", ".pyd", ".pyc"))] == []


@pytest.mark.skipif(BUILDS == ["interpreted"], reason="GLASSGRAD_COMPILE=off or no C compiler: one build is tested")
def test_the_compiled_build_is_here():
    assert glassgrad.COMPILED, "see the `glassgrad:` line of the build, .venv/build.log"


def test_the_twins_are_two_different_builds(gg):
    compiled = gg.__name__ == "glassgrad"
    assert compiled is gg.COMPILED
    twofold = {path.stem for path in Path(gg.__file__).parent.glob("*.pxd")}
    loaded = [module for stem in sorted(twofold) if (module := sys.modules.get(f"{gg.__name__}.{stem}"))]
    assert {"engine", "rules"} <= twofold
    assert len(loaded) >= 2
    assert all(module.__file__.endswith(tuple(EXTENSION_SUFFIXES) if compiled else ".py") for module in loaded)
    assert gg.Value.__module__.startswith(f"{gg.__name__}.")


def test_the_twins_share_no_class():
    compiled, interpreted = glassgrad, load_interpreted()
    assert compiled.Value is not interpreted.Value
    assert compiled.errors.GlassgradError is not interpreted.errors.GlassgradError


def test_no_compiled_class_is_pickled_by_what_cython_makes_up(gg):
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{gg.__name__}.")]
    made_up = {name for module in modules for name in dir(module) if "pyx_unpickle" in name}
    assert made_up <= {"__pyx_unpickle_Enum"}  # in every module that Cython makes


def test_pure_is_chosen_by_the_environment():
    report = "import glassgrad as g, sys; print(g.COMPILED, g.engine.__file__, g.Value(3.0).data)"
    compiled, engine, data = run_python(report, "", GLASSGRAD_PURE="1")
    assert (compiled, Path(engine).name, data) == ("False", "engine.py", "3.0")


@pytest.mark.parametrize("cython", ["the stand-in", "the real one"])
def test_the_interpreted_build_runs_with_and_without_cython_installed(root, backend, cython):
    path = os.pathsep.join([str(root / "src"), *([str(backend)] if cython == "the real one" else [])])
    report = (
        "import glassgrad as g, sys; x = g.Value(3.0); y = x * x * x; y.backward();"
        "print(g.COMPILED, x.grad, 'glassgrad._cython' in sys.modules)"
    )
    stand_in = cython == "the stand-in"
    if stand_in and importlib.util.find_spec("cython"):
        pytest.skip("Cython is installed in this environment")
    assert run_python(report, path, GLASSGRAD_PURE="1") == ["False", "27.0", str(stand_in)]


def test_the_stand_in_for_cython_has_every_name_the_sources_use(root):
    used = {
        node.attr
        for path in (root / "src" / "glassgrad").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cython"
    }
    assert {name for name in used if not hasattr(_cython, name)} == set()
    assert _cython.compiled is False
