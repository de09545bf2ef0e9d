/* Sums of products: the part of kernels.h with the most work, for one REAL and one SET. */

/* ---- products: out[row, column] = sum over n of u[row, n] * v[n, column], u number by number, v by vectors

   The terms follow each other at u_n and v_n, or `terms` has where they are: for u, then for v. What s->y says is done
   with each sum, with the number that stands beside it where the results would be if they started at s->w. */

enum { NAME(AFTER_NOTHING), NAME(AFTER_ADD), NAME(AFTER_RELU), NAME(AFTER_RELU_SLOPE) }; /* as in finish.py */

INLINE void NAME(tile)(const int rows, const int vectors, const Step *s, const int32_t *terms, REAL *out, const REAL *u,
                       const REAL *v, int64_t v_n) {
    const int64_t out_row = s->out_row, out_next = s->out_next, u_row = s->u_row, u_n = s->u_n, v_next = s->v_next;
    vec sum[MOST_ROWS][TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = (vec){0};
    }
    const int64_t n = s->n;
#define TERM(x, w) \
    { \
        vec right[TILE_VECTORS]; \
        UNROLL \
        for (int j = 0; j < vectors; j++) right[j] = LOAD((w) + j * v_next); \
        UNROLL \
        for (int i = 0; i < rows; i++) { \
            const REAL left = (x)[i * u_row]; \
            UNROLL \
            for (int j = 0; j < vectors; j++) sum[i][j] += left * right[j]; \
        } \
    }
    if (terms)
        for (int64_t k = 0; k < n; k++) TERM(u + terms[k], v + terms[n + k])
    else
        for (int64_t k = n; k > 0; k--, u += u_n, v += v_n) TERM(u, v)
#undef TERM
    const REAL sign = (REAL)s->sign, *other = out + (s->w - s->out);
    if (sign != 1) {
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < vectors; j++) sum[i][j] *= sign;
        }
    }
#define RESULTS(formula) \
    UNROLL \
    for (int i = 0; i < rows; i++) { \
        UNROLL \
        for (int j = 0; j < vectors; j++) { \
            const int64_t at = i * out_row + j * out_next; \
            const vec x = sum[i][j]; \
            STORE(out + at, formula); \
        } \
    } \
    break
    switch (s->y) {
        case NAME(AFTER_NOTHING): RESULTS(x);
        case NAME(AFTER_ADD): RESULTS(x + LOAD(other + at));
        case NAME(AFTER_RELU): RESULTS(CHOOSE(x <= 0, ALL(0), x));
        case NAME(AFTER_RELU_SLOPE): RESULTS(CHOOSE(LOAD(other + at) > 0, x, ALL(0)));
    }
#undef RESULTS
}

INLINE void NAME(panel)(const int vectors, const Step *s, const int32_t *terms, REAL *out, const REAL *u,
                        const REAL *v, int64_t v_n) {
    int64_t rows = s->rows;
#define TILE(k) NAME(tile)(k, vectors, s, terms, out, u, v, v_n)
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

static void NAME(product)(const Step *s, const int32_t *table, REAL *m) {
    const int32_t *terms = s->code == 2 ? table + s->table : NULL;
    const int64_t vectors = (s->columns + WIDTH - 1) / WIDTH, tiles = (vectors + TILE_VECTORS - 1) / TILE_VECTORS;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t b = 0; b < s->inner; b++) {
            const REAL *u = m + s->u + a * s->u_outer + b * s->u_inner;
            for (int64_t t = tiles - 1; t >= 0; t--) {
                const int64_t wide = t < tiles - 1 ? TILE_VECTORS : vectors - t * TILE_VECTORS;
                const REAL *v = m + s->v + a * s->v_outer + b * s->v_inner + t * s->v_tile;
                const int64_t v_n = s->code == 1 ? wide * WIDTH : s->v_n; /* packed, tile after tile */
                REAL *out = m + s->out + a * s->out_outer + b * s->out_inner + t * TILE_VECTORS * s->out_next;
                switch (wide) {
                    case 1: NAME(panel)(1, s, terms, out, u, v, v_n); break;
                    case 2: NAME(panel)(2, s, terms, out, u, v, v_n); break;
#if TILE_VECTORS == 4
                    case 3: NAME(panel)(3, s, terms, out, u, v, v_n); break;
                    case 4: NAME(panel)(4, s, terms, out, u, v, v_n); break;
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

/* Sums that share factors, times a number: rows of u with columns of v. Of one factor all examples may be alike. `terms`
   has how many terms count, and which. If s->y says that there is such a number, its place stands in the table where it
   does for `few_and_more`. */
INLINE void NAME(rolled_tile)(const int rows, const int columns, const int us, const int vs, const Step *s, REAL scale,
                              const int32_t *terms, const int32_t *u, const int32_t *v, const REAL *m, REAL *out) {
    const int64_t n = s->n, count = *terms++;
    for (int64_t at = 0; at < s->count; at += WIDTH) {
        vec sum[4][4];
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < columns; j++) sum[i][j] = (vec){0};
        }
        int64_t k = 0;
        do {
            const int64_t term = terms[k];
            vec right[4];
            UNROLL
            for (int j = 0; j < columns; j++) right[j] = NAME(row)(vs, m, v[j * n + term], at);
            if (term >= s->inner) {
                UNROLL
                for (int j = 0; j < columns; j++) right[j] = -right[j];
            }
            UNROLL
            for (int i = 0; i < rows; i++) {
                const vec left = NAME(row)(us, m, u[i * n + term], at);
                UNROLL
                for (int j = 0; j < columns; j++) sum[i][j] += left * right[j];
            }
        } while (++k < count);
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int j = 0; j < columns; j++) STORE(out + i * s->out_row + j * s->count + at, scale * sum[i][j]);
        }
    }
}

