"""Chooses between the compiled and the interpreted build of one source, and says which one runs.

Import this module before any other of the package. The modules that have a ``.pxd`` exist twice: as ``.py`` and, where
compiling worked, as an extension beside it, which Python prefers. With GLASSGRAD_PURE=1 in the environment the ``.py``
is loaded instead. The choice is made once per package and holds for modules imported later.

Only relative names are used, so the same directory may be loaded a second time under another name; the tests hold
the two builds side by side that way.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"

_HERE = Path(__file__).parent
_PACKAGE = __package__ or "glassgrad"


class _SourcesFirst:
    """Import hook that finds the modules of this package as ``.py``, even with an extension beside them."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the source file of ``name``; None for everything that is not a module of this package."""
        package, _, module = name.partition(".")
        source = _HERE / f"{module.replace('.', '/')}.py"
        if package != _PACKAGE or not source.is_file():
            return None
        return importlib.util.spec_from_file_location(name, source)


def _pure_wanted() -> bool:
    """Whether the environment asks for the interpreted build."""
    return os.environ.get("GLASSGRAD_PURE", "") not in ("", "0")


if _pure_wanted():
    sys.meta_path.insert(0, _SourcesFirst())

from . import engine as _engine  # noqa: E402, F401 - the hook above must be in place first

_names = [path.relative_to(_HERE).with_suffix("").as_posix().replace("/", ".") for path in _HERE.rglob("*.pxd")]
_twofold = [sys.modules.get(f"{_PACKAGE}.{name}") for name in _names]
_loaders = [module.__loader__ for module in _twofold if module]

COMPILED: bool = bool(_loaders) and all(isinstance(loader, ExtensionFileLoader) for loader in _loaders)
"""True if the engine that runs is the compiled one, False if it is interpreted Python."""
