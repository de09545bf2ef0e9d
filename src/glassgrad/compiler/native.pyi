# The interface of the NumPy machine.
from .evaluate import Machine as Machine

LAYOUT: tuple[int, int, int]
