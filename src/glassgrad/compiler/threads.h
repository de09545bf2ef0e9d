/* Threads that run a plan together. The first does the steps; where one is divided, the others take parts of it.

   Nobody waits for a thread that has not begun: on a machine that is busy the first does all parts itself. */
#ifndef GLASSGRAD_THREADS_H
#define GLASSGRAD_THREADS_H
#include <pythread.h>
#include <stdlib.h>
#include "native.h"

/* Steps one after the other, or parts of one step, in any order. */
typedef struct {
    int64_t first, end, divided;
} Round;

typedef struct {
    const Kernels *kernels;
    const Step *steps;
    const int32_t *table;
    void *const *rules;
    void *arena;
    const Round *rounds;
    int64_t count;
    int64_t parts; /* which round it is, times MOST_PARTS, and how many of its parts nobody has taken; -1 at the end */
    int64_t done;  /* parts, in all */
    int64_t users; /* threads that know of this */
} Crew;

#define MOST_PARTS 65536

static void glassgrad_steps(const Crew *crew, int64_t first, int64_t end) {
    crew->kernels->run(crew->steps, first, end, crew->table, crew->rules, crew->arena);
}

#if defined(__GNUC__) && !defined(_WIN32)
#include <sched.h>
#define MOST_THREADS 64
#define GET(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET_TO(x, to) __atomic_store_n(&(x), to, __ATOMIC_RELEASE)
#define ADD(x, some) __atomic_add_fetch(&(x), some, __ATOMIC_ACQ_REL)

/* Between two looks at what another thread does: it takes microseconds, or has lost its processor. */
static void glassgrad_wait(int looks) {
#if defined(__x86_64__) || defined(__i386__)
    if (looks < 300) __builtin_ia32_pause();
    else sched_yield();
#else
    if (looks > 3000) sched_yield();
#endif
}

/* Do a part that nobody has taken. 0 if there is none. Only who has taken one may look at more than the numbers here. */
static int glassgrad_part(Crew *crew) {
    int64_t parts = GET(crew->parts);
    if (parts < 0 || parts % MOST_PARTS == 0) return 0;
    if (__atomic_compare_exchange_n(&crew->parts, &parts, parts - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        const int64_t step = crew->rounds[parts / MOST_PARTS].first + parts % MOST_PARTS - 1;
        glassgrad_steps(crew, step, step + 1);
        ADD(crew->done, 1);
    }
    return 1;
}

static void glassgrad_leave(Crew *crew) {
    if (ADD(crew->users, -1) == 0) free(crew);
}

static void glassgrad_help(void *given) {
    Crew *crew = given;
    for (int looks = 0; GET(crew->parts) >= 0; looks++) {
        if (glassgrad_part(crew)) looks = 0;
        else glassgrad_wait(looks);
    }
    glassgrad_leave(crew);
}

/* Run all rounds. */
static void glassgrad_together(const Crew *given, int threads) {
    Crew *crew = malloc(sizeof *crew);
    int64_t enough = 0;
    if (!crew) {
        for (int64_t k = 0; k < given->count; k++) glassgrad_steps(given, given->rounds[k].first, given->rounds[k].end);
        return;
    }
    *crew = *given;
    crew->parts = crew->done = 0;
    crew->users = threads;
    for (int k = 1; k < threads; k++)
        if (PyThread_start_new_thread(glassgrad_help, crew) == PYTHREAD_INVALID_THREAD_ID) ADD(crew->users, -1);
    for (int64_t k = 0; k < crew->count; k++) {
        const Round round = crew->rounds[k];
        if (!round.divided) {
            glassgrad_steps(crew, round.first, round.end);
            continue;
        }
        enough += round.end - round.first;
        SET_TO(crew->parts, k * MOST_PARTS + round.end - round.first);
        while (glassgrad_part(crew)) continue;
        for (int looks = 0; GET(crew->done) < enough; looks++) glassgrad_wait(looks);
    }
    SET_TO(crew->parts, -1);
    glassgrad_leave(crew);
}
#else
#define MOST_THREADS 1
static void glassgrad_together(const Crew *crew, int threads) {
    for (int64_t k = 0; k < crew->count; k++) glassgrad_steps(crew, crew->rounds[k].first, crew->rounds[k].end);
}
#endif
#endif
