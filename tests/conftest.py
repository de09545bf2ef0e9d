"""What every test file may use: the package in both builds, a network, threads, and the project's shared files."""

from __future__ import annotations

import importlib.util
import os
import random
import shlex
import shutil
import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from browser import MISSING, chromium, executable, js, lecture, page_of, quiet_pages  # noqa: F401  fixtures
from hypothesis import HealthCheck, settings

import glassgrad

ROOT = Path(__file__).resolve().parent.parent
TWIN = "glassgrad_interpreted"

# dev is quick and draws new examples each time; ci draws more, and the same ones on every machine.
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("dev", max_examples=50, **COMMON)
settings.register_profile("ci", max_examples=200, derandomize=True, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no browser, a line for each file says so, and not one for each test."""
    if os.environ.get("CI") or executable():
        return
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=MISSING))


def has_compiler() -> bool:
    """Whether the C compiler that building would use is there, with Python's headers; asked for, it has to be."""
    if os.environ.get("GLASSGRAD_COMPILE") == "require":
        return True
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which(command[0]) is not None and headers.exists()


def load_interpreted() -> ModuleType:
    """The package's directory loaded a second time under the name `TWIN`, every module from its .py."""
    if TWIN in sys.modules:
        return sys.modules[TWIN]
    package = Path(glassgrad.__file__).parent
    spec = importlib.util.spec_from_file_location(
        TWIN, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[TWIN] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSGRAD_PURE", "1")
        spec.loader.exec_module(module)
    return module


# Where nothing can have been compiled there is one build to test; everywhere else a missing one is a failure.
BUILDS = ["compiled", "interpreted"]
if not glassgrad.COMPILED and (os.environ.get("GLASSGRAD_COMPILE") == "off" or not has_compiler()):
    BUILDS = ["interpreted"]


@pytest.fixture(scope="session", params=BUILDS)
def gg(request: pytest.FixtureRequest) -> ModuleType:
    """The package: each test that asks for it runs on the compiled and on the interpreted build."""
    if request.param == "interpreted":
        return load_interpreted()
    if not glassgrad.COMPILED:
        pytest.fail("the compiled build was expected and did not load: run `make setup`, and unset GLASSGRAD_PURE")
    return glassgrad


def environment(build: str) -> dict[str, str]:
    """The variables under which another process loads this package in one of its builds."""
    variables = {**os.environ, "PYTHONPATH": str(Path(glassgrad.__file__).parent.parent), "GLASSGRAD_PURE": "1"}
    if build == "compiled":
        del variables["GLASSGRAD_PURE"]
    return variables


@pytest.fixture
def nn(gg: ModuleType) -> ModuleType:
    """The package's `nn`, in both builds."""
    return gg.nn


@pytest.fixture
def mlp(nn: ModuleType) -> object:
    """The network of micrograd's demo with micrograd's initial weights."""
    random.seed(1337)
    return nn.MLP(2, [16, 16, 1])


def in_threads(count: int, work: Callable[[int], object]) -> list:
    """The results of work(0), work(1), …, all at once and each in a thread of its own; an error in one is raised."""
    gate = threading.Barrier(count)

    def run(i: int) -> object:
        gate.wait(30)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=60))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root; skips where the tests run away from it, as on an installed wheel."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip(f"the repository is not here: {ROOT} has no pyproject.toml")
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the repository; skips where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"shared data is missing: {folder} does not exist")
    return folder
