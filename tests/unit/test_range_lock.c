/*
 * Range locks: who goes beside whom, and that they are served in the order they come.
 */
#include "pool/range_lock.h"

#include <pthread.h>
#include <sched.h>

#include "../tools/random.h"
#include "check.h"

struct taker {
	struct range_lock *lock;
	enum range_mode mode;
	uint64_t off, len;
	pthread_t thread;
	_Atomic bool has;
	_Atomic bool may_end;
};

static void *take(void *arg)
{
	struct taker *t = arg;
	struct range_hold hold;
	range_acquire(t->lock, &hold, t->mode, t->off, t->len);
	atomic_store(&t->has, true);
	while (!atomic_load(&t->may_end))
		sched_yield();
	range_release(t->lock, &hold);
	return NULL;
}

static void start(struct taker *t, struct range_lock *l, enum range_mode mode, uint64_t off, uint64_t len)
{
	*t = (struct taker){.lock = l, .mode = mode, .off = off, .len = len};
	CHECK_EQ(pthread_create(&t->thread, NULL, take, t), 0);
}

static void await_has(struct taker *t)
{
	while (!atomic_load(&t->has))
		sched_yield();
}

static void await_waiters(struct range_lock *l, unsigned n)
{
	for (unsigned now = n + 1; now != n; sched_yield()) {
		mutex_lock(&l->mutex);
		now = l->waiters;
		mutex_unlock(&l->mutex);
	}
}

static void end(struct taker *t)
{
	atomic_store(&t->may_end, true);
	pthread_join(t->thread, NULL);
}

TEST(who_goes_beside_whom)
{
	static const bool goes[3][3] = {
		[RANGE_FILL] = {[RANGE_FILL] = true, [RANGE_FLUSH] = true},
		[RANGE_FLUSH] = {[RANGE_FILL] = true},
	};
	for (int a = 0; a < 3; a++)
		for (int b = 0; b < 3; b++) {
			struct range_lock l;
			struct taker first, second;
			range_lock_init(&l);
			start(&first, &l, (enum range_mode)a, 100, 100);
			await_has(&first);
			start(&second, &l, (enum range_mode)b, 199, 1);
			if (goes[a][b]) {
				await_has(&second);
			} else {
				await_waiters(&l, 1);
				CHECK(!atomic_load(&second.has));
			}
			end(&first);
			await_has(&second);
			end(&second);
			range_lock_fini(&l);
		}
}

TEST(ranges_that_only_touch_are_apart)
{
	struct range_lock l;
	struct range_hold a, b, c, e;
	range_lock_init(&l);
	range_acquire(&l, &a, RANGE_CHANGE, 100, 100);
	range_acquire(&l, &b, RANGE_CHANGE, 0, 100);
	range_acquire(&l, &c, RANGE_CHANGE, 200, UINT64_MAX);
	CHECK_EQ(c.to, UINT64_MAX);
	range_release(&l, &b);
	range_acquire(&l, &e, RANGE_CHANGE, 50, 50);
	range_release(&l, &a);
	range_release(&l, &c);
	range_release(&l, &e);
	CHECK_EQ(l.waiters, 0);
	CHECK(l.head.next == &l.head && l.head.prev == &l.head);
	range_lock_fini(&l);
}

/* A change that waits is not passed by fills that come later, or it would never come. */
TEST(first_come_first_served)
{
	struct range_lock l;
	struct taker fill, change, late, apart;
	range_lock_init(&l);
	start(&fill, &l, RANGE_FILL, 0, 100);
	await_has(&fill);
	start(&change, &l, RANGE_CHANGE, 50, 100);
	await_waiters(&l, 1);
	start(&late, &l, RANGE_FILL, 120, 10);
	await_waiters(&l, 2);
	start(&apart, &l, RANGE_FILL, 150, 10);
	await_has(&apart);
	CHECK(!atomic_load(&change.has) && !atomic_load(&late.has));
	end(&fill);
	await_has(&change);
	CHECK(!atomic_load(&late.has));
	end(&change);
	await_has(&late);
	end(&late);
	end(&apart);
	CHECK_EQ(l.waiters, 0);
	range_lock_fini(&l);
}

/* ---- by chance ---- */

#define CELLS 16

static struct range_lock shared;
static _Atomic int holders[CELLS][3];
static _Atomic unsigned bad;

static void *contend(void *arg)
{
	uint64_t r = (uint64_t)(uintptr_t)arg;
	for (int n = 0; n < 5000; n++) {
		struct range_hold hold;
		unsigned from = (unsigned)(random_step(&r) % CELLS);
		unsigned to = from + (unsigned)(random_step(&r) % (CELLS - from)) + 1;
		enum range_mode mode = (enum range_mode)(random_step(&r) % 3);
		range_acquire(&shared, &hold, mode, from, to - from);
		for (unsigned i = from; i < to; i++) {
			atomic_fetch_add(&holders[i][mode], 1);
			int fill = holders[i][RANGE_FILL], flush = holders[i][RANGE_FLUSH],
			    change = holders[i][RANGE_CHANGE];
			if (flush > 1 || change > 1 || (change == 1 && fill + flush > 0))
				atomic_fetch_add(&bad, 1);
		}
		for (unsigned i = from; i < to; i++)
			atomic_fetch_sub(&holders[i][mode], 1);
		range_release(&shared, &hold);
	}
	return NULL;
}

TEST(no_two_where_one_should_be)
{
	pthread_t thread[4];
	range_lock_init(&shared);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, contend, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	CHECK_EQ(bad, 0);
	CHECK_EQ(shared.waiters, 0);
	range_lock_fini(&shared);
}
