"""Machine: what runs a program: the native one, or NumPy's where that was not compiled."""

from __future__ import annotations

from .evaluate import Machine
from .program import Program

__all__ = ["machine_of"]


def machine_of(program: Program, dtype: str, threads: int = 1) -> Machine:
    """A program made ready to run; see `evaluate.Machine`."""
    try:
        from .native import Machine as Native
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.endswith(".native"):
            raise
        return Machine(program, dtype, threads)
    return Native(program, dtype, threads)
