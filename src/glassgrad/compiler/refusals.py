"""Refusals: what cannot be compiled, the user's line where it stands, and what to write instead.

Pipeline: what **trace** says where the function would freeze a number of the run, or asks a stand-in for what it cannot
be, as Python and NumPy do with `rows[i]` and `x % 2`.
"""

from __future__ import annotations

import linecache
import re
import sys
from types import FrameType
from typing import Final

from ..errors import GlassgradError
from .program import CompileError

__all__ = ["explain", "is_inside", "refusal", "users_line"]

INSIDE: Final = (__name__.partition(".")[0], "numpy")  # packages whose lines are none of the user's

INDEX: Final = (
    "choose with glassgrad.take(rows, i), several with [glassgrad.take(rows, i) for i in indices], or name the "
    "argument in static=(...), which makes a program for each of its values"
)
NUMBER: Final = (
    "compute it outside and hand over the result, or name the argument in static=(...), which hands it over as it is"
)
WAYS_OUT: Final = {
    ".data": "compute with the Value itself",
    "float()": "compute with the Value itself and glassgrad's functions, as in x.exp()",
    "formatting": "return the Value and format it outside",
    "an index": INDEX,
    "an index that is computed": "hand it over as an argument",
    "looking into a batch of vmap": (
        "its number of rows is not known there: reduce it by glassgrad.sum or glassgrad.mean, return it, or go over it "
        "with another vmap"
    ),
    "the truth value of an argument": (
        "choose with glassgrad.where(x != 0, a, b), or name the argument in static=(...), which makes a program for "
        "each of its values"
    ),
    "hashing": "look things up outside, or choose among rows with glassgrad.take(rows, i)",
    "Value(x) of an argument x": "leave Value() out: the argument itself can be computed with",
    "the truth value of a comparison": (
        "choose with glassgrad.where(condition, a, b), take glassgrad.maximum(a, b) instead of max(a, b), or name the "
        "argument in static=(...), which makes a program for each of its values"
    ),
    "an operation on constants": "use plain numbers there, or Values that require a gradient",
    "no_grad()": "leave it out: a program computes only what its results need",
    "detach()": "compute it outside, and pass it as an argument",
    "copying": "copy outside",
    "backward()": "call it on the result, outside",
}
# What Python and NumPy say, as in "'Input' object", "not Input", "type glassgrad.engine.Value"; nothing else tells it.
STAND_INS: Final = re.compile(
    r"(?:(?<=')|(?<=not )|(?<=type ))(?:glassgrad\w*\.engine\.)?(?:Value|Input|Condition|Batch|Examples)\b"
)
INDICES: Final = re.compile(r"indices must be integers|(?:used as|are valid) indices")


def refusal(what: str, name: str) -> CompileError:
    """The error for a use of a Value that would freeze a number."""
    return CompileError(f"{what} cannot be compiled in {name}, {users_line()}; {WAYS_OUT.get(what, 'call it outside')}")


def explain(error: Exception, name: str) -> None:
    """Raise the error for what Python or NumPy did not find in a stand-in, if that is what this one is about."""
    text = str(error)
    if isinstance(error, GlassgradError) or not isinstance(error, TypeError | IndexError | AttributeError):
        return
    if type(getattr(error, "obj", None)).__module__.partition(".")[0] not in ("builtins", INSIDE[0]):
        return  # an attribute of an object of the user's
    index = INDICES.search(text) is not None
    if index or STAND_INS.search(text):
        raise CompileError(
            f"{STAND_INS.sub('Value', text)}, in {name}, {users_line(error)}: in a function that is compiled every "
            f"number among the arguments is a Value; {INDEX if index else NUMBER}"
        ) from error


def users_line(error: Exception | None = None) -> str:
    """The innermost line outside of this package, as errors show it: that which runs, or where an error was raised."""
    frame, line = sys._getframe(1), 0
    if error is None:
        while frame.f_back is not None and is_inside(frame):
            frame = frame.f_back
        line = frame.f_lineno
    else:
        traceback = error.__traceback__
        while traceback is not None:
            if not is_inside(traceback.tb_frame):
                frame, line = traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
    path = frame.f_code.co_filename
    text = linecache.getline(path, line).strip()
    return f"line {line} of {path}" + (f": `{text}`" if text else "")


def is_inside(frame: FrameType) -> bool:
    """Whether a frame is one of this package, or of one that works for it."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE
