/* The loops of the native machine, for one kind of number (REAL) and one instruction set (SET): native.h includes this
   file for each.

   All numbers stand in one arena. Those without examples follow each other in the order in which they are made, so a
   kernel may write a whole vector where fewer are left: what stands behind is made later. Products go through their
   columns from the right and through their rows from above for that. Rows of examples are whole vectors, and nothing is
   written behind them: their memory is used again once nobody reads them, in any order.

   Threads may do parts of a step at once (shares.py), but not of LOGSUMEXP, which has one room to work in. */

#include "vectors.h"
#include "maps.h"
#include "sums.h"

/* ---- copies */

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
        vec x[WIDTH];
        UNROLL
        for (int i = 0; i < WIDTH; i++) {
            x[i] = (vec){0};
            for (int64_t j = 0; j < whole; j += WIDTH) x[i] += LOAD(m + t[i] + j);
        }
        vec sum = NAME(totals)(x);
        for (int64_t j = whole; j < s->n; j++) sum += NAME(gather)(m + j, t);
        STORE(out, (REAL)s->sign * sum);
    }
}

/* ---- operations number by number, by rules */

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
   the places of the first, those of the second, ...: a place for each number or, for rows of examples, for each vector.
   With `shares`, the places follow where exp(x) / (the sum of all exp(x)) goes for each operand; s->n says whether the
   logarithms are wanted too.

   As in rules.py: the largest operand is taken off. Of doubles, the errors of that and of the sum of the others are
   carried along. */
INLINE void NAME(logsumexps)(const int rolled, const int shares, const Step *s, const int32_t *t, REAL *m) {
    REAL *out = m + s->out, *x = m + s->u, *tops = m + s->v, *sums = m + s->w;
#define X(k, j) LOAD(rolled ? m + t[2 * (k) + (j)] : x + (2 * (k) + (j)) * WIDTH)
#define SHARE(k, j) (m + t[2 * (n + (k)) + (j)])
    for (int64_t i = 0; i < s->count; i += 2 * WIDTH) {
        const int n = *t++;
        for (int k = 0; k < (rolled ? 0 : 2 * n); k++, t += WIDTH) STORE(x + k * WIDTH, NAME(gather)(m, t));
        vec top[2], sum[2] = {{0}, {0}}, lost[2] = {{0}, {0}}, ties[2] = {ALL(n), ALL(n)};
        UNROLL
        for (int j = 0; j < 2; j++) top[j] = X(0, j);
        for (int k = 1; k < n; k++) {
            UNROLL
            for (int j = 0; j < 2; j++) {
                const vec other = X(k, j);
                top[j] = CHOOSE(other > top[j], other, top[j]); /* a nan shows in the sum */
            }
        }
        for (int k = 0; k < n; k++) {
            UNROLL
            for (int j = 0; j < 2; j++) {
                const vec one = X(k, j), less = one - top[j];
                vec e = NAME(exp_of_less)(less);
                const bits_vec lower = one != top[j];
#if DOUBLE
                const vec back = less + top[j], error = (one - back) + (top[j] - (back - less));
                const vec more = CHOOSE(e > 0, e * error, ALL(0)), now = sum[j] + e, part = now - sum[j];
                lost[j] = CHOOSE(lower, lost[j] + (((sum[j] - (now - part)) + (e - part)) + more), lost[j]);
                sum[j] = CHOOSE(lower, now, sum[j]);
                e += more;
#else
                sum[j] = CHOOSE(lower, sum[j] + e, sum[j]);
#endif
                ties[j] = CHOOSE(lower, ties[j] - 1, ties[j]);
                if (shares) STORE(SHARE(k, j), e);
            }
        }
        UNROLL
        for (int j = 0; j < 2; j++) {
            sum[j] += lost[j];
            STORE(tops + i + j * WIDTH, top[j]);
            STORE(sums + i + j * WIDTH, (ties[j] - 1) + sum[j]);
        }
        if (shares) {
            vec scale[2];
            UNROLL
            for (int j = 0; j < 2; j++) scale[j] = 1 / (ties[j] + sum[j]) + (top[j] - top[j]); /* nan if infinite */
            for (int k = 0; k < n; k++) {
                UNROLL
                for (int j = 0; j < 2; j++) STORE(SHARE(k, j), LOAD(SHARE(k, j)) * scale[j]);
            }
        }
        if (rolled) t += 2 * n * (1 + shares);
    }
#undef X
#undef SHARE
    for (int64_t i = 0; i < (s->n ? s->count : 0); i += WIDTH) { /* side by side: they need not wait for each other */
        const vec top = LOAD(tops + i), found = top + NAME(log1p)(LOAD(sums + i));
        STORE(out + i, CHOOSE(top - top == 0, found, top));
    }
}

