# The C types of tape.py.
cimport cython
from cpython.array cimport array as Array
from . cimport engine, flat, modes, rules, sweep
from .engine cimport Value
from .modes cimport Info
from .sweep cimport Node, Nodes

cdef double OUTSIDE, INPUT
cdef int LANES, FEW
cdef object ZERO, INDEX, NONE, ONE

@cython.locals(out=Value)
cpdef Value variable(x)
@cython.locals(node=Value)
cpdef int release(list variables) except -1

@cython.locals(found=Nodes, todo=Nodes, held=list, seen=cython.uint, x=Value, node="Node *", none="Node *")
cpdef list captured(list results, list inputs, int depth)

cdef class Tape:
    cdef readonly list nodes
    cdef public bint open
    cdef readonly Array first, sources, places, partials, ins, outs
    cdef bint finite, every
    cdef readonly dict calls
    cdef Py_ssize_t edges
    @cython.locals(codes=list, i=cython.Py_ssize_t, node=Value)
    cdef int record_down_to(self, list outputs, list inputs) except -1
    @cython.locals(order=Nodes, leaves=Nodes, held=list, by_hand=dict, seen=cython.uint, node=Value, edges=cython.Py_ssize_t)
    cdef int record(self, list outputs, list inputs) except -1
    @cython.locals(
        i=cython.Py_ssize_t, before=cython.Py_ssize_t, wanted=bint, stamp=cython.uint, node="Node *", none="Node *", variable=Value,
        root=Value,
        first="int *", ins="int *", outs="int *")
    cdef int number(
        self, Nodes order, Nodes leaves, list outputs, list inputs, dict by_hand, double* grads, dict numbers) except -1
    @cython.locals(number=double)
    cdef int edge(self, Node* operand, int place, double partial, dict numbers) except -1
    @cython.locals(i=cython.Py_ssize_t, partials="double *")
    cdef int edges_of_many(self, Value node, dict numbers) except -1
    @cython.locals(node=Value, totals="double *", k=cython.Py_ssize_t, grad=double)
    cdef int keep(self, Array adjoints) except -1
    @cython.locals(adjoints="double *", ins="int *", j=cython.Py_ssize_t, results="double *", used=list)
    cpdef object pull(self, seeds)
    @cython.locals(
        adjoints="double *", weights="double *", partials="double *", first="int *", sources="int *", outs="int *",
        i=cython.Py_ssize_t, k=cython.Py_ssize_t, e=cython.Py_ssize_t, g=double, total=double, calls=bint, waiting=dict)
    cdef object adjoints(self, seeds, list used)
    @cython.locals(
        velocities="double *", starts="double *", partials="double *", first="int *", sources="int *", ins="int *",
        outs="int *", i=cython.Py_ssize_t, j=cython.Py_ssize_t, k=cython.Py_ssize_t, e=cython.Py_ssize_t, g=double,
        total=double, results="double *", calls=bint, waiting=dict, used=list)
    cpdef object push(self, tangents)
    @cython.locals(
        node=Value, info=Info, first="int *", sources="int *", places="int *", e=cython.Py_ssize_t, total=double,
        grad=double)
    cdef int pull_call(self, Py_ssize_t k, double* adjoints, dict waiting, list used) except -1
    @cython.locals(node=Value, info=Info, first="int *", sources="int *", places="int *", e=cython.Py_ssize_t)
    cdef int push_call(self, Py_ssize_t k, double* velocities, dict waiting, list used) except -1
    @cython.locals(partial=double, c=double, node=Value, operand=Value)
    cdef int refuse(self, Py_ssize_t k, Py_ssize_t e, double g, double before) except -1
    @cython.locals(first="int *", sources="int *", partials="double *", e=cython.Py_ssize_t, g=double)
    cdef int refuse_forward(self, Py_ssize_t k, double* velocities) except -1
    cpdef object jacobian(self, bint forward)
    @cython.locals(
        m=cython.Py_ssize_t, n=cython.Py_ssize_t, results="double *", lanes="double *", into="int *", starts="int *",
        ends="int *", number_of_starts=cython.Py_ssize_t, number_of_ends=cython.Py_ssize_t, base=cython.Py_ssize_t,
        width=cython.Py_ssize_t, i=cython.Py_ssize_t, k=cython.Py_ssize_t, lane=cython.Py_ssize_t, x=double)
    cpdef object compressed(self, groups, Py_ssize_t count, bint forward)
    @cython.locals(
        partials="double *", first="int *", sources="int *", k=cython.Py_ssize_t, e=cython.Py_ssize_t,
        lane=cython.int, partial=double, source=cython.Py_ssize_t)
    cdef int sweep_forward(self, double* lanes) except -1
    @cython.locals(
        partials="double *", first="int *", sources="int *", k=cython.Py_ssize_t, e=cython.Py_ssize_t,
        lane=cython.int, partial=double, source=cython.Py_ssize_t)
    cdef int sweep_back(self, double* lanes) except -1
    cdef object one_by_one(self, groups, Py_ssize_t count, bint forward)
    cdef int redo(self, found, groups, Py_ssize_t count, bint forward, Py_ssize_t group) except -1
    cdef int repair(self, found, groups, Py_ssize_t count, bint forward) except -1
    @cython.locals(
        seen="int *", input_at="int *", todo="int *", first="int *", sources="int *", ins="int *", outs="int *",
        i=cython.Py_ssize_t, j=cython.Py_ssize_t, k=cython.Py_ssize_t, e=cython.Py_ssize_t, waiting=cython.Py_ssize_t,
        count=cython.Py_ssize_t)
    cpdef tuple pattern(self)
    @cython.locals(
        below=list, bits=list, first="int *", sources="int *", ins="int *", outs="int *", i=cython.Py_ssize_t,
        j=cython.Py_ssize_t, k=cython.Py_ssize_t, e=cython.Py_ssize_t)
    cdef tuple pattern_by_few(self)

@cython.locals(tape=Tape, now=modes.Modes)
cpdef int backward(Value root, double seed) except -1

cdef int* ints(Array numbers)
cdef double number_of(Node* node, dict numbers)
cdef int set_number(Node* node, double number, dict numbers) except -1
@cython.locals(i=cython.Py_ssize_t, edges=cython.Py_ssize_t, node="Node *", none="Node *")
cdef Py_ssize_t count_edges(Nodes order) except -1
cdef Py_ssize_t operand_count(Value node) except -1
@cython.locals(x=Value)
cdef list derivatives_by_hand(Value node)
