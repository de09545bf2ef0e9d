"""glassgrad: an autograd engine you can see through."""

from ._build import COMPILED, __version__
from .engine import Value
from .errors import GlassgradError, GraphError, NonFiniteError, OperandError
from .functions import (
    abs, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cbrt, clip, cos, cosh, dot, elu, erf, exp, expm1,
    gelu, hypot, leaky_relu, log, log1p, log2, log10, logaddexp, logsumexp, maximum, mean, minimum, prod, reciprocal,
    relu, sigmoid, sign, silu, sin, sinh, softmax, softplus, sqrt, square, sum, tan, tanh, where,
)  # fmt: skip
from .modes import allow_nonfinite, no_grad, scope

__all__ = [
    "COMPILED", "GlassgradError", "GraphError", "NonFiniteError", "OperandError", "Value", "__version__",
    "abs", "allow_nonfinite", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "clip",
    "cos", "cosh", "dot", "elu", "erf", "exp", "expm1", "gelu", "hypot", "leaky_relu", "log", "log1p", "log2", "log10",
    "logaddexp", "logsumexp", "maximum", "mean", "minimum", "no_grad", "prod", "reciprocal", "relu", "scope", "sigmoid",
    "sign", "silu", "sin", "sinh", "softmax", "softplus", "sqrt", "square", "sum", "tan", "tanh", "where",
]  # fmt: skip
