# The C types of sweep.py.
cimport cython
from . cimport engine, modes, rules
from .engine cimport Value
from .modes cimport Info

cdef unsigned long long _stamp

cpdef list walk(roots, dict known=*)
@cython.locals(node=Value, leaf=int, opened=cython.uint, closed=cython.uint)
cdef int order_below(list stack, list order, list leaves, dict known, bint clear) except -1
@cython.locals(node=Value)
cdef int open_many(
    tuple operands, list stack, list leaves, unsigned int opened, unsigned int closed) except -1
cdef int push(Value node, list stack, unsigned int opened) except -1
cpdef int backward(Value root, gradient) except -1
@cython.locals(node=Value, leaf=Value, order=list, leaves=list, before=list, i=cython.Py_ssize_t)
cdef int sweep(Value root, double seed, bint finite) except -1
@cython.locals(node=Value)
cdef int put_back(list order, list leaves, list before) except -1
cpdef int propagate(Value node, bint finite) except -1
@cython.locals(i=cython.Py_ssize_t)
cdef int propagate_many(Value node, tuple operands, double[::1] partials, bint finite) except -1
cdef int propagate_by_hand(Value node) except -1
@cython.locals(c=double, total=double)
cdef int add_to(Value operand, double g, double partial, Value node, bint finite) except -1
@cython.locals(info=Info, source=Info, twin=Value)
cpdef Value copy_node(Value node, dict copies, duplicate)
@cython.locals(info=Info)
cpdef tuple reduce(Value node)
@cython.locals(node=Value, info=Info)
cpdef Value restore(cls, below, tuple state)
