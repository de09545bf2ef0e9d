/* Operations number by number: what kernels.h does for maps, for one REAL and one SET. */

INLINE REAL NAME(sqrt)(REAL x) {
#if DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

#define VECTORS(x, function) \
    for (int64_t i = 0; i < n; i += WIDTH) STORE(out + i, function(LOAD(x + i))); \
    break
#define LOOP(formula) \
    for (int64_t i = 0; i < n; i++) out[i] = (formula); \
    break

enum { /* as in sums.py */
    NAME(COPY), NAME(ADD), NAME(SUB), NAME(MUL), NAME(DIV), NAME(NEG), NAME(ABS), NAME(SQUARE), NAME(RECIPROCAL),
    NAME(SQRT), NAME(SIGN), NAME(RELU), NAME(RELU_SLOPE), NAME(MAXIMUM), NAME(MINIMUM), NAME(WHERE), NAME(EXP),
    NAME(SCALE), NAME(RSQRT), NAME(ROOT), NAME(RECIPROCAL_SLOPE), NAME(RSQRT_SLOPE), NAME(ROOT_SLOPE), NAME(SHIFT)
};

/* x**0.5 as pow has it, which differs from the square root at -0 and -inf */
INLINE REAL NAME(root)(REAL x) { return x == -(REAL)INFINITY ? (REAL)INFINITY : NAME(sqrt)(x + 0); }

static void NAME(map)(int code, int64_t n, REAL sign, REAL *out, const REAL *x, const REAL *w, const REAL *y) {
    const REAL first = sign * *w;
    switch (code) {
        case NAME(COPY): LOOP(x[i]);
        case NAME(ADD): LOOP(x[i] + w[i]);
        case NAME(SUB): LOOP(x[i] - w[i]);
        case NAME(MUL): LOOP(sign * x[i] * w[i]);
        case NAME(DIV): LOOP(x[i] / w[i]);
        case NAME(NEG): LOOP(-x[i]);
        case NAME(ABS): LOOP((REAL)fabs(x[i]));
        case NAME(SQUARE): LOOP(x[i] * x[i]);
        case NAME(RECIPROCAL): LOOP(1 / x[i]);
        case NAME(SQRT): LOOP(NAME(sqrt)(x[i]));
        case NAME(SIGN): LOOP(x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i] * 0);
        case NAME(RELU): LOOP(x[i] <= 0 ? 0 : x[i]);
        case NAME(RELU_SLOPE): LOOP(x[i] > 0 ? 1 : 0);
        case NAME(MAXIMUM): LOOP(x[i] >= w[i] || x[i] != x[i] ? x[i] : w[i]);
        case NAME(MINIMUM): LOOP(x[i] <= w[i] || x[i] != x[i] ? x[i] : w[i]);
        case NAME(WHERE): LOOP(x[i] != x[i] ? x[i] : x[i] != 0 ? w[i] : y[i]);
        case NAME(EXP): VECTORS(x, NAME(exp));
        case NAME(SCALE): LOOP(first * x[i]);
        case NAME(RSQRT): LOOP(1 / NAME(root)(x[i]));
        case NAME(ROOT): LOOP(NAME(root)(x[i]));
        case NAME(RECIPROCAL_SLOPE): LOOP(-((1 / x[i]) * (1 / x[i])));
        case NAME(RSQRT_SLOPE): LOOP((REAL)-0.5 / NAME(root)(x[i]) / (x[i] + 0));
        case NAME(ROOT_SLOPE): LOOP((REAL)0.5 / NAME(root)(x[i]));
        case NAME(SHIFT): LOOP(x[i] + first);
    }
}
#undef LOOP
#undef VECTORS
