# The C types of modes.py.
cimport cython
from cpython.array cimport array as Doubles

cdef extern from "Python.h":
    ctypedef struct PyThreadState
    PyThreadState* PyThreadState_Get()
    unsigned long long PyThreadState_GetID(PyThreadState*)

cdef class Info:
    cdef public str label, scope, op
    cdef public object backward, partials, rule
    cdef public tuple operands
    cdef public bint shared

cdef class Modes:
    cdef public int no_grad, allow_nonfinite, depth
    cdef public Info info
    cdef public list outer, asked
    cdef public object tracer

cdef class Block:
    pass

cdef class NoGrad(Block):
    pass

cdef class AllowNonfinite(Block):
    pass

cdef class scope(Block):
    cdef readonly str name
    cdef tuple _inside

cdef unsigned long long _owner
cdef Modes _cached

cpdef Modes current()
cdef Modes _of_thread()
@cython.locals(info=Info)
cpdef Info new_info(str label, str scope, str op)
@cython.locals(modes=Modes)
cpdef int guard(str what, x) except -1
@cython.locals(info=Info)
cpdef str scope_name()
cdef double* doubles(Doubles numbers)
cdef int enter(scope block) except -1
cdef int leave(scope block) except -1
@cython.locals(i=Py_ssize_t)
cpdef list call_each(list functions, list scopes, x)
