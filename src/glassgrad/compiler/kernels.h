/* The loops of the native machine, for one kind of number (REAL) and one instruction set (SET): native.h includes this
   file for each.

   All numbers stand in one arena. Results follow each other in it, in the order in which they are made, so a kernel may
   write a whole vector where fewer numbers are left: what stands behind is made later. Products go through their columns
   from the right and through their rows from above for that. The arena ends with room for such a vector. */

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
#undef LOW
#undef HIGH
#undef SHUFFLE

/* Square blocks, transposed. The table has for each where it goes, how far apart its rows are then, and its columns. */
static void NAME(blocks)(const Step *s, const int32_t *t, REAL *m) {
    for (int64_t k = 0; k < s->count; k++, t += 2 + WIDTH) {
        vec x[WIDTH];
        UNROLL
        for (int i = 0; i < WIDTH; i++) x[i] = LOAD(m + t[2 + i]);
        NAME(transpose)(x);
        UNROLL
        for (int i = 0; i < WIDTH; i++) STORE(m + t[0] + i * t[1], x[i]);
    }
}

/* Sums over n examples, for as many rows of them at a time as a vector has numbers. The table has the rows' places. */
static void NAME(examples)(const Step *s, const int32_t *t, REAL *m) {
    const int64_t whole = s->n / WIDTH * WIDTH;
    for (int64_t k = 0; k < s->count; k += WIDTH, t += WIDTH) {
        REAL *out = m + s->out + k;
        vec x[WIDTH], sum = {0};
        UNROLL
        for (int i = 0; i < WIDTH; i++) {
            x[i] = (vec){0};
            for (int64_t j = 0; j < whole; j += WIDTH) x[i] += LOAD(m + t[i] + j);
        }
        NAME(transpose)(x);
        UNROLL
        for (int i = 0; i < WIDTH; i++) sum += x[i];
        for (int64_t j = whole; j < s->n; j++) sum += NAME(gather)(m + j, t);
        STORE(out, (REAL)s->sign * sum);
    }
}

/* ---- products: out[row, column] = sum over n of u[row, n] * v[n, column], u number by number, v by vectors */

INLINE void NAME(tile)(const int rows, const int vectors, const Step *s, REAL *out, const REAL *u, const REAL *v,
                       int64_t v_n) {
    const int64_t out_row = s->out_row, out_next = s->out_next, u_row = s->u_row, u_n = s->u_n, v_next = s->v_next;
    vec sum[MOST_ROWS][TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
    }
    for (int64_t k = s->n; k > 0; k--, u += u_n, v += v_n) {
        vec right[TILE_VECTORS];
        UNROLL
        for (int j = 0; j < vectors; j++) right[j] = LOAD(v + j * v_next);
        UNROLL
        for (int i = 0; i < rows; i++) {
            const REAL left = u[i * u_row];
            UNROLL
            for (int j = 0; j < vectors; j++) sum[i][j] += left * right[j];
        }
    }
    const REAL sign = (REAL)s->sign;
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++) STORE(out + i * out_row + j * out_next, sign * sum[i][j]);
    }
}

INLINE void NAME(panel)(const int vectors, const Step *s, REAL *out, const REAL *u, const REAL *v, int64_t v_n) {
    int64_t rows = s->rows;
#define TILE(k) NAME(tile)(k, vectors, s, out, u, v, v_n)
#define TILES(k) \
    TILE(k); \
    out += k * s->out_row; \
    u += k * s->u_row
    if (vectors < 3)
        for (; rows >= MOST_ROWS; rows -= MOST_ROWS) { TILES(MOST_ROWS); }
    for (; rows >= 6 + 2 || rows == 6; rows -= 6) { TILES(6); }
    for (; rows >= 4; rows -= 4) { TILES(4); }
    switch (rows) {
        case 3: TILE(3); break;
        case 2: TILE(2); break;
        case 1: TILE(1); break;
    }
#undef TILES
#undef TILE
}

