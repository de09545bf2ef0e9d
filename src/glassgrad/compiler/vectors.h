/* Vectors of numbers, and functions of them: what kernels.h is written with, for one REAL and one SET. */

#if defined(__GNUC__)
#define WIDTH (BYTES / (DOUBLE ? 8 : 4))
typedef REAL NAME(vec) __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
#else
#define WIDTH 1
typedef REAL NAME(vec);
#endif
#define vec NAME(vec)
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, x) (*(vec *)(p) = (x))
#define ALL(x) ((vec){0} + (REAL)(x))
#define MOST_ROWS 8

#define BITS NAME(bits)
#if DOUBLE
typedef int64_t BITS;
#define EXPONENT 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 * 2**52: adding it rounds to an integer, which stands in the last bits */
#else
typedef int32_t BITS;
#define EXPONENT 23
#define BIAS 127
#define MAGIC 12582912.0f
#endif

/* Vectors as integers and back, and a choice between two number by number. */
#if defined(__GNUC__)
typedef BITS NAME(bits_vec) __attribute__((vector_size(BYTES)));
#define bits_vec NAME(bits_vec)
#define TO_BITS(x) ((bits_vec)(vec)(x))
#define OF_BITS(i) ((vec)(bits_vec)(i))
#define CHOOSE(condition, x, w) OF_BITS(((condition) & TO_BITS(x)) | (~(condition) & TO_BITS(w)))
#define TO_REAL(i) __builtin_convertvector(i, vec)
#else
#define bits_vec BITS
INLINE BITS NAME(to_bits)(REAL x) {
    BITS i;
    memcpy(&i, &x, sizeof x);
    return i;
}
INLINE REAL NAME(of_bits)(BITS i) {
    REAL x;
    memcpy(&x, &i, sizeof x);
    return x;
}
#define TO_BITS(x) NAME(to_bits)(x)
#define OF_BITS(i) NAME(of_bits)(i)
#define CHOOSE(condition, x, w) ((condition) ? (x) : (w))
#define TO_REAL(i) ((REAL)(i))
#endif

/* Numbers from anywhere. One by one: vgatherdpd takes twice as long since processors were mended against Downfall. */
#define F(i) m[t[i]]
INLINE vec NAME(gather)(const REAL *m, const int32_t *t) {
#if WIDTH == 1
    return F(0);
#elif WIDTH == 2
    return (vec){F(0), F(1)};
#elif WIDTH == 4
    return (vec){F(0), F(1), F(2), F(3)};
#elif WIDTH == 8
    return (vec){F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7)};
#else
    return (vec){F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), F(12), F(13), F(14), F(15)};
#endif
}
#undef F

INLINE REAL NAME(total)(vec x) {
#if WIDTH == 1
    return x;
#else
    REAL part[WIDTH];
    STORE(part, x);
    UNROLL
    for (int half = WIDTH / 2; half > 0; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    }
    return part[0];
#endif
}

/* As many vectors as each has numbers, transposed: the first half and the second are shuffled like cards, again and again
   until each number is where it belongs. */
#if WIDTH == 2
#define LOW 0, 2
#define HIGH 1, 3
#elif WIDTH == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif WIDTH == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif WIDTH == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#if defined(__clang__)
#define SHUFFLE(x, w, ...) __builtin_shufflevector(x, w, __VA_ARGS__)
#else
#define SHUFFLE(x, w, ...) __builtin_shuffle(x, w, (bits_vec){__VA_ARGS__})
#endif
INLINE void NAME(transpose)(vec *x) {
#if WIDTH > 1
    UNROLL
    for (int step = 1; step < WIDTH; step *= 2) {
        vec made[WIDTH];
        UNROLL
        for (int i = 0; i < WIDTH / 2; i++) {
            made[2 * i] = SHUFFLE(x[i], x[i + WIDTH / 2], LOW);
            made[2 * i + 1] = SHUFFLE(x[i], x[i + WIDTH / 2], HIGH);
        }
        UNROLL
        for (int i = 0; i < WIDTH; i++) x[i] = made[i];
    }
#endif
}

