# The C types of sweep.py.
cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from . cimport engine, modes, rules
from .engine cimport Value
from .modes cimport Info

cdef unsigned long long _stamp

# A Value as the walks see it: pointers that count no references.
cdef extern from *:
    ctypedef struct Node "struct __pyx_obj_9glassgrad_6engine_Value":
        double _grad, _da, _db
        Node* _a
        Node* _b
        unsigned int _stamp
        unsigned short _code, _flags

cdef class Nodes:
    cdef Node** items
    cdef Py_ssize_t count, room
    cdef int append(self, Node* node) except -1
    cdef int grow(self) except -1
    cdef list as_list(self)

cdef Nodes _todo

@cython.locals(order=Nodes)
cpdef list walk(roots, dict known=*)
@cython.locals(
    node="Node *", a="Node *", b="Node *", none="Node *", seen=cython.uint, by_hand=bint, todo=Nodes)
cdef bint order_below(list roots, Nodes order, Nodes leaves, dict known, bint clear) except -1
cdef int add_many(Value node, Nodes todo) except -1
@cython.locals(node=Value, operand=Value)
cdef int refuse_cycle(list order, unsigned int seen) except -1
cpdef int backward(Value root, gradient) except -1
@cython.locals(leaf="Node *", order=Nodes, leaves=Nodes, before="double[::1]", had_grad=bytearray, i=cython.Py_ssize_t)
cdef int sweep(Value root, double seed, bint finite) except -1
@cython.locals(node=Value, i=cython.Py_ssize_t)
cdef int put_back(Nodes order, Nodes leaves, double[::1] before, bytearray had_grad) except -1
@cython.locals(g=double, none="Node *")
cdef int propagate(Node* node, bint finite) except -1
@cython.locals(i=cython.Py_ssize_t, operands=tuple, numbers="double *")
cdef int propagate_many(Value node, double g, bint finite) except -1
cdef int propagate_by_hand(Value node) except -1
@cython.locals(c=double, total=double)
cdef int add_to(Node* operand, double g, double partial, Node* node, bint finite) except -1
@cython.locals(info=Info, source=Info, twin=Value)
cpdef Value copy_node(Value node, dict copies, duplicate)
@cython.locals(info=Info)
cpdef tuple reduce(Value node)
@cython.locals(node=Value, info=Info)
cpdef Value restore(cls, below, tuple state)
