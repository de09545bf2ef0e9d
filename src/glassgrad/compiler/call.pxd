# The C types of call.py.
cimport cython
from cpython.array cimport array as Array
from ..flat cimport Part, Rule, is_finite, result_of
from ..reader cimport Reader, are_rows

cdef class Entry:
    cdef readonly object program, made, source
    cdef readonly list parameters, wanted, constants, arguments, by, rolled_by, indices
    cdef readonly frozenset rolled, fixed
    cdef readonly tuple ends, operands
    cdef readonly bint counted, single, alone
    cdef readonly dict seconds
    cdef public object machine, key, reader
    cdef public int tries
    cdef Part part, wanted_part
    cdef Py_ssize_t version
    cdef tuple slices, rows
    @cython.locals(call=Called, numbers=Array, examples=cython.Py_ssize_t, finite=bint, y=double)
    cpdef call(self, function, given, list by)
    cdef bint in_store(self) except -1
    cdef Array parameter_numbers(self)
    cpdef bint is_constant(self) except -1
    cpdef list blocks(self, parameters, Array numbers, Py_ssize_t examples)
    cpdef bint inside(self, Array numbers, Py_ssize_t examples) except -1

cdef class Called(Rule):
    cdef public Entry entry
    cdef public object source, function, given, name, symbol
    cdef public Array numbers, parameters
    cdef public Py_ssize_t examples
