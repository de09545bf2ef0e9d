# The C types of recompute.py.
cimport cython
from . cimport engine, modes, rules, sweep
from .engine cimport Value
from .modes cimport Info

cdef object ZERO
cdef list VALUES, SLOPES

@cython.locals(
    order=list, node=Value, n=cython.Py_ssize_t, i=cython.Py_ssize_t, done=cython.Py_ssize_t, data="double *",
    partials=list, info=Info)
cpdef int recompute(list roots) except -1
cdef int refuse(Value node) except -1
@cython.locals(info=Info, x=double, y=double)
cdef object run(Value node)
@cython.locals(operands=tuple, n=cython.Py_ssize_t, i=cython.Py_ssize_t, y=double)
cdef object run_many(Value node, Info info)
@cython.locals(y=double)
cdef object run_primitive(Value node, object rule, tuple operands, list xs)
@cython.locals(slopes=tuple, x=double, w=double, y=double)
cdef int differentiate(Value node) except -1
cpdef bint is_plain(Value operand)
cdef int check(Value node, double y) except -1
@cython.locals(info=Info)
cpdef list operands_of(Value node)
