"""A nonlinear regression with standard errors, to as many digits as NIST certifies.

    python examples/regression.py                   # fits, compares, draws regression.png
    python examples/regression.py --start 2         # from the other of NIST's starting points
    python examples/regression.py --help

The model is one line of scalar Python. glassgrad differentiates it: its Jacobian is what SciPy's solver asks for and
what standard errors are made of, its gradient and Hessian give the last digits. Read from top to bottom: data, model,
fit, what is printed, what is drawn.
"""

import argparse
import os
import sys
from pathlib import Path

import glassgrad

try:
    import numpy as np
    from scipy.optimize import least_squares
except ImportError:
    sys.exit("regression: the solver is SciPy's: pip install scipy")

# ---- data: how fast electrons move in a semiconductor, by the logarithm of their density ----------------------------
# R. Thurber, NIST; from the Statistical Reference Datasets, https://www.itl.nist.gov/div898/strd/nls/data/thurber.shtml

DATA = [
    (-3.067, 80.574), (-2.981, 84.248), (-2.921, 87.264), (-2.912, 87.195), (-2.840, 89.076), (-2.797, 89.608),
    (-2.702, 89.868), (-2.699, 90.101), (-2.633, 92.405), (-2.481, 95.854), (-2.363, 100.696), (-2.322, 101.060),
    (-1.501, 401.672), (-1.460, 390.724), (-1.274, 567.534), (-1.212, 635.316), (-1.100, 733.054), (-1.046, 759.087),
    (-0.915, 894.206), (-0.714, 990.785), (-0.566, 1090.109), (-0.545, 1080.914), (-0.400, 1122.643),
    (-0.309, 1178.351), (-0.109, 1260.531), (-0.103, 1273.514), (0.010, 1288.339), (0.119, 1327.543),
    (0.377, 1353.863), (0.790, 1414.509), (0.963, 1425.208), (1.006, 1421.384), (1.115, 1442.962), (1.572, 1464.350),
    (1.841, 1468.705), (2.047, 1447.894), (2.200, 1457.628),
]  # fmt: skip
STARTS = {1: [1000, 1000, 400, 40, 0.7, 0.3, 0.03], 2: [1300, 1500, 500, 75, 1, 0.4, 0.05]}
CERTIFIED = [1288.1396800, 1491.0792535, 583.23836877, 75.416644291, 0.96629502864, 0.39797285797, 0.049727297349]
CERTIFIED_ERRORS = [
    4.6647963344, 39.571156086, 28.698696102, 5.5675370270, 0.031333340687, 0.014984928198, 0.0065842344623
]  # fmt: skip


# ---- model ---------------------------------------------------------------------------------------------------------


def mobility(b, x):
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def residuals(b):
    return [mobility(b, x) - y for x, y in DATA]


def sum_of_squares(b):
    return sum(r**2 for r in residuals(b))


# ---- fit -----------------------------------------------------------------------------------------------------------


def newton(b):
    """A Newton step, to where the gradient is zero: the right digits double.

    A solver looks at the sum of squares, which no longer changes once half of the digits of b are right. The gradient
    does, and glassgrad's is exact.
    """
    return b - np.linalg.solve(glassgrad.hessian(sum_of_squares)(b), glassgrad.grad(sum_of_squares)(b))


def covariance(b):
    """How uncertain the parameters are, and together with which others: s² (JᵀJ)⁻¹."""
    J = np.array(glassgrad.jacobian(residuals)(b))
    m, n = J.shape
    return sum_of_squares(b) / (m - n) * np.linalg.inv(J.T @ J)


# ---- what is printed -----------------------------------------------------------------------------------------------


def digits(found, certified):
    """How many digits are right; of the 11 that are certified the last one is rounded."""
    error = np.abs(found / np.array(certified) - 1)
    return -np.log10(np.maximum(error, 1e-11))


def compare(b, errors):
    print("      estimate        certified       digits     standard error   certified        digits")
    right, right_errors = digits(b, CERTIFIED), digits(errors, CERTIFIED_ERRORS)
    for i in range(len(b)):
        print(f"b{i + 1}   {b[i]:<#15.11g} {CERTIFIED[i]:<#15.11g} {right[i]:5.1f}"
              f"      {errors[i]:<#16.11g} {CERTIFIED_ERRORS[i]:<#16.11g} {right_errors[i]:5.1f}")  # fmt: skip


# ---- what is drawn -------------------------------------------------------------------------------------------------


def draw(b, cov, path):
    """The data, the fitted curve, and what each point is off by, beside what the curve itself may be off by."""
    from matplotlib.figure import Figure

    x, y = np.transpose(DATA)
    xs = np.linspace(x.min(), x.max(), 300)
    slopes = np.array(glassgrad.jacobian(lambda b: [mobility(b, x) for x in xs])(b))  # of the curve, by each parameter
    band = 2 * np.sqrt(((slopes @ cov) * slopes).sum(axis=1))

    figure = Figure(figsize=(7.2, 5.4), dpi=160, facecolor="white", layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    above.plot(xs, mobility(b, xs), color="#e0701a", linewidth=2, label="fitted: cubic over cubic")
    above.plot(x, y, "o", color="#2166c4", markersize=6, markeredgecolor="white", label="measured")
    above.set_title("Electron mobility by density", loc="left", fontweight="bold")
    above.set_ylabel("mobility")
    above.legend(frameon=False)
    below.fill_between(xs, -band, band, color="#e0701a", alpha=0.25, linewidth=0, label="curve, ± 2 standard errors")
    below.plot(x, y - mobility(b, x), "o", color="#2166c4", markersize=5, markeredgecolor="white")
    below.set_xlabel("logarithm of the density")
    below.set_ylabel("off by")
    below.legend(frameon=False, loc="upper right", fontsize=9)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e4e8ec")
        axes.set_axisbelow(True)
    figure.align_ylabels()
    figure.savefig(path)


def main():
    options = argparse.ArgumentParser(description="A nonlinear regression with standard errors, held against NIST's.")
    options.add_argument("--start", type=int, choices=STARTS, default=1, help="which of NIST's starting points (1)")
    options.add_argument("--plot", type=Path, default="regression.png", metavar="FILE", help="(regression.png)")
    given = options.parse_args()

    fit = least_squares(residuals, STARTS[given.start], jac=glassgrad.jacobian(residuals))
    print(f"least_squares, {fit.njev} Jacobians: at least {digits(fit.x, CERTIFIED).min():.1f} digits are right")
    b = newton(newton(fit.x))
    print(f"and two Newton steps: at least {digits(b, CERTIFIED).min():.1f}\n")
    cov = covariance(b)
    compare(b, np.sqrt(np.diag(cov)))
    try:
        draw(b, cov, given.plot)
    except ImportError:
        print("\nno picture without matplotlib: pip install matplotlib")
    except (OSError, ValueError) as error:
        sys.exit(f"regression: cannot write {given.plot}: {error}")
    else:
        print(f"\ndrawn in {given.plot}")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read this has gone, as in `regression.py | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