static void NAME(product)(const Step *s, REAL *m) {
    const int64_t vectors = (s->columns + WIDTH - 1) / WIDTH, tiles = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t b = 0; b < s->inner; b++) {
            const REAL *u = m + s->u + a * s->u_outer + b * s->u_inner;
            for (int64_t t = tiles - 1; t >= 0; t--) {
                const int64_t wide = t < tiles - 1 ? TILE_VECTORS : vectors - t * TILE_VECTORS;
                const REAL *v = m + s->v + a * s->v_outer + b * s->v_inner + t * s->v_tile;
                const int64_t v_n = s->code ? wide * WIDTH : s->v_n; /* packed, tile after tile */
                REAL *out = m + s->out + a * s->out_outer + b * s->out_inner + t * TILE_VECTORS * s->out_next;
                switch (wide) {
                    case 1: NAME(panel)(1, s, out, u, v, v_n); break;
                    case 2: NAME(panel)(2, s, out, u, v, v_n); break;
#if TILE_VECTORS == 4
                    case 3: NAME(panel)(3, s, out, u, v, v_n); break;
                    case 4: NAME(panel)(4, s, out, u, v, v_n); break;
#endif
                }
            }
        }
}

/* out[a, b] = sum over n of u[a, b, n] * v[a, b, n], both with neighbours side by side */
static void NAME(dot)(const Step *s, REAL *m) {
    REAL *out = m + s->out;
    const int64_t n = s->n;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t b = 0; b < s->inner; b++) {
            const REAL *u = m + s->u + a * s->u_outer + b * s->u_inner, *v = m + s->v + a * s->v_outer + b * s->v_inner;
            vec sum[4] = {{0}, {0}, {0}, {0}};
            REAL rest = 0;
            int64_t k = 0;
            for (; k + 4 * WIDTH <= n; k += 4 * WIDTH) {
                UNROLL
                for (int j = 0; j < 4; j++) sum[j] += LOAD(u + k + j * WIDTH) * LOAD(v + k + j * WIDTH);
            }
            for (; k + WIDTH <= n; k += WIDTH) sum[0] += LOAD(u + k) * LOAD(v + k);
            for (; k < n; k++) rest += u[k] * v[k];
            *out++ = (REAL)s->sign * (NAME(total)((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest);
        }
}

/* A vector of sums at a time, each with its own factors. The table has, for each vector, how many groups of terms there
   are; for each group how its factors stand (side by side, all the same, anywhere), its sign, its size; then places. */
static void NAME(lanes)(const Step *s, const int32_t *t, REAL *m) {
    REAL *out = m + s->out, *end = out + s->count;
    for (; out < end; out += WIDTH) {
        vec sum = {0};
        if (s->code) sum = LOAD(out);
        for (int groups = *t++; groups > 0; groups--) {
            const int code = *t++;
            vec part = {0};
            int k = *t++;
            switch (code >> 1) {
                case 0: for (; k > 0; k--, t += 2) part += LOAD(m + t[0]) * LOAD(m + t[1]); break;
                case 1: for (; k > 0; k--, t += 2) part += m[t[1]] * LOAD(m + t[0]); break;
                case 2: for (; k > 0; k--, t += 1 + WIDTH) part += LOAD(m + t[0]) * NAME(gather)(m, t + 1); break;
                case 3: for (; k > 0; k--, t += 2) part += m[t[0]] * m[t[1]]; break;
                case 4: for (; k > 0; k--, t += 1 + WIDTH) part += m[t[0]] * NAME(gather)(m, t + 1); break;
                case 5:
                    for (; k > 0; k--, t += 2 * WIDTH) part += NAME(gather)(m, t) * NAME(gather)(m, t + WIDTH);
                    break;
            }
            sum = code & 1 ? sum - part : sum + part;
        }
        STORE(out, sum);
    }
}

/* ---- with examples: a place is a row of them; the tables have the places of the factors, those that are added first */

INLINE vec NAME(row)(const int rolled, const REAL *m, int32_t place, int64_t at) {
    if (rolled) return LOAD(m + place + at);
    return ALL(m[place]);
}

/* Sums that share factors: rows of u with columns of v. Of one factor all examples may be alike. */
INLINE void NAME(rolled_tile)(const int rows, const int columns, const int us, const int vs, const Step *s,
                              const int32_t *u, const int32_t *v, const REAL *m, REAL *out) {
    const int64_t n = s->n;
    for (int64_t at = 0; at < s->count; at += WIDTH) {
        vec sum[4][4];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < columns; j++) sum[i][j] = (vec){0};
        }
#define TERMS(from, to, plus) \
    for (int64_t k = from; k < to; k++) { \
        vec right[4]; \
        UNROLL \
        for (int j = 0; j < columns; j++) right[j] = NAME(row)(vs, m, v[j * n + k], at); \
        UNROLL \
        for (int i = 0; i < rows; i++) { \
            const vec left = NAME(row)(us, m, u[i * n + k], at); \
            UNROLL \
            for (int j = 0; j < columns; j++) \
                sum[i][j] = plus ? sum[i][j] + left * right[j] : sum[i][j] - left * right[j]; \
        } \
    }
        TERMS(0, s->inner, 1)
        TERMS(s->inner, n, 0)
#undef TERMS
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < columns; j++) STORE(out + i * s->out_row + j * s->count + at, sum[i][j]);
        }
    }
}

