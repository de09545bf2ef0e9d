/* What `native` runs: the loops of kernels.h for double and float, each for several instruction sets.

   The compiler makes vector instructions for one set at a time, so kernels.h is included once for each, under names of
   its own, and `glassgrad_kernels` chooses when the machine is made. Where a compiler cannot be told about a set (MSVC),
   or the processor is none of Intel's kind, there is the plain version alone. */
#ifndef GLASSGRAD_NATIVE_H
#define GLASSGRAD_NATIVE_H
#include <stdint.h>
#include <string.h>
#include <math.h>

/* A step of a plan. plan.py fills its columns, in this order. Offsets count numbers from the start of the arena. */
typedef struct {
    int64_t kind, code, out, u, v, w, y; /* w, y: more operands, or what is done with the results */
    int64_t outer, inner, rows, columns, n; /* how often each loop of a product runs */
    int64_t out_outer, out_inner, out_row, u_outer, u_inner, u_row, u_n, v_outer, v_inner, v_n, v_tile;
    int64_t v_next, out_next; /* from one vector of a tile to the next */
    int64_t sign, table, count;
} Step;

enum { /* as in arena.py */
    TAPE, GATHER, RUNS, ROWS, TRANSPOSE, PRODUCT, DOT, LANES, ROLLED, CAREFUL, EXAMPLES, INNER, SPREAD, MAP, RULE,
    LOGSUMEXP, PYTHON
};

typedef struct {
    int lanes; /* numbers in a vector */
    /* Run steps from the first up to the end or to one that only Python can do; return where it stopped. */
    int64_t (*run)(const Step *steps, int64_t first, int64_t end, const int32_t *table, void *const *rules, void *arena);
    /* Copy results out of the arena, as doubles or as they are; whether they are finite. */
    int (*collect)(const Step *step, const int32_t *table, const void *arena, void *to, int doubles);
    /* Put given numbers into the arena: doubles or floats, of a rolled block as [examples, size] into rows. */
    void (*take)(void *arena, int64_t start, const void *from, int floats, int64_t size, int64_t examples, int64_t row);
} Kernels;

#define JOIN3(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define NAME(x) JOIN(x, SET, REAL)

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ALIGNED __attribute__((aligned(64)))
#else
#define INLINE static inline
#define UNROLL
#define ALIGNED
#endif

/* Floats below the least normal one, 1.2e-38, count as 0 while steps run: a processor takes a hundred cycles for such a
   number, and a model that was trained for long computes many. Returns what `glassgrad_as_before` puts back. */
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#define FLUSH_TO_ZERO 0x8040 /* results, and operands */
static unsigned int glassgrad_flush(int floats) {
    const unsigned int before = _mm_getcsr();
    if (floats) _mm_setcsr(before | FLUSH_TO_ZERO);
    return before;
}
static void glassgrad_as_before(unsigned int before) { _mm_setcsr(before); }
#else
static unsigned int glassgrad_flush(int floats) { return (void)floats, 0; }
static void glassgrad_as_before(unsigned int before) { (void)before; }
#endif

#if defined(__clang__) && defined(__x86_64__)
#define TARGETS 1
#define BEGIN_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define BEGIN_AVX512 _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx512dq,avx512vl,avx512bw,fma\"))), apply_to = function)")
#define END_TARGET _Pragma("clang attribute pop")
#elif defined(__GNUC__) && defined(__x86_64__)
#define TARGETS 1
#define BEGIN_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define BEGIN_AVX512 _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512\")")
#define END_TARGET _Pragma("GCC pop_options")
#endif

#define SET plain
#define BYTES 16
#define TILE_VECTORS 2
#include "both.h"

#ifdef TARGETS
BEGIN_AVX2
#define SET avx2
#define BYTES 32
#define TILE_VECTORS 2
#include "both.h"
END_TARGET
BEGIN_AVX512
#define SET avx512
#define BYTES 64
#define TILE_VECTORS 4
#include "both.h"
END_TARGET
#endif

/* The kernels for this processor; `widest` is how many bytes a vector may have. */
static const Kernels *glassgrad_kernels(int single, int widest) {
#ifdef TARGETS
    if (widest >= 64 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return single ? &kernels_avx512_float : &kernels_avx512_double;
    if (widest >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return single ? &kernels_avx2_float : &kernels_avx2_double;
#else
    (void)widest;
#endif
    return single ? &kernels_plain_float : &kernels_plain_double;
}
#endif
