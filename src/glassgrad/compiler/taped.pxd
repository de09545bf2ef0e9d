# The C types of taped.py.
cimport cython
from cpython.array cimport array as Array
from . cimport columns

cdef int END, COPY, NEG, ADD, SUB, MUL, NEGMUL, MULADD, SUBMUL, MULMUL, DOT, RULE, RELU, DIV
cdef double NAN

cdef class Taped:
    cdef Array _at, _known
    cdef long long *at
    cdef double *known
    cdef Py_ssize_t size, most
    cdef public list code
    cpdef list take(self)
    @cython.locals(
        found=list, shape=tuple, strides=tuple, axis=cython.Py_ssize_t, i=cython.Py_ssize_t, place=cython.longlong,
        size=cython.longlong, stride=cython.longlong)
    cpdef list places(self, operand)
    @cython.locals(rows=list, row=list, code=list, k=cython.Py_ssize_t)
    cpdef bint calls(self, str name, rule, long long out, long long size, operands) except? -1
    @cython.locals(b=cython.Py_ssize_t, r=cython.Py_ssize_t, n=cython.Py_ssize_t, s=cython.Py_ssize_t)
    cpdef bint contract(self, instruction) except? -1
    @cython.locals(n=cython.Py_ssize_t, k=cython.Py_ssize_t, i=cython.Py_ssize_t, j=cython.Py_ssize_t)
    cpdef int sums(
        self, long long out, Py_ssize_t b, Py_ssize_t r, Py_ssize_t s, list left, list right, tuple signs) except -1
    cdef double number(self, long long place) noexcept
    @cython.locals(
        code=list, plus=list, minus=list, added=cython.int, subtracted=cython.int, alone=bint, k=cython.Py_ssize_t, a=cython.longlong,
        b=cython.longlong, x=cython.double, y=cython.double, terms=cython.Py_ssize_t, others=cython.Py_ssize_t)
    cdef int sum(
        self, long long out, list left, Py_ssize_t start, list right, Py_ssize_t other, tuple signs) except -1
