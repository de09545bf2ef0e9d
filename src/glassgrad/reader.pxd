# The C types of reader.py.
cimport cython
from cpython.array cimport array as Array
from cpython.long cimport PyLong_AsDouble
from . cimport engine, flat, modes
from .engine cimport Value

cdef int NUMBER, ROW, SEQUENCE, MAPPING, ARRAY, NOTHING
cdef object MISSING

cdef class Numbers:
    cdef readonly Array array
    cdef readonly object reader
    cdef readonly Py_ssize_t examples
    cdef readonly list values, places, wanted
    cdef Py_ssize_t at
    cdef double* out
    cdef bint number(self, x) except -1
    cdef bint block(self, x, Py_ssize_t size) except -1

cdef class Form:
    cdef readonly int kind
    cdef readonly object type
    cdef readonly Py_ssize_t size
    cdef public Py_ssize_t length
    cdef public list keys, children
    cdef public tuple shape
    @cython.locals(i=cython.Py_ssize_t)
    cdef bint read(self, tree, Numbers into) except -1
    @cython.locals(i=cython.Py_ssize_t, out="double *", child=Form)
    cdef bint read_list(self, list items, Numbers into) except -1
    @cython.locals(child=Form, stop=cython.Py_ssize_t)
    cdef build(self, leaves, Py_ssize_t start)

cdef inline double double_of(x) except? -1.0

@cython.locals(x=double, n=cython.Py_ssize_t, i=cython.Py_ssize_t, data="double *", where="int *", most="double *")
cpdef bint are_rows(Array numbers, Array places, Array counts) except -1

cdef class Reader:
    cdef Py_ssize_t positional, keywords, size, width
    cdef list names, places, rolled, fixed, forms
    @cython.locals(i=cython.Py_ssize_t, examples=cython.Py_ssize_t, count=cython.Py_ssize_t, into=Numbers, form=Form)
    cpdef Numbers read(self, tuple args, dict kwargs)
    @cython.locals(i=cython.Py_ssize_t, start=cython.Py_ssize_t, count=cython.Py_ssize_t, form=Form)
    cpdef call(self, f, Numbers numbers, list leaves)

cdef given(tuple args, dict kwargs, str name, Py_ssize_t place)
cdef bint read_rows(Form form, batch, Numbers into) except -1
@cython.locals(i=cython.Py_ssize_t)
cdef build_rows(Form form, kind, leaves, Py_ssize_t start, Py_ssize_t count)
