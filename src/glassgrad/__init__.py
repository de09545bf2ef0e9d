"""glassgrad: an autograd engine you can see through."""

from ._build import COMPILED, __version__  # first: it chooses between the compiled and the interpreted modules

from . import engine, losses, nn, optim, testing, training  # isort: skip
from .calls import checkpoint, custom_gradient
from .compiler import CompileError, Program, ProgramError, compile as compile
from .compiler.program import viewers as _program_viewers
from .engine import Scalar, Value
from .errors import GlassgradError, GradientError, GraphError, NonFiniteError, OperandError, OutOfRangeError
from .functions import (
    abs as abs, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cbrt, clip, cos, cosh, dot, elu, erf, exp,
    expm1, gelu, hypot, leaky_relu, log, log1p, log2, log10, logaddexp, logsumexp, maximum, mean, minimum, prod,
    reciprocal, relu, sigmoid, sign, silu, sin, sinh, softmax, softplus, sqrt, square, sum as sum, tan, tanh, where,
)  # fmt: skip
from .functional import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .graph import Graph
from .losses import LossError
from .mapping import take, vmap
from .modes import allow_nonfinite, no_grad, scope
from .nn import ModelError, StateError
from .optim import OptimError
from .primitives import primitive
from .series import taylor
from .training import TrainingError
from .viz.animate import Animation, animate
from .viz.dot import draw_dot
from .viz.explain import explain
from .viz.notebook import mimebundle as _mimebundle
from .viz.page import Page, show, to_html
from .viz.snapshot import DrawingError
from .viz.tree import tree
from .viz.watch import Recording, watch
from .viz.widget import widget

# Methods of Value and of Program: neither the engine nor the compiler knows a viewer.
engine.viewers.update(_repr_mimebundle_=_mimebundle, explain=explain, show=show, tree=tree)
_program_viewers.update(show=show)

# Without abs, compile and sum, which are public too: `from glassgrad import *` must not replace
# Python's own.
__all__ = [
    "COMPILED", "Animation", "CompileError", "DrawingError", "GlassgradError", "GradientError", "Graph", "GraphError",
    "LossError", "ModelError", "NonFiniteError", "OperandError", "OptimError", "OutOfRangeError", "Page", "Program",
    "ProgramError", "Recording", "Scalar", "StateError", "TrainingError", "Value", "__version__", "allow_nonfinite",
    "animate", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "checkpoint", "clip",
    "cos", "cosh", "custom_gradient", "dot", "draw_dot", "elu", "erf", "exp", "explain", "expm1", "gelu", "grad",
    "gradients", "hessian", "hvp", "hypot", "jacobian", "jvp", "leaky_relu", "log", "log1p", "log2", "log10",
    "logaddexp", "logsumexp", "losses", "maximum", "mean", "minimum", "nn", "no_grad", "optim", "primitive", "prod",
    "reciprocal", "relu", "scope", "show", "sigmoid", "sign", "silu", "sin", "sinh", "softmax", "softplus", "sqrt",
    "square", "take", "tan", "tanh", "taylor", "testing", "to_html", "training", "tree", "value_and_grad", "vjp",
    "vmap", "watch", "where", "widget",
]  # fmt: skip