static void NAME(logsumexp)(const Step *s, const int32_t *t, REAL *m) {
    switch (s->code) { /* how its operands stand, and whether shares are wanted: as in plan.py */
        case 0: NAME(logsumexps)(0, 0, s, t, m); break;
        case 1: NAME(logsumexps)(1, 0, s, t, m); break;
        case 2: NAME(logsumexps)(1, 1, s, t, m); break;
    }
}

/* ---- the tape: instructions of a few numbers, one after the other */

enum { NAME(T_END), NAME(T_COPY), NAME(T_NEG), NAME(T_ADD), NAME(T_SUB), NAME(T_MUL), NAME(T_NEGMUL), NAME(T_MULADD),
       NAME(T_ADDSUBMUL), NAME(T_MULMUL), NAME(T_DOT), NAME(T_RULE1), NAME(T_RULE2), NAME(T_RULE3), NAME(T_RULE4),
       NAME(T_RELU), NAME(T_DIV) }; /* as in taped.py */

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

static int64_t NAME(steps)(const Step *steps, int64_t first, int64_t end, const int32_t *table, void *const *rules,
                           REAL *m) {
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
            case PRODUCT: NAME(product)(s, table, m); break;
            case DOT: NAME(dot)(s, m); break;
            case LANES: NAME(lanes)(s, t, m); break;
            case ROLLED: NAME(rolled)(s, table, m); break;
            case CAREFUL: NAME(careful)(s, table, m); break;
            case EXAMPLES: NAME(examples)(s, t, m); break;
            case INNER: NAME(inner)(s, table, m); break;
            case SPREAD:
                for (int64_t k = 0; k < s->count; k++, out += s->columns) {
                    const REAL x = m[t[k]];
                    for (int64_t j = 0; j < s->columns; j += WIDTH) STORE(out + j, (vec){0} + x);
                }
                break;
            case MAP: NAME(map)((int)s->code, s->count, (REAL)s->sign, out, m + s->u, m + s->v, m + s->w); break;
            case RULE: NAME(rule)(s, rules[s->code], m); break;
            case LOGSUMEXP: NAME(logsumexp)(s, t, m); break;
            default: return i;
        }
    }
    return end;
}

static int64_t NAME(run)(const Step *steps, int64_t first, int64_t end, const int32_t *table, void *const *rules,
                         void *arena) {
    const unsigned int before = glassgrad_flush(!DOUBLE);
    const int64_t stopped = NAME(steps)(steps, first, end, table, rules, arena);
    glassgrad_as_before(before);
    return stopped;
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

/* Copy numbers to where they may have to be doubles, and return what is behind them. `strange` stays 0 while all are
   finite. */
static char *NAME(put)(const REAL *x, int64_t count, char *to, int doubles, REAL *strange) {
    REAL parts[WIDTH] = {0};
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        UNROLL
        for (int j = 0; j < WIDTH; j++) parts[j] += x[i + j] * 0;
    }
    for (; i < count; i++) *strange += x[i] * 0;
    for (int j = 0; j < WIDTH; j++) *strange += parts[j];
    if (!doubles || DOUBLE) {
        memcpy(to, x, (size_t)count * sizeof(REAL));
        return to + count * sizeof(REAL);
    }
    for (i = 0; i < count; i++) ((double *)to)[i] = x[i];
    return to + count * sizeof(double);
}

/* As the steps of these kinds, a part at a time, which stays in the nearest cache; whether all numbers are finite. */
static int NAME(collect)(const Step *s, const int32_t *t, const void *arena, void *out, int doubles) {
    enum { PART = 512 };
    const REAL *m = arena;
    REAL strange = 0;
    char *to = out;
    t += s->table;
    for (int64_t k = 0; k < s->count; k += s->kind == RUNS ? 1 : PART) {
        if (s->kind == RUNS) {
            for (int32_t j = 0; j < t[1]; j += PART)
                to = NAME(put)(m + t[0] + j, t[1] - j < PART ? t[1] - j : PART, to, doubles, &strange);
            t += 2;
        } else {
            REAL found[PART];
            const int64_t n = s->count - k < PART ? s->count - k : PART;
            for (int64_t j = 0; j < n; j += WIDTH) STORE(found + j, NAME(gather)(m, t + k + j));
            to = NAME(put)(found, n, to, doubles, &strange);
        }
    }
    return strange == 0;
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
#undef bits_vec
#undef TO_BITS
#undef OF_BITS
#undef CHOOSE
#undef TO_REAL
#undef ALL
#undef MOST_ROWS
