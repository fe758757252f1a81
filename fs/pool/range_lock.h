/*
 * Locks on ranges of one file, held over I/O: who fills pages, who writes dirty ones, who changes the file past the pool. Served
 * in the order they come, so nobody starves. The holder's record lies on its stack. Layer: pool. A thread holds at most one of a file.
 */
#ifndef ZCFS_POOL_RANGE_LOCK_H
#define ZCFS_POOL_RANGE_LOCK_H

#include <pthread.h>
#include <stdint.h>

#include "base/lock.h"

/* Where ranges overlap: FILL goes beside FILL and FLUSH, FLUSH beside FILL, CHANGE beside nothing. */
enum range_mode { RANGE_FILL, RANGE_FLUSH, RANGE_CHANGE };

/* Guarded by the lock's mutex. */
struct range_hold {
	struct range_hold *prev, *next; /* in the order they came */
	uint64_t from, to; /* [from, to) */
	enum range_mode mode;
};

struct range_lock {
	struct mutex mutex; /* a leaf */
	pthread_cond_t ended;
	struct range_hold head GUARDED_BY(mutex); /* of a ring */
	unsigned waiters GUARDED_BY(mutex);
};

void range_lock_init(struct range_lock *l);
void range_lock_fini(struct range_lock *l);

/* Waits until nobody before it is in its way; len_bytes UINT64_MAX: to the end. Pair with range_release(). */
void range_acquire(struct range_lock *l, struct range_hold *hold, enum range_mode mode,
		   uint64_t off_bytes, uint64_t len_bytes);
void range_release(struct range_lock *l, struct range_hold *hold);

#endif
