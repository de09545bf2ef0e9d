# The C types of engine.py. A Value takes 96 bytes with the collector's header: one more field would cost 16.
cimport cython
from . cimport flat, modes, rules
from .modes cimport Info

cdef extern from "Python.h":
    void PyObject_GC_Track(object)
    void PyObject_GC_UnTrack(object)
    bint PyObject_GC_IsTracked(object)

cdef class Value:
    cdef double _data, _grad, _da, _db
    cdef Value _a, _b
    cdef Info _info
    cdef unsigned int _stamp
    cdef unsigned char _code, _away
    cdef unsigned short _flags

cdef double NAN
cdef int REQUIRES_GRAD, HAS_GRAD, TRACKED, LEFT_NUMBER, RIGHT_NUMBER, PLAIN, HOOKED, IN_SWEEP, ALL_TRACKED, ACTIVE, DEPTH, OF_THIS_OBJECT

@cython.locals(out=Value)
cdef Value new(int code, int flags, double y)
@cython.locals(out=Value)
cdef Value blank(cls)
cdef int track(Value node) except -1
cdef int track_object(object x) except -1
@cython.locals(value=Value)
cpdef int track_captured(Value node, function) except -1
@cython.locals(info=Info)
cdef Info own_info(Value node)
@cython.locals(info=Info)
cdef int become_custom(Value node, str symbol, tuple operands) except -1
cdef Value constant(modes.Modes now, double y)
@cython.locals(y=double, now=modes.Modes, out=Value)
cdef Value unary(Value x, int code, rules.UnaryValue value, rules.UnaryDerivative dx)
@cython.locals(y=double, inherited=int, now=modes.Modes, out=Value)
cdef Value binary(
    Value a, Value b, double x, double w, int code,
    rules.BinaryValue value, rules.BinaryDerivative dx, rules.BinaryDerivative dw)
@cython.locals(now=modes.Modes, out=Value, info=Info)
cdef Value many(int code, tuple operands, int inherited, double y, object partials)
@cython.locals(flags=int)
cdef int flags_of(tuple operands) except -1
@cython.locals(code=int, out=Value, info=Info)
cpdef Value by_rule(str kind, object rule, tuple operands, double y, object partials, int inherited=*)
@cython.locals(x=double, w=double, v=double, y=double)
cdef Value ternary(
    tuple operands, int code,
    rules.TernaryValue value, rules.TernaryDerivative d1, rules.TernaryDerivative d2, rules.TernaryDerivative d3)
@cython.locals(right=Value)
cdef object forward(
    Value a, object b, int code,
    rules.BinaryValue value, rules.BinaryDerivative dx, rules.BinaryDerivative dw)
cdef object reflected(
    object a, Value b, int code,
    rules.BinaryValue value, rules.BinaryDerivative dx, rules.BinaryDerivative dw)
cpdef double data_of(Value x) except? -1
cdef int bring_home(Value a, Value b) except -1
cdef double as_float(object x, int code) except? -1
cdef Value method(
    Value a, object b, int code,
    rules.BinaryValue value, rules.BinaryDerivative dx, rules.BinaryDerivative dw)
cpdef tuple as_scalars(object operands, str who)
