# The C types of symbolic.py.
cimport cython
from . cimport engine, modes, rules, sweep
from .engine cimport Value
from .modes cimport Info
from . cimport tape as tapes
from .tape cimport Tape

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(object)

cdef class Table:
    cdef dict made
    cdef int keep(self, tuple key, Value node) except -1
    @cython.locals(name=str)
    cdef int know(self, Value node) except -1
    @cython.locals(node=Value)
    cdef Term operation(self, tuple key)

cdef class Term:
    cdef Value node
    cdef Table table

@cython.locals(out=Term)
cpdef Term term(Value node, Table table)
cpdef double number(x) except? -1
@cython.locals(x=Term)
cpdef of_one(str name, a)
@cython.locals(x=Term)
cpdef of_two(str name, a, b)
cdef add(a, b)
cdef subtract(a, b)
cdef multiply(a, b)
cdef negate(a)
cpdef Value identity(Value x)
cpdef Value gelu_slope(Value x)
@cython.locals(k=cython.Py_ssize_t, e=cython.Py_ssize_t, start=cython.Py_ssize_t, end=cython.Py_ssize_t, adjoints=list, partials=list,
    first="int *", sources="int *")
cpdef list pull(Tape tape, seeds, Table table=*)
@cython.locals(k=cython.Py_ssize_t, e=cython.Py_ssize_t, start=cython.Py_ssize_t, end=cython.Py_ssize_t, velocities=list, partials=list,
    first="int *", sources="int *")
cpdef list push(Tape tape, tangents, Table table=*)
cdef int accumulate(list sums, Py_ssize_t k, x) except -1
@cython.locals(x=double, d=double)
cpdef times(g, partial)
@cython.locals(y=double)
cdef product(g, partial, Tape tape, Py_ssize_t k, Py_ssize_t e)
@cython.locals(value=Value)
cpdef as_term(x, Table table)
cpdef bare(x)
@cython.locals(node=Value, info=Info, start=cython.Py_ssize_t, end=cython.Py_ssize_t, e=cython.Py_ssize_t,
    first="int *", places="int *")
cdef list partials_of(Tape tape, Py_ssize_t k, Table table)
@cython.locals(node=Value, info=Info)
cdef int pull_call(Tape tape, Py_ssize_t k, list adjoints, dict waiting, Table table) except -1
@cython.locals(node=Value, info=Info)
cdef int push_call(Tape tape, Py_ssize_t k, list velocities, dict waiting, Table table) except -1
@cython.locals(y=double)
cdef through_call(x, Tape tape, Py_ssize_t k, Table table)
@cython.locals(info=Info)
cpdef tuple kind_of(Value node)
