# The C types of functions.py: lists are long, so what runs for each element is compiled.
cimport cython
from . cimport engine, flat, modes, rules
from .engine cimport Value

cdef object ZERO

cdef tuple _operands(object values, str name)
cdef list _listed(object values, str name)
cdef double[::1] _room
@cython.locals(room="double[::1]")
cdef double[::1] _take_room(Py_ssize_t n)
cdef int _give_back(double[::1] room) except -1
@cython.locals(
    data="double[::1]", numbers="double *", y=double, i=cython.Py_ssize_t, n=cython.Py_ssize_t, inherited=int,
    values=bint)
cdef object _many(int code, tuple operands, rules.NaryValue value, rules.NaryDerivative derivatives)
