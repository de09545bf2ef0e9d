# The C types of flat.py.
cimport cython
from cpython.array cimport array as Array, clone
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy, memset
from . cimport engine, modes, rules, sweep
from .engine cimport Value

cdef object ZERO, INDEX, NO
cdef int DOUBLE, FLOAT, LONG
cdef dict _stores

cdef class Store:
    cdef readonly list values
    cdef readonly Py_ssize_t count, number, frozen, version
    cdef readonly bint away, live
    cdef bint some, blank
    cdef Array data, grad, spare, reached, trained
    @cython.locals(node=Value, i=cython.Py_ssize_t)
    cdef int join(self) except -1
    cpdef int close(self) except -1
    cdef int make_room(self) except -1
    @cython.locals(
        node=Value, data="double *", grad="double *", reached="signed char *", trained="signed char *",
        i=cython.Py_ssize_t, changed=bint)
    cpdef bint take(self) except -1
    cdef int fill(self) except -1
    @cython.locals(node=Value, data="double *", grad="double *", reached="signed char *", i=cython.Py_ssize_t)
    cpdef int bring_home(self) except -1

cdef bint may_leave(Value node) noexcept
@cython.locals(store=Store, place=cython.Py_ssize_t)
cpdef Store store_of(Value node)
@cython.locals(store=Store)
cdef int home(Value node) except -1
@cython.locals(node=Value, store=Store)
cpdef Part share(list values)
@cython.locals(store=Store)
cpdef Part locate(list values)
@cython.locals(
    node=Value, first="int *", size="int *", n=cython.Py_ssize_t, i=cython.Py_ssize_t, place=cython.Py_ssize_t,
    runs=cython.Py_ssize_t, part=Part)
cdef Part find(Store store, list values)

cdef class Part:
    cdef readonly Store store
    cdef readonly Py_ssize_t count, runs
    cdef readonly Array starts, lengths
    cdef readonly bint whole
    cpdef bint ready(self) except -1
    cpdef Array data(self)
    cpdef Array grad(self)
    cpdef Array copy_data(self)
    cpdef Array copy_grad(self)
    cpdef int set_data(self, Array numbers) except -1
    @cython.locals(numbers="double *", results="double *", first="int *", size="int *", r=cython.Py_ssize_t, k=cython.Py_ssize_t)
    cdef int read(self, Array source, Array into) except -1
    @cython.locals(source="double *", results="double *", first="int *", size="int *", r=cython.Py_ssize_t, k=cython.Py_ssize_t)
    cdef int write(self, Array numbers, Array into) except -1
    @cython.locals(grad="double *", reached="signed char *", first="int *", size="int *", r=cython.Py_ssize_t)
    cpdef int clear(self) except -1
    @cython.locals(
        grad="double *", reached="signed char *", first="int *", size="int *", r=cython.Py_ssize_t, i=cython.Py_ssize_t)
    cpdef int scale_grads(self, double factor) except -1
    @cython.locals(
        store=Store, grads="double *", steps="double *", sums="double *", reached="signed char *",
        trained="signed char *", start=cython.Py_ssize_t, i=cython.Py_ssize_t, first="int *", size="int *", r=cython.Py_ssize_t, k=cython.Py_ssize_t)
    cdef bint add(self, double seed, Array partials) except -1

@cython.locals(strange=cython.longlong, total=double, i=cython.Py_ssize_t)
cdef bint add_all(double* grads, double* partials, double seed, double* into, Py_ssize_t n) noexcept

@cython.locals(strange=cython.longlong, total=double, i=cython.Py_ssize_t)
cdef bint multiply_all(double* partials, double seed, double* into, Py_ssize_t n) noexcept
@cython.locals(strange=cython.longlong, i=cython.Py_ssize_t, data="double *")
cpdef bint is_finite(Array numbers) except -1

cdef class Rule:
    cdef public Part part
    cdef public tuple operands

@cython.locals(part=Part, known=bint)
cpdef Value result_of(Rule rule, double y, partials)
@cython.locals(call=Rule, part=Part)
cdef bint pull(Value root, double seed) except -1
@cython.locals(found=cython.longlong)
cdef inline long long bits_of(double zero) noexcept
cdef int* ints(Array numbers)
cdef signed char* bytes_of(Array numbers)
cdef Array room(Py_ssize_t n)
@cython.locals(found=Array, n=cython.Py_ssize_t)
cpdef Array doubles_of(numbers)
@cython.locals(view=Py_buffer, known=bint, kind=cython.int, singles="float *", longs="long long *", i=cython.Py_ssize_t)
cdef bint copy_doubles(numbers, double* into, Py_ssize_t n) except -1