INLINE void NAME(rolled_tiles)(const int us, const int vs, const Step *s, const int32_t *table, REAL *m) {
    const int64_t n = s->n;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t i = 0; i < s->rows;) {
            const int32_t *u = table + s->u + (a * s->rows + i) * n, *v = table + s->v + a * s->columns * n;
            REAL *out = m + s->out + (a * s->rows + i) * s->out_row;
            const int64_t some = s->rows - i < 4 ? 1 : 4;
            for (int64_t j = 0; j < s->columns;) {
                const int64_t across = s->columns - j < 4 ? 1 : 4;
                if (some == 4 && across == 4)
                    NAME(rolled_tile)(4, 4, us, vs, s, u, v, m, out);
                else if (some == 4)
                    NAME(rolled_tile)(4, 1, us, vs, s, u, v, m, out);
                else if (across == 4)
                    NAME(rolled_tile)(1, 4, us, vs, s, u, v, m, out);
                else
                    NAME(rolled_tile)(1, 1, us, vs, s, u, v, m, out);
                j += across;
                v += across * n;
                out += across * s->count;
            }
            i += some;
        }
}

/* Sums that share none, four at a time. */
INLINE void NAME(rolled_sums)(const int sums, const int vs, const Step *s, const int32_t *u, const int32_t *v,
                              const REAL *m, REAL *out) {
    const int64_t n = s->n, size = s->count;
    for (int64_t at = 0; at < size; at += WIDTH) {
        vec sum[4];
        UNROLL
        for (int i = 0; i < sums; i++) sum[i] = (vec){0};
#define TERMS(from, to, plus) \
    for (int64_t k = from; k < to; k++) { \
        UNROLL \
        for (int i = 0; i < sums; i++) { \
            const vec term = LOAD(m + u[i * n + k] + at) * NAME(row)(vs, m, v[i * n + k], at); \
            sum[i] = plus ? sum[i] + term : sum[i] - term; \
        } \
    }
        TERMS(0, s->inner, 1)
        TERMS(s->inner, n, 0)
#undef TERMS
        UNROLL
        for (int i = 0; i < sums; i++) STORE(out + i * size + at, sum[i]);
    }
}

