/*
 * The sample: pages by the time of their last reference, which is a position, and a Fenwick tree that counts those after one.
 *
 *   position  1   2   3   4   5   6   7   8          last = 5: the next reference goes to 6
 *   page      A   -   C   -   B   .   .   .          C again: distance 1 (B); 3 becomes a hole, C moves to 6
 *
 * Where positions run out, the holes are squeezed out (pages are at most half of the positions, so that is rare), and the
 * hash table is made anew, which therefore never deletes. Weights are references, so no rescaling is due when the rate falls.
 */
#include "pool/sample.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_HOLE UINT64_MAX /* no page's: thresholds are not larger */
/* How much of the sample leaves when it is full: an eighth. Less makes it happen more often. */
#define LOWER_SHIFT 3
/* And how many sampled references are between two such steps on the way to SAMPLE_STEADY. */
#define STEADY_STEP 4096

static uint32_t positions(const struct sample *s)
{
	return 2 * s->limit;
}

size_t sample_bytes(uint32_t limit, bool has_tags)
{
	size_t n = 2 * (size_t)limit;
	return (n + 1) * (sizeof(uint64_t) + sizeof(uint16_t) + (has_tags ? sizeof(uint16_t) : 0)) +
	       n * sizeof(uint16_t) + SAMPLE_BUCKETS * sizeof(double);
}

int sample_init(struct sample *s, uint32_t limit, uint32_t limit_whole, bool has_tags)
{
	assert(limit >= 2 && limit <= SAMPLE_LIMIT_MAX && (limit & (limit - 1)) == 0);
	assert(limit_whole >= 2 && limit_whole <= limit);
	size_t n = 2 * (size_t)limit;
	*s = (struct sample){.limit = limit, .limit_whole = limit_whole};
	s->hash = malloc((n + 1) * sizeof(*s->hash));
	s->tag = has_tags ? malloc((n + 1) * sizeof(*s->tag)) : NULL;
	s->tree = malloc((n + 1) * sizeof(*s->tree));
	s->slot = malloc(n * sizeof(*s->slot));
	s->reuse = malloc(SAMPLE_BUCKETS * sizeof(*s->reuse));
	if (!s->hash || !s->tree || !s->slot || !s->reuse || (has_tags && !s->tag)) {
		sample_fini(s);
		return -ENOMEM;
	}
	sample_reset(s);
	return 0;
}

void sample_fini(struct sample *s)
{
	free(s->hash);
	free(s->tag);
	free(s->tree);
	free(s->slot);
	free(s->reuse);
	*s = (struct sample){0};
}

static uint64_t threshold_of(const struct sample *s)
{
	return atomic_load_explicit(&s->threshold, memory_order_relaxed);
}

double sample_rate(const struct sample *s)
{
	return (double)threshold_of(s) * 0x1p-64;
}

static void set_threshold(struct sample *s, uint64_t threshold)
{
	atomic_store_explicit(&s->threshold, threshold, memory_order_relaxed);
	double room = s->limit_whole / sample_rate(s);
	s->room = room < s->limit ? (uint32_t)room : s->limit;
}

/* ---- positions ---- */

static void tree_add(struct sample *s, uint32_t position, uint16_t n)
{
	for (uint32_t i = position; i <= positions(s); i += i & -i)
		s->tree[i] = (uint16_t)(s->tree[i] + n); /* modulo 2^16: n may be -1 */
}

/* Pages at positions up to this one. */
static uint32_t tree_sum(const struct sample *s, uint32_t position)
{
	uint32_t sum = 0;
	for (uint32_t i = position; i > 0; i &= i - 1)
		sum += s->tree[i];
	return sum;
}

/* The tree of pages at positions 1 .. pages, each node's value being the overlap of its range with these. */
static void tree_fill(struct sample *s)
{
	for (uint32_t i = 1; i <= positions(s); i++) {
		uint32_t first = i - (i & -i) + 1;
		uint32_t end = i < s->pages ? i : s->pages;
		s->tree[i] = (uint16_t)(end >= first ? end - first + 1 : 0);
	}
}

/* The page's slot of the hash table, or the empty one where it belongs. */
static uint16_t *find_slot(const struct sample *s, uint64_t hash)
{
	uint32_t mask = positions(s) - 1, i = (uint32_t)hash & mask;
	while (s->slot[i] && s->hash[s->slot[i]] != hash)
		i = (i + 1) & mask;
	return &s->slot[i];
}

/* Squeezes out the holes, and the pages above the threshold. */
static void compact(struct sample *s)
{
	uint32_t to = 0;
	memset(s->slot, 0, positions(s) * sizeof(*s->slot));
	for (uint32_t from = 1; from <= s->last; from++) {
		uint64_t hash = s->hash[from];
		if (hash >= threshold_of(s)) /* holes too */
			continue;
		s->hash[++to] = hash;
		if (s->tag)
			s->tag[to] = s->tag[from];
		*find_slot(s, hash) = (uint16_t)to;
	}
	s->pages = s->last = to;
	tree_fill(s);
}

void sample_reset(struct sample *s)
{
	set_threshold(s, UINT64_MAX);
	s->last = s->work = 0;
	compact(s);
	memset(s->reuse, 0, SAMPLE_BUCKETS * sizeof(*s->reuse));
	s->cold = 0;
}

