"""glassgrad: an autograd engine you can see through."""

from ._build import COMPILED, __version__
from .engine import Value

__all__ = ["COMPILED", "Value", "__version__"]
