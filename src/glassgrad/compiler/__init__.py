"""Scalar code as tensor instructions: trace → differentiate → lift → program → evaluate, one module for each stage."""

from .function import Compiled, compile  # noqa: A004 - the name is the package's only where it is asked for
from .program import CompileError, Program, ProgramError

__all__ = ["CompileError", "Compiled", "Program", "ProgramError", "compile"]
