/*
 * Range locks: one ring of holders and waiters in the order they came, a handful at most, so it is walked. A waiter is let in
 * when nobody before it is in its way, holders and waiters alike.
 */
#include "pool/range_lock.h"

#include <stdbool.h>

void range_lock_init(struct range_lock *l)
{
	mutex_init(&l->mutex);
	pthread_cond_init(&l->ended, NULL);
	l->head = (struct range_hold){.prev = &l->head, .next = &l->head};
	l->waiters = 0;
}

void range_lock_fini(struct range_lock *l)
{
	pthread_cond_destroy(&l->ended);
	mutex_fini(&l->mutex);
}

static bool goes_beside(enum range_mode a, enum range_mode b)
{
	if (a == RANGE_CHANGE || b == RANGE_CHANGE)
		return false;
	return a == RANGE_FILL || b == RANGE_FILL;
}

static bool must_wait_locked(const struct range_lock *l, const struct range_hold *hold)
{
	for (const struct range_hold *h = l->head.next; h != hold; h = h->next)
		if (h->from < hold->to && hold->from < h->to && !goes_beside(h->mode, hold->mode))
			return true;
	return false;
}

void range_acquire(struct range_lock *l, struct range_hold *hold, enum range_mode mode,
		   uint64_t off_bytes, uint64_t len_bytes)
{
	uint64_t to = len_bytes > UINT64_MAX - off_bytes ? UINT64_MAX : off_bytes + len_bytes;
	*hold = (struct range_hold){.from = off_bytes, .to = to, .mode = mode};
	mutex_lock(&l->mutex);
	hold->prev = l->head.prev;
	hold->next = &l->head;
	hold->prev->next = hold;
	l->head.prev = hold;
	if (must_wait_locked(l, hold)) {
		l->waiters++;
		do
			pthread_cond_wait(&l->ended, &l->mutex.m);
		while (must_wait_locked(l, hold));
		l->waiters--;
	}
	mutex_unlock(&l->mutex);
}

void range_release(struct range_lock *l, struct range_hold *hold)
{
	mutex_lock(&l->mutex);
	hold->prev->next = hold->next;
	hold->next->prev = hold->prev;
	if (l->waiters > 0)
		pthread_cond_broadcast(&l->ended);
	mutex_unlock(&l->mutex);
}
