# The C types of functions.py: lists are long, so what runs for each element is compiled.
cimport cython
from . cimport engine, modes, rules
from .engine cimport Value

cdef object ZERO

@cython.locals(operands=tuple)
cdef tuple _operands(object values, str name)
@cython.locals(data=double[::1], out=double[::1], y=double, i=cython.Py_ssize_t, values=bint)
cdef object _many(int code, tuple operands, rules.NaryValue value, rules.NaryDerivative derivatives)