/* The sums of the numbers of as many vectors as each has numbers: transposing, of which only the sum is wanted. */
INLINE vec NAME(totals)(vec *x) {
#if WIDTH > 1
    UNROLL
    for (int half = WIDTH / 2; half > 0; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++) x[i] = SHUFFLE(x[i], x[i + half], LOW) + SHUFFLE(x[i], x[i + half], HIGH);
    }
#endif
    return x[0];
}
#undef LOW
#undef HIGH
#undef SHUFFLE

/* exp(x) = 2**k exp(r), |r| <= ln 2 / 2: exp(r), and k in `whole`. */
INLINE vec NAME(exp_of_rest)(vec x, bits_vec *whole) {
    const vec shifted = x * (REAL)1.4426950408889634 + MAGIC, k = shifted - MAGIC;
    *whole = TO_BITS(shifted) - TO_BITS(ALL(MAGIC));
#if DOUBLE
    const vec r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    vec p = ALL(1.0 / 6227020800.0);
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
#else
    const vec r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    vec p = ALL(1.0 / 5040.0);
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
#endif
    p = p * r + (REAL)(1.0 / 6.0);
    p = p * r + (REAL)0.5;
    return 1 + (r + r * r * p);
}

/* exp(x), with 2**k in two factors, so that subnormal results are rounded once. What is 0 is not computed: processors
   take a hundred cycles for a subnormal number, and masks are full of exp(-inf). */
INLINE vec NAME(exp)(vec x) {
#if DOUBLE
    const vec most = ALL(710.0), least = ALL(-745.13321910194122);
#else
    const vec most = ALL(89.5), least = ALL(-103.972081);
#endif
    const bits_vec none = x < least;
    x = CHOOSE(x > most, most, x);
    x = CHOOSE(none, ALL(0), x);
    bits_vec whole;
    const vec rest = NAME(exp_of_rest)(x, &whole);
    const bits_vec half = ((whole + 4096) >> 1) - 2048;
    const vec one = OF_BITS((half + BIAS) << EXPONENT), other = OF_BITS((whole - half + BIAS) << EXPONENT);
    return CHOOSE(none, ALL(0), rest * one * other);
}

/* exp(x) for x <= 0; of floats, what has no normal number is 0. */
INLINE vec NAME(exp_of_less)(vec x) {
#if DOUBLE
    return NAME(exp)(x);
#else
    const vec least = ALL(-88.0f); /* where 2**k is made of zero bits */
    bits_vec whole;
    const vec rest = NAME(exp_of_rest)(CHOOSE(x < least, least, x), &whole);
    return rest * OF_BITS((whole + BIAS) << EXPONENT);
#endif
}

/* log(1 + x) for x >= 0, as in FreeBSD's msun: 1 + x = 2**k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), where
   log(1 + f) = f - f**2 / 2 + s (f**2 / 2 + R(s**2)) with s = f / (2 + f). What 1 + x rounds off is put back. */
INLINE vec NAME(log1p)(vec x) {
#if DOUBLE
    const REAL high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
#else
    const REAL high = 6.9313812256e-01f, low = 9.0580006145e-06f;
#endif
    const vec y = 1 + x, lost = CHOOSE(x < 1, x - (y - 1), 1 - (y - x));
    const bits_vec whole = (TO_BITS(y) - TO_BITS(ALL(0.70710678118654752))) >> EXPONENT;
    const vec k = TO_REAL(whole), f = CHOOSE(whole == 0, x, OF_BITS(TO_BITS(y) - (whole << EXPONENT)) - 1);
    const vec half = (REAL)0.5 * f * f, s = f / (2 + f), z = s * s;
    vec p = ALL(1.479819860511658591e-01);
    p = p * z + (REAL)1.531383769920937332e-01;
    p = p * z + (REAL)1.818357216161805012e-01;
    p = p * z + (REAL)2.222219843214978396e-01;
    p = p * z + (REAL)2.857142874366239149e-01;
    p = p * z + (REAL)3.999999999940941908e-01;
    p = p * z + (REAL)6.666666666666735130e-01;
    const vec rest = k * low + CHOOSE(whole == 0, ALL(0), lost / y);
    return k * high - ((half - (s * (half + z * p) + rest)) - f);
}