static void NAME(rolled)(const Step *s, const int32_t *table, REAL *m) {
    const int32_t *u = table + s->u, *v = table + s->v;
    REAL *out = m + s->out;
    const int us = (int)s->u_n, vs = (int)s->v_n;
    if (s->code) {
        if (us && vs) NAME(rolled_tiles)(1, 1, s, table, m);
        else if (us) NAME(rolled_tiles)(1, 0, s, table, m);
        else NAME(rolled_tiles)(0, 1, s, table, m);
        return;
    }
    int64_t left = s->outer;
    for (; left >= 4; left -= 4, u += 4 * s->n, v += 4 * s->n, out += 4 * s->count) {
        if (vs) NAME(rolled_sums)(4, 1, s, u, v, m, out);
        else NAME(rolled_sums)(4, 0, s, u, v, m, out);
    }
    for (; left > 0; left--, u += s->n, v += s->n, out += s->count) {
        if (vs) NAME(rolled_sums)(1, 1, s, u, v, m, out);
        else NAME(rolled_sums)(1, 0, s, u, v, m, out);
    }
}

/* ---- sums in which 0 times anything is 0; the tables have the places of both factors and the signs */

static void NAME(careful)(const Step *s, const int32_t *table, REAL *m) {
    REAL *out = m + s->out;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t i = 0; i < s->rows; i++)
            for (int64_t j = 0; j < s->columns; j++, out += s->out_row) {
                const int32_t *u = table + s->u + (a * s->rows + i) * s->n, *v = table + s->v + (a * s->columns + j) * s->n;
                REAL sum = 0;
                for (int64_t e = 0; e < s->count; e++) {
                    for (int64_t k = 0; k < s->n; k++) {
                        const REAL x = m[u[k] + e * s->u_n], w = m[v[k] + e * s->v_n];
                        if (x != 0 && w != 0) sum += (REAL)table[s->table + k] * x * w;
                    }
                    if (s->code) continue; /* a sum over the examples too */
                    out[e] = sum;
                    sum = 0;
                }
                if (s->code) *out = sum;
            }
}

/* ---- operations number by number */

/* exp(x) = 2**k exp(r), |r| <= ln 2 / 2; 2**k in two factors, so that subnormal results are rounded once. What is 0 is
   not computed: processors take a hundred cycles for a subnormal number, and masks are full of exp(-inf). */
