# The C types of narrow.py.
cimport cython
from cpython.array cimport array as Array
from . cimport columns
from .canonical cimport Canonical
from .scalars cimport Scalars, name_of

cdef int PAYS, PLACE
cdef long long PLACES, SECOND

cdef class Narrow:
    cdef Canonical canonical
    cdef Scalars scalars
    cdef Array _ranks, _order, _nodes, _codes, _widths, _firsts, _left, _right, _minus, _u, _v, _signs, _at, _rows
    cdef dict notes
    cdef int room
    cdef long long *ranks
    cdef long long *order
    cdef int *nodes
    cdef int *codes
    cdef int *widths
    cdef int *firsts
    cdef int *left
    cdef int *right
    cdef unsigned char *minus
    cdef long long *u
    cdef long long *v
    cdef int *signs
    cdef int *at
    cdef int *rows
    cdef int point(self) except -1
    cpdef int look_at(self, Array ranks) except -1
    cpdef bint add(self, placing, Py_ssize_t start, Py_ssize_t end, bint adjoint, bint total) except? -1
    @cython.locals(
        used=cython.int, k=cython.Py_ssize_t, rolled_u=cython.longlong, rolled_v=cython.longlong, found=list, rows=list,
        row=cython.int)
    cdef bint sums(self, placing, Py_ssize_t start, Py_ssize_t end, bint adjoint, bint total) except? -1
    cdef int width(self, Py_ssize_t start, int row) noexcept
    @cython.locals(
        first=cython.int, k=cython.int, u=cython.longlong, v=cython.longlong, sign=cython.int, place=cython.int)
    cdef int arrange(self, Py_ssize_t member, int used) except -1
    @cython.locals(k=cython.int, place=cython.int)
    cdef int sort(self, Py_ssize_t start, int count) except -1
    @cython.locals(wide=cython.int, other=cython.int, k=cython.int)
    cdef int compare(self, Py_ssize_t start, int a, int b) noexcept
    @cython.locals(found=list, some=list, others=list, k=cython.int, row=cython.int, short=cython.int, fill=cython.int)
    cdef list padded(self, Py_ssize_t start, int count)
    @cython.locals(k=cython.int)
    cdef bint begins(self, int a, int b, int count) noexcept
    @cython.locals(
        width=cython.int, at=cython.int, k=cython.int, left=list, right=list, row=cython.int, count=cython.int,
        nodes=list, zero=cython.longlong, one=cython.longlong, rolled=bint, signs=tuple)
    cdef int contract(
        self, placing, Py_ssize_t start, list rows, bint adjoint, bint total, int rolled_u, int rolled_v) except -1
    cdef int node(self, Py_ssize_t start, int row)
    @cython.locals(
        scalars=Scalars, count=cython.int, member=cython.Py_ssize_t, width=cython.int, table=list, row=cython.int,
        node=cython.int, below=cython.int, k=cython.int, rolled=bint, operands=list, columns_of=list, first=cython.longlong)
    cdef bint maps(self, placing, Py_ssize_t start, Py_ssize_t end) except? -1
    @cython.locals(place=cython.longlong, group=cython.longlong, k=cython.int, i=cython.int)
    cdef int append(self, placing, instruction, list nodes, bint rolled) except -1
    @cython.locals(scalars=Scalars, codes=list, key=tuple, i=cython.int)
    cdef str note(self, list nodes)

cpdef long long ranked(long long place, long long group, bint rolled)
cpdef str described(Py_ssize_t count, list names)
@cython.locals(
    shape=tuple, strides=tuple, down=cython.longlong, along=cython.longlong, first=cython.longlong, k=cython.Py_ssize_t)
cpdef object operand(list places, Py_ssize_t rows, Py_ssize_t width, bint rolled)
