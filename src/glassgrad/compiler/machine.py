"""Machine: what runs a program: that of `native`, where it was compiled, or NumPy's in `evaluate`.

Pipeline: trace → differentiate → lift → program → **machine**.

Beside sources that have changed since, as an editable installation can have them, compiled kernels would read a plan
wrongly, and may end the process. `arena.LAYOUT` says what both have to agree on. Kernels of another layout are left
alone, with a warning.
"""

from __future__ import annotations

import warnings

from ..errors import level_of_caller
from .evaluate import Machine
from .program import Program

__all__ = ["machine_of"]


def machine_of(program: Program, dtype: str, threads: int = 1) -> Machine:
    """A program made ready to run; see `evaluate.Machine`."""
    return chosen()(program, dtype, threads)


def chosen() -> type[Machine]:
    """The class of machines that run programs here."""
    from . import arena

    try:
        from .native import Machine as Native  # `from . import native` would not tell whether it is there
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.endswith(".native"):
            raise
        return Machine  # it was not compiled
    except ImportError as error:  # it asks for what its sources have no longer
        reason = str(error)
    else:
        from . import native

        found = getattr(native, "LAYOUT", None)
        if found == arena.LAYOUT:
            return Native
        reason = f"plans are laid out as {arena.LAYOUT}, and they read {found}"
    warnings.warn(
        f"glassgrad's compiled kernels are older or newer than the sources beside them ({reason}): compiled functions "
        "run in NumPy, which is slower. Compile them again: `make setup` in a checkout, or install glassgrad again",
        RuntimeWarning,
        stacklevel=level_of_caller(),
    )
    return Machine