INLINE vec NAME(exp)(vec x) {
#if DOUBLE
    const vec most = ALL(710.0), least = ALL(-745.13321910194122);
#else
    const vec most = ALL(89.5), least = ALL(-103.972081);
#endif
    const bits_vec none = x < least;
    x = CHOOSE(x > most, most, x);
    x = CHOOSE(none, ALL(0), x);
    const vec shifted = x * (REAL)1.4426950408889634 + MAGIC, k = shifted - MAGIC;
    const bits_vec whole = TO_BITS(shifted) - TO_BITS(ALL(MAGIC)), half = ((whole + 4096) >> 1) - 2048;
    const vec one = OF_BITS((half + BIAS) << EXPONENT), other = OF_BITS((whole - half + BIAS) << EXPONENT);
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
    return CHOOSE(none, ALL(0), (1 + (r + r * r * p)) * one * other);
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

enum { /* as in plan.py */
    NAME(COPY), NAME(ADD), NAME(SUB), NAME(MUL), NAME(DIV), NAME(NEG), NAME(ABS), NAME(SQUARE), NAME(RECIPROCAL),
    NAME(SQRT), NAME(SIGN), NAME(RELU), NAME(RELU_SLOPE), NAME(MAXIMUM), NAME(MINIMUM), NAME(WHERE), NAME(EXP),
    NAME(SCALE), NAME(RSQRT), NAME(ROOT), NAME(RECIPROCAL_SLOPE), NAME(RSQRT_SLOPE), NAME(ROOT_SLOPE)
};

/* x**0.5 as pow has it, which differs from the square root at -0 and -inf */
INLINE REAL NAME(root)(REAL x) { return x == -(REAL)INFINITY ? (REAL)INFINITY : NAME(sqrt)(x + 0); }

static void NAME(map)(const Step *s, REAL *m) {
    REAL *out = m + s->out;
    const REAL *x = m + s->u, *w = m + s->v, *y = m + s->w;
    const int64_t n = s->count;
    const REAL sign = (REAL)s->sign, first = sign * *w;
    switch (s->code) {
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
    }
}

typedef double (*NAME(Rule1))(double);
typedef double (*NAME(Rule2))(double, double);
typedef double (*NAME(Rule3))(double, double, double);
typedef double (*NAME(Rule4))(double, double, double, double);

/* A rule that the eager engine runs, with so many operands. */
INLINE REAL NAME(call)(int operands, void *rule, const REAL *x, const REAL *w, const REAL *y, const REAL *z) {
    switch (operands) {
        case 1: return (REAL)((NAME(Rule1))rule)(*x);
        case 2: return (REAL)((NAME(Rule2))rule)(*x, *w);
        case 3: return (REAL)((NAME(Rule3))rule)(*x, *w, *y);
        default: return (REAL)((NAME(Rule4))rule)(*x, *w, *y, *z);
    }
}

static void NAME(rule)(const Step *s, void *rule, REAL *m) {
    REAL *out = m + s->out;
    const REAL *x = m + s->u, *w = m + s->v, *y = m + s->w, *z = m + s->y;
    const int operands = (int)s->n;
    for (int64_t i = 0; i < s->count; i++) out[i] = NAME(call)(operands, rule, x + i, w + i, y + i, z + i);
}

/* Logarithms of sums of exponentials, for two vectors at a time. The table has, for them, how many operands there are,
   the places of the first, those of the second, ...: a place for each number or, if code says so, for each vector.

   As in rules.py: the largest operand is taken off. Of doubles, the errors of that and of the sum of the others are
   carried along. */
static void NAME(logsumexp)(const Step *s, const int32_t *t, REAL *m) {
    REAL *out = m + s->out, *x = m + s->u;
    for (int64_t i = 0; i < s->count; i += 2 * WIDTH) {
        const int n = *t++;
        for (int k = 0; k < 2 * n; k++, t += s->code ? 1 : WIDTH)
            STORE(x + k * WIDTH, s->code ? LOAD(m + *t) : NAME(gather)(m, t));
        vec top[2], sum[2] = {{0}, {0}}, lost[2] = {{0}, {0}}, ties[2] = {{0}, {0}};
        UNROLL
        for (int j = 0; j < 2; j++) top[j] = LOAD(x + j * WIDTH);
        for (int k = 1; k < n; k++) {
            UNROLL
            for (int j = 0; j < 2; j++) {
                const vec other = LOAD(x + (2 * k + j) * WIDTH);
                top[j] = CHOOSE((other > top[j]) | (other != other), other, top[j]);
            }
        }
        for (int k = 0; k < n; k++) {
            UNROLL
            for (int j = 0; j < 2; j++) {
                const vec one = LOAD(x + (2 * k + j) * WIDTH), less = one - top[j], back = less + top[j];
                const vec error = (one - back) + (top[j] - (back - less)), nothing = {0};
                const vec e = CHOOSE(one == top[j], nothing, NAME(exp)(less)), now = sum[j] + e, part = now - sum[j];
                if (DOUBLE) lost[j] += ((sum[j] - (now - part)) + (e - part)) + CHOOSE(e > 0, e * error, nothing);
                ties[j] += CHOOSE(one == top[j], nothing + 1, nothing);
                sum[j] = now;
            }
        }
        UNROLL
        for (int j = 0; j < 2; j++) {
            const vec found = top[j] + NAME(log1p)((ties[j] - 1) + (sum[j] + lost[j]));
            STORE(out + i + j * WIDTH, CHOOSE(top[j] - top[j] == 0, found, top[j]));
        }
    }
}

/* ---- the tape: instructions of a few numbers, one after the other */

enum { NAME(T_END), NAME(T_COPY), NAME(T_NEG), NAME(T_ADD), NAME(T_SUB), NAME(T_MUL), NAME(T_NEGMUL), NAME(T_MULADD),
       NAME(T_ADDSUBMUL), NAME(T_MULMUL), NAME(T_DOT), NAME(T_RULE1), NAME(T_RULE2), NAME(T_RULE3), NAME(T_RULE4),
       NAME(T_RELU), NAME(T_DIV) }; /* as in plan.py */

static void NAME(tape)(const int32_t *t, void *const *rules, REAL *m) {
#define OUT m[t[1]]
#define A m[t[2]]
#define B m[t[3]]
#define C m[t[4]]
#define D m[t[5]]
    for (;;) switch (t[0]) {
        case NAME(T_END): return;
        case NAME(T_COPY): OUT = A; t += 3; break;
        case NAME(T_NEG): OUT = -A; t += 3; break;
        case NAME(T_ADD): OUT = A + B; t += 4; break;
        case NAME(T_SUB): OUT = A - B; t += 4; break;
        case NAME(T_MUL): OUT = A * B; t += 4; break;
        case NAME(T_NEGMUL): OUT = -(A * B); t += 4; break;
        case NAME(T_MULADD): OUT = A * B + C; t += 5; break;
        case NAME(T_ADDSUBMUL): OUT = C - A * B; t += 5; break;
        case NAME(T_MULMUL): OUT = A * B + C * D; t += 6; break;
        case NAME(T_DOT): {
            REAL sum = 0;
            const int out = t[1], plus = t[2], minus = t[3];
            t += 4;
            for (int k = 0; k < plus; k++, t += 2) sum += m[t[0]] * m[t[1]];
            for (int k = 0; k < minus; k++, t += 2) sum -= m[t[0]] * m[t[1]];
            m[out] = sum;
            break;
        }
        case NAME(T_RULE1): OUT = (REAL)((NAME(Rule1))rules[t[2]])(B); t += 4; break;
        case NAME(T_RULE2): OUT = (REAL)((NAME(Rule2))rules[t[2]])(B, C); t += 5; break;
        case NAME(T_RULE3): OUT = (REAL)((NAME(Rule3))rules[t[2]])(B, C, D); t += 6; break;
        case NAME(T_RULE4): OUT = (REAL)((NAME(Rule4))rules[t[2]])(B, C, D, m[t[6]]); t += 7; break;
        case NAME(T_RELU): OUT = A <= 0 ? 0 : A; t += 3; break;
        case NAME(T_DIV): OUT = A / B; t += 4; break;
    }
#undef OUT
#undef A
#undef B
#undef C
#undef D
}

/* ---- all steps */

static int64_t NAME(run)(const Step *steps, int64_t first, int64_t end, const int32_t *table, void *const *rules,
                         void *arena) {
    REAL *m = arena;
    for (int64_t i = first; i < end; i++) {
        const Step *s = steps + i;
        const int32_t *t = table + s->table;
        REAL *out = m + s->out;
        switch (s->kind) {
            case TAPE: NAME(tape)(t, rules, m); break;
            case GATHER: for (int64_t k = 0; k < s->count; k += WIDTH) STORE(out + k, NAME(gather)(m, t + k)); break;
            case RUNS: /* stretches: from, length */
                for (int64_t k = 0; k < s->count; k++, out += t[1], t += 2) {
                    const REAL *from = m + t[0];
                    for (int32_t j = 0; j < t[1]; j += WIDTH) STORE(out + j, LOAD(from + j));
                }
                break;
            case ROWS: /* of examples */
                for (int64_t k = 0; k < s->count; k++, out += s->columns) {
                    const REAL *from = m + t[k];
                    for (int64_t j = 0; j < s->columns; j += WIDTH) STORE(out + j, LOAD(from + j));
                }
                break;
            case TRANSPOSE: NAME(blocks)(s, t, m); break;
            case PRODUCT: NAME(product)(s, m); break;
            case DOT: NAME(dot)(s, m); break;
            case LANES: NAME(lanes)(s, t, m); break;
            case ROLLED: NAME(rolled)(s, table, m); break;
            case CAREFUL: NAME(careful)(s, table, m); break;
            case EXAMPLES: NAME(examples)(s, t, m); break;
            case SPREAD:
                for (int64_t k = 0; k < s->count; k++, out += s->columns) {
                    const REAL x = m[t[k]];
                    for (int64_t j = 0; j < s->columns; j += WIDTH) STORE(out + j, (vec){0} + x);
                }
                break;
            case MAP: NAME(map)(s, m); break;
            case RULE: NAME(rule)(s, rules[s->code], m); break;
            case LOGSUMEXP: NAME(logsumexp)(s, t, m); break;
            default: return i;
        }
    }
    return end;
}

static int NAME(finite)(const REAL *x, int64_t count) {
    REAL sum = 0, parts[WIDTH] = {0};
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        UNROLL
        for (int j = 0; j < WIDTH; j++) parts[j] += x[i + j] * 0;
    }
    for (; i < count; i++) sum += x[i] * 0;
    for (int j = 0; j < WIDTH; j++) sum += parts[j];
    return sum == 0;
}

