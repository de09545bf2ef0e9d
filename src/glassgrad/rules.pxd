# The C types of rules.py: every rule is a C function on doubles, every operation code a C integer.
cimport cython
from libc cimport math as libm

cdef double LN2, LN2_INV, LN10_INV, TWO_OVER_SQRT_PI, INV_SQRT_TWO_PI, SQRT_TWO, SQRT_TWO_REST, EXP_MINUS_700
cdef double TINY, HUGE, UP, DOWN
cdef int LEAF, CUSTOM, PRIMITIVE, CALL, PICK, FIRST_CODE, IDENTITY, ADD, SUB, MUL, DIV, POW, NEG, ABS, SIGN, SQUARE
cdef int RECIPROCAL, EXP, EXPM1, LOG, LOG1P, LOG2, LOG10, SQRT, CBRT, SIN, COS, TAN
cdef int ARCSIN, ARCCOS, ARCTAN, ARCTAN2, SINH, COSH, TANH, ARCSINH, ARCCOSH, ARCTANH, HYPOT, SIGMOID
cdef int RELU, LEAKY_RELU, ELU, GELU_SLOPE, GELU, SILU, SOFTPLUS, ERF, LOGADDEXP, MAXIMUM, MINIMUM, CLIP, WHERE
cdef int SUM, MEAN, PROD, DOT, LOGSUMEXP, SOFTMAX

ctypedef double (*UnaryValue)(double) noexcept
ctypedef double (*UnaryDerivative)(double, double) noexcept
ctypedef double (*BinaryValue)(double, double) noexcept
ctypedef double (*BinaryDerivative)(double, double, double) noexcept
ctypedef double (*TernaryValue)(double, double, double) noexcept
ctypedef double (*TernaryDerivative)(double, double, double, double) noexcept
ctypedef double (*NaryValue)(double[::1]) noexcept
ctypedef void (*NaryDerivative)(double[::1], double, double[::1]) noexcept

cdef double sum_error(double x, double w, double y) noexcept
cdef double product_error(double x, double w, double y) noexcept
cdef bint is_finite(double x) noexcept
cdef bint is_constant(double x) noexcept
cdef double identity(double x) noexcept
cdef double identity_dx(double x, double y) noexcept
cdef double add(double x, double w) noexcept
cdef double add_dx(double x, double w, double y) noexcept
cdef double sub(double x, double w) noexcept
cdef double sub_dw(double x, double w, double y) noexcept
cdef double mul(double x, double w) noexcept
cdef double mul_dx(double x, double w, double y) noexcept
cdef double mul_dw(double x, double w, double y) noexcept
cdef double div(double x, double w) noexcept
cdef double div_dx(double x, double w, double y) noexcept
cdef double div_again(double x, double w, double y) noexcept
cdef double div_dw(double x, double w, double y) noexcept
cdef double power(double x, double w) noexcept
cdef double power_times(double x, double w, double factor) noexcept
cdef double power_dx(double x, double w, double y) noexcept
cdef double power_dw(double x, double w, double y) noexcept
cdef double neg(double x) noexcept
cdef double neg_dx(double x, double y) noexcept
cdef double absolute(double x) noexcept
cdef double absolute_dx(double x, double y) noexcept
cdef double sign(double x) noexcept
cdef double sign_dx(double x, double y) noexcept
cdef double square(double x) noexcept
cdef double square_dx(double x, double y) noexcept
cdef double reciprocal(double x) noexcept
cdef double reciprocal_dx(double x, double y) noexcept
cdef double exp(double x) noexcept
cdef double exp_dx(double x, double y) noexcept
cdef double exp_times(double x, double factor) noexcept
cdef double expm1(double x) noexcept
cdef double expm1_dx(double x, double y) noexcept
cdef double log(double x) noexcept
cdef double log_dx(double x, double y) noexcept
cdef double log1p(double x) noexcept
cdef double log1p_dx(double x, double y) noexcept
cdef double log2(double x) noexcept
cdef double log2_dx(double x, double y) noexcept
cdef double log10(double x) noexcept
cdef double log10_dx(double x, double y) noexcept
cdef double sqrt(double x) noexcept
cdef double sqrt_dx(double x, double y) noexcept
cdef double cbrt(double x) noexcept
cdef double cbrt_dx(double x, double y) noexcept
cdef double sin(double x) noexcept
cdef double sin_dx(double x, double y) noexcept
cdef double cos(double x) noexcept
cdef double cos_dx(double x, double y) noexcept
cdef double tan(double x) noexcept
cdef double tan_dx(double x, double y) noexcept
cdef double one_minus_square(double x) noexcept
cdef double arcsin(double x) noexcept
cdef double arcsin_dx(double x, double y) noexcept
cdef double arccos(double x) noexcept
cdef double arccos_dx(double x, double y) noexcept
cdef double arctan(double x) noexcept
cdef double arctan_dx(double x, double y) noexcept
cdef double arctan2(double x, double w) noexcept
cdef double over_sum_of_squares(double x, double w) noexcept
cdef double arctan2_dx(double x, double w, double y) noexcept
cdef double arctan2_dw(double x, double w, double y) noexcept
cdef double sinh(double x) noexcept
cdef double sinh_dx(double x, double y) noexcept
cdef double cosh(double x) noexcept
cdef double cosh_dx(double x, double y) noexcept
cdef double tanh(double x) noexcept
cdef double tanh_dx(double x, double y) noexcept
cdef double arcsinh(double x) noexcept
cdef double arcsinh_dx(double x, double y) noexcept
cdef double arccosh(double x) noexcept
cdef double arccosh_dx(double x, double y) noexcept
cdef double arctanh(double x) noexcept
cdef double arctanh_dx(double x, double y) noexcept
cdef double hypot(double x, double w) noexcept
cdef double hypot_dx(double x, double w, double y) noexcept
cdef double hypot_dw(double x, double w, double y) noexcept
cdef double sigmoid(double x) noexcept
cdef double sigmoid_dx(double x, double y) noexcept
cdef double relu(double x) noexcept
cdef double relu_dx(double x, double y) noexcept
cdef double leaky_relu(double x, double slope) noexcept
cdef double leaky_relu_dx(double x, double slope, double y) noexcept
cdef double leaky_relu_dslope(double x, double slope, double y) noexcept
cdef double elu(double x, double alpha) noexcept
cdef double elu_dx(double x, double alpha, double y) noexcept
cdef double elu_dalpha(double x, double alpha, double y) noexcept
cdef double gauss_times(double x, double factor, double rest) noexcept
cdef double normal_tail(double t) noexcept
cdef double normal_tail_rest(double t, double tail) noexcept
cdef double gelu(double x) noexcept
cdef double gelu_dx(double x, double y) noexcept
cdef double gelu_slope(double x) noexcept
cdef double gelu_slope_near_root(double x) noexcept
cdef double gelu_slope_dx(double x, double y) noexcept
cdef double silu(double x) noexcept
cdef double silu_dx(double x, double y) noexcept
cdef double softplus(double x) noexcept
cdef double softplus_dx(double x, double y) noexcept
cdef double erf(double x) noexcept
cdef double erf_dx(double x, double y) noexcept
cdef double difference_error(double x, double w) noexcept
cdef double exp_difference(double x, double w) noexcept
cdef double logaddexp(double x, double w) noexcept
cdef double logaddexp_dx(double x, double w, double y) noexcept
cdef double logaddexp_dw(double x, double w, double y) noexcept
cdef double maximum(double x, double w) noexcept
cdef double maximum_dx(double x, double w, double y) noexcept
cdef double maximum_dw(double x, double w, double y) noexcept
cdef double minimum(double x, double w) noexcept
cdef double clip(double x, double low, double high) noexcept
cdef double clip_dx(double x, double low, double high, double y) noexcept
cdef double clip_dlow(double x, double low, double high, double y) noexcept
cdef double clip_dhigh(double x, double low, double high, double y) noexcept
cdef double where(double condition, double x, double w) noexcept
cdef double where_dcondition(double condition, double x, double w, double y) noexcept
cdef double where_dx(double condition, double x, double w, double y) noexcept
cdef double where_dw(double condition, double x, double w, double y) noexcept

