# The C types of canonical.py.
cimport cython
from cpython.array cimport array as Array
from . cimport columns
from .scalars cimport Scalars

cdef int FLIPS
cdef int OF_LEAF, OF_CONST, OF_TOTAL, OF_ADD, OF_SUM, OF_SUB, OF_NEG, OF_IDENTITY, OF_MUL, OF_SQUARE, OF_DOT, OF_MEAN
cdef int OF_POW, OF_DIV, OF_LOGSUMEXP

cdef class Canonical:
    cdef readonly Scalars scalars
    cdef readonly int one, zero, low, start
    cdef readonly Py_ssize_t count
    cdef readonly Array live, nodes, levels, kinds, codes, widths, firsts, negative, left, right
    cdef Array _inlined, _totals, _uses, _first, _last, _sizes, _minus, _next, _u, _v
    cdef int used, room
    cdef unsigned char *is_live
    cdef unsigned char *inlined
    cdef unsigned char *totals
    cdef unsigned char *minus
    cdef int *uses
    cdef int *first
    cdef int *last
    cdef int *sizes
    cdef int *next
    cdef int *u
    cdef int *v
    @cython.locals(i=cython.int)
    cdef int lowest(self, Scalars scalars, int n) except -2
    cdef int point(self) except -1
    @cython.locals(i=cython.int, k=cython.Py_ssize_t)
    cdef int walk(self, Scalars scalars, int n) except -1
    @cython.locals(
        code=cython.int, at=cython.Py_ssize_t, count=cython.int, first=cython.int, second=cython.int, k=cython.int,
        share=cython.int, c=double)
    cdef int look_at(self, Scalars scalars, int i) except -1
    @cython.locals(i=cython.int)
    cdef int const(self, double x) except -1
    cdef int term(self, int i, int u, int v) except -1
    cdef int append(self, int i, int first, int last, int count) except -1
    @cython.locals(
        scalars=Scalars, at=cython.Py_ssize_t, longest=cython.int, most=cython.int, k=cython.int, j=cython.int,
        size=cython.int)
    cdef int join(self, int i, int count, int negative) except -1
    @cython.locals(kind=bint)
    cdef bint is_inner(self, Scalars scalars, int j, int i, bint negative) noexcept
    @cython.locals(at=cython.int, k=cython.int)
    cdef int take(self, Scalars scalars, int i, int j, bint negative) except -1
    @cython.locals(i=cython.int, count=cython.int, terms=cython.int)
    cdef int lay_out(self, Scalars scalars, int n) except -1
    cdef bint is_computed(self, Scalars scalars, int i) noexcept
    @cython.locals(
        nodes="int *", levels="int *", kinds="unsigned char *", codes="int *", widths="int *", firsts="int *",
        negative="unsigned char *", left="int *", right="int *", depths=Array, depth="int *", at=cython.int,
        used=cython.int, i=cython.int, level=cython.int, term=cython.int, k=cython.Py_ssize_t)
    cdef int fill(self, Scalars scalars, int n) except -1
