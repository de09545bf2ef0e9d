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

static void glassgrad_alone(const Crew *crew) {
    for (int64_t k = 0; k < crew->count; k++) glassgrad_steps(crew, crew->rounds[k].first, crew->rounds[k].end);
}

#if defined(__GNUC__) && !defined(_WIN32)
#include <pthread.h>
#include <sched.h>
#define MOST_THREADS 64
#define GET(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET_TO(x, to) __atomic_store_n(&(x), to, __ATOMIC_RELEASE)
#define ADD(x, some) __atomic_add_fetch(&(x), some, __ATOMIC_ACQ_REL)
#define SWAP(x, with) __atomic_exchange_n(&(x), with, __ATOMIC_SEQ_CST)

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

/* ---- helpers: threads that stay, since on many machines one takes a tenth of a millisecond to begin, or to wake */

typedef struct {
    Crew *crew;
    int64_t taken, asleep;
    PyThread_type_lock bell; /* rung to wake it */
} Helper;

static Helper glassgrad_helpers[MOST_THREADS];
static int64_t glassgrad_count; /* how many of them there are */
static int64_t glassgrad_door;  /* whether somebody is choosing among them */

#define LOOKS 2000 /* for its next crew, about a millisecond, before it goes to sleep */

static void glassgrad_help(void *given) {
    Helper *self = given;
    for (;;) {
        for (int looks = 0; !GET(self->crew); looks++) {
            glassgrad_wait(looks);
            if (looks < LOOKS) continue;
            (void)SWAP(self->asleep, 1);
            /* Whoever set `asleep` back rings the bell; a crew that came in between may not have seen it set. */
            if (!GET(self->crew) || !SWAP(self->asleep, 0)) PyThread_acquire_lock(self->bell, WAIT_LOCK);
            looks = 0;
        }
        Crew *crew = self->crew;
        for (int looks = 0; GET(crew->parts) >= 0; looks++) {
            if (glassgrad_part(crew)) looks = 0;
            else glassgrad_wait(looks);
        }
        glassgrad_leave(crew);
        SET_TO(self->crew, NULL);
        SET_TO(self->taken, 0);
    }
}

static void glassgrad_forked(void) { glassgrad_count = glassgrad_door = 0; } /* threads do not come along */

/* Ask helpers that are free, and new ones if there have never been so many. */
static void glassgrad_ask(Crew *crew, int64_t most) {
    static int ready;
    for (int looks = 0; SWAP(glassgrad_door, 1); looks++) glassgrad_wait(looks);
    if (!ready) ready = 1 + pthread_atfork(NULL, NULL, glassgrad_forked);
    for (int64_t k = 0, asked = 0; k < most && asked < most; k++) {
        Helper *helper = glassgrad_helpers + k;
        if (k == glassgrad_count) {
            *helper = (Helper){NULL, 0, 0, PyThread_allocate_lock()};
            if (!helper->bell) break;
            PyThread_acquire_lock(helper->bell, WAIT_LOCK);
            if (PyThread_start_new_thread(glassgrad_help, helper) == PYTHREAD_INVALID_THREAD_ID) break;
            glassgrad_count++;
        }
        if (SWAP(helper->taken, 1)) continue;
        ADD(crew->users, 1);
        (void)SWAP(helper->crew, crew);
        if (SWAP(helper->asleep, 0)) PyThread_release_lock(helper->bell);
        asked++;
    }
    SET_TO(glassgrad_door, 0);
}

/* Run all rounds. */
static void glassgrad_together(const Crew *given, int threads) {
    Crew *crew = malloc(sizeof *crew);
    int64_t enough = 0;
    if (!crew) {
        glassgrad_alone(given);
        return;
    }
    *crew = *given;
    crew->parts = crew->done = 0;
    crew->users = 1;
    glassgrad_ask(crew, threads - 1);
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
static void glassgrad_together(const Crew *crew, int threads) { (void)threads, glassgrad_alone(crew); }
#endif
#endif
