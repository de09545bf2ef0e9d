# The C types of nodes.py.
cimport cython
from cpython.array cimport array as Array
from .. cimport engine, rules
from ..engine cimport Value
from ..modes cimport Info
from . cimport columns
from .scalars cimport Scalars

cdef int FIRST, OF_FIRST, ROWS
cdef unsigned long long SPREAD

cdef class Nodes:
    cdef dict ids
    cdef Scalars scalars
    cdef Py_ssize_t count, room, slots
    cdef Array _depth, _deepest, _keys, _nodes
    cdef long long *keys
    cdef int *nodes
    cdef int *depth
    cdef int *deepest
    cdef int point(self) except -1
    @cython.locals(slot=cython.Py_ssize_t)
    cpdef int node_of(self, Value x) except -2
    @cython.locals(key=cython.Py_ssize_t, slot=cython.Py_ssize_t)
    cpdef int note(self, Value x, int node) except -1
    cdef Py_ssize_t slot(self, Py_ssize_t key) noexcept
    @cython.locals(
        before=tuple, keys="long long *", nodes="int *", count=cython.Py_ssize_t, k=cython.Py_ssize_t,
        slot=cython.Py_ssize_t)
    cdef int enlarge(self) except -1
    @cython.locals(
        scalars=Scalars, softmax=cython.int, node=Value, count=cython.int, deep=cython.int, k=cython.Py_ssize_t,
        i=cython.Py_ssize_t, before=cython.Py_ssize_t, row=cython.int, made=cython.int)
    cpdef int read(self, list order, other) except -1
    @cython.locals(info=Info, operands=tuple, k=cython.Py_ssize_t, count=cython.int, place=cython.int)
    cdef int operands(self, Scalars scalars, Value node) except -1
    cdef int place(self, Scalars scalars, x) except -1
    cpdef int deepest_use(self, int i)