/* Numbers given as [examples, size] become rows: square blocks in registers, the rest one by one. */
#if WIDTH > 1
#define BLOCKS(type) \
    typedef type block __attribute__((vector_size(WIDTH * sizeof(type)), aligned(sizeof(type)), may_alias)); \
    for (int64_t i = 0; i < whole; i += WIDTH) \
        for (int64_t e = 0; e + WIDTH <= examples; e += WIDTH) { \
            vec x[WIDTH]; \
            UNROLL \
            for (int k = 0; k < WIDTH; k++) \
                x[k] = __builtin_convertvector(*(const block *)((const type *)from + (e + k) * size + i), vec); \
            NAME(transpose)(x); \
            UNROLL \
            for (int k = 0; k < WIDTH; k++) STORE(out + (i + k) * row + e, x[k]); \
        }
#else
#define BLOCKS(type)
#endif
#define TAKE(type) \
    for (int64_t i = 0; i < (row ? 0 : size); i++) out[i] = (REAL)((const type *)from)[i]; \
    if (row) { \
        const int64_t whole = WIDTH > 1 ? size / WIDTH * WIDTH : 0, blocks = examples / WIDTH * WIDTH; \
        BLOCKS(type) \
        for (int64_t i = 0; i < size; i++) \
            for (int64_t e = i < whole ? blocks : 0; e < examples; e++) \
                out[i * row + e] = (REAL)((const type *)from)[e * size + i]; \
    }

