# The C types of reading.py.
cimport cython
from cpython.array cimport array as Array
from .. cimport engine, rules
from ..engine cimport Value
from ..modes cimport Info
from . cimport columns
from .scalars cimport Scalars

cdef int FIRST, OF_FIRST, ROWS

cdef class Reader:
    cdef readonly dict ids
    cdef Scalars scalars
    cdef Py_ssize_t room
    cdef Array _depth, _deepest
    cdef int *depth
    cdef int *deepest
    cdef int point(self) except -1
    @cython.locals(
        scalars=Scalars, softmax=cython.int, node=Value, count=cython.int, deep=cython.int, k=cython.Py_ssize_t,
        i=cython.Py_ssize_t, before=cython.Py_ssize_t, row=cython.int, made=cython.int)
    cpdef int read(self, list order, other) except -1
    @cython.locals(info=Info, operands=tuple, k=cython.Py_ssize_t, count=cython.int, place=cython.int)
    cdef int operands(self, Scalars scalars, Value node) except -1
    cdef int place(self, Scalars scalars, x) except -1
    cpdef int deepest_use(self, int i)
