/*
 * pool/evict: what holds of every policy. A small owner of slots, as the pool's shards are, that pins, drops and evicts at random
 * and knows what is where; scans; hits from other threads; memory.
 */
#include <malloc.h>
#include <pthread.h>

#include "policy.h"

#define SLOTS 128

/* ---- an owner of slots ---- */

struct owner {
	struct evict e;
	bool is_resident[SLOTS], is_pinned[SLOTS];
	uint64_t keys[SLOTS];
	uint32_t n_resident, n_pinned; /* pinned: of the resident ones */
	uint32_t n_asked, granted; /* by the victim() at hand */
};

static bool ask_owner(void *ctx, uint32_t slot)
{
	struct owner *o = ctx;
	o->n_asked++;
	CHECK(slot < o->e.capacity && o->is_resident[slot]);
	CHECK_EQ(o->granted, EVICT_NONE); /* it takes the first that it gets */
	if (o->is_pinned[slot])
		return false;
	o->granted = slot;
	return true;
}

static uint64_t n_listed(const struct evict *e)
{
	struct evict_list lists[EVICT_LISTS_MAX];
	uint64_t n = 0;
	size_t n_lists = e->ops->lists(e, lists);
	CHECK(n_lists >= 1 && n_lists <= EVICT_LISTS_MAX);
	for (size_t i = 0; i < n_lists && i < EVICT_LISTS_MAX; i++)
		if (!strstr(lists[i].name, "ghost") && !strstr(lists[i].name, "target"))
			n += lists[i].count;
	return n;
}

static void set_pinned(struct owner *o, uint32_t slot, bool is_pinned)
{
	if (!o->is_resident[slot] || o->is_pinned[slot] == is_pinned)
		return;
	o->is_pinned[slot] = is_pinned;
	o->n_pinned += is_pinned ? 1U : -1U;
}

static void forget(struct owner *o, uint32_t slot)
{
	set_pinned(o, slot, false);
	o->is_resident[slot] = false;
	o->n_resident--;
}

/* Whatever may go is found, within a few questions for each slot, and only what may. */
static uint32_t take_victim(struct owner *o, uint64_t key)
{
	o->n_asked = 0;
	o->granted = EVICT_NONE;
	uint32_t slot = o->e.ops->victim(&o->e, key);
	CHECK_EQ(slot, o->granted);
	CHECK_EQ(slot != EVICT_NONE, o->n_resident > o->n_pinned);
	CHECK(o->n_asked <= 8 * o->e.capacity);
	if (slot != EVICT_NONE)
		forget(o, slot);
	CHECK_EQ(n_listed(&o->e), o->n_resident);
	return slot;
}

static uint32_t find_slot(const struct owner *o, uint64_t key)
{
	for (uint32_t slot = 0; slot < o->e.capacity; slot++)
		if (o->is_resident[slot] && o->keys[slot] == key)
			return slot;
	return EVICT_NONE;
}

/* Free slots are taken in any order. */
static uint32_t find_free(const struct owner *o)
{
	uint32_t start = (uint32_t)below(o->e.capacity);
	for (uint32_t i = 0; i < o->e.capacity; i++) {
		uint32_t slot = (start + i) % o->e.capacity;
		if (!o->is_resident[slot])
			return slot;
	}
	return EVICT_NONE;
}

static void use_page(struct owner *o, uint64_t key)
{
	uint32_t slot = find_slot(o, key);
	if (slot != EVICT_NONE) {
		o->e.ops->hit(&o->e, slot);
		return;
	}
	slot = o->n_resident < o->e.capacity && !one_in(50) ? find_free(o) : take_victim(o, key);
	if (slot == EVICT_NONE)
		return;
	o->e.ops->insert(&o->e, slot, key);
	o->keys[slot] = key;
	o->is_resident[slot] = true;
	o->n_resident++;
}

static void drop_slot(struct owner *o, uint32_t slot)
{
	o->e.ops->remove(&o->e, slot);
	if (o->is_resident[slot])
		forget(o, slot);
	CHECK_EQ(n_listed(&o->e), o->n_resident);
}

static void do_anything(struct owner *o, struct references *r)
{
	uint32_t slot = (uint32_t)below(o->e.capacity);
	switch (below(16)) {
	case 0:
		drop_slot(o, slot);
		break;
	case 1:
	case 2:
		set_pinned(o, slot, true);
		break;
	case 3:
		set_pinned(o, slot, false);
		break;
	case 4:
		o->e.ops->hit(&o->e, slot); /* perhaps of a slot that is free */
		break;
	default:
		use_page(o, next_reference(r));
	}
	if (one_in(200)) /* a checkpoint: everything is clean */
		for (slot = 0; slot < o->e.capacity; slot++)
			set_pinned(o, slot, false);
}

/* Each page that is in comes out once, and then there is none. */
static void drain(struct owner *o)
{
	for (uint32_t slot = 0; slot < o->e.capacity; slot++)
		set_pinned(o, slot, false);
	while (o->n_resident > 0)
		if (take_victim(o, 0) == EVICT_NONE)
			return;
	CHECK_EQ(take_victim(o, 0), EVICT_NONE);
}

static void check_owner(const struct evict_ops *ops, uint32_t capacity)
{
	struct owner o = {0};
	struct references r = {.pages = (size_t)capacity * 3 + 2};
	random_state = capacity;
	REQUIRE(evict_init(&o.e, ops, capacity, ask_owner, &o) == 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 1000; i++)
			do_anything(&o, &r);
		drain(&o);
	}
	evict_fini(&o.e);
	if (check_n_failed)
		printf("# %s with %u slots\n", ops->name, capacity);
}

