/*
 * Page references for tests of the miss-ratio curve and of policies: made here, or the OLTP trace of N. Megiddo and D. S. Modha, "ARC: A
 * Self-Tuning, Low Overhead Replacement Cache", FAST 03, where it is there; and what an LRU cache of any size hits of them, exactly.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../tools/random.h"

struct trace {
	uint64_t *page;
	size_t count;
};

static inline void trace_free(struct trace *t)
{
	free(t->page);
	*t = (struct trace){0};
}

static inline void trace_room(struct trace *t, size_t count)
{
	t->page = malloc(count * sizeof(*t->page));
	if (!t->page)
		abort();
	t->count = count;
}

/* Pages 0 .. pages - 1, the i-th with a probability of about 1 / (i + 1): a Zipf pattern. */
struct zipf {
	double *upto; /* sums of the probabilities */
	size_t pages;
};

static inline struct zipf zipf_new(size_t pages)
{
	struct zipf z = {.upto = malloc(pages * sizeof(double)), .pages = pages};
	double sum = 0;
	if (!z.upto)
		abort();
	for (size_t i = 0; i < pages; i++)
		z.upto[i] = sum += 1.0 / (double)(i + 1);
	return z;
}

static inline uint64_t zipf_next(const struct zipf *z)
{
	double at = (double)(next_random() >> 11) * 0x1p-53 * z->upto[z->pages - 1];
	size_t least = 0, most = z->pages - 1;
	while (least < most) {
		size_t middle = (least + most) / 2;
		if (z->upto[middle] > at)
			most = middle;
		else
			least = middle + 1;
	}
	return least;
}

static inline struct trace trace_zipf(size_t count, size_t pages, uint64_t seed)
{
	struct trace t;
	struct zipf z = zipf_new(pages);
	random_state = seed;
	trace_room(&t, count);
	for (size_t i = 0; i < count; i++)
		t.page[i] = zipf_next(&z);
	free(z.upto);
	return t;
}

/* Half of the references go to a hot set, four tenths to a loop over `loop` pages, the rest to pages that never come again. */
static inline struct trace trace_loop_and_scan(size_t count, size_t hot, size_t loop, uint64_t seed)
{
	struct trace t;
	struct zipf z = zipf_new(hot);
	uint64_t at = 0, scanned = 0;
	random_state = seed;
	trace_room(&t, count);
	for (size_t i = 0; i < count; i++) {
		size_t die = below(10);
		if (die < 5)
			t.page[i] = zipf_next(&z);
		else if (die < 9)
			t.page[i] = 1000000 + at++ % loop;
		else
			t.page[i] = 1000000000 + scanned++;
	}
	free(z.upto);
	return t;
}

/* False where the trace, or zstd, is missing. Lines are `start count 0 request`. */
static inline bool trace_oltp(struct trace *t)
{
	char command[4096];
	const char *source = getenv("ZCFS_SRC");
	unsigned long long start, count;
	size_t room = 1000000;
	snprintf(command, sizeof(command),
		 "zstd -dcq '%s/../shared/traces/OLTP.lis.zst' 2>/dev/null", source ? source : ".");
	FILE *in = popen(command, "r");
	trace_room(t, room);
	t->count = 0;
	while (in && fscanf(in, "%llu %llu %*d %*d", &start, &count) == 2)
		for (; count > 0 && t->count < room; count--)
			t->page[t->count++] = start++;
	if (in && pclose(in) == 0 && t->count > 0)
		return true;
	trace_free(t);
	return false;
}

/* What LRU hits, by R. Mattson's stack distances (IBM Systems Journal 9:2, 1970). */
struct exact {
	uint64_t *hits; /* of a cache of i pages, i <= most */
	size_t most, references;
	size_t distinct;
};

static inline void exact_add(uint32_t *tree, size_t n, size_t at, uint32_t value)
{
	for (; at <= n; at += at & -at)
		tree[at] += value;
}

static inline uint32_t exact_sum(const uint32_t *tree, size_t at)
{
	uint32_t sum = 0;
	for (; at > 0; at &= at - 1)
		sum += tree[at];
	return sum;
}

struct exact_place {
	uint64_t page, time; /* page + 1; 0: empty */
};

static inline size_t exact_find(const struct exact_place *table, size_t mask, uint64_t page)
{
	size_t i = page * UINT64_C(0x9e3779b97f4a7c15) >> 20 & mask;
	while (table[i].page && table[i].page != page + 1)
		i = (i + 1) & mask;
	return i;
}

static inline struct exact exact_lru(const struct trace *t)
{
	size_t mask = 1;
	while (mask < 2 * t->count)
		mask = 2 * mask + 1;
	struct exact_place *table = calloc(mask + 1, sizeof(*table));
	uint32_t *tree = calloc(t->count + 1, sizeof(*tree));
	struct exact e = {.hits = calloc(t->count + 2, sizeof(uint64_t)), .references = t->count};
	if (!table || !tree || !e.hits)
		abort();
	for (size_t i = 0; i < t->count; i++) {
		struct exact_place *place = &table[exact_find(table, mask, t->page[i])];
		if (place->page) {
			e.hits[e.distinct - exact_sum(tree, place->time) + 1]++;
			exact_add(tree, t->count, place->time, UINT32_MAX);
		} else {
			place->page = t->page[i] + 1;
			e.distinct++;
		}
		place->time = i + 1;
		exact_add(tree, t->count, i + 1, 1);
	}
	for (size_t i = 1; i <= t->count + 1; i++)
		e.hits[i] += e.hits[i - 1];
	e.most = t->count + 1;
	free(table);
	free(tree);
	return e;
}

static inline double exact_ratio(const struct exact *e, uint64_t pages)
{
	return (double)e->hits[pages < e->most ? pages : e->most] / (double)e->references;
}

static inline void exact_free(struct exact *e)
{
	free(e->hits);
}
