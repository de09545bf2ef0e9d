# The C types of copies.py.
cimport cython
from . cimport engine, flat, modes, rules, sweep
from .engine cimport Value
from .modes cimport Info

@cython.locals(info=Info, source=Info, twin=Value)
cpdef Value copy_node(Value node, dict copies, duplicate)
@cython.locals(info=Info)
cdef int refuse_captured(Value node, tuple operands) except -1
@cython.locals(info=Info)
cpdef tuple reduce(Value node)
@cython.locals(node=Value, info=Info)
cpdef Value restore(cls, below, tuple state)
