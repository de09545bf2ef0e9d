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
#define MOST_ROWS 6

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

/* ---- products: out[row, column] = sum over n of u[row, n] * v[n, column], u number by number, v by vectors */

INLINE void NAME(tile)(const int rows, const int vectors, REAL *out, int64_t out_row, const REAL *u, int64_t u_row,
                       int64_t u_n, const REAL *v, int64_t v_n, int64_t n, REAL sign) {
    vec sum[MOST_ROWS][TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
    }
    for (int64_t k = 0; k < n; k++, u += u_n, v += v_n) {
        vec right[TILE_VECTORS];
        UNROLL
        for (int j = 0; j < vectors; j++) right[j] = LOAD(v + j * WIDTH);
        UNROLL
        for (int i = 0; i < rows; i++) {
            const REAL left = u[i * u_row];
            UNROLL
            for (int j = 0; j < vectors; j++) sum[i][j] += left * right[j];
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++) STORE(out + i * out_row + j * WIDTH, sign * sum[i][j]);
    }
}

INLINE void NAME(panel)(const int vectors, REAL *out, int64_t out_row, const REAL *u, int64_t u_row, int64_t u_n,
                        const REAL *v, int64_t v_n, int64_t rows, int64_t n, REAL sign) {
#define TILE(k) NAME(tile)(k, vectors, out, out_row, u, u_row, u_n, v, v_n, n, sign)
    for (; rows >= MOST_ROWS + 2 || rows == MOST_ROWS; rows -= MOST_ROWS) {
        TILE(MOST_ROWS);
        out += MOST_ROWS * out_row;
        u += MOST_ROWS * u_row;
    }
    for (; rows >= 4; rows -= 4) {
        TILE(4);
        out += 4 * out_row;
        u += 4 * u_row;
    }
    switch (rows) {
        case 3: TILE(3); break;
        case 2: TILE(2); break;
        case 1: TILE(1); break;
    }
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
                REAL *out = m + s->out + a * s->out_outer + b * s->out_inner + t * TILE_VECTORS * WIDTH;
#define PANEL(k) NAME(panel)(k, out, s->out_row, u, s->u_row, s->u_n, v, v_n, s->rows, s->n, (REAL)s->sign)
                switch (wide) {
                    case 1: PANEL(1); break;
                    case 2: PANEL(2); break;
#if TILE_VECTORS == 4
                    case 3: PANEL(3); break;
                    case 4: PANEL(4); break;
#endif
                }
#undef PANEL
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

/* ---- with examples: a place is a row of them; the table has the places of the factors, those that are added first */

INLINE void NAME(rolled_part)(const int vectors, const int both, const Step *s, const int32_t *t, REAL *m, REAL *out,
                              int64_t at) {
    vec sum[4];
    UNROLL
    for (int j = 0; j < vectors; j++) sum[j] = (vec){0};
    for (int64_t k = 0; k < s->n; k++, t += 2) {
        const REAL *u = m + t[0] + at, *v = m + t[1] + (both ? at : 0), sign = k < s->inner ? 1 : -1;
        UNROLL
        for (int j = 0; j < vectors; j++) {
            if (both)
                sum[j] += sign * LOAD(u + j * WIDTH) * LOAD(v + j * WIDTH);
            else
                sum[j] += (sign * v[0]) * LOAD(u + j * WIDTH);
        }
    }
    UNROLL
    for (int j = 0; j < vectors; j++) STORE(out + at + j * WIDTH, sum[j]);
}

static void NAME(rolled)(const Step *s, const int32_t *t, REAL *m) {
    REAL *out = m + s->out;
    for (int64_t i = 0; i < s->count; i++, out += s->columns, t += 2 * s->n)
        for (int64_t at = 0; at < s->columns;) {
            const int wide = s->columns - at >= 4 * WIDTH ? 4 : s->columns - at >= 2 * WIDTH ? 2 : 1;
#define PART(k, both) NAME(rolled_part)(k, both, s, t, m, out, at)
            if (s->code) {
                if (wide == 4) PART(4, 1);
                else if (wide == 2) PART(2, 1);
                else PART(1, 1);
            } else {
                if (wide == 4) PART(4, 0);
                else if (wide == 2) PART(2, 0);
                else PART(1, 0);
            }
#undef PART
            at += wide * WIDTH;
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

/* exp(x) = 2**k exp(r), |r| <= ln 2 / 2; 2**k in two factors, so that subnormal results are rounded once. */
INLINE REAL NAME(exp)(REAL x) {
#if DOUBLE
    const REAL most = 710.0, least = -746.0;
#else
    const REAL most = 89.5f, least = -104.5f;
#endif
    x = x > most ? most : x;
    x = x < least ? least : x;
    const REAL shifted = x * (REAL)1.4426950408889634 + MAGIC, k = shifted - MAGIC;
    const BITS whole = NAME(to_bits)(shifted) - NAME(to_bits)(MAGIC), half = ((whole + 4096) >> 1) - 2048;
    const REAL one = NAME(of_bits)((half + BIAS) << EXPONENT), other = NAME(of_bits)((whole - half + BIAS) << EXPONENT);
#if DOUBLE
    const REAL r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    REAL p = 1.0 / 6227020800.0;
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
    const REAL r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    REAL p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
#endif
    p = p * r + (REAL)(1.0 / 6.0);
    p = p * r + (REAL)0.5;
    return (1 + (r + r * r * p)) * one * other;
}

INLINE REAL NAME(sqrt)(REAL x) {
#if DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

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
        case NAME(EXP): LOOP(NAME(exp)(x[i]));
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
            case PRODUCT: NAME(product)(s, m); break;
            case DOT: NAME(dot)(s, m); break;
            case LANES: NAME(lanes)(s, t, m); break;
            case ROLLED: NAME(rolled)(s, t, m); break;
            case CAREFUL: NAME(careful)(s, table, m); break;
            case EXAMPLES: /* summed */
                for (int64_t k = 0; k < s->count; k++) {
                    const REAL *from = m + t[k];
                    vec sum = {0};
                    REAL rest = 0;
                    int64_t j = 0;
                    for (; j + WIDTH <= s->n; j += WIDTH) sum += LOAD(from + j);
                    for (; j < s->n; j++) rest += from[j];
                    out[k] = (REAL)s->sign * (NAME(total)(sum) + rest);
                }
                break;
            case SPREAD:
                for (int64_t k = 0; k < s->count; k++, out += s->columns) {
                    const REAL x = m[t[k]];
                    for (int64_t j = 0; j < s->columns; j += WIDTH) STORE(out + j, (vec){0} + x);
                }
                break;
            case MAP: NAME(map)(s, m); break;
            case RULE: NAME(rule)(s, rules[s->code], m); break;
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

/* Eight rows are filled at a time, each from its start to its end. */
#define TAKE(type) \
    for (int64_t i = 0; i < (row ? 0 : size); i++) out[i] = (REAL)((const type *)from)[i]; \
    for (int64_t i = 0; i < (row ? size : 0); i += 8) { \
        const int some = size - i < 8 ? (int)(size - i) : 8; \
        for (int64_t e = 0; e < examples; e++) { \
            const type *x = (const type *)from + e * size + i; \
            if (some == 8) { \
                UNROLL \
                for (int k = 0; k < 8; k++) out[(i + k) * row + e] = (REAL)x[k]; \
            } else \
                for (int k = 0; k < some; k++) out[(i + k) * row + e] = (REAL)x[k]; \
        } \
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
#undef MOST_ROWS
