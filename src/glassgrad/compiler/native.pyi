# The interface of the NumPy machine.
from .evaluate import Machine as Machine
