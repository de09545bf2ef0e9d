# The C types of sparsity.py: what runs for each entry is compiled; sets of colours stay Python's integers.
cimport cython
from . cimport modes, tape

cdef object INDEX, ZERO, ONE

@cython.locals(
    first="int *", columns="int *", place="int *", out="int *", i=cython.Py_ssize_t, j=cython.Py_ssize_t,
    at=cython.Py_ssize_t)
cpdef tuple transposed(starts, indices, Py_ssize_t count)
@cython.locals(
    n=cython.Py_ssize_t, first="int *", columns="int *", out="int *", taken=list, used=int, i=cython.Py_ssize_t,
    at=cython.Py_ssize_t)
cpdef tuple colour_rows(starts, indices, Py_ssize_t count)
@cython.locals(
    first="int *", columns="int *", into="int *", given="double *", out="double *", i=cython.Py_ssize_t,
    j=cython.Py_ssize_t, at=cython.Py_ssize_t, c=cython.int)
cpdef int recover(
    starts, indices, Py_ssize_t count, colours, Py_ssize_t used, bint by_column, sums, entries) except -1
@cython.locals(
    n=cython.Py_ssize_t, first="int *", columns="int *", own="int *", once=list, twice=list, hubs=list, earliest=dict,
    used=int, c=int, v=cython.Py_ssize_t, w=cython.Py_ssize_t, at=cython.Py_ssize_t)
cpdef tuple star_colour(starts, indices)
@cython.locals(
    n=cython.Py_ssize_t, first="int *", columns="int *", into="int *", given="double *", out="double *", place="int *",
    times="int *", i=cython.Py_ssize_t, j=cython.Py_ssize_t, at=cython.Py_ssize_t)
cpdef object recover_symmetric(starts, indices, colours, Py_ssize_t used, sums)
