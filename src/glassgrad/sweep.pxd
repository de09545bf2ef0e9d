# The C types of sweep.py.
cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from . cimport engine, flat, modes, rules
from .engine cimport Value
from .modes cimport Info

cdef unsigned long long _stamp
cdef object ZERO

# A Value as the walks see it: pointers that count no references.
cdef extern from *:
    ctypedef struct Node "struct __pyx_obj_9glassgrad_6engine_Value":
        double _grad, _da, _db
        Node* _a
        Node* _b
        unsigned int _stamp
        unsigned char _code, _away
        unsigned short _flags

cpdef bint is_running() except -1

cdef class Nodes:
    cdef Node** items
    cdef Py_ssize_t count, room
    cdef int append(self, Node* node) except -1
    @cython.locals(room=cython.Py_ssize_t)
    cdef int grow(self) except -1
    @cython.locals(i=cython.Py_ssize_t)
    cdef int copy_to(self, list held) except -1

cdef Nodes _todo

cdef unsigned int new_stamp() except? 0

@cython.locals(order=Nodes, held=list, seen=cython.uint)
cpdef list walk(roots, dict known=*)
@cython.locals(
    node="Node *", a="Node *", b="Node *", none="Node *", items="Node **", count=cython.Py_ssize_t, seen=cython.uint,
    leaf=int, in_sweep=int, has_grad=int, by_hand=bint, todo=Nodes)
cdef unsigned int order_below(
    list roots, Nodes order, Nodes leaves, list held, dict known, bint clear) except? 1
cdef int add_many(Value node, Nodes todo) except -1
@cython.locals(node=Value, operand=Value)
cdef int refuse_cycle(list order, unsigned int seen) except -1
cpdef list operands_of(Value node)
cpdef int backward(Value root, gradient) except -1
cpdef object derivatives(Value root, list inputs)
cdef bint is_trained(Node* leaf)
@cython.locals(node=Value)
cpdef bint is_open(list values) except -1
@cython.locals(node=Value, calls=bint)
cdef bint only_calls(list nodes) except -1
cdef double number_of(found, list used) except? -1

cdef class Sweep:
    cdef bint finite
    cdef Nodes order, leaves
    cdef list held
    cdef dict waiting
    cdef list used
    cdef double* before
    @cython.locals(leaf="Node *", node="Node *", by_hand=cython.uint, total=double, i=cython.Py_ssize_t)
    cdef bint run(self, Value root, double seed) except -1
    @cython.locals(
        by_hand=cython.uint, i=cython.Py_ssize_t, n=cython.Py_ssize_t, results="double *", before="double *",
        stamp=cython.uint, node="Node *", leaf=Value, others=cython.Py_ssize_t,
        swept=cython.Py_ssize_t, reached=list)
    cdef object derivatives(self, Value root, list inputs)
    @cython.locals(leaf="Node *", i=cython.Py_ssize_t, n=cython.Py_ssize_t)
    cdef int remember(self) except -1
    @cython.locals(node="Node *", i=cython.Py_ssize_t)
    cdef int put_back(self) except -1
    @cython.locals(node="Node *", i=cython.Py_ssize_t)
    cdef int claim(self) except -1
    @cython.locals(node=Value)
    cdef int unclaim(self) except -1
    @cython.locals(node=Value, grad=double)
    cdef int call_hooks(self) except -1
    cdef int hold(self) except -1

@cython.locals(g=double, none="Node *")
cdef int propagate(Node* node, Sweep sweep) except -1
@cython.locals(i=cython.Py_ssize_t, operands=tuple, numbers="double *", info=Info)
cdef int propagate_many(Value node, double g, Sweep sweep) except -1
@cython.locals(operand=Value, grad=double)
cdef int propagate_by_hand(Value node, Sweep sweep) except -1
@cython.locals(info=Info, operands=tuple, i=cython.Py_ssize_t, operand=Value, total=double, grad=double)
cdef int propagate_call(Value node, double g, Sweep sweep) except -1
cpdef int no_backward(Value node) except -1
@cython.locals(total=double)
cdef int add_to(Node* operand, double g, double partial, Node* node, Sweep sweep) except -1
@cython.locals(c=double, total=double)
cdef int refuse_not_finite(Node* operand, double g, double partial, Node* node, Sweep sweep) except -1
@cython.locals(call=Value, info=Info)
cpdef int pass_on_call(Value node) except -1
@cython.locals(g=double, operand=Value)
cpdef int pass_on(Value node, tuple operands, tuple partials) except -1
