"""How each library makes derivatives: one adapter each, which imports it.

An adapter's `math` has the library's sin, cos and sqrt. A method takes f, a function of a list of n of the library's
scalars, and n, and returns a function from a list of floats to the derivative as numbers. Each adapter hands over the
numbers in the form in which its library was fastest. With `arrays` f is a function of one array.
"""

import os

import numpy as np
import scipy.sparse


def tridiagonal(products, n):
    """The Hessian of a function of neighbours, from its products with three vectors: the pattern is put in by hand.

    Columns 0, 3, 6, ... meet no row together, so one product holds all their entries; 1, 4, ... and 2, 5, ... likewise.
    `products(x, vectors)` are one row for each vector.
    """
    i = np.arange(n)
    vectors = (i % 3 == np.arange(3)[:, None]).astype(float)

    def hessian(numbers):
        found = products(numbers, vectors)
        below, diagonal, above = found[i[:-1] % 3, i[1:]], found[i % 3, i], found[i[1:] % 3, i[:-1]]
        return scipy.sparse.diags_array([below, diagonal, above], offsets=[-1, 0, 1], format="csr")

    return hessian


class Glassgrad:
    def __init__(self):
        import glassgrad

        self.math = self.glassgrad = glassgrad

    def gradient(self, f, n):
        return self.glassgrad.grad(f)

    def jacobian(self, f, n):
        return self.glassgrad.jacobian(f)

    def hessian(self, f, n):
        return self.glassgrad.hessian(f)

    def sparse_hessian(self, f, n):
        return self.glassgrad.hessian(f, sparse=True)

    def value(self, f, numbers):
        """The function itself on Values, without a derivative; its graph is freed on return."""
        result = f([self.glassgrad.Value(x) for x in numbers])
        return [y.data for y in result] if isinstance(result, list) else result.data


class Autograd:
    """HIPS autograd. An array whose elements are taken one by one: a list costs it time that grows with n²."""

    def __init__(self, arrays=False):
        import autograd

        self.autograd, self.math = autograd, autograd.numpy
        self.scalars = (lambda x: x) if arrays else lambda x: [x[i] for i in range(len(x))]

    def gradient(self, f, n):
        return self.on_array(self.autograd.grad(lambda x: f(self.scalars(x))))

    def jacobian(self, f, n):
        return self.on_array(self.autograd.jacobian(lambda x: self.math.array(f(self.scalars(x)))))

    def hessian(self, f, n):
        return self.on_array(self.autograd.hessian(lambda x: f(self.scalars(x))))

    def tridiagonal_hessian(self, f, n):
        def products(numbers, vectors):
            product, _ = self.autograd.make_hvp(f)(np.array(numbers))
            return np.array([product(v) for v in vectors])

        return tridiagonal(products, n)

    def on_array(self, derivative):
        return lambda numbers: derivative(np.array(numbers))


class Jax:
    """JAX on the CPU in float64, one thread. A list of scalars goes in, which compiles in a third of the time of an
    array taken apart inside, and one array comes out.
    """

    def __init__(self, arrays=False, jit=False):
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax

        jax.config.update("jax_enable_x64", True)
        self.jax, self.math = jax, jax.numpy
        self.jit = jax.jit if jit else lambda derivative: derivative
        self.take = self.math.asarray if arrays else lambda numbers: list(np.array(numbers))
        self.join = (lambda x: x) if arrays else self.math.stack

    def gradient(self, f, n):
        derivative = self.jax.grad(f)
        return self.on_array(lambda x: self.join(derivative(x)))

    def jacobian(self, f, n):
        derivative = self.jax.jacrev(lambda x: self.math.stack(f(x)))
        return self.on_array(lambda x: self.join(derivative(x)).T)  # one column for each scalar

    def hessian(self, f, n):
        gradient = self.jax.grad(f)
        derivative = self.jax.jacfwd(lambda x: self.join(gradient(x)))
        return self.on_array(lambda x: self.join(derivative(x)))

    def tridiagonal_hessian(self, f, n):
        gradient = self.jax.grad(f)
        products = self.jit(lambda x, vectors: self.jax.vmap(lambda v: self.jax.jvp(gradient, (x,), (v,))[1])(vectors))
        return tridiagonal(lambda x, vectors: np.asarray(products(self.math.asarray(x), vectors)), n)

    def on_array(self, derivative):
        derivative = self.jit(derivative)
        return lambda numbers: np.asarray(derivative(self.take(numbers)))


class Torch:
    """PyTorch's torch.func, float64, one thread."""

    def __init__(self, arrays=False):
        import torch

        torch.set_num_threads(1)
        self.math = self.torch = torch
        self.scalars = (lambda x: x) if arrays else lambda x: list(x.unbind())

    def gradient(self, f, n):
        return self.on_array(self.torch.func.grad(lambda x: f(self.scalars(x))))

    def jacobian(self, f, n):
        return self.on_array(self.torch.func.jacrev(lambda x: self.torch.stack(f(self.scalars(x)))))

    def hessian(self, f, n):
        return self.on_array(self.torch.func.hessian(lambda x: f(self.scalars(x))))

    def tridiagonal_hessian(self, f, n):
        func, tensor = self.torch.func, self.torch.tensor
        gradient = func.grad(f)

        def products(numbers, vectors):
            x = tensor(numbers, dtype=self.torch.float64)
            return func.vmap(lambda v: func.jvp(gradient, (x,), (v,))[1])(tensor(vectors)).numpy()

        return tridiagonal(products, n)

    def on_array(self, derivative):
        return lambda numbers: derivative(self.torch.tensor(numbers, dtype=self.torch.float64)).numpy()


class CasADi:
    """CasADi's SX: a graph of scalars, evaluated by its own virtual machine, without a C compiler."""

    def __init__(self):
        import casadi

        self.math = self.casadi = casadi

    def gradient(self, f, n):
        return self.evaluated(f, n, self.casadi.gradient)

    def jacobian(self, f, n):
        return self.evaluated(lambda x: self.casadi.vertcat(*f(x)), n, self.casadi.jacobian)

    def hessian(self, f, n):
        return self.evaluated(f, n, lambda y, x: self.casadi.hessian(y, x)[0])

    def sparse_hessian(self, f, n):
        built = self.built(f, n, lambda y, x: self.casadi.hessian(y, x)[0])
        return lambda numbers: built(numbers).sparse()

    def evaluated(self, f, n, derivative):
        built = self.built(f, n, derivative)
        return lambda numbers: built(numbers).full()

    def built(self, f, n, derivative):
        x = self.casadi.SX.sym("x", n)
        return self.casadi.Function("f", [x], [derivative(f(self.casadi.vertsplit(x)), x)])


LIBRARIES = {  # what makes the adapter, for either form of a function
    "scalars": {
        "glassgrad": Glassgrad,
        "autograd": Autograd,
        "jax": Jax,
        "jit": lambda: Jax(jit=True),
        "torch": Torch,
        "casadi": CasADi,
    },
    "arrays": {
        "autograd": lambda: Autograd(arrays=True),
        "jax": lambda: Jax(arrays=True),
        "jit": lambda: Jax(arrays=True, jit=True),
        "torch": lambda: Torch(arrays=True),
    },
}
