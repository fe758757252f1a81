/*
 * What the tests of eviction policies share: reference traces, and naive caches that say what a policy should have done.
 *
 *	static bool naive_lru(struct naive *m, uint64_t key) { ...; return is_hit; }
 *	TEST(as_the_naive_one) { policy_check_model(&evict_lru_ops, naive_lru); }
 */
#pragma once

#include "../tools/random.h"
#include "check.h"
#include "pool/cachesim.h"

#define NAIVE_PAGES 1024
#define NAIVE_LISTS 4

/* A page of a naive cache; a model uses the fields as it likes. */
struct naive_page {
	uint64_t key;
	unsigned uses;
	int64_t stamp;
};

/* [0] is the newest. Everything is a search and a move of memory. */
struct naive_list {
	struct naive_page page[NAIVE_PAGES];
	size_t n;
};

struct naive {
	size_t capacity;
	struct naive_list list[NAIVE_LISTS];
	size_t hand;
	bool has_hand;
	int64_t evictions;
	double p;
};

/* Where the key is, or list->n. */
static inline size_t naive_find(const struct naive_list *list, uint64_t key)
{
	size_t at = 0;
	while (at < list->n && list->page[at].key != key)
		at++;
	return at;
}

static inline bool naive_has(const struct naive_list *list, uint64_t key)
{
	return naive_find(list, key) < list->n;
}

static inline void naive_put(struct naive_list *list, size_t at, struct naive_page page)
{
	memmove(&list->page[at + 1], &list->page[at], (list->n - at) * sizeof(page));
	list->page[at] = page;
	list->n++;
}

static inline struct naive_page naive_take(struct naive_list *list, size_t at)
{
	struct naive_page page = list->page[at];
	list->n--;
	memmove(&list->page[at], &list->page[at + 1], (list->n - at) * sizeof(page));
	return page;
}

static inline struct naive_page naive_take_oldest(struct naive_list *list)
{
	return naive_take(list, list->n - 1);
}

static inline struct naive_page naive_new(uint64_t key)
{
	return (struct naive_page){.key = key};
}

/* The clock of clock and pg: page[i] is what lies in slot i. */
static inline bool naive_sweep(struct naive *m, uint64_t key, unsigned most, unsigned first)
{
	struct naive_list *l = &m->list[0];
	size_t at = naive_find(l, key);
	if (at < l->n) {
		l->page[at].uses += l->page[at].uses < most;
		return true;
	}
	if (l->n < m->capacity) {
		l->n++;
	} else {
		for (; l->page[m->hand].uses; m->hand = (m->hand + 1) % m->capacity)
			l->page[m->hand].uses--;
		at = m->hand;
		m->hand = (m->hand + 1) % m->capacity;
	}
	l->page[at] = (struct naive_page){.key = key, .uses = first};
	return false;
}

/*
 * The next reference of a trace over about `pages` pages: mostly skewed to the low ones, with scans, loops and a hot set that moves
 * with time.
 */
struct references {
	size_t pages;
	uint64_t run, left; /* of the scan or loop that is going on */
	size_t count;
};

static inline uint64_t next_reference(struct references *r)
{
	r->count++;
	if (r->left == 0 && one_in(r->pages * 2)) {
		r->left = 1 + below(r->pages);
		r->run = one_in(2) ? below(r->pages) : r->pages * 4 + below(r->pages * 8);
	}
	if (r->left > 0 && one_in(2)) {
		r->left--;
		return r->run++;
	}
	double u = (double)(next_random() >> 11) * 0x1p-53;
	return r->count / (r->pages * 50) + (uint64_t)(u * u * u * (double)r->pages);
}

/* The policy hits and misses exactly where the naive cache does, at sizes from 1. */
static inline void policy_check_model(const struct evict_ops *ops,
				      bool (*access)(struct naive *m, uint64_t key))
{
	static const uint32_t capacities[] = {1, 2, 3, 4, 5, 8, 10, 11, 33, 100, 256};
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		static struct naive model;
		struct naive *m = &model;
		struct cachesim *c;
		struct references r = {.pages = (size_t)capacities[i] * 4 + 4};
		size_t n_hits = 0, at = 0;
		bool is_same = true;
		random_state = capacities[i];
		model = (struct naive){.capacity = capacities[i]};
		REQUIRE(cachesim_new(ops, capacities[i], &c) == 0);
		for (; is_same && at < 40000; at++) {
			uint64_t key = next_reference(&r);
			bool is_hit = access(m, key);
			n_hits += is_hit;
			is_same = cachesim_access(c, key) == is_hit;
		}
		if (!is_same)
			printf("# of %u pages: differs at reference %zu\n", capacities[i], at);
		CHECK(is_same);
		CHECK(n_hits > 1000 && n_hits < 39000);
		CHECK_EQ(cachesim_stats(c).resident, capacities[i]);
		cachesim_free(c);
	}
}
