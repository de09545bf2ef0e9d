"""The laws of hares and lynx from twenty years of pelts: a fit through an ODE solver, which is plain scalar Python.

    python examples/ode.py                    # fits, proves its derivatives, draws ode.png
    python examples/ode.py --steps 40         # Runge-Kutta steps a year
    python examples/ode.py --help

Hares multiply until lynx eat them, lynx starve without hares (Lotka 1925, Volterra 1926). How fast, and how many there
were, are six unknowns. The solver is differentiated like any other function, loops included, so there are no adjoint
or sensitivity equations to write. Read from top to bottom: data, model, fit, what is drawn.
"""

import argparse
import math
import os
import sys
from pathlib import Path

import glassgrad
from glassgrad import exp, log, sqrt, testing

try:
    import numpy as np
    from scipy.optimize import least_squares
except ImportError:
    sys.exit("ode: the solver of least squares is SciPy's: pip install scipy")

# ---- data: thousands of pelts that the Hudson's Bay Company collected from 1900 on (Hewitt 1921) --------------------
# as tabulated by P. Howard, http://www.math.tamu.edu/~phoward/m442/modbasics.pdf

HARES = [
    30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1, 40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6,
    16.2, 24.7,
]  # fmt: skip
LYNX = [
    4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4, 8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6
]  # fmt: skip
UNKNOWNS = {  # with a guess to start from
    "hares: births a year": 1.0,
    "hares: eaten a year, by a thousand lynx": 0.05,
    "lynx: deaths a year": 1.0,
    "lynx: births a year, from a thousand hares": 0.05,
    "hares in 1900, thousands": 30.0,
    "lynx in 1900, thousands": 4.0,
}


# ---- model ---------------------------------------------------------------------------------------------------------


def runge_kutta(velocity, y, h):
    """Where y is after a time h: the classical method of order four."""

    def moved(by, k):
        return [yi + by * ki for yi, ki in zip(y, k, strict=True)]

    k1 = velocity(y)
    k2 = velocity(moved(h / 2, k1))
    k3 = velocity(moved(h / 2, k2))
    k4 = velocity(moved(h, k3))
    return moved(h / 6, [a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)])


def populations(unknowns, years, steps):
    """Hares and lynx at the start and after each step, `steps` of them a year."""
    births, eaten, deaths, fed, hares, lynx = unknowns

    def velocity(y):
        hares, lynx = y
        return [(births - eaten * lynx) * hares, (fed * hares - deaths) * lynx]

    state = [hares, lynx]
    course = [state]
    for _ in range(years * steps):
        state = runge_kutta(velocity, state, 1 / steps)
        course.append(state)
    return course


# ---- fit -----------------------------------------------------------------------------------------------------------


def fit(steps):
    """The logarithms of the unknowns, which are positive, and their covariance s² (JᵀJ)⁻¹."""
    measured = [math.log(number) for pair in zip(HARES, LYNX, strict=True) for number in pair]

    def residuals(logs):
        """Of logarithms too: a count is off by a factor."""
        course = populations([exp(x) for x in logs], len(HARES) - 1, steps)
        modelled = [log(number) for pair in course[::steps] for number in pair]
        return [a - b for a, b in zip(modelled, measured, strict=True)]

    start = [math.log(guess) for guess in UNKNOWNS.values()]
    found = least_squares(residuals, start, jac=glassgrad.jacobian(residuals))
    m, n = found.jac.shape
    s2 = 2 * found.cost / (m - n)
    print(f"{found.njev} Jacobians through {20 * steps:,} Runge-Kutta steps; counts are off by {s2**0.5:.0%}\n")
    return found.x, s2 * np.linalg.inv(found.jac.T @ found.jac), residuals


def error(f, logs, covariance):
    """The standard error of what is computed from the unknowns: sqrt(gᵀ C g), with its gradient g."""
    g = glassgrad.grad(f)(logs)
    return math.sqrt(g @ covariance @ g)


# ---- what is drawn -------------------------------------------------------------------------------------------------


def draw(logs, covariance, steps, path, years=30):
    """Data and fit, and ten years more, each with what it may be off by."""
    from matplotlib.figure import Figure

    def course(logs):
        return np.log(populations(np.exp(logs), years, steps))

    fitted = course(logs)
    slopes = glassgrad.jacobian(course)(logs)  # points in time x 2 x unknowns
    band = 2 * np.sqrt(((slopes @ covariance) * slopes).sum(axis=2))
    low, middle, high = np.exp([fitted - band, fitted, fitted + band])
    time = 1900 + np.arange(len(fitted)) / steps
    figure = Figure(figsize=(7.2, 4.4), dpi=160, facecolor="white", layout="constrained")
    axes = figure.subplots()
    for i, (name, counts, colour, mark) in enumerate(
        [("hares", HARES, "#2166c4", "o"), ("lynx", LYNX, "#e0701a", "s")]
    ):
        axes.fill_between(time, low[:, i], high[:, i], color=colour, alpha=0.2, linewidth=0)
        axes.plot(time, middle[:, i], color=colour, linewidth=2)
        axes.plot(range(1900, 1900 + len(counts)), counts, mark, color=colour, markeredgecolor="white", label=name)
    axes.set_title("Hares and lynx, and ten years more", loc="left", fontweight="bold")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_yticks([5, 10, 20, 50], ["5", "10", "20", "50"])
    axes.set_ylabel("thousands of pelts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e8ec")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.06))
    figure.savefig(path)


def main():
    options = argparse.ArgumentParser(description="Lotka and Volterra's equations, fitted through an ODE solver.")
    options.add_argument("--steps", type=int, default=10, metavar="N", help="Runge-Kutta steps a year (10)")
    options.add_argument("--plot", type=Path, default="ode.png", metavar="FILE", help="(ode.png)")
    given = options.parse_args()
    if not 1 <= given.steps <= 1000:
        options.error(f"--steps {given.steps} is not a whole number from 1 to 1000")

    logs, covariance, residuals = fit(given.steps)
    for i, name in enumerate(UNKNOWNS):
        value, off = math.exp(logs[i]), error(lambda logs, i=i: exp(logs[i]), logs, covariance)
        print(f"{name:<44}{value:8.4f} ± {off:.4f}")

    def period(logs):
        return 2 * math.pi / sqrt(exp(logs[0]) * exp(logs[2]))

    print(f"{'so a small cycle takes years':<44}{period(logs):8.4f} ± {error(period, logs, covariance):.4f}")
    print(f"\nProof, by values alone: {testing.check_grad(residuals, (logs,), order=1)}")
    try:
        draw(logs, covariance, given.steps, given.plot)
    except ImportError:
        print("\nno picture without matplotlib: pip install matplotlib")
    except (OSError, ValueError) as reason:
        sys.exit(f"ode: cannot write {given.plot}: {reason}")
    else:
        print(f"\ndrawn in {given.plot}")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except ArithmeticError as reason:
        sys.exit(f"ode: the numbers left the range of floats, more --steps keep them in: {reason}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read this has gone, as in `ode.py | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
