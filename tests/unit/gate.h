/*
 * Gates: where threads of a unit test are held until the test lets them on.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/lock.h"

/* Open at first; made by gate_init(). */
struct gate {
	struct mutex mutex;
	pthread_cond_t changed;
	bool is_shut;
	unsigned waiting;
};

static inline void gate_init(struct gate *g)
{
	mutex_init(&g->mutex);
	pthread_cond_init(&g->changed, NULL);
}

static inline void gate_fini(struct gate *g)
{
	pthread_cond_destroy(&g->changed);
	mutex_fini(&g->mutex);
}

static inline void gate_set(struct gate *g, bool is_shut)
{
	mutex_lock(&g->mutex);
	g->is_shut = is_shut;
	pthread_cond_broadcast(&g->changed);
	mutex_unlock(&g->mutex);
}

static inline void gate_pass(struct gate *g)
{
	mutex_lock(&g->mutex);
	g->waiting++;
	pthread_cond_broadcast(&g->changed);
	while (g->is_shut)
		pthread_cond_wait(&g->changed, &g->mutex.m);
	g->waiting--;
	mutex_unlock(&g->mutex);
}

/* Until so many threads stand before it. */
static inline void gate_await(struct gate *g, unsigned waiting)
{
	mutex_lock(&g->mutex);
	while (g->waiting < waiting)
		pthread_cond_wait(&g->changed, &g->mutex.m);
	mutex_unlock(&g->mutex);
}