/* The table has for each tile of rows the columns of which something is read, from one to another, and the terms. */
INLINE void NAME(rolled_tiles)(const int us, const int vs, const Step *s, const int32_t *table, REAL *m) {
    const int64_t n = s->n;
    const int32_t *tile = table + s->table;
    const REAL scale = (REAL)s->sign * (s->y ? m[table[s->w + 1]] : 1);
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t i = 0; i < s->rows; tile += 3 + n) {
            const int32_t *u = table + s->u + (a * s->rows + i) * n, *v = table + s->v + a * s->columns * n;
            REAL *out = m + s->out + (a * s->rows + i) * s->out_row;
            const int64_t some = s->rows - i < 4 ? 1 : 4;
            for (int64_t j = tile[0]; j < tile[1];) {
                const int64_t across = tile[1] - j < 4 ? 1 : 4;
#define TILE(r, c) NAME(rolled_tile)(r, c, us, vs, s, scale, tile + 2, u, v + j * n, m, out + j * s->count)
                if (some == 4 && across == 4) TILE(4, 4);
                else if (some == 4) TILE(4, 1);
                else if (across == 4) TILE(1, 4);
                else TILE(1, 1);
#undef TILE
                j += across;
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

/* Sums of a few terms, of the examples from one to another. */
INLINE void NAME(rolled_few)(const int n, const int vs, const Step *s, int64_t sums, int64_t from, int64_t to,
                             const int32_t *u, const int32_t *v, const REAL *m, REAL *out) {
    REAL signs[4];
    UNROLL
    for (int k = 0; k < n; k++) signs[k] = k < s->inner ? 1 : -1;
    for (int64_t i = 0; i < sums; i++, u += n, v += n)
        for (int64_t at = from; at < to; at += WIDTH, out += WIDTH) {
            vec sum = {0};
            UNROLL
            for (int k = 0; k < n; k++) sum += signs[k] * NAME(row)(vs, m, v[k], at) * LOAD(m + u[k] + at);
            STORE(out, sum);
        }
}

static void NAME(few)(const Step *s, int64_t sums, int64_t from, int64_t to, const int32_t *u, const int32_t *v,
                      const REAL *m, REAL *out) {
#define FEW(n) \
    if (s->v_n) NAME(rolled_few)(n, 1, s, sums, from, to, u, v, m, out); \
    else NAME(rolled_few)(n, 0, s, sums, from, to, u, v, m, out); \
    break
    switch (s->n) {
        case 1: FEW(1);
        case 2: FEW(2);
        case 3: FEW(3);
        case 4: FEW(4);
    }
#undef FEW
}

/* Some rows of them at a time, or a part of one, and then operations on these: `after` has the code of each, and the
   place of the number that it takes. */
static void NAME(few_and_more)(const Step *s, const int32_t *after, const int32_t *u, const int32_t *v, REAL *m) {
    enum { PART = 4096 / sizeof(REAL) };
    const int64_t wide = s->count < PART ? s->count : PART, most = PART / wide;
    REAL parts[2][PART] ALIGNED, *out = m + s->out;
    for (int64_t left = s->outer; left > 0; left -= most, u += most * s->n, v += most * s->n) {
        const int64_t some = left < most ? left : most;
        for (int64_t from = 0; from < s->count; from += wide) {
            const int64_t to = from + wide < s->count ? from + wide : s->count, size = some * (to - from);
            NAME(few)(s, some, from, to, u, v, m, parts[0]);
            for (int64_t k = 0; k < s->y; k++) {
                const REAL *x = parts[k % 2];
                NAME(map)(after[2 * k], size, 1, k + 1 < s->y ? parts[(k + 1) % 2] : out, x, m + after[2 * k + 1], x);
            }
            out += size;
        }
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
    if (s->n <= 4) {
        if (s->y) NAME(few_and_more)(s, table + s->w, u, v, m);
        else NAME(few)(s, s->outer, 0, s->count, u, v, m, out);
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

/* out[i, j] = sum over n, and over the examples, of u[i, n] * v[j, n], a tile of sums at a time: as many vectors, which
   are summed up in the end. A vector is one of the row's (u at s->u in the table, v at s->v) plus one of the term's
   (s->w, s->y). What counts of it, if s->inner says that not all does, is 1 in the vector at the term's place at
   s->code. */
#define SUMS (4 * TILE_VECTORS)
INLINE void NAME(inner_tile)(const int part, const Step *s, const int32_t *table, const REAL *m, const REAL *const *u,
                             const REAL *const *v, REAL *found) {
    const int32_t *left = table + s->w, *right = table + s->y, *counts = table + s->code;
    vec sum[SUMS];
    UNROLL
    for (int k = 0; k < SUMS; k++) sum[k] = (vec){0};
    int64_t k = s->n;
    do {
        vec x[4];
        UNROLL
        for (int j = 0; j < 4; j++) x[j] = LOAD(v[j] + *right);
        if (part) {
            UNROLL
            for (int j = 0; j < 4; j++) x[j] *= LOAD(m + *counts);
        }
        UNROLL
        for (int i = 0; i < TILE_VECTORS; i++) {
            const vec w = LOAD(u[i] + *left);
            UNROLL
            for (int j = 0; j < 4; j++) sum[4 * i + j] += w * x[j];
        }
        left++, right++, counts++;
    } while (--k > 0);
    UNROLL
    for (int i = 0; i < SUMS; i += WIDTH) STORE(found + i, (REAL)s->sign * NAME(totals)(sum + i));
}

static void NAME(inner)(const Step *s, const int32_t *table, REAL *m) {
    const int64_t rows = s->rows, columns = s->columns;
    for (int64_t a = 0; a < s->outer; a++)
        for (int64_t i = 0; i < rows; i += TILE_VECTORS) {
            const int64_t tall = rows - i < TILE_VECTORS ? rows - i : TILE_VECTORS;
            const REAL *u[TILE_VECTORS], *v[4]; /* at the edges the last row stands in for those that are not there */
            UNROLL
            for (int k = 0; k < TILE_VECTORS; k++) u[k] = m + table[s->u + a * rows + i + (k < tall ? k : tall - 1)];
            for (int64_t j = 0; j < columns; j += 4) {
                const int64_t wide = columns - j < 4 ? columns - j : 4;
                UNROLL
                for (int k = 0; k < 4; k++) v[k] = m + table[s->v + a * columns + j + (k < wide ? k : wide - 1)];
                REAL found[SUMS], *out = m + s->out + (a * rows + i) * columns + j;
                if (s->inner) NAME(inner_tile)(1, s, table, m, u, v, found);
                else NAME(inner_tile)(0, s, table, m, u, v, found);
                for (int64_t k = 0; k < tall; k++, out += columns) {
                    if (wide == 4) memcpy(out, found + 4 * k, 4 * sizeof(REAL));
                    else for (int64_t l = 0; l < wide; l++) out[l] = found[4 * k + l];
                }
            }
        }
}
#undef SUMS

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