void sample_remove(struct sample *s, bool (*is_gone)(uint16_t tag, const void *ctx), const void *ctx)
{
	uint32_t gone = 0;
	assert(s->tag);
	for (uint32_t i = 1; i <= s->last; i++) {
		if (s->hash[i] != SAMPLE_HOLE && is_gone(s->tag[i], ctx)) {
			s->hash[i] = SAMPLE_HOLE;
			gone++;
		}
	}
	if (gone)
		compact(s);
}

static void lower_rate(struct sample *s)
{
	set_threshold(s, threshold_of(s) - (threshold_of(s) >> LOWER_SHIFT));
	compact(s);
}

/* Counts a reference's work, and sees to it that it does not stay too much. */
static void count_work(struct sample *s)
{
	if (++s->work < SAMPLE_EAGER)
		return;
	s->work = SAMPLE_EAGER - STEADY_STEP;
	if (sample_rate(s) > SAMPLE_STEADY && s->pages > SAMPLE_STEADY_PAGES)
		lower_rate(s);
}

/* ---- distances ---- */

static uint32_t bucket_of(double distance)
{
	uint64_t d = distance < 0x1p36 ? (uint64_t)distance : (UINT64_C(1) << 36) - 1;
	if (d < 64)
		return (uint32_t)d;
	uint32_t octave = 63 - (uint32_t)__builtin_clzll(d); /* 6 .. 35 */
	return 64 + (octave - 6) * SAMPLE_OCTAVE_BUCKETS + ((uint32_t)(d >> (octave - 5)) & 31);
}

/* The least distance of a bucket. */
static uint64_t bucket_min(uint32_t b)
{
	if (b < 64)
		return b;
	uint32_t octave = 6 + (b - 64) / SAMPLE_OCTAVE_BUCKETS;
	return (UINT64_C(32) + (b - 64) % SAMPLE_OCTAVE_BUCKETS) << (octave - 5);
}

void sample_access(struct sample *s, uint64_t hash, uint16_t tag)
{
	if (!sample_wants(s, hash))
		return;
	count_work(s);
	if (!sample_wants(s, hash))
		return;
	if (s->last == positions(s))
		compact(s);
	double weight = 1 / sample_rate(s);
	uint16_t *slot = find_slot(s, hash);
	if (*slot) {
		uint32_t distance = s->pages - tree_sum(s, *slot);
		s->reuse[bucket_of(distance * weight)] += weight;
		if (*slot == s->last)
			return;
		s->hash[*slot] = SAMPLE_HOLE;
		tree_add(s, *slot, UINT16_MAX);
	} else {
		s->cold += weight;
		if (s->pages >= s->room) {
			while (s->pages >= s->room)
				lower_rate(s);
			if (!sample_wants(s, hash))
				return;
			slot = find_slot(s, hash);
		}
		s->pages++;
	}
	*slot = (uint16_t)++s->last;
	s->hash[s->last] = hash;
	if (s->tag)
		s->tag[s->last] = tag;
	tree_add(s, s->last, 1);
}

/* ---- the curve ---- */

double sample_distinct(const struct sample *s)
{
	return s->pages / sample_rate(s);
}

double sample_references(const struct sample *s)
{
	double sum = s->cold;
	for (uint32_t b = 0; b < SAMPLE_BUCKETS; b++)
		sum += s->reuse[b];
	return sum;
}

/* A pool of so many pages hits all that a larger one does. */
static uint64_t enough_pages(const struct sample *s)
{
	uint32_t b = SAMPLE_BUCKETS;
	while (b > 0 && !(s->reuse[b - 1] > 0))
		b--;
	return bucket_min(b);
}

size_t sample_sizes(const struct sample *s, uint64_t *size_pages, size_t most)
{
	double rate = sample_rate(s), largest = (double)enough_pages(s);
	double least = rate < 1 ? ceil(SAMPLE_CLEAR / rate) : 1;
	if (largest <= least) /* nothing came twice, or soon */
		largest = sample_distinct(s);
	size_t count = 0;
	for (size_t i = 0; i < most; i++) {
		double step = largest > least ? pow(largest / least, (double)i / (double)(most - 1)) : 1;
		uint64_t pages = (uint64_t)(least * step + 0.5);
		if (count == 0 || pages > size_pages[count - 1])
			size_pages[count++] = pages;
	}
	return count;
}

void sample_hits(const struct sample *s, uint64_t references, const uint64_t *size_pages,
		 size_t count, double *ratio)
{
	double below = (double)references - sample_references(s); /* SHARDS-adj */
	double least = 0;
	uint32_t b = 0;
	for (size_t i = 0; i < count; i++) {
		/* A reference is hit if fewer distinct pages came between than the pool has. */
		while (b < SAMPLE_BUCKETS && bucket_min(b + 1) <= size_pages[i])
			below += s->reuse[b++];
		double part = 0;
		if (b < SAMPLE_BUCKETS) /* evenly within the bucket */
			part = s->reuse[b] * (double)(size_pages[i] - bucket_min(b)) /
			       (double)(bucket_min(b + 1) - bucket_min(b));
		double hits = size_pages[i] && references ? (below + part) / (double)references : 0;
		least = hits > least ? hits : least;
		ratio[i] = least < 1 ? least : 1;
	}
}
