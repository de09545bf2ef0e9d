/* Threads that run a plan together: each does its steps of a round, and then they wait for each other. */
#ifndef GLASSGRAD_THREADS_H
#define GLASSGRAD_THREADS_H
#include <pythread.h>
#include "native.h"

/* What they share. `ends` has for each round up to where each thread's steps go. */
typedef struct {
    const Kernels *kernels;
    const Step *steps; /* of one thread after the other, `most` each */
    const int64_t *ends;
    int64_t most, rounds, threads;
    const int32_t *table;
    void *const *rules;
    void *arena;
    int64_t go, arrived, gone; /* whether to begin, or to leave; how many came to the end of a round, in all; and left */
} Crew;

#if defined(__GNUC__) && !defined(_WIN32)
#include <sched.h>
#define MOST_THREADS 64
#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

/* Wait until a count is reached. Rounds take microseconds, so the processor is not given up at once. */
static void glassgrad_await(const int64_t *count, int64_t enough) {
    for (int tries = 0; __atomic_load_n(count, __ATOMIC_ACQUIRE) < enough; tries++) {
        if (tries < 300) PAUSE();
        else sched_yield();
    }
}

static void glassgrad_rounds(Crew *crew, int64_t own) {
    int64_t first = 0;
    for (int64_t round = 0; round < crew->rounds; round++) {
        const int64_t end = crew->ends[round * crew->threads + own];
        crew->kernels->run(crew->steps + own * crew->most, first, end, crew->table, crew->rules, crew->arena);
        first = end;
        __atomic_add_fetch(&crew->arrived, 1, __ATOMIC_ACQ_REL);
        glassgrad_await(&crew->arrived, (round + 1) * crew->threads);
    }
}

typedef struct {
    Crew *crew;
    int64_t own;
} Hand;

static void glassgrad_hand(void *hand) {
    Crew *crew = ((Hand *)hand)->crew;
    glassgrad_await(&crew->go, 1);
    if (crew->go == 1) glassgrad_rounds(crew, ((Hand *)hand)->own);
    __atomic_add_fetch(&crew->gone, 1, __ATOMIC_RELEASE);
}

/* Run all rounds. 0, with nothing done, where not as many threads can be had. */
static int glassgrad_together(Crew *crew) {
    Hand hands[MOST_THREADS];
    int64_t others = 0;
    crew->go = crew->arrived = crew->gone = 0;
    for (; others < crew->threads - 1; others++) {
        hands[others] = (Hand){crew, others + 1};
        if (PyThread_start_new_thread(glassgrad_hand, hands + others) == PYTHREAD_INVALID_THREAD_ID) break;
    }
    const int all = others == crew->threads - 1;
    __atomic_store_n(&crew->go, all ? 1 : 2, __ATOMIC_RELEASE);
    if (all) glassgrad_rounds(crew, 0);
    glassgrad_await(&crew->gone, others);
    return all;
}
#else
#define MOST_THREADS 1
static int glassgrad_together(Crew *crew) { return (void)crew, 0; }
#endif
#endif