@cython.locals(i=cython.Py_ssize_t)
cdef double scaled_total(double[::1] xs, double scale) noexcept
cdef double total(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t)
cdef void total_d(double[::1] xs, double y, double[::1] out) noexcept
cdef double mean(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t)
cdef void mean_d(double[::1] xs, double y, double[::1] out) noexcept

cdef int strides(double x) noexcept
cdef double stride(double x, long long k) noexcept
@cython.locals(i=cython.Py_ssize_t, j=cython.Py_ssize_t, n=cython.Py_ssize_t, k=cython.longlong)
cdef void running_product(double[::1] xs, bint backwards, double[::1] products, long long[::1] powers) noexcept
@cython.locals(n=cython.Py_ssize_t, products="double[::1]", powers="long long[::1]")
cdef double product(double[::1] xs) noexcept
@cython.locals(
    i=cython.Py_ssize_t, n=cython.Py_ssize_t, left="double[::1]", right="double[::1]",
    left_powers="long long[::1]", right_powers="long long[::1]")
cdef void product_d(double[::1] xs, double y, double[::1] out) noexcept

@cython.locals(i=cython.Py_ssize_t, n=cython.Py_ssize_t)
cdef double scaled_dot(double[::1] xs, double scale) noexcept
cdef double dot(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t, n=cython.Py_ssize_t)
cdef void dot_d(double[::1] xs, double y, double[::1] out) noexcept

@cython.locals(i=cython.Py_ssize_t, top=cython.Py_ssize_t)
cdef Py_ssize_t largest(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t)
cdef double exp_rest(double[::1] xs, Py_ssize_t top) noexcept
@cython.locals(top=cython.Py_ssize_t)
cdef double logsumexp(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t, top=cython.Py_ssize_t)
cdef void logsumexp_d(double[::1] xs, double y, double[::1] out) noexcept
@cython.locals(top=cython.Py_ssize_t)
cdef double softmax(double[::1] xs) noexcept
@cython.locals(i=cython.Py_ssize_t)
cdef void softmax_d(double[::1] xs, double y, double[::1] out) noexcept
