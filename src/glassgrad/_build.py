"""Chooses between the compiled and the interpreted build of one source, and says which one runs.

Import this module before any other of the package. The modules that have a ``.pxd`` exist twice: as ``.py`` and, where
compiling worked, as an extension beside it, which Python prefers. With GLASSGRAD_PURE=1 in the environment the ``.py``
is loaded instead, and a module that is an extension only is not there. The choice is made once per package and holds
for modules imported later.

Only relative names are used, so the same directory may be loaded a second time under another name; the tests hold
the two builds side by side that way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"

_HERE = Path(__file__).parent
_PACKAGE = __package__ or "glassgrad"


class _SourcesOnly:
    """Import hook that finds the modules of this package as ``.py``, even with an extension beside them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the source file of ``name``; None for everything that is not a module of this package."""
        if not name.startswith(f"{_PACKAGE}.") or path is None:
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None:
                return spec
        raise ModuleNotFoundError(f"No module named {name!r} in Python's own language", name=name)


def _pure_wanted() -> bool:
    """Whether the environment asks for the interpreted build."""
    return os.environ.get("GLASSGRAD_PURE", "") not in ("", "0")


if _pure_wanted():
    sys.meta_path.insert(0, _SourcesOnly())

from . import engine as _engine  # noqa: E402, F401 - the hook above must be in place first

_names = [path.relative_to(_HERE).with_suffix("").as_posix().replace("/", ".") for path in _HERE.rglob("*.pxd")]
_twofold = [sys.modules.get(f"{_PACKAGE}.{name}") for name in _names]
_loaders = [module.__loader__ for module in _twofold if module]

COMPILED: bool = bool(_loaders) and all(isinstance(loader, ExtensionFileLoader) for loader in _loaders)
"""True if the engine that runs is the compiled one, False if it is interpreted Python."""
