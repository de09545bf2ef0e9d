# The C types of optim.py: the loops over parameters work on C doubles, without a Python object in sight.
cimport cython
from libc cimport math as libm

from . cimport engine
from .engine cimport Value

@cython.locals(p=Value, i=Py_ssize_t)
cdef Py_ssize_t _gather(list params, double[::1] data, double[::1] grad, Py_ssize_t n) except -2

@cython.locals(i=Py_ssize_t)
cdef Py_ssize_t _first_not_finite(double[::1] numbers, Py_ssize_t n) noexcept

@cython.locals(p=Value, i=Py_ssize_t)
cdef int _scatter(list params, double[::1] data, Py_ssize_t n) except -1

@cython.locals(i=Py_ssize_t, g=double, v=double)
cdef void _sgd(double[::1] data, double[::1] grad, double[::1] velocity, Py_ssize_t n, double lr, double momentum,
               double dampening, double weight_decay, bint nesterov, bint first) noexcept

@cython.locals(i=Py_ssize_t, root=double, g=double, x=double, m=double, s=double, size=double)
cdef void _adam(double[::1] data, double[::1] grad, double[::1] mean, double[::1] square, Py_ssize_t n, double lr,
                double beta1, double beta2, double eps, double decay, bint coupled, double bias1,
                double bias2) noexcept

@cython.locals(p=Value, i=Py_ssize_t)
cdef int _clear(list params) except -1
