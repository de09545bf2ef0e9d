# The C types of optim.py: the loops over parameters work on C doubles, without a Python object in sight.
cimport cython
from libc cimport math as libm
from libc.string cimport memcpy

from . cimport engine, flat, modes
from .engine cimport Value
from .flat cimport Part

cdef extern from *:
    """
    /* GCC compiles these loops for AVX2 as well, and the loader takes what the processor has: Adam's root and division
       take half as long there. Vectors of 64 bytes gain nothing more. */
    #if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
    #define CLONES __attribute__((target_clones("avx2", "default")))
    CLONES static int glassgrad_are_moderate(double *, double *, Py_ssize_t);
    CLONES static void glassgrad_sgd(double *, double *, double *, Py_ssize_t, double, double, double, double, int, int);
    CLONES static void glassgrad_adam(double *, double *, double *, double *, Py_ssize_t, double, double, double, double,
                                      double, int, double, double);
    #undef CLONES
    #endif
    """

cdef double LARGE, BEYOND

cdef bint _sgd_is_tame(double lr, double momentum, double dampening, double weight_decay) noexcept
@cython.locals(means=bint)
cdef bint _adam_is_tame(double lr, double beta1, double beta2, double eps, double weight_decay) noexcept

@cython.locals(i=Py_ssize_t, strange=cython.longlong, x=double, g=double)
cdef bint _are_moderate "glassgrad_are_moderate" (double* data, double* grad, Py_ssize_t n) noexcept

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

@cython.locals(i=Py_ssize_t, g=double, v=double)
cdef void _sgd "glassgrad_sgd" (double* data, double* grad, double* velocity, Py_ssize_t n, double lr, double momentum,
                                double dampening, double weight_decay, bint nesterov, bint first) noexcept

@cython.locals(i=Py_ssize_t, factor=double, rate=double, keep=double, g=double, m=double, s=double, size=double)
cdef void _adam "glassgrad_adam" (double* data, double* grad, double* mean, double* square, Py_ssize_t n, double lr,
                                  double beta1, double beta2, double eps, double decay, bint coupled, double bias1,
                                  double bias2) noexcept

@cython.locals(p=Value, i=Py_ssize_t)
cdef int _clear(list params) except -1

@cython.locals(part=Part)
cdef Part _away(optimizer)

cdef bint _step_in_store(optimizer, Part part) except -1

cdef bint _is_calm(optimizer) except -1
