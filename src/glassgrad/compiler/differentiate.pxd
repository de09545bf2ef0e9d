# The C types of differentiate.py.
cimport cython
from cpython.array cimport array as Array
from . cimport columns
from .scalars cimport Scalars

cdef int QUICK, UNASKED, WANTED, GIVEN, ABSENT, NUMBER, OF_CONST, OF_SUM, OF_MUL, OF_NEG

cdef class Sweep:
    cdef Scalars scalars
    cdef Py_ssize_t start
    cdef double found
    cdef int used, room
    cdef Array _wanted, _kinds, _begin, _end, _totals, _next, _terms, _values
    cdef unsigned char *wanted
    cdef unsigned char *kinds
    cdef int *begin
    cdef int *end
    cdef int *totals
    cdef int *next
    cdef int *terms
    cdef double *values
    cdef list quick
    cdef dict templates
    cdef int point(self) except -1
    @cython.locals(i=cython.int, k=cython.Py_ssize_t)
    cdef int mark(self, Scalars scalars) except -1
    cpdef int seed(self, int output, int seed) except -1
    cpdef int gradient(self, int leaf) except -1
    cdef int add(self, int i, int term, double value) except -1
    @cython.locals(
        scalars=Scalars, i=cython.int, g=cython.int, value=double, first=cython.Py_ssize_t, count=cython.int, k=cython.int,
        operand=cython.int, partial=cython.int, term=cython.int, result=double, ends=bint, template=Template)
    cpdef int run(self) except -1
    cdef int bare(self, int node, double value) except -1
    @cython.locals(node=cython.int, number=double)
    cdef int times(self, int a, double x, int b, double w) except -2
    @cython.locals(scalars=Scalars, at=cython.int, rolled=cython.int, count=cython.int, total=cython.int)
    cdef int gathered(self, int i) except -2
    @cython.locals(scalars=Scalars, at=cython.int, k=cython.Py_ssize_t)
    cdef int sum(self, int i, int count, bint rolled) except -2
    cdef bint counts(self, int at, int i, bint rolled) noexcept
    @cython.locals(
        scalars=Scalars, place=cython.int, k=cython.int, operand=cython.int, kind=cython.int, found=Template)
    cdef Template template(self, int i, Py_ssize_t first, int count)
    @cython.locals(found=Template)
    cdef Template kept(self, int i, tuple key, bint by_number)
    @cython.locals(scalars=Scalars, j=cython.int)
    cdef Template read(self, int i, bint by_number)

cdef class Template:
    cdef bint by_number
    cdef double found
    cdef int count, steps
    cdef Array _codes, _starts, _places, _results, _numbers, _made, _nodes
    cdef int *codes
    cdef int *starts
    cdef int *places
    cdef int *results
    cdef int *made
    cdef int *nodes
    cdef double *numbers
    @cython.locals(step=cython.int, start=cython.int, end=cython.int, k=cython.int, place=cython.int)
    cdef int fill(self, Scalars scalars, Py_ssize_t first, int i) except -1
    @cython.locals(place=cython.int, operand=cython.int)
    cdef int result(self, Scalars scalars, Py_ssize_t first, int i, int k) except -2
