/*
 * Mutexes that clang's -Wthread-safety can check. A mutex here never sleeps over a system call, an
 * allocation, a log line or a reply (fs/README.md states the lock order). Layer: base.
 */
#ifndef ZCFS_BASE_LOCK_H
#define ZCFS_BASE_LOCK_H

#include <pthread.h>
#include <time.h>

#ifdef __clang__
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define CAPABILITY(x) TSA(capability(x))
/* C gives a member's attribute no way to name its sibling mutex: for the reader only. */
#define GUARDED_BY(x)
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...)  TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...)  TSA(release_capability(__VA_ARGS__))
#define NO_TSA        TSA(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
};

static inline void mutex_init(struct mutex *m)
{
	pthread_mutex_init(&m->m, NULL);
}

static inline void mutex_fini(struct mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

/* A condition whose timed waits are told CLOCK_MONOTONIC, which no one sets. */
static inline void cond_init_monotonic(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static inline void mutex_lock(struct mutex *m) ACQUIRE(m) NO_TSA
{
	pthread_mutex_lock(&m->m);
}

static inline void mutex_unlock(struct mutex *m) RELEASE(m) NO_TSA
{
	pthread_mutex_unlock(&m->m);
}

#endif
