# The C types of optim.py: the loops over parameters work on C doubles, without a Python object in sight.
cimport cython
from libc cimport math as libm
from libc.string cimport memcpy

from . cimport engine, flat, modes
from .engine cimport Value
from .flat cimport Part

cdef extern from *:
    """
    /* GCC compiles the loop for AVX2 as well, and the loader takes what the processor has: one root and one division
       for each parameter take half as long there. Vectors of 64 bytes gain nothing more. */
    #if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
    __attribute__((target_clones("avx2", "default")))
    static int glassgrad_adam(double *, double *, double *, double *, double *, double *, double *, Py_ssize_t,
                              double, double, double, double, double, int, double, double);
    #endif
    """

cdef int STRETCH

@cython.locals(p=Value, i=Py_ssize_t)
cdef Py_ssize_t _gather(list params, double[::1] data, double[::1] grad, Py_ssize_t n) except -2

@cython.locals(i=Py_ssize_t)
cdef Py_ssize_t _first_not_finite(double[::1] numbers, Py_ssize_t n) noexcept

@cython.locals(p=Value, i=Py_ssize_t)
cdef int _scatter(list params, double[::1] data, Py_ssize_t n) except -1

@cython.locals(p=Value, i=Py_ssize_t)
cdef list _frozen(list params)

@cython.locals(found=cython.longlong)
cdef inline long long _bits_of(double zero) noexcept

@cython.locals(i=Py_ssize_t, strange=cython.longlong, g=double, v=double, x=double)
cdef bint _sgd(double* data, double* grad, double* velocity, double* new, double* new_velocity,
               Py_ssize_t n, double lr, double momentum, double dampening, double weight_decay, bint nesterov,
               bint first) noexcept

@cython.locals(i=Py_ssize_t, strange=cython.longlong, g=double, x=double)
cdef bint _descend(double* data, double* grad, Py_ssize_t n, double lr, double weight_decay, bint change) noexcept

@cython.locals(i=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, strange=cython.longlong, factor=double, rate=double,
               keep=double, g=double, x=double, m=double, s=double, size=double)
cdef bint _adam "glassgrad_adam" (double* data, double* grad, double* mean, double* square, double* new,
                double* new_mean, double* new_square, Py_ssize_t n, double lr, double beta1, double beta2,
                double eps, double decay, bint coupled, double bias1, double bias2) noexcept

@cython.locals(p=Value, i=Py_ssize_t)
cdef int _clear(list params) except -1

@cython.locals(part=Part)
cdef Part _away(optimizer)

cdef bint _step_in_store(optimizer, Part part) except -1