static void NAME(take)(void *arena, int64_t start, const void *from, int floats, int64_t size, int64_t examples,
                       int64_t row) {
    REAL *out = (REAL *)arena + start;
    if (floats) {
        TAKE(float);
    } else {
        TAKE(double);
    }
    for (int64_t i = 0; i < (row ? size : 0); i++) /* the vectors' last numbers: as finite as the others */
        for (int64_t e = examples; e < row; e++) out[i * row + e] = out[i * row + examples - 1];
}
#undef TAKE
#undef BLOCKS

/* As the steps of these kinds, but nothing behind may be written. */
static int NAME(collect)(const Step *s, const int32_t *t, const void *arena, void *to) {
    const REAL *m = arena;
    REAL *out = to;
    t += s->table;
    if (s->kind == RUNS)
        for (int64_t k = 0; k < s->count; out += t[1], t += 2, k++) memcpy(out, m + t[0], (size_t)t[1] * sizeof(REAL));
    else {
        int64_t k = 0;
        for (; k + WIDTH <= s->count; k += WIDTH) STORE(out + k, NAME(gather)(m, t + k));
        for (; k < s->count; k++) out[k] = m[t[k]];
    }
    return NAME(finite)(to, s->n);
}

static const Kernels NAME(kernels) = {WIDTH, NAME(run), NAME(collect), NAME(take)};

#undef vec
#undef LOAD
#undef STORE
#undef WIDTH
#undef BITS
#undef EXPONENT
#undef BIAS
#undef MAGIC
#undef LOOP
#undef VECTORS
#undef bits_vec
#undef TO_BITS
#undef OF_BITS
#undef CHOOSE
#undef TO_REAL
#undef ALL
#undef MOST_ROWS