TEST(every_slot_is_accounted_for_and_pins_are_kept)
{
	static const uint32_t capacities[] = {1, 2, 3, 5, 16, SLOTS};
	for (size_t p = 0; evict_at(p); p++)
		for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
			check_owner(evict_at(p), capacities[i]);
}

/* ---- the table ---- */

TEST(each_policy_is_found_by_its_name)
{
	size_t n = 0;
	for (; evict_at(n); n++) {
		const struct evict_ops *ops = evict_at(n);
		CHECK(evict_find(ops->name) == ops);
		CHECK(ops->init && ops->fini && ops->hit && ops->insert && ops->victim &&
		      ops->remove && ops->lists);
		CHECK(strchr(ops->summary, ' '));
	}
	CHECK(n >= 7);
	CHECK(!evict_at(n + 1));
	CHECK(!evict_find(""));
	CHECK(!evict_find("LRU"));
	CHECK(!evict_find("opt"));
}

/* ---- scans ---- */

/* What part of a hot set of 300 pages is in a cache of 1000 after a scan of 10,000. */
static double kept_after_scan(const struct evict_ops *ops)
{
	struct cachesim *c;
	int n_kept = 0;
	if (cachesim_new(ops, 1000, &c))
		return -1;
	random_state = 1;
	for (int i = 0; i < 50000; i++)
		(void)cachesim_access(c, one_in(4) ? 10000 + below(50000) : below(300));
	for (uint64_t key = 100000; key < 110000; key++)
		CHECK(!cachesim_access(c, key));
	for (uint64_t key = 0; key < 300; key++)
		n_kept += cachesim_access(c, key);
	cachesim_free(c);
	return n_kept / 300.0;
}

TEST(a_scan_leaves_the_hot_set_in_where_the_policy_says_so)
{
	for (size_t p = 0; evict_at(p); p++) {
		double kept = kept_after_scan(evict_at(p));
		printf("# %s keeps %.2f of the hot set\n", evict_at(p)->name, kept);
		CHECK(evict_at(p)->is_scan_resistant ? kept >= 0.95 : kept >= 0 && kept <= 0.05);
	}
}

static uint64_t hits_over_scans(const struct evict_ops *ops)
{
	struct cachesim *c;
	struct references r = {.pages = 5000};
	if (cachesim_new(ops, 1000, &c))
		return 0;
	random_state = 5;
	for (int i = 0; i < 300000; i++)
		(void)cachesim_access(c, next_reference(&r));
	uint64_t hits = cachesim_stats(c).hits;
	cachesim_free(c);
	return hits;
}

TEST(scan_resistance_pays_over_lru)
{
	uint64_t lru = hits_over_scans(evict_find("lru"));
	CHECK(lru > 0);
	for (size_t p = 0; evict_at(p); p++)
		if (evict_at(p)->is_scan_resistant && strcmp(evict_at(p)->name, "sieve") != 0)
			CHECK(hits_over_scans(evict_at(p)) > lru);
}

/* ---- threads ---- */

struct hitter {
	struct evict *e;
	atomic_bool *is_over;
	uint64_t seed;
};

static void *hit_on(void *arg)
{
	struct hitter *h = arg;
	uint64_t x = h->seed;
	while (!atomic_load_explicit(h->is_over, memory_order_relaxed)) {
		x = x * 6364136223846793005U + 1442695040888963407U;
		h->e->ops->hit(h->e, (uint32_t)(x >> 33) % h->e->capacity);
	}
	return NULL;
}

static void check_threads(const struct evict_ops *ops)
{
	struct owner o = {0};
	struct references r = {.pages = (size_t)SLOTS * 4};
	atomic_bool is_over = false;
	pthread_t threads[2];
	struct hitter hitters[2];
	REQUIRE(evict_init(&o.e, ops, SLOTS, ask_owner, &o) == 0);
	for (unsigned i = 0; i < 2; i++) {
		hitters[i] = (struct hitter){&o.e, &is_over, i + 1};
		REQUIRE(pthread_create(&threads[i], NULL, hit_on, &hitters[i]) == 0);
	}
	for (int i = 0; i < 30000; i++)
		do_anything(&o, &r);
	atomic_store(&is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	drain(&o);
	evict_fini(&o.e);
}

TEST(hits_without_a_lock_disturb_nothing)
{
	int n = 0;
	for (size_t p = 0; evict_at(p); p++)
		if (evict_at(p)->has_lockfree_hit) {
			check_threads(evict_at(p));
			n++;
		}
	CHECK(n >= 4);
}

/* ---- memory ---- */

TEST(a_slot_takes_28_bytes_at_most)
{
	const uint32_t capacity = 1U << 20;
	for (size_t p = 0; evict_at(p); p++) {
		struct evict e;
		struct mallinfo2 before = mallinfo2();
		REQUIRE(evict_init(&e, evict_at(p), capacity, NULL, NULL) == 0);
		struct mallinfo2 after = mallinfo2();
		double bytes =
			(double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) /
			capacity;
		evict_fini(&e);
		if (bytes == 0) /* a sanitizer's malloc keeps no accounts */
			continue;
		printf("# %s: %.1f bytes a slot\n", evict_at(p)->name, bytes);
		CHECK(bytes >= 1 && bytes <= 28.1);
	}
}
