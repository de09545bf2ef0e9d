# The C types of columns.py.
from cpython.array cimport array as Array

cdef int* ints(Array numbers)
cdef long long* longs(Array numbers)
cdef unsigned char* flags(Array numbers)
cdef double* doubles(Array numbers)
cpdef Array zeros(str kind, Py_ssize_t count)
cpdef Array longer(Array numbers, Py_ssize_t count)
