# The C types of scalars.py.
cimport cython
from cpython.array cimport array as Array
from . cimport columns

cdef int OF_LEAF, OF_CONST, OF_TOTAL, OF_MUL
cdef bytes COMMUTES
cdef unsigned long long SPREAD, MIX, HASH
cdef long long NODE
cdef int NEAR

cpdef str name_of(int code)
cpdef int code_of(str op) except -1

cdef class Scalars:
    cdef public object examples
    cdef Py_ssize_t length, edges, room, wide, slots, strays
    cdef readonly Array _codes, _starts, _below, _rolled, _numbers, _near, _table
    cdef int *codes
    cdef int *starts
    cdef int *below
    cdef long long *near
    cdef long long *table
    cdef long long *vacant
    cdef unsigned char *is_rolled
    cdef double *values
    cdef dict constants, made
    cdef int point(self) except -1
    cpdef str op(self, Py_ssize_t i)
    @cython.locals(k=cython.int)
    cpdef tuple operands_of(self, Py_ssize_t i)
    cdef int reserve(self, Py_ssize_t operands) except -1
    @cython.locals(i=cython.int)
    cdef int append(self, int code, int count, bint rolled) except -1
    @cython.locals(i=cython.int, k=cython.int)
    cpdef int _add(self, str op, tuple operands, double number, bint rolled) except -1
    cpdef int leaf(self, bint rolled=*) except -1
    cpdef int total(self, int i) except -1
    cpdef int count(self) except -1
    cpdef int const(self, double x) except -1
    cdef int unary(self, int code, int a) except -1
    cdef int binary(self, int code, int a, int b) except -1
    @cython.locals(mixed=cython.longlong, i=cython.int, k=cython.Py_ssize_t, rolled=bint)
    cdef int make(self, int code, int count) except -1
    @cython.locals(
        below="int *", start=cython.Py_ssize_t, first=cython.int, second=cython.int, k=cython.Py_ssize_t,
        mixed=cython.ulonglong)
    cdef long long mixed(self, int code, int count) noexcept
    @cython.locals(
        below="int *", start=cython.Py_ssize_t, last=cython.Py_ssize_t, at=cython.Py_ssize_t, k=cython.Py_ssize_t,
        slot=cython.Py_ssize_t)
    cdef int find(self, long long mixed, int code, int count) except -2
    @cython.locals(below="int *", start=cython.Py_ssize_t, at=cython.Py_ssize_t, k=cython.Py_ssize_t)
    cdef bint same(self, Py_ssize_t i, int code, int count) noexcept
    @cython.locals(
        before=Array, table="long long *", count=cython.Py_ssize_t, k=cython.Py_ssize_t, slot=cython.Py_ssize_t)
    cdef int enlarge(self) except -1
