/*
 * A frame's state word: each transition, what it refuses, and pins against EXCL between threads.
 */
#include "pool/frame.h"

#include <pthread.h>
#include <sched.h>

#include "check.h"

static void make_valid(struct frame *f)
{
	*f = (struct frame){0};
	frame_claim(f);
	frame_publish(f, 0);
}

TEST(free_frames_give_nothing)
{
	struct frame f = {0};
	uint32_t word;
	CHECK(!frame_try_pin(&f));
	CHECK(!frame_lock(&f));
	CHECK(!frame_try_evict(&f, &word));
	CHECK(!frame_flush_begin(&f));
	CHECK_EQ(frame_load(&f), 0);
}

TEST(filling_frames_belong_to_one)
{
	struct frame f = {0};
	uint32_t word;
	frame_claim(&f);
	CHECK_EQ(frame_load(&f), FRAME_FILLING);
	CHECK(!frame_try_pin(&f));
	CHECK(!frame_lock(&f));
	CHECK(!frame_try_evict(&f, &word));
	frame_publish(&f, FRAME_AHEAD);
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_AHEAD);
	CHECK(frame_take_ahead(&f));
	CHECK(!frame_take_ahead(&f));
	CHECK_EQ(frame_load(&f), FRAME_VALID);
	frame_clear(&f);
	CHECK_EQ(frame_load(&f), 0);
}

TEST(only_clean_frames_that_nobody_holds_are_evicted)
{
	static const uint32_t held[] = {1, FRAME_DIRTY, FRAME_WRITING, FRAME_EXCL, FRAME_PINS};
	struct frame f;
	uint32_t word;
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		f = (struct frame){.state = FRAME_VALID | held[i]};
		CHECK(!frame_try_evict(&f, &word));
		CHECK_EQ(frame_load(&f), FRAME_VALID | held[i]);
	}
	f = (struct frame){.state = FRAME_VALID | FRAME_AHEAD | FRAME_WAITED};
	CHECK(frame_try_evict(&f, &word));
	CHECK(word & FRAME_AHEAD);
	CHECK_EQ(frame_load(&f), FRAME_FILLING | FRAME_WAITED);
	frame_publish(&f, 0);
	CHECK_EQ(frame_load(&f), FRAME_VALID); /* it was not read ahead this time, and nobody waits */
}

TEST(exclusive_hold_stops_pins)
{
	struct frame f;
	make_valid(&f);
	REQUIRE(frame_lock(&f));
	CHECK(!frame_try_pin(&f));
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_EXCL);
	frame_unlock(&f, FRAME_DIRTY);
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_DIRTY);
	CHECK(frame_try_pin(&f) && frame_try_pin(&f));
	CHECK_EQ(frame_load(&f) & FRAME_PINS, 2);
	frame_unpin(&f);
	frame_unpin(&f);
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_DIRTY);
}

TEST(writing_ends_clean_or_dirty)
{
	struct frame f;
	make_valid(&f);
	CHECK(!frame_flush_begin(&f));
	REQUIRE(frame_lock(&f));
	frame_unlock(&f, FRAME_DIRTY);
	CHECK(frame_flush_begin(&f));
	CHECK(!frame_flush_begin(&f));
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_WRITING);
	(void)frame_flush_end(&f, 0);
	CHECK_EQ(frame_load(&f), FRAME_VALID);
	REQUIRE(frame_lock(&f));
	frame_unlock(&f, FRAME_DIRTY);
	CHECK(frame_flush_begin(&f));
	(void)frame_flush_end(&f, FRAME_DIRTY);
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_DIRTY);
	/* changed meanwhile */
	CHECK(frame_flush_begin(&f));
	REQUIRE(frame_lock(&f));
	frame_unlock(&f, FRAME_DIRTY);
	(void)frame_flush_end(&f, 0);
	CHECK_EQ(frame_load(&f), FRAME_VALID | FRAME_DIRTY);
}

/* ---- between threads ---- */

static struct frame shared;
static uint64_t content[8]; /* the page: all the same; not atomic, so that TSan sees what the word does not order */
static _Atomic bool has_lock;

static void *lock_it(void *arg)
{
	(void)arg;
	CHECK(frame_lock(&shared));
	atomic_store(&has_lock, true);
	frame_unlock(&shared, 0);
	return NULL;
}

TEST(exclusive_hold_waits_for_pins)
{
	pthread_t t;
	make_valid(&shared);
	atomic_store(&has_lock, false);
	REQUIRE(frame_try_pin(&shared) && frame_try_pin(&shared));
	REQUIRE(pthread_create(&t, NULL, lock_it, NULL) == 0);
	while (!(frame_load(&shared) & FRAME_WAITED))
		sched_yield();
	CHECK(!frame_try_pin(&shared)); /* no new ones */
	frame_unpin(&shared);
	while ((frame_load(&shared) & (FRAME_EXCL | FRAME_PINS)) != (FRAME_EXCL | 1))
		sched_yield();
	CHECK(!atomic_load(&has_lock));
	frame_unpin(&shared);
	pthread_join(t, NULL);
	CHECK_EQ(frame_load(&shared), FRAME_VALID);
}

static void *lock_of_free(void *arg)
{
	*(bool *)arg = frame_lock(&shared);
	return NULL;
}

TEST(who_waits_for_a_frame_that_goes_is_told)
{
	pthread_t t;
	bool got = true;
	make_valid(&shared);
	REQUIRE(frame_lock(&shared));
	REQUIRE(pthread_create(&t, NULL, lock_of_free, &got) == 0);
	while (!(frame_load(&shared) & FRAME_WAITED))
		sched_yield();
	frame_clear(&shared);
	pthread_join(t, NULL);
	CHECK(!got);
	CHECK_EQ(frame_load(&shared), 0);
}

static _Atomic unsigned torn;
#define TURNS 20000

static void *change_content(void *arg)
{
	uint64_t n = (uint64_t)(uintptr_t)arg;
	for (int i = 0; i < TURNS; i++) {
		if (!frame_lock(&shared))
			continue; /* evicted just now */
		for (int k = 0; k < 8; k++)
			content[k] = n + (uint64_t)i;
		frame_unlock(&shared, 0);
	}
	return NULL;
}

static void *look_at_content(void *arg)
{
	(void)arg;
	for (int i = 0; i < TURNS; i++) {
		if (!frame_try_pin(&shared))
			continue;
		for (int k = 1; k < 8; k++)
			if (content[k] != content[0])
				atomic_fetch_add(&torn, 1);
		frame_unpin(&shared);
	}
	return NULL;
}

static void *evict_and_fill(void *arg)
{
	(void)arg;
	uint32_t word;
	for (int i = 0; i < TURNS; i++) {
		if (!frame_try_evict(&shared, &word))
			continue;
		for (int k = 0; k < 8; k++)
			content[k] = (uint64_t)i;
		frame_publish(&shared, 0);
	}
	return NULL;
}

TEST(content_changes_under_nobody)
{
	static void *(*const run[])(void *) = {change_content, change_content, look_at_content,
					       look_at_content, evict_and_fill};
	pthread_t t[5];
	make_valid(&shared);
	for (uintptr_t i = 0; i < 5; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, run[i], (void *)(i * 1000000)), 0);
	for (int i = 0; i < 5; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(torn, 0);
	CHECK_EQ(frame_load(&shared) & ~(uint32_t)FRAME_WAITED, FRAME_VALID);
}
